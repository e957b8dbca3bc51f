"""Training batches: strips cut at random shifts, masked.

A strip is longer than the model's window, so where the word lies in the window is decided here, anew
for every epoch: anywhere as long as the whole word is inside, because a listening device sees it slide
through; and at times so far out that what is left is no longer the word.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cicada.training.features import Strips
from cicada.training.recipe import Augment, Train
from cicada.training.windows import Window


def epoch(
    strips: Strips, classes: int, how: Augment, train: Train, seed: int, number: int
) -> Iterator[tuple]:
    """Batches of one epoch; the same seed and number give the same ones.

    Args:
        strips: what to draw from.
        classes: number of classes.
        how: shares of the classes, and where words lie.
        train: examples of an epoch and of a batch, and mixup.
        seed: of the run.
        number: of the epoch.

    Yields:
        ``float32[batch, frames, 40, 1]`` features divided by 128, ``float32[batch, classes]`` classes and
        ``float32[batch, words]`` words really said (word 0: nothing whole), one-hot unless mixed.
    """
    rng = np.random.default_rng([seed, number])
    chosen = _draw(strips.y, classes, how, train.examples, rng)
    window = strips.window
    identity = np.eye(classes, dtype=np.float32)
    words = np.eye(int(strips.word.max()) + 1, dtype=np.float32)
    for at in range(0, len(chosen) - train.batch + 1, train.batch):
        index = chosen[at : at + train.batch]
        offset, partial = _offsets(strips.span[index], strips.y[index], how, window, rng)
        rows = offset[:, None] + np.arange(window.frames)
        x = strips.x[index[:, None], rows].astype(np.float32) / 128
        y = identity[np.where(partial, 1, strips.y[index])]
        _mask(x, rng)
        word = words[np.where(partial, 0, strips.word[index])]
        if train.mixup:
            x, y, word = _mixed((x, y, word), train.mixup, rng)
        yield x[..., None], y, word


def _mixed(parts: tuple[np.ndarray, ...], alpha: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Mixup (arXiv:1710.09412): each example with a share of another, and its classes likewise."""
    count = len(parts[0])
    share, other = rng.beta(alpha, alpha, count).astype(np.float32), rng.permutation(count)
    share = np.maximum(share, 1 - share)
    own = [share.reshape(-1, *[1] * (part.ndim - 1)) for part in parts]
    return [part * s + part[other] * (1 - s) for part, s in zip(parts, own, strict=True)]


def _draw(y: np.ndarray, classes: int, how: Augment, examples: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of an epoch's examples: each class has its share, none repeats before all were drawn."""
    words = (1 - how.silence_share - how.unknown_share) / (classes - 2)
    parts = []
    for label, share in enumerate([how.silence_share, how.unknown_share] + [words] * (classes - 2)):
        members, count = np.flatnonzero(y == label), round(share * examples)
        rounds = -(-count // len(members))
        parts.append(np.concatenate([rng.permutation(members) for _ in range(rounds)])[:count])
    return rng.permutation(np.concatenate(parts))


def _offsets(
    span: np.ndarray, y: np.ndarray, how: Augment, window: Window, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """First frame of each window in its strip, and whether it holds only part of its word."""
    count = len(y)
    first, last = span[:, 0].astype(int), span[:, 1].astype(int)
    frames, side = window.frames, window.side
    most = window.strip - frames
    # The whole word is inside for offsets from `low` to `high`; a word longer than the window stays put.
    low, high = np.clip(last - frames, 0, most), np.clip(first, 0, most)
    low, high = np.minimum(low, side), np.maximum(high, side)
    offset = rng.integers(low, high + 1)
    reach = 120 // window.step_ms
    near = np.clip(side + rng.integers(-reach, reach + 1, count), low, high)
    offset = np.where(rng.random(count) < how.near, near, offset)
    silent = y == 0
    offset[silent] = rng.integers(0, most + 1, silent.sum())
    # At most half of the word: its first half at the window's end, or its second half at the start.
    half = (first + last) // 2
    early, late = half - frames, half
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
