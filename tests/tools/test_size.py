"""Budget tables, from maps that GNU ld really wrote: two small libraries at an ESP32's addresses."""

import json
import subprocess

import pytest

from cicada.tools.errors import UserError
from cicada.tools.flashing.size import size
from cicada.tools.flashing.sizes import component, measure
from support.flashing import app, build
from support.slots import SLOTS

_SCRIPT = """
IDF_TARGET_ESP32 = 0;
MEMORY {
  iram0_0_seg (RX)   : org = 0x40080000, len = 0x20000
  dram0_0_seg (RW)   : org = 0x3FFB0000, len = 0x2c200
  iram0_2_seg (RX)   : org = 0x400D0020, len = 0x330000-0x20
  drom0_0_seg (R)    : org = 0x3F400020, len = 0x400000-0x20
}
SECTIONS {
  .iram0.text : { *(.iram1 .iram1.*) } > iram0_0_seg
  .dram0.data : { *(.data .data.*) } > dram0_0_seg
  .dram0.bss (NOLOAD) : { *(.bss .bss.*) } > dram0_0_seg
  .flash.rodata : { *(.rodata .rodata.*) } > drom0_0_seg
  .flash.text : { *(.text .text.*) } > iram0_2_seg
  /DISCARD/ : { *(.comment .note* .eh_frame*) }
}
"""
_SOURCE = """
    .section .text,"ax"
    .globl {name}_code
{name}_code: .skip {code}
    .section .rodata,"a"
    .globl {name}_table
{name}_table: .skip {table}
    .section .iram1,"ax"
    .skip {iram}
    .data
    .skip {data}
    .bss
    .skip {bss}
"""


#: Where the linker scripts of ESP-IDF v5.5 put the four regions: code in RAM, data, code and data in flash.
_ADDRESSES = {
    "ESP32": ("0x40080000", "0x3FFB0000", "0x400D0020", "0x3F400020"),
    "ESP32S3": ("0x40378000", "0x3FC88000", "0x42000020", "0x3C000020"),
    "ESP32C3": ("0x4037C000", "0x3FC80000", "0x42000020", "0x3C000020"),
}


def link(folder, parts, chip="ESP32"):
    """Link libraries of the given sizes into ``cicada.map``."""
    folder.mkdir(parents=True, exist_ok=True)
    libraries = []
    for name, sizes in parts.items():
        (folder / f"{name}.s").write_text(_SOURCE.format(name=name, **sizes))
        subprocess.run(["as", "--no-warn", f"{name}.s", "-o", f"{name}.o"], cwd=folder, check=True)
        (folder / name).mkdir(exist_ok=True)
        library = f"{name}/lib{name}.a"
        subprocess.run(["ar", "rcs", library, f"{name}.o"], cwd=folder, check=True)
        libraries.append(library)
    script = _SCRIPT.replace("ESP32", chip)
    for old, new in zip(_ADDRESSES["ESP32"], _ADDRESSES[chip], strict=True):
        script = script.replace(old, new)
    (folder / "ld.script").write_text(script)
    wanted = [f"--undefined={name}_code" for name in parts]
    command = [
        "ld",
        "-T",
        "ld.script",
        *wanted,
        *libraries,
        "-o",
        "cicada.elf",
        "-Map",
        "cicada.map",
        "--cref",
    ]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "cicada.map"


NODE = {"code": 40_000, "table": 9_000, "iram": 512, "data": 256, "bss": 1024}
ENGINE = {"code": 7_000, "table": 21_000, "iram": 0, "data": 0, "bss": 64}


@pytest.fixture
def folder(tmp_path):
    folder = build(tmp_path / "build", app("1", 100_000))
    link(folder, {"node": NODE, "engine": ENGINE})
    return folder


def test_bytes_are_counted_by_component_and_memory(folder):
    found = measure(folder / "cicada.map", "esp32")
    assert found.components == {
        "node": (40_000, 9_000, 512, 256 + 1024, 0),
        "engine": (7_000, 21_000, 0, 64, 0),
    }
    assert found.total == (47_000, 30_000, 512, 1344, 0)
    assert found.memories["Flash Code"][0] == 47_000 and found.memories["DRAM"] == (1344, 0x2C200)


@pytest.mark.parametrize("chip", ["ESP32S3", "ESP32C3"])
def test_code_in_ram_that_code_and_data_share_is_told_apart(tmp_path, chip):
    found = measure(link(tmp_path, {"node": NODE, "engine": ENGINE}, chip), chip.lower())
    assert found.components == {
        "node": (40_000, 9_000, 512, 256 + 1024, 0),
        "engine": (7_000, 21_000, 0, 64, 0),
    }


def test_a_map_of_another_chip_is_refused(tmp_path):
    with pytest.raises(UserError, match="is for esp32s3, the build for esp32"):
        measure(link(tmp_path, {"node": NODE}, "ESP32S3"), "esp32")


def test_the_table_names_the_largest_first_and_the_spare_room(folder, capsys):
    assert size("twin", folder=folder) == 0
    said = capsys.readouterr().out
    assert said.index("node") < said.index("engine") < said.index("total")
    assert "50,792" in said and "28,064" in said
    length, slot = len(app("1", 100_000)), SLOTS["ota_0"].size
    assert f"image: {length:,} of {slot:,} bytes in ota_0, {1 - length / slot:.1%} spare\n" in said
    assert "change" not in said


def test_the_build_before_is_compared_with(folder, capsys):
    size("twin", folder=folder)
    link(folder, {"node": NODE | {"code": 41_234}, "trust": ENGINE})
    capsys.readouterr()
    for _ in range(2):  # looking twice at the same build changes nothing
        size("twin", folder=folder)
        said = capsys.readouterr().out
        assert "+1,234" in said and "+28,064" in said and "gone: engine (28,064)" in said
    link(folder, {"node": NODE | {"code": 41_234}, "trust": ENGINE | {"table": 20_000}})
    size("twin", folder=folder)
    said = capsys.readouterr().out
    assert "-1,000" in said and "+1,234" not in said


def test_a_record_that_was_damaged_is_begun_anew(folder, capsys):
    for text in ("{", "[]", '{"now": {"digest": "x", "sizes": {}}, "before": null}'):
        (folder / "sizes.json").write_text(text)
        assert size("twin", folder=folder) == 0
        assert "change" not in capsys.readouterr().out
        assert json.loads((folder / "sizes.json").read_text())["now"]["sizes"]["components"]["node"]


def test_many_components_are_summed_up_unless_all_are_wanted(tmp_path, capsys):
    folder = build(tmp_path / "build", app("1", 100_000))
    link(folder, {f"part{number:02}": ENGINE | {"code": 1000 + number} for number in range(20)})
    size("twin", folder=folder)
    said = capsys.readouterr().out
    assert "5 others" in said and "part19" in said and "part00" not in said
    size("twin", everything=True, folder=folder)
    assert "part00" in capsys.readouterr().out


def test_an_image_that_is_too_large_is_said(folder, capsys):
    slot = SLOTS["ota_0"].size
    build(folder, app("1", int(slot * 0.98)))
    size("twin", folder=folder)
    assert "2.0% spare: less than 5%" in capsys.readouterr().out
    build(folder, app("1", int(slot * 1.06)))
    size("twin", folder=folder)
    assert "it does not fit" in capsys.readouterr().out


def test_without_a_map_it_says_what_to_do(folder, tmp_path):
    (folder / "cicada.map").unlink()
    with pytest.raises(UserError, match="there is no .*cicada.map: the twin's image is not linked"):
        size("twin", folder=folder)
    with pytest.raises(UserError, match="there is no firmware in .*make firmware BOARD=twin"):
        size("twin", folder=tmp_path / "nothing")


@pytest.mark.parametrize("text", ["", "nothing of the kind\n", "Memory Configuration\n\nName\n"])
def test_a_file_that_is_no_map_is_one_line(folder, text):
    (folder / "cicada.map").write_text(text)
    with pytest.raises(UserError, match="is no linker map that esp-idf-size can read") as error:
        size("twin", folder=folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("archive", "name"),
    [
        ("esp-idf/main/libmain.a", "main"),
        ("/opt/gcc/lib/libc.a", "c"),
        ("libnet80211.a", "net80211"),
        ("(exe)", "(exe)"),
    ],
)
def test_components_are_called_as_people_call_them(archive, name):
    assert component(archive) == name
