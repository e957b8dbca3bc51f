"""Training batches: strips cut at random shifts, masked.

A strip is longer than the model's window, so where the word lies in the window is decided here, anew
for every epoch: anywhere as long as the whole word is inside, because a listening device sees it slide
through; and at times so far out that what is left is no longer the word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cicada.training.features import Strips
from cicada.training.windows import FRAMES, SIDE, STRIP


@dataclass(frozen=True)
class Sampling:
    """How an epoch is drawn.

    Attributes:
        examples: number of examples an epoch.
        batch: number of examples a batch.
        silence, unknown: shares of these classes; the wanted words share the rest equally.
        near: share of windows within 120 ms of the clip's own; the rest lie anywhere around the word.
        partial: share of windows of wanted words that hold half of the word or less, as ``_unknown_``.
    """

    examples: int = 8192
    batch: int = 128
    silence: float = 0.14
    unknown: float = 0.42
    near: float = 0.6
    partial: float = 0.08


def epoch(strips: Strips, classes: int, how: Sampling, seed: int, number: int) -> Iterator[tuple]:
    """Batches of one epoch; the same seed and number give the same ones.

    Yields:
        ``float32[batch, 49, 40, 1]`` features divided by 128, one-hot
        ``float32[batch, classes]`` classes and ``float32[batch, words]`` words really said (word 0: nothing
        whole).
    """
    rng = np.random.default_rng([seed, number])
    chosen = _draw(strips.y, classes, how, rng)
    identity = np.eye(classes, dtype=np.float32)
    words = np.eye(int(strips.word.max()) + 1, dtype=np.float32)
    for at in range(0, len(chosen) - how.batch + 1, how.batch):
        index = chosen[at : at + how.batch]
        offset, partial = _offsets(strips.span[index], strips.y[index], how, rng)
        rows = offset[:, None] + np.arange(FRAMES)
        x = strips.x[index[:, None], rows].astype(np.float32) / 128
        y = identity[np.where(partial, 1, strips.y[index])]
        _mask(x, rng)
        word = words[np.where(partial, 0, strips.word[index])]
        yield x[..., None], y, word


def _draw(y: np.ndarray, classes: int, how: Sampling, rng: np.random.Generator) -> np.ndarray:
    """Indices of an epoch's examples: each class has its share, none repeats before all were drawn."""
    words = (1 - how.silence - how.unknown) / (classes - 2)
    parts = []
    for label, share in enumerate([how.silence, how.unknown] + [words] * (classes - 2)):
        members, count = np.flatnonzero(y == label), round(share * how.examples)
        rounds = -(-count // len(members))
        parts.append(np.concatenate([rng.permutation(members) for _ in range(rounds)])[:count])
    return rng.permutation(np.concatenate(parts))


def _offsets(
    span: np.ndarray, y: np.ndarray, how: Sampling, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """First frame of each window in its strip, and whether it holds only part of its word."""
    count = len(y)
    first, last = span[:, 0].astype(int), span[:, 1].astype(int)
    most = STRIP - FRAMES
    # The whole word is inside for offsets from `low` to `high`; a word longer than the window stays put.
    low, high = np.clip(last - FRAMES, 0, most), np.clip(first, 0, most)
    low, high = np.minimum(low, SIDE), np.maximum(high, SIDE)
    offset = rng.integers(low, high + 1)
    near = np.clip(SIDE + rng.integers(-6, 7, count), low, high)
    offset = np.where(rng.random(count) < how.near, near, offset)
    silent = y == 0
    offset[silent] = rng.integers(0, most + 1, silent.sum())
    # At most half of the word: its first half at the window's end, or its second half at the start.
    half = (first + last) // 2
    early, late = half - FRAMES, half
    partial = (y >= 2) & (rng.random(count) < how.partial)
    use_late = (late <= most) & ((early < 0) | (rng.random(count) < 0.5))
    possible = (early >= 0) | (late <= most)
    depth = rng.random(count)
    cut = np.where(use_late, late + depth * (most - late), depth * early).astype(int)
    partial &= possible
    return np.where(partial, cut, offset), partial


def _mask(x: np.ndarray, rng: np.random.Generator) -> None:
    """SpecAugment (arXiv:1904.08779) in place, in every other example on average: a stretch of time and one
    of channels at the lowest value."""
    count, frames, channels = x.shape
    masked = rng.random(count) < 0.5
    for axis, size, widest in ((1, frames, 8), (2, channels, 6)):
        width = rng.integers(0, widest + 1, count) * masked
        start = rng.integers(0, size - width + 1)
        at = np.arange(size)
        hit = (at >= start[:, None]) & (at < (start + width)[:, None])
        x[hit[:, :, None].repeat(channels, 2) if axis == 1 else hit[:, None, :].repeat(frames, 1)] = -1.0
