"""What all accelerometers share: a sample clock in virtual time, a filter, noise, and the search for the next
interrupt."""

from __future__ import annotations

import copy
import math
from fractions import Fraction

import numpy as np

from cicada.tools.twin.sensors.i2c import RegisterDevice
from cicada.tools.twin.sensors.motion import Motion
from cicada.tools.twin.sensors.noise import Noise

_CHUNK = 4096
_POINTS = 16  # of the motion that make one sample


class Accelerometer(RegisterDevice):
    """Takes samples at its programmed data rate, whether somebody reads them or not.

    A sample is the mean of the motion over ``0.443 / bandwidth`` before it, whose -3 dB point is the
    bandwidth: a stand-in for the low-pass filter of the part. Its noise depends on the seed, the moment
    sampling began and the sample's number only.

    Args:
        address: on the bus.
        motion: what it feels.
        seed: of its noise.
    """

    #: As many samples as can still be seen when nobody looked for long.
    _keep = 64

    def __init__(self, address: int, motion: Motion, seed: int) -> None:
        super().__init__(address)
        self.motion = motion
        self._seed = seed
        self._stop_clock()

    # What a part tells about itself.

    def _rate(self) -> Fraction | None:
        """Samples per second as programmed; None while it does not measure."""
        raise NotImplementedError

    def _delay_us(self, rate: Fraction) -> Fraction:
        """From the start of measuring to the first sample, us."""
        return Fraction(1_000_000) / rate

    def _bandwidth(self) -> float | None:
        """-3 dB point of the low-pass filter, Hz; None for a momentary sample."""
        raise NotImplementedError

    def _noise_g(self) -> np.ndarray:
        """RMS of the noise on x, y, z, g."""
        raise NotImplementedError

    def _take(self, times: np.ndarray, g: np.ndarray) -> None:
        """Samples were taken at ``times`` (us): ``g[n, 3]``, n > 0, before quantisation."""
        raise NotImplementedError

    def _skip(self, count: int) -> None:
        """``count`` samples were taken that nothing can show any more."""

    def _watching(self) -> bool:
        """Whether every sample matters, not just the first and last :attr:`_keep`."""
        raise NotImplementedError

    def _asserted(self, now_us: int) -> bool:
        """Whether the interrupt pin is active."""
        raise NotImplementedError

    # The sample clock.

    def _stop_clock(self) -> None:
        self._running: Fraction | None = None
        self._start_us = 0
        self._taken = 0
        self._noise = Noise((self._seed, 0))
        self._edge: int | None = None

    def _retime(self, now_us: int) -> None:
        """Start the sample clock anew if the programmed rate has changed."""
        rate = self._rate()
        if rate != self._running:
            self._running = rate
            self._start_us = now_us
            self._taken = 0
            self._noise = Noise((self._seed, now_us))

    def _times(self, first: int, count: int) -> np.ndarray:
        """When samples ``first`` to ``first + count - 1`` of this clock are complete, us (rounded up)."""
        step = Fraction(1_000_000) / self._running
        begin = self._delay_us(self._running)
        common = math.lcm(step.denominator, begin.denominator)
        a, b = int(begin * common), int(step * common)
        index = np.arange(first, first + count, dtype=np.int64)
        return self._start_us - (-(a + b * index) // common)

    def _due(self, now_us: int) -> int:
        """How many samples are complete by ``now_us`` and not taken yet."""
        if self._running is None:
            return 0
        elapsed = now_us - self._start_us - self._delay_us(self._running)
        if elapsed < 0:
            return 0
        return max(0, math.floor(elapsed * self._running / 1_000_000) + 1 - self._taken)

    def _sense(self, first: int, times: np.ndarray) -> np.ndarray:
        """What the part measures at ``times``, g with noise, ``float64[n, 3]``."""
        bandwidth = self._bandwidth()
        span = 0 if bandwidth is None else 443_000 / bandwidth
        start = max(int(times[0] - span), 0)
        if span == 0 or self.motion.steady(start, int(times[-1])):
            felt = self.motion.values(times)
        else:
            back = np.rint((np.arange(_POINTS) + 0.5) * (span / _POINTS)).astype(np.int64)
            felt = self.motion.values(np.maximum(times[:, None] - back, 0)).mean(axis=1)
        return felt + self._noise.take(first, len(times)) * self._noise_g()

    def _advance(self, count: int) -> None:
        for position in range(0, count, _CHUNK):
            size = min(_CHUNK, count - position)
            times = self._times(self._taken, size)
            g = self._sense(self._taken, times)
            self._taken += size
            self._take(times, g)

    def _settle(self, now_us: int) -> None:
        due = self._due(now_us)
        between = due - 2 * self._keep
        if between > 0 and not self._watching():
            self._advance(self._keep)
            self._taken += between
            self._skip(between)
            due = self._keep
        self._advance(due)

    # Interrupts.

    def _mark(self, time: int) -> None:
        """The interrupt pin became active at ``time``."""
        if self._edge is None or time < self._edge:
            self._edge = int(time)

    def _clone(self) -> Accelerometer:
        """A copy that shares the world but not the state."""
        memo = {id(shared): shared for shared in self._shared()}
        return copy.deepcopy(self, memo)

    def _shared(self) -> list[object]:
        """What belongs to the world."""
        return [self.motion]

    def next_interrupt(self, after_us: int, until_us: int) -> int | None:
        ahead = self._clone()
        ahead._settle(after_us)
        if ahead._asserted(after_us):
            return after_us
        ahead._edge = None
        while (due := ahead._due(until_us)) > 0:
            if due > 2 * ahead._keep and not ahead._watching():
                ahead._settle(until_us)
            else:
                ahead._advance(min(due, _CHUNK))
            if ahead._edge is not None:
                return ahead._edge
        return None

    def _active_high(self) -> bool:
        """Polarity of the interrupt pin as programmed."""
        return True

    def interrupt_level(self, now_us: int) -> int:
        self._settle(now_us)
        return int(self._asserted(now_us) == self._active_high())


def counts(g: np.ndarray, per_g: float | np.ndarray, low: int, high: int) -> np.ndarray:
    """Quantise to integers of ``per_g`` to the g, saturating at ``low`` and ``high``, ``int32``."""
    return np.clip(np.rint(g * per_g), low, high).astype(np.int32)
