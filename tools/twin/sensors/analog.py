"""Slow quantities by virtual time, and the ADC of the ESP32 that reads voltages."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from cicada.tools.twin.sensors.noise import hashed

#: ``machine.ADC.ATTN_0DB`` to ``ATTN_11DB``.
ATTN_0DB, ATTN_2_5DB, ATTN_6DB, ATTN_11DB = range(4)

# ADC1 of the ESP32, mV = raw * vref * scale / 65536 / 4096 + offset, by attenuation, and above raw 2880 at
# 11 dB a table of mV every 64 counts for a vref of 1000 and of 1200 mV (ESP-IDF,
# components/esp_adc/esp32/adc_cali_line_fitting.c).
_SCALE = (57431, 76236, 105481, 196602)
_OFFSET = (75, 78, 107, 142)
_BENT_FROM, _BENT_STEP = 2880, 64
_BENT_1000 = (2240, 2297, 2352, 2405, 2457, 2512, 2564, 2616, 2664, 2709)
_BENT_1000 += (2754, 2795, 2832, 2868, 2903, 2937, 2969, 3000, 3030, 3060)
_BENT_1200 = (2667, 2706, 2745, 2780, 2813, 2844, 2873, 2901, 2928, 2956)
_BENT_1200 += (2982, 3006, 3032, 3059, 3084, 3110, 3135, 3160, 3184, 3209)


class Curve:
    """A value by virtual time: straight lines between points, level before the first and after the last.

    Args:
        points: (us, value), times ascending.

    Raises:
        ValueError: no points, or times that do not ascend.
    """

    def __init__(self, points: Sequence[tuple[int, float]]) -> None:
        self._times = [int(time) for time, _ in points]
        self._values = [float(value) for _, value in points]
        if not points or any(b <= a for a, b in zip(self._times, self._times[1:], strict=False)):
            raise ValueError("a curve needs points with ascending times")

    @classmethod
    def constant(cls, value: float) -> Curve:
        """The same value at all times."""
        return cls([(0, value)])

    def at(self, us: int) -> float:
        """The value at one moment."""
        after = bisect_right(self._times, us)
        if after == 0:
            return self._values[0]
        if after == len(self._times):
            return self._values[-1]
        (t0, t1), (v0, v1) = self._times[after - 1 : after + 1], self._values[after - 1 : after + 1]
        return v0 + (v1 - v0) * (us - t0) / (t1 - t0)


def millivolts(attenuation: int, vref_mv: int = 1100) -> np.ndarray:
    """What each raw reading stands for, ``float64[4096]`` in mV.

    Args:
        attenuation: ATTN_0DB to ATTN_11DB.
        vref_mv: the chip's reference, 1000 to 1200.

    Raises:
        ValueError: an argument is out of range.
    """
    if attenuation not in range(4) or not 1000 <= vref_mv <= 1200:
        raise ValueError("attenuation is 0 to 3 and vref_mv 1000 to 1200")
    raw = np.arange(4096)
    straight = raw * (vref_mv * _SCALE[attenuation] / 65536 / 4096) + _OFFSET[attenuation]
    if attenuation != ATTN_11DB:
        return straight
    part = (vref_mv - 1000) / 200
    table = np.array(_BENT_1000) * (1 - part) + np.array(_BENT_1200) * part
    bent = np.interp(raw, _BENT_FROM + _BENT_STEP * np.arange(len(table)), table)
    # Over the first 64 counts ESP-IDF goes from the line to the table.
    share = np.clip((raw - _BENT_FROM) / _BENT_STEP, 0, 1)
    return straight * (1 - share) + bent * share


class Adc:
    """One ADC pin of the ESP32: raw readings of a voltage in the world.

    Like the chip it cannot see the lowest 75 to 142 mV, saturates at about 1.0, 1.4, 2.0 and 3.1 V by
    attenuation, and is bent near the top at 11 dB.

    Args:
        voltage: of the source, V by virtual time.
        ratio: of the divider before the pin, ``R2 / (R1 + R2)``; 1 without one.
        noise_counts: RMS of the noise.
        vref_mv: the chip's reference.
        seed: of the noise; the same moment gives the same reading.

    Raises:
        ValueError: ``ratio`` is not within 0 and 1.
    """

    def __init__(
        self,
        voltage: Curve,
        ratio: float = 1.0,
        noise_counts: float = 4.0,
        vref_mv: int = 1100,
        seed: int = 1,
    ) -> None:
        if not 0 < ratio <= 1:
            raise ValueError("a divider's ratio lies between 0 and 1")
        self._voltage, self._ratio = voltage, ratio
        self._noise, self._seed = noise_counts, seed
        self._tables = [millivolts(attenuation, vref_mv) for attenuation in range(4)]

    def raw(self, now_us: int, attenuation: int) -> int:
        """A 12-bit reading (``machine.ADC.read``).

        Raises:
            ValueError: ``attenuation`` is not 0 to 3.
        """
        if attenuation not in range(4):
            raise ValueError("attenuation is 0 to 3")
        table = self._tables[attenuation]
        ideal = np.interp(self._voltage.at(now_us) * 1000 * self._ratio, table, np.arange(4096.0))
        noise = self._noise * hashed(np.array([now_us]), self._seed)[0]
        return int(min(max(np.rint(ideal + noise), 0), 4095))

    def microvolts(self, now_us: int, attenuation: int) -> int:
        """The same reading as the chip's calibration turns it into microvolts (``machine.ADC.read_uv``):
        whole millivolts, times 1000.

        Raises:
            ValueError: ``attenuation`` is not 0 to 3.
        """
        return round(self._tables[attenuation][self.raw(now_us, attenuation)]) * 1000


def u16(raw: int) -> int:
    """``machine.ADC.read_u16`` of a 12-bit reading (MicroPython: the reading's top bits repeated below)."""
    return raw << 4 | raw >> 8
