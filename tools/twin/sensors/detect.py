"""Detectors that accelerometers have in hardware: taps, how long a condition holds, high-pass filters."""

from __future__ import annotations

import math

import numpy as np


class HighPass:
    """First-order high-pass filter on three axes, one step a sample.

    ``y[n] = a (y[n-1] + x[n] - x[n-1])`` with ``a = 1 / (1 + 2 pi cutoff / rate)``, the RC filter in backward
    differences.

    Args:
        cutoff: -3 dB point as a share of the sample rate.
    """

    def __init__(self, cutoff: float) -> None:
        self.cutoff = cutoff
        self._a = 1 / (1 + 2 * math.pi * cutoff)
        self._x: list[float] | None = None
        self._y = [0.0, 0.0, 0.0]

    def reset(self) -> None:
        """Take the next sample for the resting value."""
        self._x = None

    def run(self, g: np.ndarray) -> np.ndarray:
        """Filter ``float64[n, 3]``, n > 0; state is kept from call to call."""
        if self._x is None:
            self._x, self._y = g[0].tolist(), [0.0, 0.0, 0.0]
        a, (x0, y0, z0), (u, v, w) = self._a, self._x, self._y
        out = []
        for x, y, z in g.tolist():
            u, v, w = a * (u + x - x0), a * (v + y - y0), a * (w + z - z0)
            x0, y0, z0 = x, y, z
            out.append((u, v, w))
        self._x, self._y = [x0, y0, z0], [u, v, w]
        return np.array(out)


class Runs:
    """Finds when a condition has held for a number of samples in a row."""

    def __init__(self) -> None:
        self.length = 0

    def first(self, holds: np.ndarray, needed: int) -> int | None:
        """Index in ``holds`` (bool[n]) at which the run, begun perhaps earlier, reaches ``needed`` samples.

        Afterwards :attr:`length` is the run at that index, or at the end where it was not reached.
        """
        needed = max(needed, 1)
        start = 0
        for stop in [*np.flatnonzero(~holds).tolist(), len(holds)]:
            if stop > start and self.length + stop - start >= needed:
                index = max(start, start + needed - self.length - 1)
                self.length += index - start + 1
                return index
            self.length = 0 if stop < len(holds) else self.length + stop - start
            start = stop + 1
        return None


class Taps:
    """Single and double taps.

    A tap is a pulse above the threshold that ends within ``duration``. It is the second of a double tap when
    it begins within ``window`` after ``latency`` has passed since the end of the first. Times in us.
    """

    def __init__(self) -> None:
        self._began: int | None = None
        self._first_end: int | None = None

    def run(
        self, times: np.ndarray, above: np.ndarray, duration: float, latency: float, window: float
    ) -> list[tuple[int, bool]]:
        """Follow ``above`` (bool[n]) at ``times``; returns (end of a tap, whether it is a second one)."""
        found: list[tuple[int, bool]] = []
        before = np.concatenate(([self._began is not None], above[:-1]))
        for index in np.flatnonzero(above != before):
            time = int(times[index])
            if above[index]:
                self._began = time
                continue
            began, self._began = self._began, None
            if time - began >= duration:
                self._first_end = None
                continue
            first = self._first_end
            second = (
                first is not None and latency > 0 and first + latency <= began <= first + latency + window
            )
            # A second pulse during the latency is ringing of the first: it neither counts nor starts anew.
            if second:
                self._first_end = None
            elif first is None or began > first + latency:
                self._first_end = time
            found.append((time, second))
        return found
