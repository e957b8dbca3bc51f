"""Windows of machines that a model got wrong: their features, and what they sound like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from cicada.tools import vibration
from cicada.tools.audio import RATE
from cicada.training.corpora.machines import Recording
from cicada.training.corpora.signals import resample
from cicada.training.recipe import VibrationFrontEnd
from cicada.training.report import page, pictures
from cicada.training.report.page import Example
from cicada.training.vibrations import Examples

#: Windows to show.
COUNT = 12
_OF_ONE = 2  # of them of one recording, at most
_HEARD_S = 1.0  # seconds of sound around a window
_AUDIBLE_HZ = 4000  # sample rate from which on there is something to hear


@dataclass(frozen=True)
class Judged:
    """Windows of a test, and what the INT8 model said of them.

    Attributes:
        examples: the windows.
        scores: ``float64[n, classes]``, 0..1; the first class is the sound machine.
    """

    examples: Examples
    scores: NDArray[np.float64]


def worst(
    judged: Judged, y: np.ndarray, guess: np.ndarray, labels: Sequence[str], front: VibrationFrontEnd
) -> list[tuple[float, Example]]:
    """The surest mistakes with how sure they were, a few of each recording at most.

    Args:
        judged: the test.
        y: ``int64[n]``, true classes.
        guess: ``int64[n]``, classes that were answered.
        labels: their names.
        front: what the features are.
    """
    examples, wrong = judged.examples, guess != y
    sure = judged.scores[np.arange(len(y)), guess]
    taken: dict[int, int] = {}
    parts = {"bands": front.bands, "": vibration.STATISTICS}
    if front.envelope:
        parts["envelope"] = front.envelope
    means = {number: examples.x[y == number].mean(axis=0) for number in np.unique(y)}
    shown: list[tuple[float, Example]] = []
    with TemporaryDirectory() as work:
        for row in np.flatnonzero(wrong)[np.argsort(-sure[wrong], kind="stable")]:
            number, answer = int(examples.recording[row]), int(guess[row])
            if len(shown) == COUNT:
                break
            if taken.get(number, 0) == _OF_ONE:
                continue
            taken[number] = taken.get(number, 0) + 1
            lines = {"this window": examples.x[row]}
            lines |= {f"mean, {labels[n]}": means[n] for n in (int(y[row]), answer) if n in means}
            path = Path(work) / "window.png"
            pictures.features(path, lines, parts)
            one = examples.recordings[number]
            at = int(row - np.flatnonzero(examples.recording == number)[0])
            example = Example(
                f"{one.label} taken for {labels[answer]}",
                path.read_bytes(),
                _sound(one, front, at),
                f"score {sure[row]:.2f}, {one.name}, window {at + 1}",
                drawn=True,
            )
            shown.append((float(sure[row]), example))
    return shown


def _sound(recording: Recording, front: VibrationFrontEnd, at: int) -> bytes | None:
    """What the first axis sounds like around a window, as loud as it gets; None below what can be heard."""
    if front.rate_hz < _AUDIBLE_HZ:
        return None
    windows = recording.windows(front.samples, front.rate_hz)
    half = max(1, round(_HEARD_S * front.rate_hz / front.samples / 2))
    near = windows[max(0, at - half) : at + half].reshape(-1, front.axes)[:, :1]
    pcm = resample(near, front.rate_hz, RATE)[:, 0].astype(np.float64)
    return page.wav(np.rint(pcm * (32767 / max(np.abs(pcm).max(), 1))).astype(np.int16))
