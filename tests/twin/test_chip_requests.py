"""Whatever a program sends, the chip answers: with a frame that can be read, or by ending the program."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.twin import partitions
from cicada.tools.twin.chip import PWRON_RESET, Chip, Restart, ops
from cicada.tools.twin.flash import NorFlash
from cicada.tools.twin.image import partition_table
from cicada.tools.twin.world import World
from support.twins import QUIET, run_script

BOARD = load_board("twin")
OPERATIONS = sorted(v for k, v in vars(ops).items() if k.isupper() and isinstance(v, int) and k not in (
    "OK", "OS_ERROR", "VALUE_ERROR", "ESP_ERROR", "INTERRUPT", "CTRL_C"
))  # fmt: skip


@pytest.fixture(scope="module")
def chip():
    flash = NorFlash(BOARD.FLASH_SIZE)
    flash.program(partitions.TABLE, partition_table("twin"))
    chip = Chip(BOARD, World(QUIET), flash)
    chip.reset(PWRON_RESET)
    chip.table = partitions.parse(flash.read(partitions.TABLE, partitions.TABLE_SIZE), flash.size)
    chip.running = partitions.find(chip.table, partitions.APP)
    return chip


small = st.binary(max_size=24)
numbers = st.builds(lambda *n: struct.pack("<II", *n), st.integers(0, 2**17), st.integers(0, 5000))
words = st.sampled_from(
    [b"null", b"{}", b"[]", b'{"us": 5}', b'{"ext0": [4, 1]}', b'["a", "b"]', b"kws", b"inode"]
)


@settings(max_examples=1500)
@given(
    st.sampled_from([*OPERATIONS, 255]),
    st.one_of(st.integers(0, 65535), st.integers(0, 3)),
    st.one_of(small, numbers, words),
)
def test_every_request_is_answered(chip, op, argument, payload):
    chip.watchdog_us = None
    chip._agenda.clear()
    if op in (ops.LIGHTSLEEP, ops.SLEEP):  # may last for ever, which run_until ends
        chip.at(chip.meter.now + 10**6, stop)
    try:
        reply = chip.answer(op, argument, payload)
    except (Restart, Stopped):
        return
    except UserError as error:  # a program for the coprocessor that the twin cannot run ends it
        assert "the ULP program" in str(error)
        return
    size = struct.calcsize(ops.REPLY)
    status, flags, value, length, now = struct.unpack(ops.REPLY, reply[:size])
    assert status in (ops.OK, ops.OS_ERROR, ops.VALUE_ERROR, ops.ESP_ERROR)
    assert len(reply) == size + length and now >= 0


class Stopped(Exception):
    """The time of the example is over."""


def stop():
    raise Stopped


def test_an_answer_that_does_not_fit_the_heap_spoils_nothing_after_it(tmp_path):
    code = (
        "import _chip, _ops, gc, struct\n"
        "hoard = []\n"
        "for size in (8192, 1024, 128):\n"
        "    try:\n"
        "        while True:\n"
        "            hoard.append(bytearray(size))\n"
        "    except MemoryError:\n"
        "        pass\n"
        "hoard.pop()\n"
        "asked = struct.pack('<II', 0, 4096)\n"
        "try:\n"
        "    _chip.call(_ops.PARTITION_READ, 16, asked)\n"
        "except MemoryError:\n"
        "    hoard.clear()\n"
        "    gc.collect()\n"
        "    print('short of memory', _chip.call(_ops.PARTITION_READ, 16, asked)[1][:1])\n"
        "import machine\nmachine.deepsleep(1000)\n"
    )
    assert "short of memory b'\\xe9'" in run_script(code, tmp_path, seconds=2).text
