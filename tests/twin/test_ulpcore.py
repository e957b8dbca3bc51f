"""The emulator of the ULP runs what another's assembler made, and counts its cycles."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.twin.ulpcore import ADC_CYCLES, Core, Outside, Unknown
from cicada.tools.twin.ulpknown import Known, _application, wakes_from

# Assembled by micropython-esp32-ulp 1.2.0 from: r3 = 100, then each result stored to words 100, 101, ...
# 0: 0x1234 & 0x00ff; 1: 0x1234 | 0x8001; 2: 0x1234 << 4; 3: 0x1234 >> 8; 4: 0x00ff - 0x1234, which
# overflows, so that "move r2, 1" is jumped over; 5: 0x00ff + 0xff01, which is 0, so that "move r2, 77" is;
# 6: adding 3 while stage counts up by 2 and is <= 9; 7: four branches not to "move r2, n"; 8: word 4 loaded
# again; 9: the same after a jump by register; 10: bits 11:4 of a register of which 0x5a was written to bits
# 15:8; 11: channel 2 of ADC2. Then wait 1000, wake, halt.
PROGRAM = """
756c70000c00c000000000004306807240238172f10f8072120040700e0000681200
68720e0400684200a0720e0800688200c0720e0c0068060020703800808012008072
0e10006816f00f7248004080d20480720e14006800004074020080723a0000722000
0074090005850e180068400020740680048492008072401f8072f401058282008072
f5010482720080720e1c00680d1000d00d2000687002807200002080510080720d24
0068aa6aa117aa0290250c2800684d0000500d2c0068e803004001000090000000b0
"""
WORDS = bytes.fromhex("".join(PROGRAM.split()))[12:]


def core(words: bytes, readings=None):
    """A core with a program; its registers are a dictionary, its ADC a list of readings or what it was
    asked.
    """
    registers, asked = {}, []

    def write(word, high, low, value):
        registers[word] = registers.get(word, 0) & ~((1 << high + 1) - (1 << low)) | value << low

    def measure(unit, channel, cycles):
        asked.append((unit, channel, cycles))
        return readings[len(asked) - 1] if readings is not None else 1000

    def read(word, high, low):
        return registers.get(word, 1 << 19) >> low & ((1 << high - low + 1) - 1)

    made = Core(Outside(read, write, measure))
    made.memory[: len(words)] = words
    return made, asked, registers


def test_every_instruction_does_what_it_says():
    made, asked, registers = core(WORDS)
    run = made.run(0)
    results = [made.word(n) & 0xFFFF for n in range(100, 112)]
    assert results[:4] == [0x34, 0x9235, 0x2340, 0x12]
    assert results[4] == (0xFF - 0x1234) & 0xFFFF
    assert results[5] == 0
    assert results[6] == 15  # stage 2, 4, 6, 8, 10
    assert results[7] == 15
    assert results[8] == results[9] == results[4]
    assert results[10] == 0xA0  # 0x5a00 >> 4, 8 bits of it
    assert results[11] == 1000
    assert asked == [(1, 2, asked[0][2])]
    assert registers == {0x2AA: 0x5A00}
    assert run.woke and run.conversions == 1
    # The upper half of a stored word says where it was stored, and by which register's address.
    assert made.word(100) >> 21 == 4 and made.word(100) >> 16 & 3 == 3


def test_cycles_are_those_of_the_documentation():
    made, _, _ = core(struct.pack("<4I", 7 << 28, 4 << 28 | 100, 5 << 28 | 4, 11 << 28))
    # ALU 2 and 4 to fetch, WAIT 2 + 100 and 4, ADC and 4, HALT 2.
    assert made.run(0).cycles == 6 + 106 + ADC_CYCLES + 4 + 2


@pytest.mark.parametrize("word", [0, 10 << 28, 3 << 28, 9 << 28 | 1 << 25, 8 << 28])
def test_what_it_does_not_know_or_never_ends_is_said(word):
    made, _, _ = core(struct.pack("<I", word))
    with pytest.raises(Unknown):
        made.run(0)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 4095), min_size=16, max_size=16), st.integers(1, 4095))
def test_the_applications_program_wakes_on_highest_minus_lowest(readings, counts):
    ulp = _application()
    words = ulp.program(3, counts)
    made, asked, registers = core(struct.pack(f"<{len(words)}I", *words), readings)
    run = made.run(0)
    span = max(readings) - min(readings)
    assert run.woke == (span >= counts)
    assert made.word(ulp.SPAN) & 0xFFFF == span
    assert {(unit, channel) for unit, channel, _ in asked} == {(0, 3)}
    gaps = np.diff([cycles for _, _, cycles in asked])
    assert gaps[0] < gaps[1] == gaps.max() and len(set(gaps[1:])) == 1
    assert registers[0x203] == 0 and registers.get(0x006) == (0 if run.woke else None)


def test_runs_that_do_not_wake_take_equally_long_whatever_they_read():
    ulp = _application()
    words = ulp.program(0, 4096)
    rng = np.random.default_rng(1)
    lengths = set()
    for n in range(50):
        readings = rng.integers(0, 4096, 16).tolist() if n else list(range(16))
        made, _, _ = core(struct.pack(f"<{len(words)}I", *words), readings)
        lengths.add(made.run(0).cycles)
    assert len(lengths) == 1


def test_the_applications_program_is_known_again_and_another_is_not():
    ulp = _application()
    words = struct.pack("<31I", *ulp.program(5, 77)) + bytes(100)
    assert wakes_from(words, 0) == Known(5, 77)
    assert wakes_from(words, 1) is None
    for n in range(4 * ulp.SPAN):
        changed = bytearray(words)
        changed[n] ^= 1
        known = wakes_from(bytes(changed), 0)
        assert known is None or known != Known(5, 77)
    assert wakes_from(bytes(200), 0) is None
