"""``_onewire``: the bits of a 1-Wire bus, as MicroPython's ports have them in C (extmod/modonewire.c)."""

import _chip
import _ops

_step = bytearray(2)


def _do(pin, what, value=0):
    _step[0] = what
    _step[1] = value
    return _chip.call(_ops.ONEWIRE, pin._id, _step, b"")


def reset(pin):
    return bool(_do(pin, _ops.OW_RESET))


def readbit(pin):
    return _do(pin, _ops.OW_READ, 1)


def readbyte(pin):
    return _do(pin, _ops.OW_READ, 8)


def writebit(pin, value):
    _do(pin, _ops.OW_WRITE_BIT, value & 1)


def writebyte(pin, value):
    _do(pin, _ops.OW_WRITE, value & 255)


def crc8(data):
    """Polynomial x^8 + x^5 + x^4 + 1, low bit first (DS18B20 data sheet, "CRC generation")."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc
