"""False accepts an hour against missed words, over thresholds and averages, by the device's own smoother.

The settings are chosen on validation sound alone; the same settings are then measured on test sound, and the
curves of both are kept so that everybody can see what other settings would have given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cicada.training import decision
from cicada.training.decision import Decision, Detection, Score, Sound
from cicada.training.evaluation import intervals
from cicada.training.evaluation.mixtures import Heard
from cicada.training.streaming import Pace

Tried = Sequence[tuple[Decision, Score]]


@dataclass(frozen=True)
class Point:
    """One setting on a curve.

    Attributes:
        window, threshold: the setting.
        false_accepts_per_hour: see :class:`cicada.training.decision.Score`.
        miss_rate: share of the wanted words that were missed; None if there were none.
        latency_ms: median from the end of a word to its detection.
    """

    window: int
    threshold: float
    false_accepts_per_hour: float
    miss_rate: float | None
    latency_ms: float | None


def pareto(tried: Tried) -> list[Point]:
    """The settings than which no other has both fewer false accepts and fewer misses.

    Returns:
        them by rising false accepts and falling misses; of equal ones the strictest alone.
    """
    best: list[Point] = []
    ordered = sorted(
        tried, key=lambda pair: (pair[1].false_accepts, pair[1].missed, -pair[0].threshold, -pair[0].window)
    )
    fewest: int | None = None
    for setting, score in ordered:
        if fewest is None or score.missed < fewest:
            fewest = score.missed
            best.append(_point(setting, score))
    return best


def measure(
    validation: Heard,
    test: Heard,
    labels: Sequence[str],
    pace: Pace,
    accepts_per_hour: float | None = None,
) -> tuple[Decision, dict[str, Any]]:
    """Choose the settings on validation sound, and measure them on test sound.

    Args:
        validation, test: what the model answered, see :func:`cicada.training.evaluation.mixtures.listen`.
        labels: class names.
        pace: how the model was fed.
        accepts_per_hour: see :func:`cicada.training.decision.pick`.

    Returns:
        the settings, and JSON-able ``decision``, ``validation`` and ``test`` (see :func:`figures`), and
        ``curves`` with the points of :func:`pareto` for both; on test they are for looking at only.
    """
    on_validation = decision.sweep(validation, validation.outputs, labels, pace)
    chosen, _ = decision.pick(on_validation, accepts_per_hour)
    on_test = decision.sweep(test, test.outputs, labels, pace)
    return chosen, {
        "decision": chosen.as_json(),
        "accepts_per_hour_asked": accepts_per_hour,
        "validation": figures(validation, labels, chosen),
        "test": figures(test, labels, chosen),
        "curves": {
            "validation": [asdict(point) for point in pareto(on_validation)],
            "test": [asdict(point) for point in pareto(on_test)],
        },
    }


def figures(heard: Heard, labels: Sequence[str], chosen: Decision) -> dict[str, Any]:
    """Everything about one setting on some hours of sound, by the device's smoother itself.

    Returns:
        the fields of :class:`cicada.training.decision.Score`; ``miss_rate`` and ``false_accepts_interval``
        (an hour) with 95 % intervals, the words taken as independent; ``words``: the same counts for each
        wanted word; ``causes``: false accepts by what was being said.
    """
    words = decision.wanted(labels)
    detections = decision.detect(heard.outputs, labels, chosen)
    whole = decision.score(heard, detections, words)
    by_word = {
        word: decision.score(heard, [one for one in detections if one.word == word], [word]) for word in words
    }
    causes: dict[str, int] = defaultdict(int)
    for cause in false_accepts(heard, detections, words):
        causes[cause["during"]] += 1
    missed = intervals.wilson(whole.missed, whole.wanted).as_json() if whole.wanted else None
    return {
        **asdict(whole),
        "miss_rate": missed,
        "false_accepts_interval": intervals.rate(whole.false_accepts, whole.hours).as_json(),
        "words": {
            word: {"wanted": one.wanted, "missed": one.missed, "false_accepts": one.false_accepts}
            for word, one in by_word.items()
        },
        "causes": dict(sorted(causes.items(), key=lambda item: (-item[1], item[0]))),
    }


def false_accepts(
    sound: Sound, detections: Sequence[Detection], words: Sequence[str]
) -> list[dict[str, Any]]:
    """The detections that belong to no utterance, with what was being said.

    Returns:
        for each ``at`` (seconds), ``word``, ``score``, and ``during``: the last word that had begun by then
        and ended at most :data:`cicada.training.decision.LATE_S` before; "" if nobody spoke.
    """
    _, left = decision.match(sound, detections, words)
    found = []
    for one in left:
        near = [s.word for s in sound.spoken if s.start <= one.at <= s.end + decision.LATE_S]
        found.append({**asdict(one), "during": near[-1] if near else ""})
    return found


def _point(setting: Decision, score: Score) -> Point:
    return Point(
        window=setting.window,
        threshold=setting.threshold,
        false_accepts_per_hour=score.false_accepts_per_hour,
        miss_rate=score.missed / score.wanted if score.wanted else None,
        latency_ms=score.latency_ms,
    )
