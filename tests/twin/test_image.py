"""Flash images: ESP-IDF's own readers accept them, and the boot loader refuses damaged ones."""

import subprocess
import sys

import pytest
from esp_idf_defs import ImageMetadata, PartitionTable
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.twin import appimage, image, otadata, partitions, romfs
from cicada.tools.twin.boot import boot
from cicada.tools.twin.flash import NorFlash
from support.slots import SLOTS

BOARD = load_board("twin")
PAYLOAD = romfs.pack({"main.mpy": b"\0" * 40, "models/kws.cmod": bytes(range(200))})
OTA_0 = SLOTS["ota_0"].offset


def flash(app):
    """Flash with an app image in ota_0."""
    data = bytearray(b"\xff" * BOARD.FLASH_SIZE)
    table = image.partition_table("twin")
    data[0x8000 : 0x8000 + len(table)] = table
    data[OTA_0 : OTA_0 + len(app)] = app
    return NorFlash(len(data), data)


def app(version="1.0.0"):
    return appimage.build(PAYLOAD, version, BOARD)


@given(st.binary(min_size=1, max_size=4000), st.sampled_from(["0", "1.2.3", "x" * 31]))
@settings(max_examples=40, deadline=None)
def test_app_image_is_read_back_by_esp_idf_defs(payload, version):
    built = appimage.build(payload, version, BOARD)
    about = ImageMetadata.from_bytes(built, app_required=True)
    assert about.app_description.version == version
    assert about.app_description.project_name == "cicada"
    assert appimage.verify(built, "esp32", 1 << 20).payload[: len(payload)] == payload
    assert len(built) % 16 == 0


def test_esptool_accepts_the_image(tmp_path):
    path = tmp_path / "app.bin"
    path.write_bytes(app("4.5.6"))
    run = subprocess.run(
        [sys.executable, "-m", "esptool", "image-info", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("(valid)") == 2  # checksum and hash
    assert "4.5.6" in run.stdout


def test_partition_table_covers_the_flash_with_room_for_updates():
    table = PartitionTable.from_binary(image.partition_table("twin"))
    parts = {p.name: p for p in table}
    assert parts["ota_0"].size == parts["ota_1"].size
    assert all(parts[m].size >= 256 * 1024 for m in ("model_0", "model_1"))
    assert max(p.offset + p.size for p in table) == BOARD.FLASH_SIZE
    assert all(p.offset % 0x10000 == 0 for p in table if p.type == 0)


def test_flash_image_holds_the_application_and_the_model():
    whole = image.flash_image("twin", {"kws": b"model"}, "1.1.1")
    booted = boot(NorFlash(len(whole), whole), "esp32")
    files = romfs.unpack(booted.image.payload)
    assert booted.image.version == "1.1.1" and booted.partition.label == "ota_0"
    assert files["models/kws.cmod"] == b"model"
    assert {"main.mpy", "board.mpy", "node/app.mpy", "node/smoother.mpy"} <= set(files)


def test_image_too_large_for_its_slot_is_refused():
    with pytest.raises(UserError, match="slot ota_0"):
        image.flash_image("twin", {"kws": b"\0" * SLOTS["ota_0"].size}, "1")


def test_syntax_error_names_file_and_line(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("x = (\n")
    with pytest.raises(UserError, match="bad.py does not compile"):
        image.compile_python(bad)


@given(st.integers(0, 10**9), st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_any_flipped_bit_of_the_only_image_stops_the_boot(at, bit):
    built = bytearray(app())
    at %= len(built)
    if at == 23:  # says whether a hash is there at all; ESP-IDF, too, takes its word for it
        return
    built[at] ^= 1 << bit
    with pytest.raises(UserError, match="no slot"):
        boot(flash(bytes(built)), "esp32")


def test_partition_tables_are_read_as_esp_idfs_own_reader_does():
    raw = image.partition_table("twin")
    ours = partitions.parse(raw + b"\xff" * (0xC00 - len(raw)), BOARD.FLASH_SIZE)
    theirs = [(p.name, p.type, p.subtype, p.offset, p.size) for p in PartitionTable.from_binary(raw)]
    assert [(p.label, p.type, p.subtype, p.offset, p.size) for p in ours] == theirs


def test_known_crc_of_sequence_one():
    """The value ESP-IDF's own tools write for sequence 1."""
    assert otadata.crc_of(1) == 0x4743989A


@pytest.mark.parametrize("at", [0x8000, 0x8010, 0x8120])
def test_damaged_partition_table_is_refused(at):
    data = bytearray(flash(app()).snapshot().data)
    data[at] ^= 0x10
    damaged = NorFlash(len(data), data)
    with pytest.raises(UserError, match="partition table"):
        boot(damaged, "esp32")


@given(st.binary(max_size=200), st.integers(0, 3071))
def test_no_table_whatever_it_holds_raises_anything_else(noise, at):
    raw = bytearray(image.partition_table("twin").ljust(0xC00, b"\xff"))
    raw[at : at + len(noise)] = noise
    try:
        partitions.parse(bytes(raw[:0xC00]), BOARD.FLASH_SIZE)
    except partitions.TableError:
        pass


@given(st.binary(max_size=400), st.integers(0, 300), st.booleans())
def test_no_image_whatever_it_holds_raises_anything_else(noise, at, check):
    raw = bytearray(app())
    raw[at : at + len(noise)] = noise
    try:
        appimage.verify(raw, "esp32", SLOTS["ota_0"].size, check)
    except appimage.ImageError:
        pass
