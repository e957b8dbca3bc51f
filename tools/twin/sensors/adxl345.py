"""Analog Devices ADXL345 on I2C or SPI.

Registers, rates, scales, currents and noise from the ADXL345 data sheet, rev. E. Not modelled: self-test,
auto-sleep, trigger mode of the FIFO (it acts as stream mode). Taps and free fall are looked for in the output
samples; the part looks at 3200 Hz.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction

import numpy as np

from cicada.tools.twin.sensors.accelerometer import Accelerometer, counts
from cicada.tools.twin.sensors.detect import Runs, Taps
from cicada.tools.twin.sensors.motion import Motion

_DEVID, _THRESH_TAP, _OFSX, _DUR, _LATENT, _WINDOW = 0x00, 0x1D, 0x1E, 0x21, 0x22, 0x23
_THRESH_ACT, _THRESH_INACT, _TIME_INACT, _ACT_INACT_CTL = 0x24, 0x25, 0x26, 0x27
_THRESH_FF, _TIME_FF, _TAP_AXES, _ACT_TAP_STATUS = 0x28, 0x29, 0x2A, 0x2B
_BW_RATE, _POWER_CTL, _INT_ENABLE, _INT_MAP, _INT_SOURCE = 0x2C, 0x2D, 0x2E, 0x2F, 0x30
_DATA_FORMAT, _DATA, _DATA_END, _FIFO_CTL, _FIFO_STATUS = 0x31, 0x32, 0x37, 0x38, 0x39
_READ_ONLY = {_DEVID, _ACT_TAP_STATUS, _INT_SOURCE, *range(_DATA, _DATA_END + 1), _FIFO_STATUS}

DATA_READY, SINGLE_TAP, DOUBLE_TAP, ACTIVITY = 0x80, 0x40, 0x20, 0x10
INACTIVITY, FREE_FALL, WATERMARK, OVERRUN = 0x08, 0x04, 0x02, 0x01

_LEVELS = 32
_G_PER_THRESHOLD = 0.0625
# Supply current by rate code, uA (tables 7 and 8; 2.5 V).
_CURRENT = (23, 23, 23, 23, 34, 40, 45, 50, 60, 90, 140, 140, 140, 140, 90, 140)
_CURRENT_LOW_POWER = {7: 34, 8: 40, 9: 45, 10: 50, 11: 60, 12: 90}
_STANDBY_UA = 0.1
_NEVER = 1 << 62  # samples in a row
# RMS noise in counts of 3.9 mg (table 1 and "noise performance"): at 100 Hz and below, growing with the
# square root of the rate above; the same at all rates in low power mode.
_NOISE_AT_100HZ = np.array([0.75, 0.75, 1.1]) / 256
_NOISE_LOW_POWER = np.array([1.8, 1.8, 2.6]) / 256


class Adxl345(Accelerometer):
    """The accelerometer; see the module for what it is made after.

    Args:
        motion: what it feels.
        address: 0x53, or 0x1D with ALT ADDRESS high.
        seed: of its noise.
        pin: which of its interrupt pins is wired to the chip, 1 or 2.
    """

    spi_hz = 5_000_000  # table 9

    def __init__(self, motion: Motion, address: int = 0x53, seed: int = 1, pin: int = 1) -> None:
        super().__init__(address, motion, seed)
        if pin not in (1, 2):
            raise ValueError("an ADXL345 has interrupt pins 1 and 2")
        self._pin = pin
        self.reset()

    def reset(self) -> None:
        self._stop_clock()
        self._registers = bytearray(0x3A)
        self._registers[_DEVID] = 0xE5
        self._registers[_BW_RATE] = 0x0A
        self._latched = 0
        self._fifo: deque[bytes] = deque(maxlen=_LEVELS)
        self._newest = bytes(6)
        self._unread = self._overrun = self._touched = False
        self._begin_detection()

    def _begin_detection(self) -> None:
        self._taps, self._falling, self._quiet = Taps(), Runs(), Runs()
        self._reference: list[float] | None = None
        self._still: list[float] | None = None
        self._awaiting_inactivity = False

    # Clock, filter, noise.

    def _rate(self) -> Fraction | None:
        power = self._registers[_POWER_CTL]
        if not power & 0x08:
            return None
        if power & 0x04:  # sleep: 8, 4, 2 or 1 readings a second
            return Fraction(8 >> (power & 3))
        return Fraction(3200, 1 << (15 - (self._registers[_BW_RATE] & 15)))

    def _delay_us(self, rate: Fraction) -> Fraction:
        return Fraction(1_000_000) / rate + 1100  # turn-on time, table 1, note 5

    def _bandwidth(self) -> float:
        return float(self._running) / 2

    def _noise_g(self) -> np.ndarray:
        if self._registers[_BW_RATE] & 0x10:
            return _NOISE_LOW_POWER
        return _NOISE_AT_100HZ * max(1.0, float(self._running) / 100) ** 0.5

    def _watching(self) -> bool:
        return bool(self._registers[_INT_ENABLE] & 0x7C)

    def current_ma(self, now_us: int) -> float:
        if not self._registers[_POWER_CTL] & 0x08:
            return _STANDBY_UA / 1000
        if self._registers[_POWER_CTL] & 0x04:
            return _CURRENT_LOW_POWER[7] / 1000  # no figure in the data sheet: that of its slowest low power
        code = self._registers[_BW_RATE] & 15
        low = _CURRENT_LOW_POWER if self._registers[_BW_RATE] & 0x10 else {}
        return low.get(code, _CURRENT[code]) / 1000

    # Samples.

    def _take(self, times: np.ndarray, g: np.ndarray) -> None:
        form = self._registers[_DATA_FORMAT]
        span = form & 3
        offsets = np.frombuffer(self._registers, np.int8, 3, _OFSX) * 0.0156
        g = g + offsets
        bits, per_g = (10 + span, 256) if form & 0x08 else (10, 256 >> span)
        raw = counts(g, per_g, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)
        if self._watching():
            self._detect(times, raw / per_g)
        if form & 0x04:
            raw = raw << (16 - bits)
        packed = raw[-_LEVELS * 2 :].astype("<i2").tobytes() if self._streaming() else None
        self._buffer(times, raw, packed)

    def _streaming(self) -> bool:
        return self._registers[_FIFO_CTL] >> 6 in (2, 3)

    def _buffer(self, times: np.ndarray, raw: np.ndarray, newest: bytes | None) -> None:
        count, mode = len(times), self._registers[_FIFO_CTL] >> 6
        last = raw[-1].astype("<i2").tobytes()
        if mode == 0:
            before = int(self._unread)
            self._overrun |= before + count > 1
            self._newest, self._unread = last, True
            self._filling(times, before, 1)
            return
        before = len(self._fifo)
        if mode == 1:
            fresh = raw[: _LEVELS - before].astype("<i2").tobytes()
        else:
            fresh = newest
        self._fifo.extend(fresh[at : at + 6] for at in range(0, len(fresh), 6))
        self._overrun |= before + count >= _LEVELS
        self._filling(times, before, _LEVELS - 1)

    def _filling(self, times: np.ndarray, before: int, room: int) -> None:
        """Mark the pin for what the arrival of samples at ``times`` sets, ``before`` being there already."""
        needs = {DATA_READY: 1, OVERRUN: room + 1, WATERMARK: max(1, self._registers[_FIFO_CTL] & 31)}
        for bit, need in needs.items():
            if bit == WATERMARK and room == 1:
                continue
            if self._pins(bit) and before < need <= before + len(times):
                self._mark(times[need - before - 1])

    def _skip(self, count: int) -> None:
        if self._registers[_FIFO_CTL] >> 6 == 0:
            self._overrun = True

    # Detection.

    def _set(self, bit: int, time: int) -> None:
        if self._registers[_INT_ENABLE] & bit:
            if not self._latched & bit and self._pins(bit):
                self._mark(time)
            self._latched |= bit

    def _detect(self, times: np.ndarray, g: np.ndarray) -> None:
        r = self._registers
        enabled = r[_INT_ENABLE]
        if enabled & (SINGLE_TAP | DOUBLE_TAP) and r[_DUR]:
            self._detect_taps(times, g)
        if enabled & FREE_FALL:
            needed = _samples(r[_TIME_FF] * 5000, self._running)
            low = (np.abs(g) < r[_THRESH_FF] * _G_PER_THRESHOLD).all(axis=1)
            index = self._falling.first(low, needed)
            if index is not None:
                self._set(FREE_FALL, times[index])
                self._falling.first(low[index + 1 :], _NEVER)
        if enabled & (ACTIVITY | INACTIVITY):
            self._detect_activity(times, g)

    def _detect_taps(self, times: np.ndarray, g: np.ndarray) -> None:
        r = self._registers
        axes = np.array([r[_TAP_AXES] & 4, r[_TAP_AXES] & 2, r[_TAP_AXES] & 1], bool)
        over = (np.abs(g) > r[_THRESH_TAP] * _G_PER_THRESHOLD) & axes
        above = over.any(axis=1)
        for time, second in self._taps.run(times, above, r[_DUR] * 625, r[_LATENT] * 1250, r[_WINDOW] * 1250):
            self._set(SINGLE_TAP, time)
            if second:
                self._set(DOUBLE_TAP, time)
            hit = over[max(0, int(np.searchsorted(times, time)) - 1)]
            self._status(hit, 0)

    def _status(self, hit: np.ndarray, shift: int) -> None:
        bits = (int(hit[0]) << 2 | int(hit[1]) << 1 | int(hit[2])) << shift
        kept = self._registers[_ACT_TAP_STATUS] & ~(7 << shift)
        self._registers[_ACT_TAP_STATUS] = kept | bits

    def _detect_activity(self, times: np.ndarray, g: np.ndarray) -> None:
        r = self._registers
        link = r[_POWER_CTL] & 0x20 and r[_INT_ENABLE] & ACTIVITY and r[_INT_ENABLE] & INACTIVITY
        position = 0
        while position < len(times):
            if not link:
                self._find_activity(times, g)
                self._find_inactivity(times, g)
                return
            find = self._find_inactivity if self._awaiting_inactivity else self._find_activity
            index = find(times[position:], g[position:])
            if index is None:
                return
            position += index + 1
            self._awaiting_inactivity = not self._awaiting_inactivity
            self._reference, self._still = g[position - 1].tolist(), None
            self._quiet = Runs()

    def _find_activity(self, times: np.ndarray, g: np.ndarray) -> int | None:
        control = self._registers[_ACT_INACT_CTL]
        axes = np.array([control & 0x40, control & 0x20, control & 0x10], bool)
        if not self._registers[_INT_ENABLE] & ACTIVITY or not axes.any():
            return None
        if control & 0x80:  # ac: against the acceleration at the start
            if self._reference is None:
                self._reference = g[0].tolist()
            g = g - self._reference
        over = (np.abs(g) > self._registers[_THRESH_ACT] * _G_PER_THRESHOLD) & axes
        hits = np.flatnonzero(over.any(axis=1))
        if not len(hits):
            return None
        index = int(hits[0])
        if not self._latched & ACTIVITY:
            self._status(over[index], 4)
        self._set(ACTIVITY, times[index])
        return index

    def _find_inactivity(self, times: np.ndarray, g: np.ndarray) -> int | None:
        control = self._registers[_ACT_INACT_CTL]
        axes = [axis for axis in range(3) if control & (4 >> axis)]
        if not self._registers[_INT_ENABLE] & INACTIVITY or not axes:
            return None
        limit = self._registers[_THRESH_INACT] * _G_PER_THRESHOLD
        if control & 0x08:  # ac: the reference follows whatever exceeds the threshold
            quiet = self._near_reference(g[:, axes].tolist(), limit)
        else:
            quiet = (np.abs(g[:, axes]) < limit).all(axis=1)
        seconds = self._registers[_TIME_INACT] * 1_000_000
        index = self._quiet.first(quiet, _samples(seconds, self._running))
        if index is not None:
            self._set(INACTIVITY, times[index])
            self._quiet.first(quiet[index + 1 :], _NEVER)
        return index

    def _near_reference(self, rows: list[list[float]], limit: float) -> np.ndarray:
        quiet = []
        still = self._still
        for row in rows:
            near = still is not None and all(abs(a - b) < limit for a, b in zip(row, still, strict=True))
            if not near:
                still = row
            quiet.append(near)
        self._still = still
        return np.array(quiet)

    # Registers.

    def _sources(self) -> int:
        bypass = self._registers[_FIFO_CTL] >> 6 == 0
        level = 0 if bypass else len(self._fifo)
        ready = self._unread if bypass else level > 0
        watermark = level >= self._registers[_FIFO_CTL] & 31
        return self._latched | ready * DATA_READY | watermark * WATERMARK | self._overrun * OVERRUN

    def _pins(self, bits: int) -> int:
        mapped = self._registers[_INT_MAP]
        return bits & self._registers[_INT_ENABLE] & (mapped if self._pin == 2 else ~mapped)

    def _asserted(self, now_us: int) -> bool:
        return bool(self._pins(self._sources()))

    def _active_high(self) -> bool:
        return not self._registers[_DATA_FORMAT] & 0x20

    def _fetch(self, register: int, now_us: int) -> int:
        if _DATA <= register <= _DATA_END:
            self._touched = True
            values = self._fifo[0] if self._fifo else self._newest
            return values[register - _DATA]
        if register == _INT_SOURCE:
            sources, self._latched = self._sources(), 0
            return sources
        if register == _FIFO_STATUS:
            return len(self._fifo)
        return self._registers[register] if register < len(self._registers) else 0

    def _read_done(self) -> None:
        # A FIFO entry leaves when its registers have been read in one transfer.
        if self._touched:
            if self._fifo:
                self._newest = self._fifo.popleft()
            self._unread = self._overrun = self._touched = False

    def _store(self, register: int, value: int, now_us: int) -> None:
        if register in _READ_ONLY or not _THRESH_TAP <= register <= _FIFO_CTL:
            return
        before = self._registers[register]
        self._registers[register] = value
        if register == _FIFO_CTL and value >> 6 != before >> 6:
            self._fifo.clear()
            self._overrun = self._unread = False
        if register in (_INT_ENABLE, _ACT_INACT_CTL, _POWER_CTL):
            self._begin_detection()
        self._retime(now_us)


def _samples(us: int, rate: Fraction) -> int:
    """Samples at ``rate`` that fill ``us``, at least one."""
    return max(1, -(-us * rate.numerator // (rate.denominator * 1_000_000)))
