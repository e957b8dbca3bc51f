"""Flash images: ESP-IDF's own readers accept them, and the boot loader refuses damaged ones."""

import struct
import subprocess
import sys
import zlib

import pytest
from esp_idf_defs import ImageMetadata, PartitionTable
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.twin import image, romfs
from cicada.tools.twin.boot import boot

BOARD = load_board("twin")
PAYLOAD = romfs.pack({"main.mpy": b"\0" * 40, "models/kws.cmod": bytes(range(200))})
OTA_0, OTA_1, OTADATA = 0x10000, 0x180000, 0xE000


def flash(first=None, second=None, sequences=()):
    """Flash image with app images and otadata entries ``(seq, crc_ok)``."""
    data = bytearray(b"\xff" * BOARD.FLASH_SIZE)
    table = image.partition_table("twin")
    data[0x8000 : 0x8000 + len(table)] = table
    for offset, app in ((OTA_0, first), (OTA_1, second)):
        if app:
            data[offset : offset + len(app)] = app
    for i, (sequence, good) in enumerate(sequences):
        crc = zlib.crc32(struct.pack("<I", sequence), 0xFFFFFFFF) ^ (0 if good else 1)
        entry = struct.pack("<I20sII", sequence, b"\xff" * 20, 2, crc)
        data[OTADATA + i * 0x1000 : OTADATA + i * 0x1000 + 32] = entry
    return bytes(data)


def app(version="1.0.0"):
    return image.app_image(PAYLOAD, version, BOARD)


@given(st.binary(min_size=1, max_size=4000), st.sampled_from(["0", "1.2.3", "x" * 31]))
@settings(max_examples=40, deadline=None)
def test_app_image_is_read_back_by_esp_idf_defs(payload, version):
    built = image.app_image(payload, version, BOARD)
    about = ImageMetadata.from_bytes(built, app_required=True)
    assert about.app_description.version == version
    assert about.app_description.project_name == "cicada"
    assert image.payload_of(built)[: len(payload)] == payload
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
    booted = boot(whole)
    files = romfs.unpack(image.payload_of(booted.image))
    assert booted.version == "1.1.1" and booted.label == "ota_0"
    assert files["models/kws.cmod"] == b"model"
    assert {"main.mpy", "board.mpy", "node/app.mpy", "node/smoother.mpy"} <= set(files)


def test_image_too_large_for_its_slot_is_refused():
    with pytest.raises(UserError, match="slot ota_0"):
        image.flash_image("twin", {"kws": b"\0" * 0x170000}, "1")


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
        boot(flash(bytes(built)))


def test_damaged_slot_falls_back_to_the_other():
    bad = bytearray(app("2"))
    bad[-1] ^= 1
    assert boot(flash(app("1"), bytes(bad), [(2, True)])).version == "1"


@pytest.mark.parametrize(
    ("sequences", "version"),
    [
        ((), "1"),
        ([(1, True)], "1"),
        ([(2, True)], "2"),
        ([(1, True), (2, True)], "2"),
        ([(3, True), (2, True)], "1"),
        ([(2, False)], "1"),
        ([(2, False), (1, True)], "1"),
        ([(3, False), (2, True)], "2"),
    ],
)
def test_otadata_chooses_the_slot(sequences, version):
    assert boot(flash(app("1"), app("2"), sequences)).version == version


def test_known_crc_of_sequence_one():
    """The value ESP-IDF's own tools write for sequence 1."""
    assert zlib.crc32(struct.pack("<I", 1), 0xFFFFFFFF) == 0x4743989A


@pytest.mark.parametrize("at", [0x8000, 0x8010, 0x8120])
def test_damaged_partition_table_is_refused(at):
    data = bytearray(flash(app()))
    data[at] ^= 0x10
    with pytest.raises(UserError, match="partition table"):
        boot(bytes(data))


def test_blank_flash_is_refused():
    with pytest.raises(UserError, match="partition table"):
        boot(b"\xff" * BOARD.FLASH_SIZE)
