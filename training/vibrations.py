"""Windows of machines as models see them: the front end's features, who trains, and how examples vary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cicada.tools import vibration
from cicada.tools.errors import UserError
from cicada.training.corpora import splits
from cicada.training.corpora.base import SPLITS
from cicada.training.corpora.machines import Machines, Recording, group, open_machines
from cicada.training.evaluation import groups
from cicada.training.recipe import AnomalyRecipe, VibrationFrontEnd, VibrationRecipe

# Standard deviations of what augmentation adds, in steps of half a decibel: slopes, which depend on where the
# sensor sits and how it is fixed, and what differs from window to window; for the spectrum with its
# statistics, and for the envelope's spectrum. The gain is the sensor's: some per cent.
_SLOPES, _NOISES, _GAIN = (1.0, 2.0), (1.0, 3.0), 1.5
_KNOTS = 5  # of a slope
_WEAKER = 0.6  # share of the way to a sound machine, at most

Split = dict[str, list[Recording]]


@dataclass(frozen=True)
class Examples:
    """Windows of recordings, in their order.

    Attributes:
        x: ``int8[n, axes, features]``.
        recording: ``int64[n]``, index into ``recordings``.
        recordings: what they are windows of.
    """

    x: NDArray[np.int8]
    recording: NDArray[np.int64]
    recordings: list[Recording]

    def y(self, labels: Sequence[str]) -> NDArray[np.int64]:
        """Number of each window's label."""
        return np.array([labels.index(one.label) for one in self.recordings], np.int64)[self.recording]

    def of(self, number: int) -> NDArray[np.int8]:
        """Windows of one recording."""
        return self.x[self.recording == number]


def as_input(x: np.ndarray) -> np.ndarray:
    """``int8[n, axes, features]`` as float models take them, ``float32[n, axes, features, 1]``."""
    return (x.astype(np.float32) / 128)[..., None]


def open_corpus(recipe: VibrationRecipe | AnomalyRecipe, data: Path | None) -> Machines:
    """Open the recordings of a recipe and see that they fit its front end.

    Raises:
        UserError: bad recordings, another number of axes, or a speed that the recipe needs and a recording
            does not have.
    """
    folder = data or recipe.corpus.folder
    kind, front = recipe.corpus.kind, recipe.frontend
    if kind == "generated":
        found = generated(front, max(recipe.corpus.generated, 1), recipe.seed)
    else:
        found = open_machines(kind, folder, recipe.seed)
    for one in found.recordings:
        if one.axes != front.axes:
            raise UserError(
                f"recording {one.name} has {one.axes} axes, `frontend.axes` of recipe '{recipe.name}' is"
                f" {front.axes}: change it there"
            )
        if front.orders and not one.rpm:
            raise UserError(
                f"recording {one.name} does not say how fast the shaft turns, which `frontend.orders` of"
                f" recipe '{recipe.name}' needs: add its rpm, or set orders = false"
            )
    return found


def generated(front: VibrationFrontEnd, count: int, seed: int, onset: bool = False) -> Machines:
    """Recordings of the physical generator for a front end; see :mod:`cicada.training.corpora.bearing`."""
    from cicada.training.corpora import bearing

    seconds = max(2.0, 8 * front.samples / front.rate_hz)
    if onset:
        seconds *= 2
    return bearing.corpus(count, seed, rate_hz=front.rate_hz, seconds=seconds, axes=front.axes, onset=onset)


def extract(recordings: Sequence[Recording], front: VibrationFrontEnd) -> Examples:
    """Features of all windows, by the device's front end.

    Raises:
        UserError: a recording is shorter than a window.
    """
    if not recordings:
        width = front.bands + vibration.STATISTICS + front.envelope
        return Examples(np.empty((0, front.axes, width), np.int8), np.empty(0, np.int64), [])
    rows, numbers = [], []
    for number, one in enumerate(recordings):
        frames = one.windows(front.samples, front.rate_hz).reshape(-1, front.axes)
        speed = one.rpm if front.orders else None
        found = vibration.features(frames, front.samples, front.bands, front.envelope, front.rate_hz, speed)
        rows.append(found.reshape(len(found), front.axes, -1))
        numbers.append(np.full(len(found), number, np.int64))
    return Examples(np.concatenate(rows), np.concatenate(numbers), list(recordings))


def deal(
    recordings: Sequence[Recording], by: str, seed: int, front: VibrationFrontEnd
) -> tuple[list[Split], list[str]]:
    """Train, validation and test, several times if bearings or recordings allow it, each tested once.

    A label of which there is one bearing (or recording) only is cut by time instead, with a window's length
    thrown away between the pieces. Validation is by recording among those that train.

    Args:
        recordings: of the labels that matter.
        by: ``bearing``, ``recording``, or ``time``: all recordings are cut.
        seed: of how they are dealt.
        front: for the length of a window.

    Returns:
        the splits, and the labels that were cut by time.

    Raises:
        UserError: recordings that are too few or too short, or a leak.
    """
    kinds = group(recordings, "label")
    count = {label: len(group(members, by)) if by != "time" else 1 for label, members in kinds.items()}
    timed = sorted(label for label in kinds if count[label] < 2)
    cut: Split = {split: [] for split in SPLITS}
    for one in recordings:
        if one.label in timed:
            for split, piece in zip(
                SPLITS, splits.divide(one, 3, front.samples / front.rate_hz), strict=True
            ):
                cut[split].append(piece)
    rest = [one for one in recordings if one.label not in timed]
    if not rest:
        return [cut], timed
    dealt = []
    for fold in splits.folds(
        rest, by, min(3, *(count[label] for label in kinds if label not in timed)), seed
    ):
        inner = splits.assign(fold["train"], "recording", seed, {"train": 0.8, "validation": 0.2})
        split = {**inner, "test": fold["test"]}
        _refuse_leaks(split, by)
        dealt.append({name: [*split[name], *cut[name]] for name in SPLITS})
    return dealt, timed


def _refuse_leaks(split: Split, by: str) -> None:
    """What tests must not have trained, nor helped to choose."""
    sides = {"train": "training", "validation": "training", "test": "test"}
    groups.refuse(
        (
            (one.bearing if by == "bearing" else one.name, sides[name], one.name)
            for name, members in split.items()
            for one in members
        ),
        "the corpus",
        by,
    )


def vary(
    x: np.ndarray, y: np.ndarray, front: VibrationFrontEnd, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Examples as they might be in another place of the machine: other slopes, another gain, other noise.

    If there is an envelope, examples of faults swap all else among each other, whatever their faults: levels
    and resonances say that something is wrong, but tell machines apart rather than faults. Which fault it is
    can then be learnt from the envelope alone. And all else comes nearer to that of a sound machine: a
    smaller fault lies between.

    Args:
        x: ``int8[n, axes, features]``.
        y: ``int64[n]``, classes; 0 is no fault.
        front: what the features are.
        rng: of everything random.

    Returns:
        ``float32[n, axes, features]`` in the same unit.
    """
    moved = x.astype(np.float32)
    count, axes, width = x.shape
    bands, tail = front.bands, front.bands + vibration.STATISTICS
    moved[:, :, : bands + 1] += rng.normal(0, _GAIN, (count, 1, 1))  # the level behind the bands moves too
    for begin, shaped, end, slope, noise in zip(
        (0, tail), (bands, width), (tail, width), _SLOPES, _NOISES, strict=True
    ):
        moved[:, :, begin:shaped] += _slopes(count, axes, shaped - begin, slope, rng)
        moved[:, :, begin:end] += rng.normal(0, noise, (count, axes, end - begin))
    if front.envelope:
        faulty, sound = np.flatnonzero(y), np.flatnonzero(y == 0)
        other = moved[rng.permutation(faulty), :, :tail]
        if len(sound):
            weaker = rng.uniform(0, _WEAKER, (len(faulty), 1, 1))
            other += weaker * (moved[rng.choice(sound, len(faulty)), :, :tail] - other)
        moved[faulty, :, :tail] = other
    return np.clip(moved, -128, 127)


def _slopes(count: int, axes: int, bands: int, size: float, rng: np.random.Generator) -> np.ndarray:
    """Straight lines between some random points along the bands."""
    knots = rng.normal(0, size, (count, axes, _KNOTS))
    at = np.linspace(0, _KNOTS - 1, bands)
    left = np.minimum(at.astype(int), _KNOTS - 2)
    share = at - left
    return knots[:, :, left] * (1 - share) + knots[:, :, left + 1] * share


def draw(y: np.ndarray, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of examples, none of a class again before all of it were drawn.

    Shares of the classes go by the square root of how many examples each has: a rare class is seen more often
    than it occurs, but a handful of windows do not become a large part of an epoch.
    """
    classes, sizes = np.unique(y, return_counts=True)
    share = np.sqrt(sizes) / np.sqrt(sizes).sum()
    parts = []
    for label, size, part in zip(classes, sizes, share, strict=True):
        each = int(count * part) + 1
        members = np.flatnonzero(y == label)
        rounds = -(-each // size)
        parts.append(np.concatenate([rng.permutation(members) for _ in range(rounds)])[:each])
    return rng.permutation(np.concatenate(parts))[:count]


def batches(x: np.ndarray, y: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Whole batches, in order."""
    for at in range(0, len(x) - size + 1, size):
        yield x[at : at + size], y[at : at + size]
