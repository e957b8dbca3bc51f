"""What the twin's microphone hears: recordings laid out in virtual time over the hiss of a quiet room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RATE = 16_000
#: RMS of the hiss, in counts of a 16-bit sample (about -60 dBFS: a quiet room on an INMP441).
ROOM_RMS = 30.0


@dataclass(frozen=True)
class Played:
    """One recording: ``pcm`` (int16, 16 kHz) starts at ``start`` seconds; ``word`` is what it says."""

    start: float
    pcm: np.ndarray
    word: str = ""
    path: Path | None = None

    @property
    def end(self) -> float:
        """When the recording ends, s."""
        return self.start + len(self.pcm) / RATE


class Sound:
    """Sound by virtual time.

    Args:
        played: the recordings; they may overlap and are mixed, saturating.
        seconds: length; what lies beyond it is room hiss, or the beginning again with ``loop``.
        loop: whether to start over.
        seed: of the hiss.
    """

    def __init__(self, played: Sequence[Played], seconds: float, loop: bool = False, seed: int = 1) -> None:
        self.played = list(played)
        self.seconds = seconds
        self._loop = loop
        room = np.random.default_rng(seed)
        mix = room.normal(0, ROOM_RMS, max(int(seconds * RATE), RATE))
        self._hiss = np.rint(mix[:RATE]).astype(np.int16)
        for one in self.played:
            start = int(one.start * RATE)
            stop = min(start + len(one.pcm), len(mix))
            mix[start:stop] += one.pcm[: max(stop - start, 0)]
        self.pcm = np.clip(np.rint(mix), -32768, 32767).astype(np.int16)

    def samples(self, start: int, count: int) -> np.ndarray:
        """``count`` samples (int16) from sample ``start`` of virtual time on."""
        index = np.arange(start, start + count)
        if self._loop:
            return self.pcm[index % len(self.pcm)]
        inside = index < len(self.pcm)
        return np.where(inside, self.pcm[np.minimum(index, len(self.pcm) - 1)], self._hiss[index % RATE])
