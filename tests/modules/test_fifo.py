"""The module ``fifo`` in MicroPython: what it sends over a bus, where what it reads goes, what it refuses."""

from __future__ import annotations

import pytest

SETUP = """
import fifo, fifo_testing as t, machine
from array import array
class Cs(machine.PinBase):
    def value(self, level=None):
        t.pin(level)
i2c, spi, cs = t.I2C(), t.SPI(), Cs()
a = array("h", [-1] * 12)
"""


def run(interpreter, code: str) -> str:
    return interpreter.run(SETUP + code)


def values(first: int, count: int, big: bool) -> list[int]:
    """What bytes that count up from ``first`` mean."""
    data = bytes((first + i) & 255 for i in range(2 * count))
    order = "big" if big else "little"
    return [int.from_bytes(data[i : i + 2], order, signed=True) for i in range(0, len(data), 2)]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("bus", ["i2c", "spi"])
def test_frames_land_where_they_belong_and_nowhere_else(bus, each, big, interpreter) -> None:
    # 0x7F, 0x80 are among the bytes, so signs matter.
    where = "i2c, 0x53" if bus == "i2c" else "spi, cs"
    flags = f"{'fifo.EACH' if each else 0} + {'fifo.BIG_ENDIAN' if big else 0}"
    code = f"t.setup(0x7B, -1, 0, True)\nfifo.drain_{bus}({where}, 0xF2, 2, a, 1, {flags})\nprint(list(a))"
    wanted = [-1] * 3 + values(0x7B, 6, big) + [-1] * 3
    assert run(interpreter, code) == f"{wanted}\n"


@pytest.mark.parametrize(
    ("call", "log"),
    [
        ("i2c(i2c, 0x53, 0x32, 3, a, 0, 1)", "53<32 53>6 | 53<32 53>6 | 53<32 53>6 | "),
        ("i2c(i2c, 0x18, 0xA8, 3, a, 1, 0)", "18<a8 18>18 | "),
        ("i2c(i2c, 0x18, 0xA8, 0, a, 4, 0)", ""),
        ("i2c(i2c, 0x18, 0xA8, 0, a, 4, 1)", ""),
        ("spi(spi, cs, 0xF2, 2, a, 0, 1)", "low f2:7 high low f2:7 high "),
        ("spi(spi, cs, 0xE8, 3, a, 0, 0)", "low e8:1 0:18 high "),
        ("spi(spi, cs, 0xE8, 1, a, 3, 0)", "low e8:7 high "),
        ("spi(spi, cs, 0xE8, 0, a, 0, 0)", ""),
    ],
)
@pytest.mark.parametrize("write1", [False, True])
def test_the_bus_sees_what_the_chip_needs(call, log, write1, interpreter) -> None:
    code = f"t.setup(0, -1, 0, {write1})\nfifo.drain_{call}\nprint(repr(t.log()))"
    assert run(interpreter, code) == f"{log!r}\n"


def test_a_chip_gets_its_pause_between_frames(interpreter) -> None:
    code = (
        "import time\nb = array('h', [0] * 96)\nt.setup(0, -1, 0, True)\n"
        "began = time.ticks_us()\nfifo.drain_i2c(i2c, 0x53, 0x32, 32, b, 0, fifo.EACH)\n"
        "print(max(t.paused(), time.ticks_diff(time.ticks_us(), began)) >= 160)"
        if interpreter.name != "rv32"  # which has no clock, and counts what it is asked to wait
        else "b = array('h', [0] * 96)\nt.setup(0, -1, 0, True)\n"
        "fifo.drain_i2c(i2c, 0x53, 0x32, 32, b, 0, fifo.EACH)\nprint(t.paused() == 160)"
    )
    assert run(interpreter, code) == "True\n"


@pytest.mark.parametrize("write1", [False, True])
def test_a_chip_that_stops_answering_is_an_error_and_what_came_before_stays(write1, interpreter) -> None:
    code = f"""
t.setup(2, {1 if write1 else 2}, 19, {write1})
try:
    fifo.drain_i2c(i2c, 0x53, 0x32, 3, a, 0, fifo.EACH)
except OSError as e:
    print(e.errno, list(a[:6]))
"""
    assert run(interpreter, code) == f"19 {values(2, 3, False) + [-1] * 3}\n"


def test_a_register_that_is_not_acknowledged_lets_the_bus_go(interpreter) -> None:
    """The driver of a soft bus says how many bytes were taken; 0 of 1 is no error number."""
    code = """
t.setup(0, 0, 0, False)
try:
    fifo.drain_i2c(i2c, 0x53, 0x32, 1, a, 0, 0)
except OSError as e:
    print(e.errno, t.log(), list(a) == [-1] * 12)
"""
    assert run(interpreter, code) == "5 fail 53<fff |  True\n"


def test_chip_select_is_let_go_when_the_bus_fails(interpreter) -> None:
    code = """
t.setup(0, 1, 5, False)
try:
    fifo.drain_spi(spi, cs, 0xE8, 3, a, 0, 0)
except OSError as e:
    print(e.errno, t.log())
"""
    assert run(interpreter, code) == "5 low e8:1 high \n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("i2c(i2c, 0x53, 0x32, 5, a, 0, 0)", "ValueError argument out of range"),
        ("i2c(i2c, 0x53, 0x32, 1, a, 4, 0)", "ValueError argument out of range"),
        ("i2c(i2c, 0x53, 0x32, 0, a, 5, 0)", "ValueError argument out of range"),
        ("i2c(i2c, 0x53, 0x32, -1, a, 0, 0)", "ValueError argument out of range"),
        ("i2c(i2c, 0x53, 0x32, 1, a, -1, 0)", "ValueError argument out of range"),
        ("i2c(i2c, 0x53, 0x32, 1 << 29, a, 0, 0)", "ValueError argument out of range"),
        ("i2c(i2c, 0x80, 0x32, 1, a, 0, 0)", "ValueError argument out of range"),
        ("i2c(i2c, 0x53, 256, 1, a, 0, 0)", "ValueError argument out of range"),
        ("i2c(i2c, 0x53, 0x32, 1, a, 0, 4)", "ValueError argument out of range"),
        ("i2c(i2c, 0x53, 0x32, 1, bytearray(24), 0, 0)", "TypeError buffer must be array('h')"),
        ("i2c(i2c, 0x53, 0x32, 1, bytes(24), 0, 0)", "TypeError object with buffer protocol required"),
        ("i2c(spi, 0x53, 0x32, 1, a, 0, 0)", "TypeError bus must be machine.I2C or SoftI2C"),
        ("i2c(cs, 0x53, 0x32, 1, a, 0, 0)", "TypeError bus must be machine.I2C or SoftI2C"),
        ("i2c(None, 0x53, 0x32, 1, a, 0, 0)", "TypeError bus must be machine.I2C or SoftI2C"),
        ("spi(i2c, cs, 0x32, 1, a, 0, 0)", "TypeError bus must be machine.SPI or SoftSPI"),
        ("spi(spi, cs, 0x32, 5, a, 0, 0)", "ValueError argument out of range"),
        (
            "spi(spi, cs, 0x32, 1, memoryview(b'123456'), 0, 0)",
            "TypeError object with buffer protocol required",
        ),
    ],
)
def test_other_arguments_are_refused_before_anything_is_sent(arguments, complaint, interpreter) -> None:
    code = f"""
t.setup(0, -1, 0, True)
try:
    fifo.drain_{arguments}
except Exception as e:
    print(type(e).__name__, e)
print(repr(t.log()), list(a) == [-1] * 12)
"""
    assert run(interpreter, code) == f"{complaint}\n'' True\n"


def test_a_part_of_an_array_is_filled(interpreter) -> None:
    code = (
        "t.setup(2, -1, 0, True)\nfifo.drain_i2c(i2c, 0x53, 0x32, 1, memoryview(a)[3:], 1, 0)\nprint(list(a))"
    )
    assert run(interpreter, code) == f"{[-1] * 6 + values(2, 3, False) + [-1] * 3}\n"


def test_it_allocates_nothing(interpreter) -> None:
    code = """
import micropython
t.setup(0, 99, 0, True)
micropython.heap_lock()
fifo.drain_i2c(i2c, 0x53, 0x32, 4, a, 0, 3)
micropython.heap_unlock()
print(list(a) == [i * 2 * 256 + i * 2 + 1 for i in range(12)])
"""
    assert run(interpreter, code) == "True\n"
