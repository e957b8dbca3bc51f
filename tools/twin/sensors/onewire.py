"""A 1-Wire bus in virtual time and a DS18B20 on it.

Everything from the DS18B20 data sheet (Maxim, 19-7487 rev. 6): ROM commands and functions (page 10 and 11),
scratchpad (page 8), CRC (page 9), conversion times and currents (page 20). Not modelled: search of the ROM,
alarms, the EEPROM (its contents are those of delivery), parasite power.
"""

from __future__ import annotations

from collections.abc import Iterable

from cicada.tools.twin.sensors.analog import Curve

_READ_ROM, _MATCH_ROM, _SKIP_ROM = 0x33, 0x55, 0xCC
_CONVERT, _READ_SCRATCHPAD, _WRITE_SCRATCHPAD, _READ_POWER = 0x44, 0xBE, 0x4E, 0xB4
_POWER_ON = 85 * 16
_CONVERSION_US = 750_000  # at 12 bits; half for each bit less
_ACTIVE_MA, _STANDBY_MA = 1.0, 0.00075


def crc8(data: bytes) -> int:
    """CRC of ROM and scratchpad: x^8 + x^5 + x^4 + 1, low bit first, from 0."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc


class Ds18b20:
    """The thermometer, powered by VDD.

    Args:
        temperature: degrees Celsius by virtual time.
        serial: its 48 bits; family 0x28 and CRC are put around them.
    """

    def __init__(self, temperature: Curve, serial: int = 0x1CADA) -> None:
        self._temperature = temperature
        head = bytes([0x28]) + serial.to_bytes(6, "little")
        self.rom = head + bytes([crc8(head)])
        self.reset()

    def reset(self) -> None:
        """Power was taken away and came back."""
        self.scratchpad = bytearray(b"\x50\x05\x4b\x46\x7f\xff\x0c\x10")
        self._converting: int | None = None  # until when, us
        self.presence()

    def presence(self) -> None:
        """A reset pulse: whatever was going on, a ROM command comes next."""
        self._bits: list[int] = []
        self._out: list[int] = []
        self._expects = "rom"
        self._matched = True

    def _settle(self, now_us: int) -> None:
        if self._converting is None or now_us < self._converting:
            return
        bits = 9 + (self.scratchpad[4] >> 5 & 3)
        raw = round(min(max(self._temperature.at(self._converting), -55.0), 125.0) * 16) & 0xFFFF
        raw &= 0xFFFF << (12 - bits)
        self.scratchpad[0:2] = raw.to_bytes(2, "little")
        self.scratchpad[6] = 0x10
        self._converting = None

    def write_bit(self, bit: int, now_us: int) -> None:
        """The master wrote a bit."""
        self._settle(now_us)
        self._bits.append(bit)
        if len(self._bits) % 8:
            return
        value = sum(bit << place for place, bit in enumerate(self._bits[-8:]))
        if self._expects == "rom":
            self._bits.clear()
            self._expects = {_SKIP_ROM: "function", _MATCH_ROM: "match"}.get(value, "nothing")
            self._out = _bits(self.rom) if value == _READ_ROM else []
        elif self._expects == "match":
            if len(self._bits) == 64:
                self._expects = "function" if self._bits == _bits(self.rom) else "nothing"
                self._bits.clear()
        elif self._expects == "function":
            self._bits.clear()
            self._begin(value, now_us)
        elif self._expects == "scratchpad" and len(self._bits) == 24:
            values = [sum(b << p for p, b in enumerate(self._bits[at : at + 8])) for at in (0, 8, 16)]
            self.scratchpad[2:5] = bytes([values[0], values[1], values[2] & 0x60 | 0x1F])
            self._expects = "nothing"

    def _begin(self, function: int, now_us: int) -> None:
        self._expects = "nothing"
        if function == _CONVERT:
            self._converting = now_us + (_CONVERSION_US >> (3 - (self.scratchpad[4] >> 5 & 3)))
        elif function == _READ_SCRATCHPAD:
            self._out = _bits(bytes(self.scratchpad) + bytes([crc8(self.scratchpad)]))
        elif function == _WRITE_SCRATCHPAD:
            self._expects = "scratchpad"
        elif function == _READ_POWER:
            self._out = [1]

    def read_bit(self, now_us: int) -> int:
        """A bit for the master; while it converts zeros, ones when it has nothing to say."""
        self._settle(now_us)
        if self._out:
            return self._out.pop(0)
        return 0 if self._converting is not None else 1

    def current_ma(self, now_us: int) -> float:
        """What it draws, mA."""
        self._settle(now_us)
        return _STANDBY_MA if self._converting is None else _ACTIVE_MA


def _bits(data: bytes) -> list[int]:
    return [byte >> place & 1 for byte in data for place in range(8)]


class Wire:
    """One wire with a pull-up: whoever pulls it low wins.

    Args:
        devices: what hangs on it.
    """

    def __init__(self, devices: Iterable[Ds18b20] = ()) -> None:
        self.devices = list(devices)

    def reset(self) -> int:
        """A reset pulse: 1 if anybody is present."""
        for device in self.devices:
            device.presence()
        return int(bool(self.devices))

    def write(self, value: int, bits: int, now_us: int) -> None:
        """Write ``bits`` bits of ``value``, the low one first."""
        for place in range(bits):
            for device in self.devices:
                device.write_bit(value >> place & 1, now_us)

    def read(self, bits: int, now_us: int) -> int:
        """Read ``bits`` bits; all ones if nobody is there."""
        value = 0
        for place in range(bits):
            value |= min([device.read_bit(now_us) for device in self.devices], default=1) << place
        return value
