"""STMicroelectronics LIS3DH on I2C or SPI.

Registers, rates, sensitivities and currents from the LIS3DH datasheet (DocID17530 rev. 2), the high-pass
filter and the roll-over of burst reads from application note AN3308, the noise density from the datasheet's
rev. 1. Not modelled: interrupt pin 2, the auxiliary ADC and its thermometer, self-test, 6D detection, the
reference mode of the filter, activity (sleep to wake); stream-to-FIFO mode acts as stream mode.
"""

from __future__ import annotations

import math
from collections import deque
from fractions import Fraction

import numpy as np

from cicada.tools.twin.sensors.accelerometer import Accelerometer, counts
from cicada.tools.twin.sensors.detect import HighPass, Runs, Taps
from cicada.tools.twin.sensors.motion import Motion

_WHO_AM_I, _CTRL0, _CTRL1, _CTRL2, _CTRL3, _CTRL4, _CTRL5, _CTRL6 = 0x0F, 0x1E, *range(0x20, 0x26)
_REFERENCE, _STATUS, _OUT, _OUT_END, _FIFO_CTRL, _FIFO_SRC = 0x26, 0x27, 0x28, 0x2D, 0x2E, 0x2F
_INT1_CFG, _INT1_SRC, _INT2_CFG, _INT2_SRC = 0x30, 0x31, 0x34, 0x35
_CLICK_CFG, _CLICK_SRC, _CLICK_THS, _TIME_LIMIT, _TIME_LATENCY, _TIME_WINDOW = range(0x38, 0x3E)
_READ_ONLY = {
    *range(0x07, 0x10),
    _STATUS,
    *range(_OUT, _OUT_END + 1),
    _FIFO_SRC,
    _INT1_SRC,
    _INT2_SRC,
    _CLICK_SRC,
}

#: Bits of CTRL_REG3: what drives pin INT1.
I1_CLICK, I1_IA1, I1_IA2, I1_ZYXDA, I1_WTM, I1_OVERRUN = 0x80, 0x40, 0x20, 0x10, 0x04, 0x02
_ACTIVE = 0x40  # IA of the source registers
_LEVELS = 32
_NEVER = 1 << 62  # samples in a row

_RATE = {1: 1, 2: 10, 3: 25, 4: 50, 5: 100, 6: 200, 7: 400, 8: 1620, 9: 1344}
_LOW_POWER, _NORMAL, _HIGH_RESOLUTION = range(3)
_BITS = (8, 10, 12)
# mg a digit by full scale, for low power, normal, high resolution (table 4).
_SENSITIVITY = ((16, 32, 64, 192), (4, 8, 16, 48), (1, 2, 4, 12))
_THRESHOLD_G = (0.016, 0.032, 0.062, 0.186)  # of one step of INT1_THS, by full scale
# Supply current by rate, uA (table 12).
_CURRENT_LOW = {1: 2, 10: 3, 25: 4, 50: 6, 100: 10, 200: 18, 400: 36, 1620: 100, 5376: 185}
_CURRENT = {1: 2, 10: 4, 25: 6, 50: 11, 100: 20, 200: 38, 400: 73, 1344: 185, 1620: 185}
_POWER_DOWN_UA = 0.5
_DENSITY = 220e-6  # g / sqrt(Hz)
_CUTOFF = (1 / 50, 1 / 100, 1 / 200, 1 / 400)  # of the filter by HPCF, as a share of the data rate


class _Generator:
    """One of the two inertial interrupt generators; its registers begin at ``base``."""

    def __init__(self, base: int) -> None:
        self.base = base
        self.run = Runs()
        self.source = 0

    def follow(self, registers: bytearray, g: np.ndarray, latch: bool) -> int | None:
        """Look at samples; returns the index at which the interrupt became active, if it did."""
        config, steps, duration = (registers[self.base + offset] for offset in (0, 2, 3))
        if not config & 0x3F:
            return None
        threshold = (steps & 0x7F) * _THRESHOLD_G[registers[_CTRL4] >> 4 & 3]
        high = np.abs(g) > threshold
        events = np.stack([~high, high], axis=2).reshape(-1, 6)  # XL XH YL YH ZL ZH
        wanted = np.flatnonzero([config >> bit & 1 for bit in range(6)])
        chosen = events[:, wanted]
        holds = chosen.all(axis=1) if config & 0x80 else chosen.any(axis=1)
        was = bool(self.source & _ACTIVE)
        index = self.run.first(holds, duration)
        if index is not None:
            self.run.first(holds[index + 1 :], _NEVER)
        active = holds[-1] and self.run.length >= max(duration, 1)
        if was and latch:
            return None
        at = index if latch and index is not None else len(g) - 1
        self.source = int((events[at] << np.arange(6)).sum())
        if active or (latch and index is not None):
            self.source |= _ACTIVE
        return None if was and index == 0 else index


class Lis3dh(Accelerometer):
    """The accelerometer; see the module for what it is made after. Its interrupt pin is INT1.

    Args:
        motion: what it feels.
        address: 0x18, or 0x19 with SA0 high.
        seed: of its noise.
    """

    spi_hz = 10_000_000  # table 6
    spi_modes = (0, 3)  # Adafruit's driver uses 0

    def __init__(self, motion: Motion, address: int = 0x18, seed: int = 1) -> None:
        super().__init__(address, motion, seed)
        self.reset()

    def reset(self) -> None:
        self._stop_clock()
        self._registers = bytearray(0x40)
        self._registers[_WHO_AM_I] = 0x33
        self._registers[_CTRL0] = 0x10
        self._registers[_CTRL1] = 0x07
        self._fifo: deque[bytes] = deque(maxlen=_LEVELS)
        self._newest = bytes(6)
        self._status = 0
        self._click, self._click_until = 0, 0
        self._begin_detection()

    def _begin_detection(self) -> None:
        self._generators = [_Generator(_INT1_CFG), _Generator(_INT2_CFG)]
        self._taps = Taps()
        self._filter: HighPass | None = None

    # Clock, filter, noise.

    def _mode(self) -> int:
        if self._registers[_CTRL1] & 0x08:
            return _LOW_POWER
        return _HIGH_RESOLUTION if self._registers[_CTRL4] & 0x08 else _NORMAL

    def _rate(self) -> Fraction | None:
        code = self._registers[_CTRL1] >> 4
        if code == 9 and self._mode() == _LOW_POWER:
            return Fraction(5376)
        return Fraction(_RATE[code]) if code in _RATE else None

    def _delay_us(self, rate: Fraction) -> Fraction:
        samples = 7 if self._mode() == _HIGH_RESOLUTION else 1  # table 11
        return Fraction(samples * 1_000_000) / rate + 1000

    def _bandwidth(self) -> float:
        return float(self._running) / (9 if self._mode() == _HIGH_RESOLUTION else 2)

    def _noise_g(self) -> np.ndarray:
        return np.full(3, _DENSITY * math.sqrt(self._bandwidth() * math.pi / 2))

    def _watching(self) -> bool:
        r = self._registers
        return bool((r[_INT1_CFG] | r[_INT2_CFG] | r[_CLICK_CFG]) & 0x3F or r[_CTRL2] & 0x08)

    def current_ma(self, now_us: int) -> float:
        rate = self._rate()
        if rate is None:
            return _POWER_DOWN_UA / 1000
        return (_CURRENT_LOW if self._mode() == _LOW_POWER else _CURRENT)[int(rate)] / 1000

    # Samples.

    def _take(self, times: np.ndarray, g: np.ndarray) -> None:
        r = self._registers
        mode = self._mode()
        bits = _BITS[mode]
        per_g = 1000 / _SENSITIVITY[mode][r[_CTRL4] >> 4 & 3]
        digits = self._digits(g, per_g, bits)
        if self._watching():
            clean = digits / per_g
            filtered = self._high_pass(clean) if r[_CTRL2] & 0x0F else clean
            self._detect(times, clean, filtered)
            if r[_CTRL2] & 0x08:
                digits = self._digits(filtered, per_g, bits)
        raw = digits << (16 - bits)
        count = len(times)
        self._status = 0xFF if count > 1 or self._status & 0x08 else 0x0F
        self._newest = raw[-1].astype("<i2").tobytes()
        if self._registers[_CTRL3] & I1_ZYXDA:
            self._mark(times[0])
        fifo_mode = r[_FIFO_CTRL] >> 6
        if not r[_CTRL5] & 0x40 or fifo_mode == 0:
            return
        before = len(self._fifo)
        fresh = raw[: _LEVELS - before] if fifo_mode == 1 else raw[-_LEVELS:]
        packed = fresh.astype("<i2").tobytes()
        self._fifo.extend(packed[at : at + 6] for at in range(0, len(packed), 6))
        for bit, need in ((I1_WTM, max(1, r[_FIFO_CTRL] & 31)), (I1_OVERRUN, _LEVELS)):
            if r[_CTRL3] & bit and before < need <= before + count:
                self._mark(times[need - before - 1])

    def _digits(self, g: np.ndarray, per_g: float, bits: int) -> np.ndarray:
        enabled = np.array([self._registers[_CTRL1] >> axis & 1 for axis in range(3)])
        return counts(g, per_g, -(1 << (bits - 1)), (1 << (bits - 1)) - 1) * enabled

    def _high_pass(self, g: np.ndarray) -> np.ndarray:
        share = _CUTOFF[self._registers[_CTRL2] >> 4 & 3]
        if self._filter is None or self._filter.cutoff != share:
            self._filter = HighPass(share)
        return self._filter.run(g)

    # Detection.

    def _detect(self, times: np.ndarray, clean: np.ndarray, filtered: np.ndarray) -> None:
        r = self._registers
        for number, generator in enumerate(self._generators):
            latch = bool(r[_CTRL5] & (0x08, 0x02)[number])
            index = generator.follow(r, filtered if r[_CTRL2] >> number & 1 else clean, latch)
            if index is not None and r[_CTRL3] & (I1_IA1, I1_IA2)[number]:
                self._mark(times[index])
        if r[_CLICK_CFG] & 0x3F:
            self._detect_clicks(times, filtered if r[_CTRL2] & 0x04 else clean)

    def _detect_clicks(self, times: np.ndarray, g: np.ndarray) -> None:
        r = self._registers
        config = r[_CLICK_CFG]
        threshold = (r[_CLICK_THS] & 0x7F) * (2 << (r[_CTRL4] >> 4 & 3)) / 128
        over = (np.abs(g) > threshold) & np.array([config >> 2 * axis & 3 for axis in range(3)], bool)
        step = 1e6 / float(self._running)
        limits = [r[register] * step for register in (_TIME_LIMIT, _TIME_LATENCY, _TIME_WINDOW)]
        for time, second in self._taps.run(times, over.any(axis=1), *limits):
            kind = (0x20 if second and config & 0x2A else 0) | (0x10 if config & 0x15 else 0)
            if not kind:
                continue
            last = max(0, int(np.searchsorted(times, time)) - 1)
            axes = over[last]
            negative = 0x08 if g[last][axes].sum() < 0 else 0
            if not self._clicked(time) and r[_CTRL3] & I1_CLICK:
                self._mark(time)
            self._click = _ACTIVE | kind | negative | int((axes << np.arange(3)).sum())
            self._click_until = time + limits[1]

    def _clicked(self, now_us: int) -> bool:
        latched = self._registers[_CLICK_THS] & 0x80
        return bool(self._click & _ACTIVE and (latched or now_us < self._click_until))

    # Registers.

    def _fifo_source(self) -> int:
        level = len(self._fifo)
        watermark = level >= max(1, self._registers[_FIFO_CTRL] & 31)
        full, empty = level == _LEVELS, level == 0
        return watermark << 7 | full << 6 | empty << 5 | min(level, 31)

    def _asserted(self, now_us: int) -> bool:
        r = self._registers
        fifo = self._fifo_source()
        state = I1_CLICK if self._clicked(now_us) else 0
        state |= I1_IA1 if self._generators[0].source & _ACTIVE else 0
        state |= I1_IA2 if self._generators[1].source & _ACTIVE else 0
        state |= I1_ZYXDA if self._status & 0x08 else 0
        state |= I1_WTM if fifo & 0x80 else 0
        state |= I1_OVERRUN if fifo & 0x40 else 0
        return bool(state & r[_CTRL3])

    def _active_high(self) -> bool:
        return not self._registers[_CTRL6] & 0x02

    def _after(self, register: int) -> int:
        # Bit 7 of the sub-address asks for auto-increment; a burst from a FIFO rolls over to its next sample.
        if not register & 0x80:
            return register
        if register & 0x7F == _OUT_END and self._registers[_CTRL5] & 0x40:
            return 0x80 | _OUT
        return 0x80 | (register + 1)

    def point_at(self, register: int, many: bool) -> None:
        super().point_at(register | 0x80 * many, many)  # where I2C asks for auto-increment

    def _fetch(self, register: int, now_us: int) -> int:
        register &= 0x7F
        r = self._registers
        if register >= len(r):
            return 0
        if _OUT <= register <= _OUT_END:
            return self._output(register - _OUT)
        if register == _STATUS:
            return self._status
        if register == _FIFO_SRC:
            return self._fifo_source()
        if register == _REFERENCE and self._filter:
            self._filter.reset()
        for number, source in enumerate((_INT1_SRC, _INT2_SRC)):
            if register == source:
                generator = self._generators[number]
                value = generator.source
                if r[_CTRL5] & (0x08, 0x02)[number]:
                    generator.source = 0
                return value
        if register == _CLICK_SRC:
            value = self._click if self._clicked(now_us) else 0
            self._click = 0
            return value
        return r[register]

    def _output(self, at: int) -> int:
        value = (self._fifo[0] if self._fifo else self._newest)[at]
        if at & 1:  # the high byte read, the axis is read
            self._status &= ~(0x11 << (at >> 1))
            if not self._status & 0x07:
                self._status = 0
            elif not self._status & 0x70:
                self._status &= ~0x80
        if at == 5 and self._fifo:
            self._fifo.popleft()
        return value

    def _store(self, register: int, value: int, now_us: int) -> None:
        register &= 0x7F
        if register in _READ_ONLY or not _CTRL0 <= register < len(self._registers):
            return
        before = self._registers[register]
        if register == _CTRL5:
            value &= ~0x80  # BOOT clears itself
        self._registers[register] = value
        if register == _FIFO_CTRL and value >> 6 != before >> 6 or register == _CTRL5 and not value & 0x40:
            self._fifo.clear()
        if value != before and register in (_CTRL1, _CTRL2, _CTRL4, *range(_INT1_CFG, _TIME_WINDOW + 1)):
            self._begin_detection()
        self._retime(now_us)
