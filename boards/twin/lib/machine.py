"""``machine`` as the ESP32 port has it, for what the chip supplies so far."""

import json

import _chip
import _ops

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

PIN_WAKE = 2
EXT0_WAKE = 2
EXT1_WAKE = 3
TIMER_WAKE = 4
TOUCHPAD_WAKE = 5
ULP_WAKE = 6

_boot = json.loads(_chip.call(_ops.BOOT)[1])


def reset_cause():
    return _boot["reset_cause"]


def wake_reason():
    return _boot["wake_reason"]


def unique_id():
    return bytes.fromhex(_boot["unique_id"])


def freq():
    return _boot["cpu_hz"]


def reset():
    _chip.call(_ops.RESET, HARD_RESET)


def soft_reset():
    _chip.call(_ops.RESET, SOFT_RESET)


def deepsleep(time_ms=0):
    _chip.microseconds(_ops.DEEPSLEEP, time_ms * 1000)


def lightsleep(time_ms=0):
    _chip.microseconds(_ops.SLEEP, time_ms * 1000)


def idle():
    lightsleep(1)


class RTC:
    """RTC memory: 2048 bytes that survive everything but a power cut."""

    def memory(self, data=None):
        if data is None:
            return _chip.call(_ops.RTC_READ)[1]
        _chip.call(_ops.RTC_WRITE, 0, data)


class Pin:
    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_DOWN = 1
    PULL_UP = 2

    def __init__(self, id, mode=-1, pull=-1, *, value=None):
        if not isinstance(id, int) or not 0 <= id < 40:
            raise ValueError("invalid pin")
        self._id = id
        self._byte = bytearray(1)
        if value is not None:
            self.value(value)

    def value(self, level=None):
        if level is None:
            return _chip.call(_ops.PIN_READ, self._id, b"", b"")
        self._byte[0] = 1 if level else 0
        _chip.call(_ops.PIN_WRITE, self._id, self._byte, b"")

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def __repr__(self):
        return "Pin(%d)" % self._id


class WDT:
    def __init__(self, id=0, timeout=5000):
        if id != 0 or timeout <= 0:
            raise ValueError("WDT: id must be 0 and timeout positive")
        self._us = timeout * 1000
        self.feed()

    def feed(self):
        _chip.microseconds(_ops.WDT, self._us)


class I2S:
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

    def readinto(self, buf):
        n = len(buf)
        for i in range(4):
            self._wanted[i] = n >> (8 * i) & 255
        _chip.call(_ops.I2S_READ, self._id, self._wanted, buf)
        return n

    def deinit(self):
        _chip.call(_ops.I2S_CLOSE, self._id)
