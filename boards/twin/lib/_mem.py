"""``machine.mem32``: the registers of the ESP32 that the twin has, and RTC slow memory."""

import struct

import _chip
import _ops


class _Mem32:
    def __getitem__(self, address):
        data = _chip.call(_ops.MEM_READ, 0, struct.pack("<I", address & 0xFFFFFFFF))[1]
        return struct.unpack("<I", data)[0]

    def __setitem__(self, address, value):
        _chip.call(_ops.MEM_WRITE, 0, struct.pack("<II", address & 0xFFFFFFFF, value & 0xFFFFFFFF))


mem32 = _Mem32()
