"""Flashes as somebody hands them over."""

import pytest

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.twin import factory
from cicada.tools.twin.twin import Twin
from support.slots import SLOTS
from support.twins import QUIET, script_flash


def test_everything_lies_in_its_partition_and_the_rest_is_erased():
    flash = factory.flash({"ota_0": b"image", "updates": b"journal"})
    for label, content in (("ota_0", b"image"), ("updates", b"journal"), ("ota_1", b"")):
        slot = SLOTS[label]
        assert flash[slot.offset : slot.offset + slot.size].rstrip(b"\xff") == content


def test_a_twin_reads_the_files_back(tmp_path):
    files = {"/a.json": b'{"a": 1}', "/b.bin": bytes(range(256)) * 20}
    vfs = factory.file_system(files)
    code = (
        "import hashlib\n"
        "for name in ('/a.json', '/b.bin'):\n"
        "    with open(name, 'rb') as file: print(name, len(file.read()))\n"
        "import machine\nmachine.deepsleep(1000)\n"
    )
    assert len(vfs) == SLOTS["vfs"].size
    flash = bytearray(script_flash(code, tmp_path))
    at = SLOTS["vfs"].offset
    flash[at : at + len(vfs)] = vfs
    twin = Twin(bytes(flash), load_board("twin"), QUIET)
    twin.run(2)
    text = twin.text
    assert "/a.json 8" in text and "/b.bin 5120" in text


def test_what_is_too_large_is_one_sentence():
    with pytest.raises(UserError, match="updates on board 'twin' has only 16384 bytes"):
        factory.flash({"updates": bytes(16385)})
