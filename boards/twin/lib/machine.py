"""``machine`` as MicroPython's ESP32 port has it, for what this board has."""

import json
import struct

import _chip
import _ops
import _wake
from _buses import I2C, I2S, SoftI2C  # noqa: F401
from _mem import mem32  # noqa: F401
from _spi import SPI, SoftSPI  # noqa: F401

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

SLEEP = 2
DEEPSLEEP = 4

_boot = json.loads(_chip.call(_ops.BOOT)[1])
_woken_by = _boot["wake_reason"]


def reset_cause():
    return _boot["reset_cause"]


def wake_reason():
    return _woken_by


def wake_pins():
    return tuple(_boot["wake_pins"])


def unique_id():
    return bytes.fromhex(_boot["unique_id"])


def freq(hz=None):
    if hz is None:
        return _chip.call(_ops.FREQ, 0, b"", b"") * 1000000
    _chip.call(_ops.FREQ, hz // 1000000)


def reset():
    _chip.call(_ops.RESET, HARD_RESET)


def soft_reset():
    _chip.call(_ops.RESET, SOFT_RESET)


def deepsleep(time_ms=None):
    _chip.call(_ops.DEEPSLEEP, 0, _wake.sources(time_ms, True))


def lightsleep(time_ms=None):
    global _woken_by
    _woken_by = _chip.call(_ops.LIGHTSLEEP, 0, _wake.sources(time_ms, False), b"")


sleep = lightsleep


def disable_irq():
    was = _chip.held
    _chip.held = True
    return was


def enable_irq(state):
    _chip.held = bool(state)


def idle():
    _chip.sleep_us(1000)


class RTC:
    """Its memory: 2048 bytes that survive everything but a power cut."""

    def memory(self, data=None):
        if data is None:
            return _chip.call(_ops.RTC_READ)[1]
        _chip.call(_ops.RTC_WRITE, 0, data)

    def datetime(self, fields=None):
        import time

        if fields is None:
            us = struct.unpack("<q", _chip.call(_ops.DATETIME)[1])[0]
            t = time.gmtime(us // 1000000)
            return (t[0], t[1], t[2], t[6], t[3], t[4], t[5], us % 1000000)
        seconds = time.mktime((fields[0], fields[1], fields[2], fields[4], fields[5], fields[6]))
        _chip.call(_ops.DATETIME, 0, struct.pack("<q", seconds * 1000000 + fields[7]))

    def init(self, fields):
        f = tuple(fields)
        self.datetime((f[0], f[1], f[2], 0, f[3], f[4], f[5], f[7]))


class _IRQ:
    def __init__(self, pin):
        self._pin = pin

    def __call__(self):
        function, argument = _chip.handlers[self._pin._handle]
        function(argument)

    def trigger(self, trigger=None):
        before = self._pin._trigger
        if trigger is not None:
            self._pin._arm(trigger)
        return before


class Pin:
    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_DOWN = 1
    PULL_UP = 2
    IRQ_RISING = 1
    IRQ_FALLING = 2
    WAKE_LOW = 4
    WAKE_HIGH = 5
    DRIVE_0 = 0
    DRIVE_1 = 1
    DRIVE_2 = 2
    DRIVE_3 = 3

    def __init__(self, id, mode=None, pull=-1, *, value=None, drive=None, hold=None):
        if isinstance(id, Pin):
            id = id._id
        # GPIO 24 and 28 to 31 do not exist on the ESP32.
        if not isinstance(id, int) or not 0 <= id < 40 or id in (24, 28, 29, 30, 31):
            raise ValueError("invalid pin")
        self._id = id
        self._byte = bytearray(1)
        self._handle = self._trigger = 0
        self.init(mode, pull, value=value)

    def init(self, mode=None, pull=-1, *, value=None, drive=None, hold=None):
        if mode is not None and mode & 2 and self._id >= 34:
            raise ValueError("pin can only be input")
        if value is not None:
            self.value(value)
        if mode is not None or pull != -1:
            setup = (255 if mode is None else mode, 255 if pull == -1 else pull or 0)
            _chip.call(_ops.PIN_SETUP, self._id, bytes(setup))

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

    def toggle(self):
        self.value(not self.value())

    def irq(self, handler=None, trigger=IRQ_RISING | IRQ_FALLING, wake=None):
        if wake is not None and trigger in (self.WAKE_LOW, self.WAKE_HIGH):
            _wake.ext0(self, trigger == self.WAKE_HIGH)
        elif handler is None:
            self._arm(0)
        else:
            self._handle = self._handle or _chip.handle_for(handler, self)
            _chip.handlers[self._handle] = (handler, self)
            self._arm(trigger)
        return _IRQ(self)

    def _arm(self, trigger):
        self._trigger = trigger
        _chip.call(_ops.PIN_IRQ, self._id, struct.pack("<BH", trigger, self._handle))

    def __repr__(self):
        return "Pin(%d)" % self._id


class Signal:
    def __init__(self, pin, *arguments, invert=False, **more):
        self._pin = pin if isinstance(pin, Pin) else Pin(pin, *arguments, **more)
        self._invert = bool(invert)

    def value(self, level=None):
        if level is None:
            return int(bool(self._pin.value()) != self._invert)
        self._pin.value(bool(level) != self._invert)

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)


class Timer:
    ONE_SHOT = 0
    PERIODIC = 1
    _hardware = {}

    def __new__(cls, id=-1, **setup):
        if id >= 4:
            raise ValueError("Timer(%d) doesn't exist, there are only 4 hardware timers" % id)
        timer = cls._hardware.get(id) or super().__new__(cls)
        if id >= 0:
            cls._hardware[id] = timer
        return timer

    def __init__(self, id=-1, **setup):
        if not hasattr(self, "_handle"):
            self._handle = 0
        self._id = id
        if setup:
            self.init(**setup)

    def init(self, *, mode=PERIODIC, callback=None, period=0xFFFFFFFF, tick_hz=1000, freq=None, hard=False):
        self.deinit()
        if hard:
            raise ValueError("hard Timers are not implemented")
        us = int(1000000 / freq) if freq is not None else period * 1000000 // tick_hz
        if us == 0:
            raise ValueError("Timer period is too short for this timer")
        self._handle = _chip.handle_for(callback, self)
        _chip.call(_ops.TIMER_START, self._handle, struct.pack("<QB", us, mode), b"")

    def deinit(self):
        if self._handle:
            _chip.call(_ops.TIMER_STOP, self._handle, b"", b"")
            del _chip.handlers[self._handle]
            self._handle = 0


class WDT:
    def __init__(self, id=0, timeout=5000):
        if id != 0:
            raise ValueError
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        self._us = timeout * 1000
        self.feed()

    def feed(self):
        _chip.microseconds(_ops.WDT, self._us)


class ADC:
    ATTN_0DB = 0
    ATTN_2_5DB = 1
    ATTN_6DB = 2
    ATTN_11DB = 3
    WIDTH_9BIT = 9
    WIDTH_10BIT = 10
    WIDTH_11BIT = 11
    WIDTH_12BIT = 12

    def __init__(self, pin, *, atten=ATTN_0DB):
        self._pin = pin if isinstance(pin, int) else pin._id
        self._reading = bytearray(8)
        self._asked = bytearray(1)
        self._bits = 12
        self.atten(atten)
        self._read()

    def init(self, *, atten=ATTN_0DB):
        self.atten(atten)

    def atten(self, atten):
        if not 0 <= atten <= 3:
            raise ValueError("invalid atten")
        self._asked[0] = atten

    def width(self, bits):
        if not 9 <= bits <= 12:
            raise ValueError("invalid bits")
        self._bits = bits

    def _read(self):
        _chip.call(_ops.ADC_READ, self._pin, self._asked, self._reading)
        r = self._reading
        return r[0] | r[1] << 8

    def read(self):
        return self._read() >> (12 - self._bits)

    def read_u16(self):
        raw = self._read()
        return raw << 4 | raw >> 8

    def read_uv(self):
        self._read()
        r = self._reading
        return r[4] | r[5] << 8 | r[6] << 16 | r[7] << 24
