"""DS18B20 thermometer, alone on a 1-Wire bus and powered by its VDD pin.

Over MicroPython's own ``_onewire``, which makes the time slots in C. Commands, scratchpad and CRC: DS18B20
data sheet (Maxim 19-7487 rev. 6), pages 8 to 12.
"""

import errno
import time

import _onewire
from machine import Pin
from micropython import const

from node.drivers import SensorError

_READ_ROM = const(0x33)
_SKIP_ROM = const(0xCC)
_CONVERT = const(0x44)
_READ_SCRATCHPAD = const(0xBE)
_READ_POWER = const(0xB4)
_FAMILY = const(0x28)
_CONVERSION_MS = const(1000)  # it takes 750 at most
_TRIES = const(3)
_POWER_ON = const(0x0550)  # 85 degrees: what a chip holds that has not measured
_POWER_ON_BYTE = const(0x0C)  # with it, in byte 6 of the scratchpad; a conversion leaves another there


class DS18B20:
    """The thermometer: 0.75 uA but while it measures (1 mA for 0.75 s).

    Args:
        pin: number of the pin its data line is at.

    Raises:
        SensorError: nobody answers, or not just one DS18B20 with power.
    """

    TITLE = "DS18B20"

    def __init__(self, pin):
        self._pin = Pin(pin, Pin.OPEN_DRAIN, Pin.PULL_UP, value=1)
        where = "no DS18B20 at pin %d: " % pin
        if not self._pin.value():
            raise SensorError(where + "the line is held low: look for a short, and for the resistor to 3.3 V")
        rom = None
        for _ in range(_TRIES):
            if not _onewire.reset(self._pin):
                raise SensorError(where + "nothing answers: check wiring, power and the resistor to 3.3 V")
            _onewire.writebyte(self._pin, _READ_ROM)
            rom = self._bytes(8)
            if not _onewire.crc8(rom):
                break
        else:
            raise SensorError(where + "what answers is garbled: one sensor a pin, and wires not too long")
        if rom[0] != _FAMILY:
            raise SensorError(
                where + "the chip there is of family 0x%02x, not 0x28; check which chip it is" % rom[0]
            )
        self._command(_READ_POWER)
        if not _onewire.readbit(self._pin):
            raise SensorError(where + "it has no power of its own: wire its VDD to 3.3 V")

    def read(self):
        """Measure once: ``temperature_c``. Takes 0.75 s.

        Raises:
            OSError: ENODEV if it is gone, EIO if what it says is garbled, ETIMEDOUT if it does not measure.
        """
        for _ in range(_TRIES):
            self._convert()
            pad = self._scratchpad()
            raw = pad[0] | pad[1] << 8
            if raw != _POWER_ON or pad[6] != _POWER_ON_BYTE:
                return {"temperature_c": (raw - 65536 if raw & 0x8000 else raw) / 16}
        raise OSError(errno.ETIMEDOUT)  # it loses its power whenever it begins to measure

    def standby(self):
        """Nothing to do: it rests unless it measures."""

    def _command(self, function):
        if not _onewire.reset(self._pin):
            raise OSError(errno.ENODEV)
        _onewire.writebyte(self._pin, _SKIP_ROM)
        _onewire.writebyte(self._pin, function)

    def _convert(self):
        self._command(_CONVERT)
        since = time.ticks_ms()
        while not _onewire.readbit(self._pin):
            if time.ticks_diff(time.ticks_ms(), since) > _CONVERSION_MS:
                raise OSError(errno.ETIMEDOUT)
            time.sleep_ms(10)

    def _scratchpad(self):
        for _ in range(_TRIES):
            self._command(_READ_SCRATCHPAD)
            pad = self._bytes(9)
            # A line that is stuck low sends zeros, whose CRC is zero; bits 0 to 4 of byte 4 are always 1.
            if not _onewire.crc8(pad) and pad[4] & 0x9F == 0x1F:
                return pad
        raise OSError(errno.EIO)

    def _bytes(self, count):
        data = bytearray(count)
        for i in range(count):
            data[i] = _onewire.readbyte(self._pin)
        return data
