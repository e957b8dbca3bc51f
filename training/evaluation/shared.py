"""Sound that two recordings have in common, however it was cut or scaled; refused where it crosses splits.

Two files with other names and lengths can hold the same seconds: a clip cut from a long noise recording and
made louder, or a word trimmed twice. The highest peaks of a stretch stay where they are in every copy, so the
distances between them find it ("winnowing" with peaks as the moments: S. Schleimer, D. Wilkerson, A. Aiken,
SIGMOD 2003), and the sound around two of them must look the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from cicada.tools.errors import UserError

_REACH = 128  # a peak is the highest value of so many samples on both sides
_GAPS = 6  # distances between peaks that make a mark
_VARIED = 4  # of them that differ: a tone has the same ones everywhere
_FAINT = 24  # peaks below are too coarse to keep their shape
_AROUND = 16  # samples on both sides of a peak that are compared
_TOLERANCE = 8  # of 127, between two copies' shapes; rounding a faint peak costs a few
_BASE = np.uint64(0x9E3779B97F4A7C15)


class Marks(NamedTuple):
    """What a recording can be recognised by.

    Attributes:
        key: ``uint64[m]``, from the distances between peaks.
        shape: ``int8[m, 4 * 16]``, the sound around the first and the last of these peaks, of which the first
            is 127.
    """

    key: np.ndarray
    shape: np.ndarray


def marks(pcm: np.ndarray) -> Marks:
    """Marks that a recording has in common with any other that holds the same third of a second.

    Args:
        pcm: ``int16[n]``; any n.

    Returns:
        some 40 for a second of speech, 60 for noise; none for silence and for steady tones.
    """
    from scipy.ndimage import maximum_filter1d

    height = np.abs(pcm.astype(np.int32))
    top = maximum_filter1d(height, 2 * _REACH + 1, mode="constant") if len(pcm) else height
    peaks = np.flatnonzero((height == top) & (height >= _FAINT))
    peaks = peaks[(peaks >= _AROUND) & (peaks < len(pcm) - _AROUND)]
    count = len(peaks) - _GAPS
    if count < 1:
        return Marks(np.zeros(0, np.uint64), np.zeros((0, 4 * _AROUND), np.int8))
    gaps = np.lib.stride_tricks.sliding_window_view(np.diff(peaks), _GAPS)
    varied = (np.diff(np.sort(gaps, axis=1), axis=1) > 0).sum(axis=1) >= _VARIED - 1
    key = np.zeros(count, np.uint64)
    for column in gaps.T:
        # What is over 64 bits is dropped.
        key = key * _BASE + column.astype(np.uint64)
    around = np.arange(-_AROUND, _AROUND)
    first, last = peaks[:count, None], peaks[_GAPS:, None]
    shape = pcm[np.concatenate([first + around, last + around], axis=1)] / pcm[first].astype(np.float64)
    shape = np.clip(np.rint(127 * shape), -127, 127).astype(np.int8)
    return Marks(key[varied], shape[varied])


def refuse_shared(recordings: Iterable[tuple[np.ndarray, str, str]], where: str) -> None:
    """Refuse the same stretch of sound in two splits.

    Args:
        recordings: ``(int16[n], split, name)`` of every recording, looked at one after the other.
        where: the corpus, as the message names it.

    Raises:
        UserError: two recordings in different splits share a stretch; the message names both.
    """
    found: list[Marks] = []
    about: list[tuple[str, str]] = []
    for pcm, split, name in recordings:
        found.append(marks(pcm))
        about.append((split, name))
    if not found:
        return
    key = np.concatenate([one.key for one in found])
    shape = np.concatenate([one.shape for one in found])
    owner = np.repeat(np.arange(len(found)), [len(one.key) for one in found])
    _, number, count = np.unique(key, return_inverse=True, return_counts=True)
    several = np.flatnonzero(count[number] > 1)
    several = several[np.argsort(number[several], kind="stable")]
    for same in np.split(several, np.flatnonzero(np.diff(number[several])) + 1):
        for one, other in itertools.combinations(same, 2):
            (split, name), (another, its_name) = about[owner[one]], about[owner[other]]
            if split != another and _alike(shape[one], shape[other]):
                raise UserError(
                    f"{where} has the same sound in two splits: {name} in {split} and {its_name} in {another}"
                    " share a stretch, so the test would not be on unknown sound: remove one of them"
                )


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.abs(one.astype(np.int16) - other).max() <= _TOLERANCE)
