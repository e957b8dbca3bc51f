"""SPI for ``machine``. Chip select is the program's: any pin it drives."""

import struct

import _chip
import _ops

# sck, mosi, miso that MicroPython's ESP32 port takes unless told (docs/esp32/quickref.rst).
_DEFAULTS = {1: (14, 13, 12), 2: (18, 23, 19)}


class SPI:
    MSB = 0
    LSB = 1

    def __init__(self, id, baudrate=1000000, **more):
        if id not in _DEFAULTS:
            raise ValueError("SPI(%d) doesn't exist" % id)
        self._id = id
        self._one = bytearray(1)
        self.init(baudrate, **more)

    def init(
        self, baudrate=1000000, *, polarity=0, phase=0, bits=8, firstbit=0, sck=None, mosi=None, miso=None
    ):
        if bits != 8 or firstbit != self.MSB:
            raise ValueError("this board's SPI sends bytes, the high bit first")
        pins = [d if p is None else p._id for p, d in zip((sck, mosi, miso), _DEFAULTS[self._id])]
        setup = struct.pack("<IBBBB", baudrate, polarity << 1 | phase, *pins)
        _chip.call(_ops.SPI_OPEN, self._id, setup, b"")

    def deinit(self):
        _chip.call(_ops.SPI_OPEN, self._id, b"", b"")

    def write_readinto(self, write_buf, read_buf):
        if len(write_buf) != len(read_buf):
            raise ValueError("buffers must be the same length")
        _chip.call(_ops.SPI_TRANSFER, self._id, write_buf, read_buf)

    def write(self, buf):
        _chip.call(_ops.SPI_TRANSFER, self._id, buf, bytearray(len(buf)))

    def readinto(self, buf, write=0):
        for i in range(len(buf)):
            buf[i] = write
        _chip.call(_ops.SPI_TRANSFER, self._id, buf, buf)

    def read(self, nbytes, write=0):
        buf = bytearray(nbytes)
        self.readinto(buf, write)
        return bytes(buf)


class SoftSPI(SPI):
    def __init__(self, baudrate=500000, *, sck, mosi, miso, **more):
        super().__init__(2, baudrate, sck=sck, mosi=mosi, miso=miso, **more)
