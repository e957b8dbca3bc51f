"""When is a word heard? The smoother's settings, chosen on validation streams; how it does on others.

The smoother itself is the device's: ``firmware/app/node/smoother.py``, loaded from there.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from cicada.tools.paths import FIRMWARE
from cicada.training.streaming import HOP_FRAMES, Outputs, Spoken, Stream

SMOOTHER = FIRMWARE / "app" / "node" / "smoother.py"
#: A detection belongs to a word until this long after its end: the word must have time to slide
#: through the model's second and the average to rise.
LATE_S = 1.0
_WINDOWS = (2, 3, 4, 5)
_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
_REFRACTORY_MS = 1000
# One false alarm weighs as much as so many words missed.
_FALSE_WEIGHT = 2.0


@dataclass(frozen=True)
class Decision:
    """The smoother's settings, as the manifest carries them."""

    hop_frames: int
    window: int
    threshold: float
    refractory_ms: int

    def as_json(self) -> dict[str, Any]:
        """The manifest's form."""
        return asdict(self)


@dataclass(frozen=True)
class Detection:
    """A word that fired: seconds from the stream's start, word, score 0..1."""

    at: float
    word: str
    score: float


@dataclass(frozen=True)
class Score:
    """How detections compare with what was said.

    Attributes:
        wanted: number of wanted words in the stream.
        detected, missed: of them.
        false_accepts: detections that belong to no utterance of their word.
        false_accepts_per_hour: the same over the stream's length; the stream is dense with speech.
        latency_ms: mean time from the end of a word to its detection; None if none was detected.
        hours: the stream's length.
    """

    wanted: int
    detected: int
    missed: int
    false_accepts: int
    false_accepts_per_hour: float
    latency_ms: float | None
    hours: float

    def cost(self) -> float:
        """What the choice of settings makes small."""
        return self.missed + _FALSE_WEIGHT * self.false_accepts


def detect(outputs: Outputs, labels: Sequence[str], decision: Decision) -> list[Detection]:
    """Run the device's smoother over the model's outputs."""
    smoother = _smoother_class()(len(labels), decision.window, decision.threshold, decision.refractory_ms)
    found = []
    rows = outputs.scores.tolist()
    for now, row in zip(outputs.times_ms, rows, strict=True):
        hit = smoother.update(row, now)
        if hit is not None:
            found.append(Detection(now / 1000, labels[hit[0]], hit[1] / 255))
    return found


def score(stream: Stream, detections: Sequence[Detection], words: Sequence[str]) -> Score:
    """Match detections with the wanted words of a stream, each with one utterance at most."""
    wanted = [spoken for spoken in stream.spoken if spoken.word in words]
    left = list(detections)
    latencies = []
    for spoken in wanted:
        match = next((d for d in left if _belongs(d, spoken)), None)
        if match:
            left.remove(match)
            latencies.append((match.at - spoken.end) * 1000)
    mean = sum(latencies) / len(latencies) if latencies else None
    return Score(
        wanted=len(wanted),
        detected=len(latencies),
        missed=len(wanted) - len(latencies),
        false_accepts=len(left),
        false_accepts_per_hour=len(left) / stream.hours,
        latency_ms=mean,
        hours=stream.hours,
    )


def choose(stream: Stream, outputs: Outputs, labels: Sequence[str]) -> tuple[Decision, Score]:
    """Try all settings on a validation stream and keep the cheapest.

    Among equals the stricter ones win, first the higher threshold, then the longer window: there is
    more silence in the world than in a validation stream.
    """
    tried = []
    for window in _WINDOWS:
        for threshold in _THRESHOLDS:
            decision = Decision(HOP_FRAMES, window, threshold, _REFRACTORY_MS)
            tried.append((decision, score(stream, detect(outputs, labels, decision), labels[2:])))
    return min(tried, key=lambda pair: (pair[1].cost(), -pair[0].threshold, -pair[0].window))


def _belongs(detection: Detection, spoken: Spoken) -> bool:
    return detection.word == spoken.word and spoken.start <= detection.at <= spoken.end + LATE_S


@lru_cache(maxsize=1)
def _smoother_class() -> Any:
    spec = importlib.util.spec_from_file_location("node_smoother", SMOOTHER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Smoother
