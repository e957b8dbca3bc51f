"""When is a word heard? The smoother's settings, chosen on validation streams; how it does on others.

The smoother itself is the device's, loaded from there: ``firmware/app/node/smoother.py``, or for models of
one label ``Words`` in ``firmware/app/node/pipelines/decide.py``. :class:`Averages` finds the same detections
for many thresholds at once.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cicada.tools.paths import FIRMWARE
from cicada.training.streaming import Outputs, Pace, Spoken

SMOOTHER = FIRMWARE / "app" / "node" / "smoother.py"
WORDS = FIRMWARE / "app" / "node" / "pipelines" / "decide.py"
#: Classes of a keyword model that are no words; a model of one label has none of them.
NO_WORDS = 2
#: A detection belongs to a word until this long after its end: the word must have time to slide
#: through the model's second and the average to rise.
LATE_S = 1.0
#: Lengths of the average that are tried.
WINDOWS_MS = (200, 300, 400, 500)
#: Thresholds that are tried; those below :data:`LEAST` are for curves alone.
THRESHOLDS = (*(round(k / 40, 3) for k in range(12, 40)), 0.985, 0.99, 0.995)
LEAST = 0.5
REFRACTORY_MS = 1000
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


class Sound(Protocol):
    """What detections are compared with: words in order of time, and how long it all is."""

    @property
    def spoken(self) -> Sequence[Spoken]: ...

    @property
    def hours(self) -> float: ...


@dataclass(frozen=True)
class Score:
    """How detections compare with what was said.

    Attributes:
        wanted: number of wanted words in the stream.
        detected, missed: of them.
        false_accepts: detections that belong to no utterance of their word.
        false_accepts_per_hour: the same over the stream's length, whatever is in it.
        latency_ms, latency_p95_ms: median and 95th percentile of the time from the end of a word to its
            detection; None if none was detected. Below 0 is before the word's end.
        hours: the stream's length.
    """

    wanted: int
    detected: int
    missed: int
    false_accepts: int
    false_accepts_per_hour: float
    latency_ms: float | None
    latency_p95_ms: float | None
    hours: float

    def cost(self) -> float:
        """What the choice of settings makes small."""
        return self.missed + _FALSE_WEIGHT * self.false_accepts


def wanted(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels that can fire: all but silence and unknown, or the only one."""
    return tuple(labels[NO_WORDS:] if len(labels) > NO_WORDS else labels)


def detect(outputs: Outputs, labels: Sequence[str], decision: Decision) -> list[Detection]:
    """Run the device's smoother over the model's outputs."""
    settings = (decision.window, decision.threshold, decision.refractory_ms)
    if len(labels) > NO_WORDS:
        smoother = _load(SMOOTHER).Smoother(len(labels), *settings)
    else:
        smoother = _load(WORDS).Words(-128, *settings)
    found = []
    rows = outputs.scores.tolist()
    for now, row in zip(outputs.times_ms, rows, strict=True):
        hit = smoother.update(row, now)
        if hit is not None:
            found.append(Detection(now / 1000, labels[hit[0]], hit[1] / 255))
    return found


class Averages:
    """The smoother's averages over a whole stream, for many thresholds.

    :meth:`detections` gives exactly what :func:`detect` does. Between two detections the smoother's sums are
    plain sums of the last ``window`` rows; after one it starts anew, so that it can fire again ``window``
    rows and the refractory time later.

    Args:
        outputs: of the model.
        labels: class names.
        window: rows averaged over.
    """

    def __init__(self, outputs: Outputs, labels: Sequence[str], window: int) -> None:
        raw = outputs.scores.astype(np.int64) + 128
        total = np.concatenate([np.zeros((1, raw.shape[1]), np.int64), raw.cumsum(axis=0)])
        sums = total[window:] - total[:-window] if len(raw) >= window else total[:0]
        self._labels, self._window = labels, window
        self._times = np.asarray(outputs.times_ms, np.int64)
        best = sums.argmax(axis=1)
        fires = best >= (NO_WORDS if len(labels) > NO_WORDS else 0)
        self._rows = np.flatnonzero(fires) + window - 1
        self._best, self._top = best[fires], sums.max(axis=1)[fires]

    def detections(self, threshold: float, refractory_ms: int = REFRACTORY_MS) -> list[Detection]:
        """What fires at a threshold."""
        reached = self._top >= threshold * self._window * 255
        rows, best, top = self._rows[reached], self._best[reached], self._top[reached]
        found, at = [], 0
        while at < len(rows):
            now = int(self._times[rows[at]])
            score = int(top[at]) // self._window
            found.append(Detection(now / 1000, self._labels[best[at]], score / 255))
            rested = int(np.searchsorted(self._times, now + refractory_ms))
            at = int(np.searchsorted(rows, max(rested, rows[at] + self._window)))
        return found


def match(
    sound: Sound, detections: Sequence[Detection], words: Sequence[str]
) -> tuple[list[tuple[Spoken, Detection | None]], list[Detection]]:
    """Match detections with the wanted words of a stream, each with one utterance at most.

    Args:
        sound: what was said.
        detections: in order of time.
        words: the wanted words.

    Returns:
        each wanted utterance with its detection or None, and the detections that belong to none.
    """
    waiting = {word: [d for d in detections if d.word == word] for word in words}
    next_of = dict.fromkeys(words, 0)
    pairs: list[tuple[Spoken, Detection | None]] = []
    for spoken in sound.spoken:
        if spoken.word not in waiting:
            continue
        queue, at = waiting[spoken.word], next_of[spoken.word]
        while at < len(queue) and queue[at].at < spoken.start:
            at += 1
        hit = queue[at] if at < len(queue) and queue[at].at <= spoken.end + LATE_S else None
        next_of[spoken.word] = at + (hit is not None)
        pairs.append((spoken, hit))
    used = {id(hit) for _, hit in pairs}
    return pairs, [d for d in detections if id(d) not in used]


def score(sound: Sound, detections: Sequence[Detection], words: Sequence[str]) -> Score:
    """Figures of detections on a stream, see :func:`match`."""
    pairs, left = match(sound, detections, words)
    latencies = [(hit.at - spoken.end) * 1000 for spoken, hit in pairs if hit]
    return Score(
        wanted=len(pairs),
        detected=len(latencies),
        missed=len(pairs) - len(latencies),
        false_accepts=len(left),
        false_accepts_per_hour=len(left) / sound.hours,
        latency_ms=float(np.median(latencies)) if latencies else None,
        latency_p95_ms=float(np.percentile(latencies, 95)) if latencies else None,
        hours=sound.hours,
    )


def sweep(
    sound: Sound, outputs: Outputs, labels: Sequence[str], pace: Pace | None = None
) -> list[tuple[Decision, Score]]:
    """All settings on one stream: every length of the average with every threshold."""
    pace = pace or Pace()
    tried = []
    for window in sorted({max(1, round(ms / pace.hop_ms)) for ms in WINDOWS_MS}):
        averages = Averages(outputs, labels, window)
        for threshold in THRESHOLDS:
            decision = Decision(pace.hop_frames, window, threshold, REFRACTORY_MS)
            tried.append((decision, score(sound, averages.detections(threshold), wanted(labels))))
    return tried


def pick(
    tried: Sequence[tuple[Decision, Score]], accepts_per_hour: float | None = None
) -> tuple[Decision, Score]:
    """The best of what :func:`sweep` tried on validation streams.

    With ``accepts_per_hour`` only those with no more false accepts an hour are fair; where none is, the one
    with fewest wins. Of the fair ones validation cannot tell those apart that miss hardly more than the best
    one, by no more than one standard error of its share (the rule of L. Breiman et al., "Classification and
    Regression Trees", 1984, 3.4.3): of these the one with fewest false accepts wins. Without
    ``accepts_per_hour`` it is the cheapest (:meth:`Score.cost`). Among equals the stricter ones win, first
    the higher threshold, then the longer window: there is more silence in the world than in a validation
    stream.
    """
    fair = [pair for pair in tried if pair[0].threshold >= LEAST]
    if accepts_per_hour is None:
        return min(fair, key=lambda pair: (pair[1].cost(), *_strictest(pair[0])))
    within = [pair for pair in fair if pair[1].false_accepts_per_hour <= accepts_per_hour]
    if within:
        enough = _tolerable(min((score for _, score in within), key=lambda score: score.missed))
        good = (pair for pair in within if pair[1].missed <= enough)
        return min(good, key=lambda pair: (pair[1].false_accepts, *_strictest(pair[0])))
    return min(fair, key=lambda pair: (pair[1].false_accepts, pair[1].missed, *_strictest(pair[0])))


def _tolerable(best: Score) -> float:
    """Misses that cannot be told from those of the best settings; none missed counts as half a word."""
    share = max(best.missed, 0.5) / max(best.wanted, 1)
    return best.missed + math.sqrt(best.wanted * share * (1 - share))


def _strictest(decision: Decision) -> tuple[float, int]:
    return -decision.threshold, -decision.window


@lru_cache(maxsize=2)
def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"node_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
