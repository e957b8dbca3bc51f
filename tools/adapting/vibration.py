"""A baseline of vibration: learned from the start of one recording, tried on its end and on other recordings.

Nothing is shuffled: neighbouring windows are alike, so a random split would tell how well windows are
remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from cicada.tools import vibration
from cicada.tools.adapting import device
from cicada.tools.errors import UserError, from_os_error

#: Shares of the normal recording: learned, then watched for a threshold; the rest is held out.
LEARN, WATCH = 0.4, 0.3
#: What a threshold leaves above the highest score that was watched.
MARGIN = 1.1
#: Thresholds of a node's configuration by default: an anomaly begins, and ends.
BEGIN, END = 3.0, 2.0


@dataclass(frozen=True)
class Scored:
    """Scores of one recording.

    Attributes:
        name: of the recording.
        scores: ``float[windows]``.
        auc: area under the ROC curve against the normal recording's held-out part; 0.5 tells nothing apart.
        found: share of windows above the measured threshold.
        begin, end: share above :data:`BEGIN` and :data:`END`.
    """

    name: str
    scores: NDArray[np.float64]
    auc: float
    found: float
    begin: float
    end: float


@dataclass(frozen=True)
class Detection:
    """What a baseline made of recordings.

    Attributes:
        learned: windows it was made of.
        threshold: :data:`MARGIN` times the highest score of the part that was watched.
        normal: the held-out part of the normal recording; ``found`` are false alarms.
        others: the other recordings.
    """

    learned: int
    threshold: float
    normal: Scored
    others: list[Scored]


def load(path: Path, counts_per_g: float = 2048.0) -> NDArray[np.int16]:
    """Read an accelerometer's recording.

    Args:
        path: ``.npz`` with ``samples[..., axes]`` in g, pieces one after the other; or a sound file of one
            channel an axis, of which bits 14 to 29 of 32 are taken, so that an analogue sensor's volts fit.
        counts_per_g: for samples in g; 2048 is the resolution of 16 bits over 16 g.

    Returns:
        ``int16[n, axes]``, clipped.

    Raises:
        UserError: it cannot be read, or has neither 1 nor 3 axes.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path) as file:
                samples = file["samples"]
            counts = samples.reshape(-1, samples.shape[-1]) * counts_per_g
        else:
            counts = soundfile.read(path, dtype="int32", always_2d=True)[0] / 2.0**14
    except OSError as error:
        raise from_os_error(error, f"reading recording {path}") from error
    except (KeyError, ValueError, soundfile.SoundFileError) as error:
        raise UserError(
            f"{path} is no recording of vibration ({error}): give .npz with 'samples', or FLAC"
        ) from error
    if counts.shape[1] not in (1, 3):
        raise UserError(f"{path} has {counts.shape[1]} axes: one or three are needed")
    return np.rint(counts).clip(-32768, 32767).astype(np.int16)


def detect(
    normal: tuple[str, NDArray[np.int16]], others: Mapping[str, NDArray[np.int16]], samples: int, bands: int
) -> Detection:
    """Learn one recording and score it and others.

    Args:
        normal: name and frames of what is normal.
        others: frames by name.
        samples, bands: as for :class:`cicada.tools.vibration.VibrationFrontEnd`.

    Raises:
        UserError: the normal recording has fewer than 30 windows.
        ValueError: another number of samples or bands.
    """
    name, frames = normal
    rows = vibration.features(frames, samples, bands)
    first, second = round(len(rows) * LEARN), round(len(rows) * (LEARN + WATCH))
    if len(rows) < 30:
        raise UserError(f"{name} has {len(rows)} windows of {samples} samples: at least 30 are needed")
    baseline = device.baseline()(rows.shape[1], block=bands + vibration.STATISTICS)
    for row in rows[:first]:
        baseline.update(row.tolist())
    score = lambda some: np.array([baseline.score(row.tolist()) for row in some])  # noqa: E731
    threshold = MARGIN * score(rows[first:second]).max()
    held = score(rows[second:])

    def scored(label: str, scores: NDArray[np.float64]) -> Scored:
        shares = [float((scores > limit).mean()) for limit in (threshold, BEGIN, END)]
        return Scored(label, scores, auc(held, scores), *shares)

    found = [scored(label, score(vibration.features(x, samples, bands))) for label, x in others.items()]
    return Detection(first, threshold, scored(name, held), found)


def auc(low: NDArray[np.float64], high: NDArray[np.float64]) -> float:
    """Area under the ROC curve: how often one of ``high`` is above one of ``low``, ties counting half."""
    difference = high[:, None] - low[None]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)
