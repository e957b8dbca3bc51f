"""The ESP32's ULP coprocessor (the FSM kind), instruction by instruction.

Formats, effects and cycles: ESP32 Technical Reference Manual v5.3, chapter "ULP Coprocessor", and ESP-IDF
v5.5, ``docs/en/api-reference/system/ulp_instruction_set.rst``. I2C and the temperature sensor are not there:
a program that uses them stops with :class:`Unknown`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

MEMORY = 8192  # bytes of RTC slow memory
HZ = 8_000_000  # RTC_FAST_CLK, nominally
#: An ADC instruction: 23, three waits of the amplifier of 1 (it is off), 9 to sample (the register's default)
#: and 12 for as many bits.
ADC_CYCLES = 23 + 3 + 9 + 12
_MOST = 4_000_000  # cycles of one run, half a second: no program that belongs here takes as long


class Unknown(Exception):
    """The program holds a word that is no instruction this coprocessor has, or never ends; says which."""


@dataclass(frozen=True)
class Run:
    """One run of a program.

    Attributes:
        cycles: of the coprocessor until HALT.
        conversions: ADC measurements.
        woke: whether it woke the chip.
    """

    cycles: int
    conversions: int
    woke: bool


@dataclass
class Outside:
    """What the coprocessor touches beside its memory.

    Args:
        read, write: of a peripheral register: ``(word, high, low)`` and ``(word, high, low, value)``, word as
            REG_RD has it.
        measure: ADC reading: ``(unit, channel, cycles since the run began)``.
    """

    read: Callable[[int, int, int], int]
    write: Callable[[int, int, int, int], None]
    measure: Callable[[int, int, int], int]


class Core:
    """Registers and memory.

    Args:
        outside: see :class:`Outside`.

    Attributes:
        memory: RTC slow memory, bytes.
    """

    def __init__(self, outside: Outside) -> None:
        self.memory = bytearray(MEMORY)
        self._outside = outside

    def word(self, index: int) -> int:
        """One word of RTC slow memory; addresses wrap at its end."""
        return struct.unpack_from("<I", self.memory, 4 * index % MEMORY)[0]

    def run(self, entry: int) -> Run:
        """Run from a word until HALT.

        Raises:
            Unknown: see there.
        """
        state = _State(entry)
        while not state.halted:
            self._step(state)
            if state.cycles > _MOST:
                raise Unknown("the ULP program runs for more than half a second without HALT")
        return Run(state.cycles, state.conversions, state.woke)

    def _step(self, s: _State) -> None:
        word, here = self.word(s.pc), s.pc
        s.pc += 1
        opcode = word >> 28
        if opcode == 7:
            s.cycles += 6
            _alu(s, word)
        elif opcode == 8:
            s.cycles += 4
            _branch(s, word, here)
        elif opcode == 5:
            unit, mux = word >> 6 & 1, word >> 2 & 15
            s.r[word & 3] = self._outside.measure(unit, mux - 1, s.cycles) & 0xFFFF
            s.cycles += ADC_CYCLES + 4
            s.conversions += 1
        elif opcode == 4:
            s.cycles += 2 + (word & 0xFFFF) + 4
        elif opcode == 6 and word >> 25 & 7 == 4:
            stored = here << 21 | (word >> 2 & 3) << 16 | s.r[word & 3]
            struct.pack_into("<I", self.memory, 4 * (s.r[word >> 2 & 3] + _offset(word)) % MEMORY, stored)
            s.cycles += 8
        elif opcode == 13:
            s.r[word & 3] = self.word(s.r[word >> 2 & 3] + _offset(word)) & 0xFFFF
            s.cycles += 8
        elif opcode == 2:
            high, low = word >> 23 & 31, word >> 18 & 31
            s.r[0] = self._outside.read(word & 0x3FF, high, low) & 0xFFFF
            s.cycles += 8
        elif opcode == 1:
            high, low = word >> 23 & 31, word >> 18 & 31
            self._outside.write(word & 0x3FF, high, low, word >> 10 & 0xFF)
            s.cycles += 12
        elif opcode == 9 and word >> 25 & 7 == 0:
            s.woke |= bool(word & 1)
            s.cycles += 6
        elif opcode == 11:
            s.halted = True
            s.cycles += 2
        else:
            raise Unknown(
                f"the ULP program has the word 0x{word:08x} at {here}, which the twin does not know"
            )


class _State:
    def __init__(self, pc: int) -> None:
        self.pc = pc
        self.r = [0, 0, 0, 0]
        self.stage = self.cycles = self.conversions = 0
        self.zero = self.overflow = self.woke = self.halted = False


def _offset(word: int) -> int:
    """The signed 11-bit offset of ST and LD, in words."""
    offset = word >> 10 & 0x7FF
    return offset - 0x800 if offset & 0x400 else offset


def _alu(s: _State, word: int) -> None:
    kind, select = word >> 25 & 7, word >> 21 & 15
    if kind == 2:
        by = word >> 4 & 0xFF
        s.stage = (s.stage + by, s.stage - by, 0)[select] & 0xFF
        return
    a = s.r[word >> 2 & 3]
    b = s.r[word >> 4 & 3] if kind == 0 else word >> 4 & 0xFFFF
    if select == 4:  # a move of a number takes it, a move of a register the first operand
        value = a if kind == 0 else b
    else:
        value = (a + b, a - b, a & b, a | b, 0, a << (b & 15), a >> (b & 15))[select]
    if select in (0, 1):
        s.overflow = not 0 <= value <= 0xFFFF
    value &= 0xFFFF
    s.zero = value == 0
    s.r[word & 3] = value


def _branch(s: _State, word: int, here: int) -> None:
    kind = word >> 25 & 7
    if kind == 0:
        if (True, s.zero, s.overflow)[word >> 22 & 7]:
            s.pc = s.r[word & 3] if word >> 21 & 1 else word >> 2 & 0x7FF
        return
    steps = word >> 17 & 0x7F
    if word >> 24 & 1:
        steps = -steps
    if kind == 1:
        least = s.r[0] >= word & 0xFFFF
        taken = least if word >> 16 & 1 else not least
    else:
        value, limit = s.stage, word & 0xFF
        taken = (value < limit, value >= limit, value <= limit)[word >> 15 & 3]
    if taken:
        s.pc = here + steps
