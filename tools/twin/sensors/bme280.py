"""Bosch BME280 on I2C: temperature, humidity, pressure.

Registers, timing, currents, noise and compensation from the BME280 data sheet, BST-BME280-DS002-15, revision
1.6 (compensation: section 4.2.3 in the floating-point form of appendix 8.1).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cicada.tools.twin.sensors.analog import Curve
from cicada.tools.twin.sensors.i2c import RegisterDevice
from cicada.tools.twin.sensors.noise import hashed

_CALIB_1, _ID, _RESET, _CALIB_2 = 0x88, 0xD0, 0xE0, 0xE1
_CTRL_HUM, _STATUS, _CTRL_MEAS, _CONFIG, _DATA = 0xF2, 0xF3, 0xF4, 0xF5, 0xF7
_SLEEP, _NORMAL = 0, 3
_STANDBY_US = (500, 62_500, 125_000, 250_000, 500_000, 1_000_000, 10_000, 20_000)
_SAMPLES = (0, 1, 2, 4, 8, 16, 16, 16)  # by osrs
_FILTER = (1, 2, 4, 8, 16, 16, 16, 16)
# mA (table 1 and section 3.1): asleep, in standby, while measuring temperature, pressure, humidity.
_SLEEP_MA, _STANDBY_MA, _TEMPERATURE_MA, _PRESSURE_MA, _HUMIDITY_MA = 0.0001, 0.0002, 0.350, 0.714, 0.340
# RMS noise of one sample without oversampling: degrees, Pa, %. Pressure from section 3.6; humidity from the
# 0.02 % at 16 samples of table 2; temperature about its resolution.
_NOISE = (0.005, 3.3, 0.07)


@dataclass(frozen=True)
class Calibration:
    """Trimming values burnt into one part.

    Those of temperature and pressure are Bosch's worked example (BMP280 data sheet, section 3.12), those of
    humidity are of the size found in parts.
    """

    t: tuple[int, ...] = (27504, 26435, -1000)
    p: tuple[int, ...] = (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
    h: tuple[int, ...] = (75, 370, 0, 313, 50, 30)

    def t_fine(self, raw: float) -> float:
        """Fine temperature of a raw reading, degrees times 5120."""
        t1, t2, t3 = self.t
        return (raw / 16384 - t1 / 1024) * t2 + (raw / 131072 - t1 / 8192) ** 2 * t3

    def pressure(self, raw: float, t_fine: float) -> float:
        """Pressure, Pa."""
        p1, p2, p3, p4, p5, p6, p7, p8, p9 = self.p
        v1 = t_fine / 2 - 64000
        v2 = (v1 * v1 * p6 / 32768 + v1 * p5 * 2) / 4 + p4 * 65536
        scale = (1 + (p3 * v1 * v1 / 524288 + p2 * v1) / 524288 / 32768) * p1
        p = (1048576 - raw - v2 / 4096) * 6250 / scale
        return p + (p9 * p * p / 2147483648 + p * p8 / 32768 + p7) / 16

    def humidity(self, raw: float, t_fine: float) -> float:
        """Relative humidity, %, not clipped."""
        h1, h2, h3, h4, h5, h6 = self.h
        v = t_fine - 76800
        x = (raw - (h4 * 64 + h5 / 16384 * v)) * (
            h2 / 65536 * (1 + h6 / 67108864 * v * (1 + h3 / 67108864 * v))
        )
        return x * (1 - h1 * x / 524288)

    def registers(self) -> dict[int, bytes]:
        """Register contents by address (table 16)."""
        h1, h2, h3, h4, h5, h6 = self.h
        first = struct.pack("<H2h", *self.t) + struct.pack("<H8h", *self.p) + bytes([0, h1])
        second = struct.pack("<hB", h2, h3)
        second += bytes([h4 >> 4 & 0xFF, (h4 & 15) | (h5 & 15) << 4, h5 >> 4 & 0xFF]) + struct.pack("b", h6)
        return {_CALIB_1: first, _CALIB_2: second}


def _raw_for(wanted: float, formula: Callable[[float], float], bits: int, rising: bool) -> int:
    """The raw reading of ``bits`` bits whose compensated value is nearest ``wanted``, saturating."""
    low, high = 0, (1 << bits) - 1
    while low < high:
        middle = (low + high) // 2
        if (formula(middle) < wanted) == rising:
            low = middle + 1
        else:
            high = middle
    return min((max(low - 1, 0), low), key=lambda raw: abs(formula(raw) - wanted))


class Bme280(RegisterDevice):
    """The sensor; see the module for what it is made after.

    Args:
        temperature: degrees Celsius by virtual time.
        humidity: % by virtual time.
        pressure: Pa by virtual time.
        address: 0x76, or 0x77 with SDO high.
        seed: of its noise.
        calibration: its trimming values.
    """

    def __init__(
        self,
        temperature: Curve | None = None,
        humidity: Curve | None = None,
        pressure: Curve | None = None,
        address: int = 0x76,
        seed: int = 1,
        calibration: Calibration | None = None,
    ) -> None:
        super().__init__(address)
        self._world = (
            temperature or Curve.constant(25.0),
            pressure or Curve.constant(101_325.0),
            humidity or Curve.constant(50.0),
        )
        self._seed = seed
        self._calibration = calibration or Calibration()
        self.reset()

    def reset(self) -> None:
        self._registers = bytearray(0x100)
        self._registers[_ID] = 0x60
        for address, content in self._calibration.registers().items():
            self._registers[address : address + len(content)] = content
        self._registers[_DATA : _DATA + 8] = b"\x80\0\0\x80\0\0\x80\0"
        self._hum = 0  # takes effect with the next write to ctrl_meas
        self._start_us: int | None = None
        self._done = 0
        self._smooth: list[float] | None = None

    def _oversampling(self) -> tuple[int, int, int]:
        measure = self._registers[_CTRL_MEAS]
        return _SAMPLES[measure >> 5], _SAMPLES[measure >> 2 & 7], _SAMPLES[self._hum & 7]

    def _measuring_us(self) -> int:
        """Typical time of one measurement (appendix 9.1)."""
        t, p, h = self._oversampling()
        return 1000 + 2000 * t + (2000 * p + 500 if p else 0) + (2000 * h + 500 if h else 0)

    def _cycle_us(self) -> int:
        return self._measuring_us() + _STANDBY_US[self._registers[_CONFIG] >> 5]

    def _measuring(self, now_us: int) -> bool:
        if self._start_us is None:
            return False
        since = now_us - self._start_us
        if self._registers[_CTRL_MEAS] & 3 == _NORMAL:
            since %= self._cycle_us()
        return 0 <= since < self._measuring_us()

    def _settle(self, now_us: int) -> None:
        if self._start_us is None:
            return
        length = self._measuring_us()
        if self._registers[_CTRL_MEAS] & 3 != _NORMAL:
            if now_us >= self._start_us + length:
                self._measure(self._start_us + length)
                self._start_us = None
                self._registers[_CTRL_MEAS] &= ~3
            return
        cycle = self._cycle_us()
        complete = max(0, (now_us - self._start_us - length) // cycle + 1)
        # Of older measurements the filter remembers less than the last bit.
        first = max(self._done, complete - 20 * _FILTER[self._registers[_CONFIG] >> 2 & 7])
        for number in range(first, complete):
            self._measure(self._start_us + number * cycle + length)
        self._done = complete

    def _measure(self, now_us: int) -> None:
        t, p, h = self._oversampling()
        made = self._calibration
        noise = hashed(np.arange(3) + now_us * 3, self._seed)
        celsius, pascal, percent = (
            curve.at(now_us) + rms * float(n) / max(1, samples) ** 0.5
            for curve, rms, n, samples in zip(self._world, _NOISE, noise, (t, p, h), strict=True)
        )
        raw_t = _raw_for(celsius * 5120, made.t_fine, 20, True)
        fine = made.t_fine(raw_t)
        raw_p = _raw_for(pascal, lambda raw: made.pressure(raw, fine), 20, False)
        raw_h = _raw_for(percent, lambda raw: made.humidity(raw, fine), 16, True)
        share = 1 / _FILTER[self._registers[_CONFIG] >> 2 & 7]
        if share == 1 or self._smooth is None:
            self._smooth = [float(raw_t), float(raw_p)]
            # Without the filter the resolution is 16 bits and one more for each doubling of samples.
            drop_t, drop_p = (4 - (max(1, n).bit_length() - 1) if share == 1 else 0 for n in (t, p))
        else:
            old_t, old_p = self._smooth
            self._smooth = [old_t + (raw_t - old_t) * share, old_p + (raw_p - old_p) * share]
            drop_t = drop_p = 0
        raw_t = round(self._smooth[0]) >> drop_t << drop_t if t else 0x80000
        raw_p = round(self._smooth[1]) >> drop_p << drop_p if p else 0x80000
        raw_h = raw_h if h else 0x8000
        packed = (raw_p << 4).to_bytes(3, "big") + (raw_t << 4).to_bytes(3, "big") + raw_h.to_bytes(2, "big")
        self._registers[_DATA : _DATA + 8] = packed

    def current_ma(self, now_us: int) -> float:
        self._settle(now_us)
        if self._start_us is None:
            return _SLEEP_MA
        if not self._measuring(now_us):
            return _STANDBY_MA
        # The mean over a measurement, weighted by how long each quantity takes.
        t, p, h = self._oversampling()
        charge = 2 * (t * _TEMPERATURE_MA + p * _PRESSURE_MA + h * _HUMIDITY_MA)
        return charge * 1000 / self._measuring_us()

    def _fetch(self, register: int, now_us: int) -> int:
        if register == _STATUS:
            return 0x08 if self._measuring(now_us) else 0
        return self._registers[register]

    def _store(self, register: int, value: int, now_us: int) -> None:
        if register == _RESET and value == 0xB6:
            self.reset()
        elif register == _CTRL_HUM:
            self._registers[_CTRL_HUM] = value & 7
        elif register == _CONFIG:
            # Ignored in normal mode, as the data sheet warns it may be (section 5.4.6).
            if self._registers[_CTRL_MEAS] & 3 != _NORMAL:
                self._registers[_CONFIG] = value & 0xFD
        elif register == _CTRL_MEAS:
            self._registers[_CTRL_MEAS] = value
            self._hum = self._registers[_CTRL_HUM]
            self._start_us = None if value & 3 == _SLEEP else now_us
            self._done = 0

    def write(self, data: bytes, now_us: int) -> None:
        """Pairs of register and value; there is no auto-increment on writes (section 6.2.1)."""
        if not data:
            return
        self._settle(now_us)
        for at in range(0, len(data) - 1, 2):
            self._store(data[at], data[at + 1], now_us)
        self._pointer = data[-1] if len(data) % 2 else data[-2]
