"""Builds are checked on the host, before a port is opened."""

import json
import random

import pytest

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.flashing.firmware import read
from cicada.tools.flashing.flash import flash
from cicada.tools.flashing.images import ImageError, inspect
from cicada.tools.twin import appimage
from cicada.tools.twin.flash import NorFlash
from support.flashing import SIZE, Board, app, build, loader
from support.slots import SLOTS

APP_SIZE = 90_000


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "build"


def put(memory, folder):
    return flash("twin", "/dev/ttyUSB0", line=Board(memory), folder=folder)


_ARGUMENTS, _APP, _LOADER = "flasher_args.json", "cicada.bin", "bootloader/bootloader.bin"
_TABLE = "partition_table/partition-table.bin"
_BROKEN = {
    "no build": (lambda f: (f / _ARGUMENTS).unlink(), "there is no firmware in .*make firmware BOARD=twin"),
    "not JSON": (lambda f: (f / _ARGUMENTS).write_text("{"), "is not what ESP-IDF writes"),
    "JSON of another kind": (lambda f: (f / _ARGUMENTS).write_text("[]"), "is not what ESP-IDF writes"),
    "a file is missing": (lambda f: (f / _APP).unlink(), "cicada.bin is missing in the build"),
    "a flipped bit": (lambda f: _flip(f / _APP, 5000), "the app in .* would not boot .its .* is wrong"),
    "a flipped bit in the loader": (lambda f: _flip(f / _LOADER, 500), "the bootloader in .* would not boot"),
    "cut off": (lambda f: _cut(f / _APP), "cut off"),
    "the table's MD5": (lambda f: _flip(f / _TABLE, 5), "partition table of 'twin'"),
    "too large": (
        lambda f: (f / _APP).write_bytes(app("1", SLOTS["ota_0"].size)),
        f"ota_0 only {SLOTS['ota_0'].size}",
    ),
    "a loader on the table": (
        lambda f: (f / _LOADER).write_bytes(loader() + bytes(30_000)),
        "reaches into the partition table",
    ),
    "empty": (lambda f: (f / _APP).write_bytes(b""), "there is no image"),
}


def _flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-4])


@pytest.mark.parametrize("how", _BROKEN)
def test_a_build_that_would_not_boot_is_one_line(folder, how):
    build(folder, app("1", APP_SIZE))
    break_it, says = _BROKEN[how]
    break_it(folder)
    line = Board(NorFlash(SIZE))
    with pytest.raises(UserError, match=says) as error:
        flash("twin", "/dev/ttyUSB0", line=line, folder=folder)
    assert "\n" not in str(error.value) and not line.starts


def test_a_build_for_another_chip_is_refused(folder):
    build(folder, app("1", APP_SIZE), extra_esptool_args={"chip": "esp32c3"})
    with pytest.raises(UserError, match="is for esp32c3, board 'twin' has esp32"):
        put(NorFlash(SIZE), folder)


def test_pieces_outside_data_partitions_are_refused(folder):
    build(folder, app("1", APP_SIZE))
    (folder / "data.bin").write_bytes(bytes(SLOTS["outbox"].size + 1))
    about = json.loads((folder / "flasher_args.json").read_text())
    for slot in ("outbox", "ota_1"):  # the first is too small, the second holds an app
        at = hex(SLOTS[slot].offset)
        files = about["flash_files"] | {at: "data.bin"}
        (folder / "flasher_args.json").write_text(json.dumps(about | {"flash_files": files}))
        with pytest.raises(UserError, match="data.bin of 'twin' .* lies in no data partition"):
            put(NorFlash(SIZE), folder)


def test_images_are_judged_as_the_boot_loader_judges_them():
    """Same verdict as the twin's boot loader on images with one changed byte."""
    image, rng = app("1", 3000), random.Random(2)
    for _ in range(150):
        broken = bytearray(image)
        broken[rng.choice([rng.randrange(40), rng.randrange(len(image))])] ^= 1 << rng.randrange(8)
        try:
            appimage.verify(bytes(broken), "esp32", len(broken))
            boots = True
        except appimage.ImageError:
            boots = False
        try:
            inspect(bytes(broken), "esp32")
            passed = True
        except ImageError:
            passed = False
        # The boot loader of the ESP32 looks at more fields (mapping) and does not mind others.
        assert boots or not passed


@pytest.mark.parametrize(("chip", "at"), [("esp32", "0x1000"), ("esp32s3", "0x0"), ("esp32c3", "0x0")])
def test_a_boot_loader_belongs_where_its_chip_looks(folder, chip, at):
    board = load_board("twin")
    board.CHIP = chip
    image = appimage.build(bytes(5000), "1", board)
    build(folder, image, appimage.build(bytes(100), "", board), extra_esptool_args={"chip": chip})
    arguments = folder / "flasher_args.json"
    for where in ("0x0", "0x1000", "0x2000"):
        about = json.loads(arguments.read_text())
        about["flash_files"] = {
            where if file.startswith("bootloader") else key: file
            for key, file in about["flash_files"].items()
        }
        about["bootloader"]["offset"] = where
        arguments.write_text(json.dumps(about))
        if where == at:
            assert read("b", board, folder).loader.at == int(at, 0)
        else:
            with pytest.raises(UserError, match=f"is at {where}, where {chip} does not look .{at}."):
                read("b", board, folder)


def test_an_application_in_the_second_slot_would_never_be_started(folder):
    build(folder, app("1", APP_SIZE))
    at = hex(SLOTS["ota_1"].offset)
    text = (folder / "flasher_args.json").read_text()
    (folder / "flasher_args.json").write_text(text.replace(f'"{hex(SLOTS["ota_0"].offset)}"', f'"{at}"'))
    with pytest.raises(UserError, match=f"is at {at}, where no board would start it"):
        put(NorFlash(SIZE), folder)
