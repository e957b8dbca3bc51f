"""SPI on the twin: framing, who is selected, what a wrong clock does, and the module ``fifo``."""

from __future__ import annotations

import re

import pytest

from cicada.tools.twin.sensors.adxl345 import Adxl345
from cicada.tools.twin.sensors.lis3dh import Lis3dh
from cicada.tools.twin.sensors.motion import Still
from cicada.tools.twin.sensors.spi import Slave
from cicada.tools.twin.world import World
from support.twins import QUIET
from support.wired import device, run

HEAD = """
from machine import SPI, Pin
spi = SPI(2, baudrate={hertz}, polarity={polarity}, phase={phase}, sck=Pin(18), mosi=Pin(23), miso=Pin(19))
cs, other = Pin(5, Pin.OUT, value=1), Pin(13, Pin.OUT, value=1)
def talk(pin, data):
    into = bytearray(len(data))
    pin(0)
    spi.write_readinto(data, into)
    pin(1)
    return bytes(into)
"""
BOTH = [device("adxl345", "spi"), device("lis3dh", "spi", cs=13)]


def program(code: str, hertz: int = 5_000_000, polarity: int = 1, phase: int = 1) -> str:
    return HEAD.format(hertz=hertz, polarity=polarity, phase=phase) + code


def told(code: str, folder, **clock) -> list[str]:
    return re.findall(r"got (.*)", run(program(code, **clock), folder, [], World(QUIET, devices=BOTH)).text)


def test_the_selected_chip_answers(tmp_path) -> None:
    code = """
print("got", talk(cs, b"\\x80\\x00")[1:], talk(other, b"\\x8f\\x00")[1:])
spi.write(b"\\x80"); print("got", spi.read(2))  # nobody is selected
"""
    assert told(code, tmp_path) == ["b'\\xe5' b'3'", "b'\\x00\\x00'"]


def test_registers_count_up_only_when_asked_to(tmp_path) -> None:
    code = """
talk(cs, b"\\x64\\x11\\x22")  # THRESH_ACT, many
talk(cs, b"\\x26\\x33\\x44")  # TIME_INACT, the same one twice
print("got", talk(cs, b"\\xe4\\0\\0\\0")[1:], talk(cs, b"\\xa4\\0\\0")[1:])
"""
    assert told(code, tmp_path) == ["b'\\x11\"D' b'\\x11\\x11'"]


def test_a_transfer_goes_on_as_long_as_the_pin_is_low(tmp_path) -> None:
    code = """
talk(cs, b"\\x64\\x11\\x22")
cs(0); spi.write(b"\\xe4"); a = spi.read(1); b = spi.read(1); cs(1)
cs(0); spi.write(b"\\xe4"); cs(1); cs(0); c = spi.read(1); cs(1)
print("got", a, b, c)
"""
    assert told(code, tmp_path) == ["b'\\x11' b'\"' b'\\xff'"]


@pytest.mark.parametrize(
    ("clock", "adxl345", "lis3dh"),
    [
        ({}, 0xE5, 0x33),
        ({"hertz": 5_000_001}, 0, 0x33),
        ({"hertz": 10_000_001}, 0, 0),
        ({"polarity": 0, "phase": 0}, 0, 0x33),
        ({"polarity": 0}, 0, 0),
    ],
)
def test_a_clock_the_chip_does_not_understand_gets_no_answer(clock, adxl345, lis3dh, tmp_path) -> None:
    code = 'print("got", talk(cs, b"\\x80\\x00")[1], talk(other, b"\\x8f\\x00")[1])'
    assert told(code, tmp_path, **clock) == [f"{adxl345} {lis3dh}"]


def test_other_pins_reach_nobody_and_a_closed_bus_is_an_error(tmp_path) -> None:
    code = """
spi = SPI(1, polarity=1, phase=1)
print("got", talk(cs, b"\\x80\\x00"))
spi.deinit()
try:
    talk(cs, b"\\x80\\x00")
except OSError as error:
    print("got", error.errno)
for wrong in (lambda: SPI(0), lambda: SPI(2, bits=16), lambda: SPI(2, baudrate=0)):
    try:
        wrong()
    except ValueError as error:
        print("got", error)
"""
    assert told(code, tmp_path) == [
        "b'\\x00\\x00'",
        "19",
        "SPI(0) doesn't exist",
        "this board's SPI sends bytes, the high bit first",
        "invalid baudrate",
    ]


def test_a_frame_leaves_the_fifo_when_the_pin_goes_high() -> None:
    chip = Adxl345(Still((0.25, 0.5, 1.0)))
    slave = Slave(chip)

    def talk(data: bytes, now: int) -> bytes:
        slave.select(0)
        answer = slave.transfer(data, 5_000_000, 3, now)
        slave.select(1)
        return answer[1:]

    talk(b"\x31\x0b", 1)
    talk(b"\x38\x80", 2)
    talk(b"\x2d\x08", 3)
    before = talk(b"\xb9\0", 100_000)[0]
    assert before > 5
    talk(b"\xf2" + bytes(6), 100_000)
    assert talk(b"\xb9\0", 100_000)[0] == before - 1
    talk(b"\xf2" + bytes(2), 100_000)  # even if only a part of it was read
    assert talk(b"\xb9\0", 100_000)[0] == before - 2


def test_a_burst_goes_from_frame_to_frame() -> None:
    chip = Lis3dh(Still((0.25, 0.5, 1.0)))
    slave = Slave(chip)

    def talk(data: bytes, now: int) -> bytes:
        slave.select(0)
        answer = slave.transfer(data, 5_000_000, 3, now)
        slave.select(1)
        return answer[1:]

    for data in (b"\x23\x08", b"\x24\x40", b"\x2e\x80", b"\x20\x57"):
        talk(data, 1)
    frames = talk(b"\xaf\0", 150_000)[0] & 31
    assert frames > 3
    burst = talk(b"\xe8" + bytes(6 * frames), 150_000)
    for at in range(0, len(burst), 6):
        values = [int.from_bytes(burst[at + i : at + i + 2], "little", signed=True) for i in (0, 2, 4)]
        assert values == pytest.approx([4000, 8000, 16000], abs=300)
    assert talk(b"\xaf\0", 150_000)[0] & 31 == 0


def test_the_module_fifo_refuses_what_the_one_in_c_does(tmp_path) -> None:
    """The complaints are those of tests/modules/test_fifo.py."""
    code = """
import fifo
from machine import I2C
i2c = I2C(0, scl=Pin(22), sda=Pin(21))
a = array("h", [-1] * 12)
for call in (
    lambda: fifo.drain_i2c(i2c, 0x53, 0x32, 5, a, 0, 0), lambda: fifo.drain_i2c(i2c, 0x53, 0x32, 1, a, 4, 0),
    lambda: fifo.drain_i2c(i2c, 0x53, 0x32, -1, a, 0, 0), lambda: fifo.drain_i2c(i2c, 0x80, 0x32, 1, a, 0, 0),
    lambda: fifo.drain_i2c(i2c, 0x53, 256, 1, a, 0, 0), lambda: fifo.drain_i2c(i2c, 0x53, 0x32, 1, a, 0, 4),
    lambda: fifo.drain_i2c(i2c, 0x53, 0x32, 1, bytearray(24), 0, 0),
    lambda: fifo.drain_i2c(spi, 0x53, 0x32, 1, a, 0, 0), lambda: fifo.drain_spi(i2c, cs, 0x32, 1, a, 0, 0),
    lambda: fifo.drain_i2c(i2c, 0x10, 0x32, 1, a, 0, 0),
):
    try:
        call()
    except (ValueError, TypeError, OSError) as error:
        print("got", type(error).__name__, error)
print("got", list(a) == [-1] * 12)
"""
    wrong = ["ValueError argument out of range"] * 6
    assert told(code, tmp_path) == [
        *wrong,
        "TypeError buffer must be array('h')",
        "TypeError bus must be machine.I2C or SoftI2C",
        "TypeError bus must be machine.SPI or SoftSPI",
        "OSError [Errno 19] ENODEV",
        "True",
    ]


def test_high_bytes_first_are_turned_round_on_the_twin_too(tmp_path) -> None:
    code = """
import fifo
from machine import I2C
i2c = I2C(0, scl=Pin(22), sda=Pin(21))
i2c.writeto_mem(0x53, 0x24, b"\\x12\\x34\\x56\\x7f\\x00\\x80")
for flags in (0, fifo.BIG_ENDIAN):
    a = array("h", [-1] * 6)
    fifo.drain_i2c(i2c, 0x53, 0x24, 1, a, 1, flags)
    print("got", list(a))
"""
    assert told(code, tmp_path) == [
        str([-1, -1, -1, 0x3412, 0x7F56, -32768]),
        str([-1, -1, -1, 0x1234, 0x567F, 0x0080]),
    ]
