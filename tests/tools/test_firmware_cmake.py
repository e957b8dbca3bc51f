"""``firmware/CMakeLists.txt`` up to where ESP-IDF takes over, with real CMake and an ESP-IDF of two files."""

from __future__ import annotations

import re
import shutil

import pytest

from cicada.tools.firmware.build import boards
from cicada.tools.paths import FIRMWARE
from cicada.training import container
from support.cmaking import configure, make_world, needs_cmake

pytestmark = needs_cmake


@pytest.fixture
def world(tmp_path):
    return make_world(tmp_path)


def combined(tmp_path):
    return (tmp_path / "build" / "sdkconfig.combined").read_text()


@pytest.mark.parametrize("board", boards())
def test_a_board_is_configured(world, tmp_path, board):
    text, done = configure(world, tmp_path, f"-DMICROPY_BOARD={board}")
    assert done, text
    version = re.search(r'VERSION = "(.*)"', (FIRMWARE / "app" / "node" / "__init__.py").read_text())[1]
    assert f"cicada: PROJECT_VER={version}\n" in text
    assert f"boards/{board}/manifest.py" in text
    assert f"cicada: environment={world['MICROPYTHON_DIR']}\n" in text
    config = combined(tmp_path)
    order = ["# fragment base", "CONFIG_COMPILER_OPTIMIZATION_SIZE=y", "CONFIG_ESPTOOLPY_FLASHSIZE_"]
    assert [config.index(line) for line in order] == sorted(config.index(line) for line in order)
    assert f'boards/{board}/partitions.csv"' in config and "CONFIG_SECURE" not in config


def test_only_models_for_tflm_bring_it_in(world, tmp_path):
    tflite = (FIRMWARE / "models" / "kws.tflite").read_bytes()
    (tmp_path / "tflm.cmod").write_bytes(container.pack({"type": "kws", "labels": ["a"] * 30}, tflite))
    (tmp_path / "short.cmod").write_bytes(b"CMOD")
    packed = FIRMWARE / "models" / "kws.cmod"
    for models, more, wanted in (
        ([packed], [], "OFF"),
        ([packed, tmp_path / "tflm.cmod"], [], "ON"),
        ([tmp_path / "short.cmod"], [], "OFF"),
        ([packed], ["-DCICADA_TFLM_EXTRA_OPS=ADD"], "ON"),
    ):
        named = ";".join(f"m{number}={path}" for number, path in enumerate(models))
        text, done = configure(world, tmp_path, f"-DCICADA_MODELS={named}", *more)
        assert done and f"cicada: tflm={wanted} without " in text, text
        assert ("esp-tflite-micro" in text.split(" without ")[1].split("\n")[0]) == (wanted == "OFF")


def test_a_local_folder_of_tflm_is_left_out_under_its_own_name(world, tmp_path):
    component = tmp_path / "parts" / "mine"
    (component / "tensorflow" / "lite" / "micro").mkdir(parents=True)
    (component / "tensorflow" / "lite" / "micro" / "micro_interpreter.h").touch()
    for given in (component, component.parent):
        text, done = configure(world | {"EXTRA_COMPONENT_DIRS": str(given)}, tmp_path / given.name)
        assert done and text.split(" without ")[1].split("\n")[0].endswith(";mine"), text


def test_signing_adds_its_fragments_and_the_key(world, tmp_path):
    text, done = configure(world, tmp_path, "-DCICADA_SIGNING_KEY=/keys/update.pem")
    assert done, text
    config = combined(tmp_path)
    assert "CONFIG_SECURE_SIGNED_APPS_NO_SECURE_BOOT=y" in config
    assert "CONFIG_SECURE_SIGNED_APPS_ECDSA_SCHEME=y" in config
    assert 'CONFIG_SECURE_BOOT_SIGNING_KEY="/keys/update.pem"' in config


def test_a_changed_fragment_takes_effect_and_an_unchanged_one_changes_nothing(world, tmp_path):
    made = tmp_path / "build" / "sdkconfig"
    configure(world, tmp_path)
    made.write_text("what ESP-IDF made of it")
    configure(world, tmp_path)
    assert made.exists()
    configure(world, tmp_path, "-DMICROPY_BOARD=esp32c3")
    assert not made.exists()


def test_settings_of_the_environment_are_remembered(world, tmp_path):
    configure(world | {"EXTRA_COMPONENT_DIRS": "/one;/two"}, tmp_path)
    del world["MICROPYTHON_DIR"]
    text, done = configure(world, tmp_path)
    assert done and "cicada: EXTRA_COMPONENT_DIRS=/one;/two\n" in text


@pytest.mark.parametrize(
    ("spoil", "arguments", "said"),
    [
        ({"IDF_PATH": "/nowhere"}, [], r"IDF_PATH \('/nowhere'\) is no ESP-IDF: install v5.5.1"),
        ({"MICROPYTHON_DIR": ""}, [], "MICROPYTHON_DIR is not set: git clone --depth 1 -b v1.28.0"),
        ({"MICROPYTHON_DIR": "/nowhere"}, [], "MICROPYTHON_DIR=/nowhere is no MicroPython checkout"),
        ({}, ["-DMICROPY_BOARD=toaster"], "board 'toaster' has no .*docs/boards.md"),
        ({}, ["-DCICADA_MODELS=kws=none.cmod"], "there is no model container none.cmod"),
    ],
)
def test_a_fault_is_one_line(world, tmp_path, spoil, arguments, said):
    text, done = configure(world | spoil, tmp_path, *arguments)
    assert not done
    assert re.search(rf"^ *cicada: .*{said}", text, re.M), text


@pytest.mark.parametrize("version", ["5.2.5", "5.6.0"])
def test_an_esp_idf_outside_the_range_is_refused(world, tmp_path, version):
    names = zip(("MAJOR", "MINOR", "PATCH"), version.split("."), strict=True)
    (tmp_path / "idf" / "tools" / "cmake" / "version.cmake").write_text(
        "".join(f"set(IDF_VERSION_{name} {number})\n" for name, number in names)
    )
    text, done = configure(world, tmp_path)
    assert not done and re.search(rf"^ *cicada: ESP-IDF {version} at .*: use v5.5.1$", text, re.M), text


def test_another_micropython_is_refused(world, tmp_path):
    header = tmp_path / "micropython" / "py" / "mpconfig.h"
    header.write_text(header.read_text().replace("28", "27"))
    text, done = configure(world, tmp_path)
    assert not done and re.search(
        r"^ *cicada: MicroPython in .* is 1.27.0, not 1.28.0: git -C", text, re.M
    ), text


def test_a_build_folder_keeps_its_micropython(world, tmp_path):
    configure(world, tmp_path)
    shutil.copytree(tmp_path / "micropython", tmp_path / "other")
    text, done = configure(world | {"MICROPYTHON_DIR": str(tmp_path / "other")}, tmp_path)
    assert not done and "this build folder was made with" in text
