"""Noise that depends only on a seed and a position: the same in whatever order it is asked for."""

from __future__ import annotations

import numpy as np

_BLOCK = 1024


class Noise:
    """Standard normal numbers by index, ``width`` of them at each.

    Args:
        key: two integers that name the sequence (a seed and, for instance, when it began).
        width: numbers at each index.
    """

    def __init__(self, key: tuple[int, int], width: int = 3) -> None:
        self._key = np.array([part & 0xFFFFFFFFFFFFFFFF for part in key], np.uint64)
        self._width = width
        self._number = -1
        self._values = np.empty((0, width))

    def _block(self, number: int) -> np.ndarray:
        if number != self._number:
            # Philox is counter-based: the second counter word jumps to a block without drawing those before.
            bits = np.random.Philox(key=self._key, counter=[0, number, 0, 0])
            self._values = np.random.Generator(bits).standard_normal((_BLOCK, self._width))
            self._number = number
        return self._values

    def take(self, first: int, count: int) -> np.ndarray:
        """Numbers at ``first`` to ``first + count - 1``, ``float64[count, width]``."""
        parts = []
        position, end = first, first + count
        while position < end:
            number, offset = divmod(position, _BLOCK)
            stop = min(_BLOCK, offset + end - position)
            parts.append(self._block(number)[offset:stop])
            position += stop - offset
        return np.concatenate(parts) if parts else np.empty((0, self._width))


def hashed(index: np.ndarray, seed: int) -> np.ndarray:
    """Numbers close to standard normal, one for each of the integers in ``index``, same shape.

    The sum of four uniform numbers cut from one 64-bit hash (splitmix64, Steele, Lea, Flood 2014); its tails
    end at 3.5, which no 16-bit sensor shows.
    """
    start = (seed * 0xD1342543DE82EF95) & 0xFFFFFFFFFFFFFFFF
    z = index.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(start)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    total = sum(((z >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.float64) for shift in (0, 16, 32, 48))
    return (total - 2 * 65535) * (np.sqrt(3) / 65536)
