"""I2C and I2S for ``machine``."""

import io
import json
import struct

import _chip
import _ops


class I2C:
    def __init__(self, id, *, scl=None, sda=None, freq=400000, timeout=50000):
        if id not in (0, 1):
            raise ValueError("I2C(%d) doesn't exist" % id)
        self._id = id
        pins = bytes([255 if pin is None else pin._id for pin in (scl, sda)])
        _chip.call(_ops.I2C_OPEN, id, pins + struct.pack("<I", freq), b"")
        self._head = bytearray(2)
        self._head[0] = id
        self._want = bytearray(6)
        self._want[0] = id
        self._register = bytearray(1)

    def scan(self):
        return list(_chip.call(_ops.I2C_SCAN, self._id)[1])

    def writeto(self, addr, buf, stop=True):
        self._head[1] = stop
        return _chip.call(_ops.I2C_WRITE, addr, self._head, b"", buf)

    def writevto(self, addr, vector, stop=True):
        return self.writeto(addr, b"".join(bytes(part) for part in vector), stop)

    def readfrom_into(self, addr, buf, stop=True):
        n = len(buf)
        w = self._want
        w[1] = stop
        for i in range(4):
            w[2 + i] = n >> (8 * i) & 255
        _chip.call(_ops.I2C_READ, addr, w, buf)

    def readfrom(self, addr, nbytes, stop=True):
        buf = bytearray(nbytes)
        self.readfrom_into(addr, buf, stop)
        return bytes(buf)

    def _address(self, memaddr, addrsize):
        return bytes([memaddr >> shift & 255 for shift in range(addrsize - 8, -8, -8)])

    def readfrom_mem_into(self, addr, memaddr, buf, *, addrsize=8):
        register = self._register  # the usual case allocates nothing, as in the port
        if addrsize == 8:
            register[0] = memaddr & 255
        else:
            register = self._address(memaddr, addrsize)
        self.writeto(addr, register, False)
        self.readfrom_into(addr, buf)

    def readfrom_mem(self, addr, memaddr, nbytes, *, addrsize=8):
        buf = bytearray(nbytes)
        self.readfrom_mem_into(addr, memaddr, buf, addrsize=addrsize)
        return bytes(buf)

    def writeto_mem(self, addr, memaddr, buf, *, addrsize=8):
        self.writeto(addr, self._address(memaddr, addrsize) + bytes(buf))


class SoftI2C(I2C):
    def __init__(self, scl, sda, *, freq=400000, timeout=50000):
        super().__init__(0, scl=scl, sda=sda, freq=freq, timeout=timeout)


class I2S(io.IOBase):
    RX = 9
    TX = 5
    MONO = 0
    STEREO = 1

    def __init__(self, id, *, sck, ws, sd, mode, bits, format, rate, ibuf):
        if mode != I2S.RX:
            raise ValueError("invalid mode: this board has a microphone only")
        pins = {"sck": sck._id, "ws": ws._id, "sd": sd._id}
        pins.update({"bits": bits, "stereo": format == I2S.STEREO, "rate": rate, "ibuf": ibuf})
        _chip.call(_ops.I2S_OPEN, id, json.dumps(pins).encode())
        self._id = id
        self._wanted = bytearray(4)
        self._frame = bits // 8 * (2 if format == I2S.STEREO else 1)
        self._waits = True

    def readinto(self, buf):
        n = len(buf)
        if n % self._frame:
            raise OSError(22)
        if not self._waits:
            n = min(n, _chip.call(_ops.I2S_READY, self._id, b"", b"") * self._frame)
            if n == 0:
                return 0
        for i in range(4):
            self._wanted[i] = n >> (8 * i) & 255
        _chip.call(_ops.I2S_READ, self._id, self._wanted, buf)
        return n

    def ioctl(self, request, flags):
        if request == 3:  # MP_STREAM_POLL: from now on a stream that is never waited for, as in the port
            self._waits = False
            return flags & 1 if _chip.call(_ops.I2S_READY, self._id, b"", b"") else 0
        return -1

    @staticmethod
    def shift(*, buf, bits, shift):
        size = bits // 8
        form = {2: "<h", 4: "<i"}[size]
        for at in range(0, len(buf), size):
            value = struct.unpack_from(form, buf, at)[0]
            value = value << shift if shift >= 0 else value >> -shift
            struct.pack_into(form, buf, at, value & 0xFFFF if size == 2 else value & 0xFFFFFFFF)

    def deinit(self):
        _chip.call(_ops.I2S_CLOSE, self._id)
