"""The program for the ULP against an assembler of other people.

``ASSEMBLED`` holds what micropython-esp32-ulp 1.2.0 (github.com/micropython/micropython-esp32-ulp) makes of
:data:`SOURCE`; its test suite compares it with Espressif's binutils.
"""

from __future__ import annotations

import struct

import pytest

from cicada.tools.board import load_board, load_module
from cicada.tools.paths import FIRMWARE
from cicada.tools.twin.sensors.analog import millivolts
from support.twins import micropython

ulp = load_module(FIRMWARE / "app" / "node" / "ulp.py", "node_ulp_tested")

SOURCE = """
entry:
  reg_wr 0x203, 19, 18, 0
  stage_rst
  adc r0, 0, {channel + 1}
  move r1, r0
  move r2, r0
sample:
  wait 2000
  adc r0, 0, {channel + 1}
  sub r3, r1, r0
  jump higher, ov
  sub r3, r0, r2
  jump lower, ov
  wait 4
next:
  stage_inc 1
  jumps sample, 15, lt
  sub r0, r1, r2
  move r3, span
  st r0, r3, 0
  jumpr wakeup, {counts}, ge
done:
  halt
higher:
  move r1, r0
  wait 4
  jump next
lower:
  move r2, r0
  jump next
wakeup:
  reg_rd 0x030, 19, 19
  and r0, r0, 1
  jump done, eq
  wake
  reg_wr 0x006, 24, 24, 0
  halt
span:
  .long 0
"""
ASSEMBLED = {
    (0, 49): """
        756c70000c007c00000000000302c81900004074040000500100807002008070d007004004000050070020704c008080
        230020705800808004000040100000740f00108524002070e30180720c00006831000f82000000b00100807004000040
        3000008002008070300000803000cc291000407248004080010000900600601c000000b000000000""",
    (7, 1023): """
        756c70000c007c00000000000302c81900004074200000500100807002008070d007004020000050070020704c008080
        230020705800808004000040100000740f00108524002070e30180720c000068ff030f82000000b00100807004000040
        3000008002008070300000803000cc291000407248004080010000900600601c000000b000000000""",
    (3, 31): """
        756c70000c007c00000000000302c81900004074100000500100807002008070d007004010000050070020704c008080
        230020705800808004000040100000740f00108524002070e30180720c0000681f000f82000000b00100807004000040
        3000008002008070300000803000cc291000407248004080010000900600601c000000b000000000""",
}
#: Single instructions, assembled the same way: what they are called there, as made here, the word.
SINGLE = [
    ("and r3, r3, 0xff0f", lambda: ulp.alui(2, 3, 3, 0xFF0F), 0x724FF0FF),
    ("or r1, r0, r2", lambda: ulp.alu(3, 1, 0, 2), 0x70600021),
    ("move r2, 0x1234", lambda: ulp.alui(4, 2, 0, 0x1234), 0x72812342),
    ("stage_inc 200", lambda: ulp.stage_inc(200), 0x74000C80),
    ("jump 0x40", lambda: ulp.jump(16), 0x80000040),
    ("jump 0x44, eq", lambda: ulp.jump(17, 1), 0x80400044),
    ("jump 0x48, ov", lambda: ulp.jump(18, 2), 0x80800048),
    ("jumpr -8, 77, ge", lambda: ulp.jump_r0_ge(-2, 77), 0x8305004D),
    ("st r1, r2, 8", lambda: ulp.st(1, 2, 2), 0x68000809),
    ("adc r3, 0, 8", lambda: ulp.adc(3, 7), 0x50000023),
    ("reg_rd 0x120, 7, 4", lambda: ulp.reg_rd(0x3FF48000 + 4 * 0x120, 7, 4), 0x23900120),
    ("reg_wr 0x220, 7, 0, 0x5a", lambda: ulp.reg_wr(0x3FF48000 + 4 * 0x220, 7, 0, 0x5A), 0x13816A20),
    ("wait 65535", lambda: ulp.wait(65535), 0x4000FFFF),
]


@pytest.mark.parametrize(("channel", "counts"), ASSEMBLED)
def test_the_program_is_what_an_assembler_makes_of_its_source(channel, counts):
    assert ulp.binary(ulp.program(channel, counts)).hex() == "".join(ASSEMBLED[channel, counts].split())


@pytest.mark.parametrize(("name", "made", "word"), SINGLE)
def test_single_instructions_are_encoded_as_the_assembler_does(name, made, word):
    assert made() == word, name


def test_it_is_the_same_under_micropython():
    code = "from node import ulp\nprint(ulp.binary(ulp.program(7, 1023)).hex())"
    assert micropython(code).strip() == "".join(ASSEMBLED[7, 1023].split())


def test_a_count_is_the_adcs_own():
    table = millivolts(3)  # 11 dB, 1100 mV
    assert ulp.COUNT_UV == round(1000 * float(table[1001] - table[1000]))
    assert ulp.counts_of(40) == 49


def test_the_channels_are_those_of_the_chips_pins():
    # ESP32 datasheet: ADC1 channels 0 to 7 are SENSOR_VP, CAPP, CAPN, VN, then GPIO 32 to 35.
    assert [ulp.PINS.index(pin) for pin in (36, 37, 38, 39, 32, 33, 34, 35)] == list(range(8))
    assert load_board("esp32").SOUND_ADC["pin"] in ulp.PINS


@pytest.mark.parametrize(
    ("pin", "threshold", "every", "says"),
    [(36, 40, 20, None), (25, 40, 20, "32 to 39"), (36, 10, 20, "25 mV"), (36, 40, 2, "5 to 1000")],
)
def test_what_it_cannot_do_is_said(pin, threshold, every, says):
    told = ulp.check(pin, threshold, every)
    assert told is None if says is None else says in told


def test_it_fits_into_the_memory_that_micropython_reserves():
    assert len(ulp.binary(ulp.program(0, 1))) < 2040
    assert struct.unpack("<I", ulp.binary(ulp.program(0, 1))[-4:]) == (0,)
