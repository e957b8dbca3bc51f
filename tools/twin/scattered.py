"""Sound of days and weeks: recordings scattered over a time too long to mix beforehand."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from cicada.tools.twin.sound import RATE, Envelope, Microphone, Played


class Scattered:
    """As :class:`~cicada.tools.twin.sound.Sound`, but mixed when it is heard; its hiss repeats every second.

    Args:
        played: the recordings; they may overlap and are mixed, saturating. Recordings that share their
        samples
            share their memory.
        seconds: length; beyond it there is hiss.
        seed: of the hiss.
        microphone: what hears it.
    """

    def __init__(
        self,
        played: Sequence[Played],
        seconds: float,
        seed: int = 1,
        microphone: Microphone | None = None,
    ) -> None:
        self.played = sorted(played, key=lambda one: one.start)
        self.seconds = seconds
        microphone = microphone or Microphone()
        self._gain = microphone.gain
        room = np.random.default_rng(seed)
        self._hiss = room.normal(0, microphone.noise_rms, RATE) + microphone.offset
        self._starts = [int(one.start * RATE) for one in self.played]
        self._longest = max((len(one.pcm) for one in self.played), default=0)
        self._envelopes: dict[int, Envelope] = {}
        self._peak = float(np.abs(self._hiss).max()) + 1

    def samples(self, start: int, count: int) -> np.ndarray:
        """``count`` samples (int16) from sample ``start`` of virtual time on."""
        mix = self._hiss[np.arange(start, start + count) % RATE]
        for n in self._heard(start, start + count):
            first, pcm = self._starts[n], self.played[n].pcm
            low, high = max(first, start), min(first + len(pcm), start + count)
            mix[low - start : high - start] += pcm[low - first : high - first] * self._gain
        return np.clip(np.rint(mix), -32768, 32767).astype(np.int16)

    def quiet_until(self, level: int, start: int) -> int | None:
        """Up to which sample none from ``start`` on is beyond ``level`` counts either way; None for ever.

        It may be less than could be said, as blocks of samples are looked at, never more.
        """
        if self._peak > level:
            return start
        for n in range(bisect_left(self._starts, start - self._longest), len(self.played)):
            first, pcm = self._starts[n], self.played[n].pcm
            if first + len(pcm) <= start:
                continue
            others = [m for m in self._heard(first, first + len(pcm)) if m != n]
            rest = self._peak + sum(self._envelope(m).peak for m in others) * self._gain
            if rest > level:
                return max(first, start)
            loud = self._envelope(n).louder((level - rest) / self._gain, max(start - first, 0))
            if loud is not None:
                return first + loud
        return None

    def _heard(self, start: int, end: int) -> list[int]:
        """The recordings that sound between two samples."""
        first = bisect_left(self._starts, start - self._longest)
        last = bisect_left(self._starts, end)
        return [n for n in range(first, last) if self._starts[n] + len(self.played[n].pcm) > start]

    def _envelope(self, n: int) -> Envelope:
        pcm = self.played[n].pcm
        if id(pcm) not in self._envelopes:
            self._envelopes[id(pcm)] = Envelope(pcm)
        return self._envelopes[id(pcm)]
