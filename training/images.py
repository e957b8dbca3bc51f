"""Examples of pictures: crops that the device's own scaler makes, and batches of them.

Nothing here scales a picture: :func:`cicada.tools.engine.scale_frame` runs the firmware's C code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cicada.tools import engine
from cicada.training import progress
from cicada.training.corpora.base import SPLITS
from cicada.training.corpora.pictures import Gallery
from cicada.training.evaluation import groups
from cicada.training.recipe import Train

#: Crops of each picture in training: the one that the device takes, and random ones.
CROPS = 4
# Least side of a random crop, as a share of the device's own.
_LEAST = 0.7
# Brightness is added and contrast multiplied at random, up to these, and noise of up to this deviation, of
# pixels from -1 to 1.
_BRIGHTNESS, _CONTRAST, _NOISE = 0.25, 0.3, 0.04


@dataclass(frozen=True)
class Examples:
    """Pictures as the model takes them.

    Attributes:
        x: ``int8[n, height, width]``, gray less 128.
        y: ``int64[n]``, labels.
    """

    x: np.ndarray
    y: np.ndarray


def extract(gallery: Gallery, width: int, height: int, seed: int, folder: Path) -> None:
    """Scale all pictures; fills ``folder`` with a file for each split.

    Raises:
        UserError: a picture is damaged, or one picture is in two splits under different encodings.
    """
    seen: list[tuple[np.ndarray, str, str]] = []
    with progress.bar("Pictures", len(gallery.pictures)) as advance:
        for split in SPLITS:
            x, y = [], []
            for number, picture in enumerate(gallery.of(split)):
                frame = picture.load()
                rng = np.random.default_rng([seed, SPLITS.index(split), number])
                made = crops(frame, width, height, CROPS if split == "train" else 1, rng)
                seen.append((made[0], split, picture.path.name))
                x.append(made)
                y += [picture.label] * len(made)
                advance()
            np.savez(folder / f"{split}.npz", x=np.concatenate(x), y=np.array(y, np.int64))
    groups.refuse_copies(seen, gallery.source)


def crops(frame: np.ndarray, width: int, height: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """``int8[count, height, width]`` of a gray frame: first what the device sees of it, then random parts."""
    rows, columns = frame.shape
    whole = engine.centred_crop(columns, rows, width, height)
    made = [whole]
    for _ in range(count - 1):
        share = rng.uniform(_LEAST, 1.0)
        w, h = (max(1, round(side * share)) for side in whole[2:])
        made.append((int(rng.integers(columns - w + 1)), int(rng.integers(rows - h + 1)), w, h))
    scaled = [engine.scale_frame(frame, width, height, crop, "int8").view(np.int8) for crop in made]
    return np.stack(scaled)


def load(folder: Path, split: str) -> Examples:
    """The examples of a split from a folder that :func:`extract` filled."""
    with np.load(folder / f"{split}.npz") as stored:
        return Examples(stored["x"], stored["y"])


def epoch(
    examples: Examples, labels: Sequence[str], train: Train, seed: int, number: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of one epoch, as many examples of each label; the same seed and number give the same ones.

    Yields:
        ``float32[batch, height, width, 1]`` pixels divided by 128, mirrored and distorted at random, and
        ``float32[batch, labels]`` labels, one-hot unless mixed.
    """
    rng = np.random.default_rng([seed, number])
    one_hot = np.eye(len(labels), dtype=np.float32)
    chosen = _balanced(examples.y, len(labels), train.examples, rng)
    for at in range(0, len(chosen) - train.batch + 1, train.batch):
        index = chosen[at : at + train.batch]
        x, y = _distorted(examples.x[index].astype(np.float32) / 128, rng), one_hot[examples.y[index]]
        if train.mixup:
            share = rng.beta(train.mixup, train.mixup, len(x)).astype(np.float32)
            other = rng.permutation(len(x))
            x = x * share[:, None, None] + x[other] * (1 - share[:, None, None])
            y = y * share[:, None] + y[other] * (1 - share[:, None])
        yield x[..., None], y


def _balanced(y: np.ndarray, labels: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Rows in random order, of each label as many; none repeats before all of its label were drawn."""
    parts = []
    for label in range(labels):
        members, wanted = np.flatnonzero(y == label), -(-count // labels)
        rounds = -(-wanted // len(members))
        parts.append(np.concatenate([rng.permutation(members) for _ in range(rounds)])[:wanted])
    return rng.permutation(np.concatenate(parts))[:count]


def _distorted(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pictures ``float32[n, height, width]`` mirrored, darker or lighter, flatter or harder, and noisy."""
    count = len(x)

    def each(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (count, 1, 1)).astype(np.float32)

    mirrored = rng.random(count) < 0.5
    x[mirrored] = x[mirrored, :, ::-1]
    x = x * each(1 - _CONTRAST, 1 + _CONTRAST) + each(-_BRIGHTNESS, _BRIGHTNESS)
    x += rng.normal(0, 1, x.shape).astype(np.float32) * each(0, _NOISE)
    return np.clip(x, -1, 127 / 128)
