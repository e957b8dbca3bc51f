"""``fifo``: the twin drains a FIFO at one request (see firmware/modules/fifo.pyi)."""

import struct
from array import array

import _chip
import _ops
from _buses import I2C
from _spi import SPI

EACH = 1
BIG_ENDIAN = 2

_FRAME = 6
_BUFFERS = (array, memoryview)
_most = 176  # frames at a time; the largest FIFO (MPU-6050) holds 170
_bytes = bytearray(_most * _FRAME)
_head = bytearray(5)


def drain_i2c(bus, address, register, frames, buffer, at, flags):
    if not isinstance(bus, I2C):
        raise TypeError("bus must be machine.I2C or SoftI2C")
    if not 0 <= address < 128:
        raise ValueError("argument out of range")
    _drain(_ops.FIFO_I2C, address, bus._id, register, frames, buffer, at, flags)


def drain_spi(bus, cs, command, frames, buffer, at, flags):
    if not isinstance(bus, SPI):
        raise TypeError("bus must be machine.SPI or SoftSPI")
    _drain(_ops.FIFO_SPI, bus._id, cs._id, command, frames, buffer, at, flags)


def _drain(op, argument, wire, register, frames, buffer, at, flags):
    if not isinstance(buffer, _BUFFERS):
        raise TypeError("buffer must be array('h')")
    room = len(buffer) // 3
    if not (0 <= register < 256 and 0 <= at <= room and 0 <= frames <= room - at and 0 <= flags <= 3):
        raise ValueError("argument out of range")
    while frames:
        n = min(frames, _most)
        struct.pack_into("<BBHB", _head, 0, wire, register, n, flags)
        _chip.call(op, argument, _head, _bytes)
        first = at * 3
        for i in range(3 * n):
            value = _bytes[2 * i] | _bytes[2 * i + 1] << 8
            buffer[first + i] = value - 65536 if value > 32767 else value
        frames -= n
        at += n
