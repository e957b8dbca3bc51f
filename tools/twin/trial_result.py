"""What a trial of two models found: counts with their uncertainty, differences, verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

BETTER, WORSE, SAME = "better", "worse", "no difference"
#: How the verdict is reached.
RULES = (
    "Rules: worse if the device refuses the candidate, if it needs more than the board's arena, if it"
    " restarts after errors or loses samples where the running model does not, or if it loses in clips, words"
    " or false accepts; else better if it wins in one of them. To win or lose, what the two differ in must be"
    " so one-sided that chance would do it less than once in twenty (two-sided sign test)."
)
_CHANCE = 0.05
_Z = 1.96  # 95 % of a normal distribution lie within so many standard deviations


@dataclass(frozen=True)
class Count:
    """``right`` out of ``of``."""

    right: int
    of: int

    @property
    def share(self) -> float:
        """The share, 0 of nothing."""
        return self.right / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share behind the count (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927)."""
        if not self.of:
            return 0.0, 1.0
        n, p = self.of, self.share
        middle = p + _Z**2 / (2 * n)
        half = _Z * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
        scale = 1 + _Z**2 / n
        return max((middle - half) / scale, 0.0), min((middle + half) / scale, 1.0)


@dataclass(frozen=True)
class Measured:
    """What was measured on one model.

    Attributes:
        clips: right answers to test clips by label.
        words: words detected in the stream, by the application in the twin.
        asleep: how many of these words were spoken while the node slept.
        false_accepts: events that belong to no utterance of their word, in ``hours`` of sound.
        latency_ms: mean time from the end of a word to its event; None if none was detected.
        inference_ms, inference_mj: one inference on the board's figures, the chip alone.
        average_ma: over all that was played.
        battery_hours: how long the board's battery lasts at that.
        crashes: restarts after errors.
        lost_samples: samples the application came too late to read.
    """

    clips: dict[str, Count]
    words: Count
    asleep: int
    false_accepts: int
    hours: float
    latency_ms: float | None
    inference_ms: float
    inference_mj: float
    average_ma: float
    battery_hours: float
    crashes: int
    lost_samples: int

    @property
    def all_clips(self) -> Count:
        """Right answers over all labels."""
        return Count(sum(c.right for c in self.clips.values()), sum(c.of for c in self.clips.values()))

    @property
    def false_an_hour(self) -> tuple[float, float, float]:
        """False accepts an hour, and its 95 % interval (score interval of a Poisson count)."""
        n = self.false_accepts
        half = _Z * math.sqrt(n + _Z**2 / 4)
        return n / self.hours, max(n + _Z**2 / 2 - half, 0) / self.hours, (n + _Z**2 / 2 + half) / self.hours


@dataclass(frozen=True)
class Figures:
    """One model: what it is, why the device would not run it (or ""), and what was measured if it does."""

    path: Path
    name: str
    version: str
    labels: list[str]
    model_bytes: int
    arena_bytes: int | None
    refused: str
    measured: Measured | None


@dataclass(frozen=True)
class Difference:
    """Cases in which the two differ: ``won`` and ``lost`` by the candidate."""

    what: str
    won: int
    lost: int

    @property
    def chance(self) -> float:
        """Probability of a split at least this one-sided if both were equally good (sign test)."""
        n, most = self.won + self.lost, max(self.won, self.lost)
        return min(1.0, 2 * sum(math.comb(n, k) for k in range(most, n + 1)) / 2**n) if n else 1.0

    @property
    def verdict(self) -> str:
        """:data:`BETTER`, :data:`WORSE` or :data:`SAME`."""
        if self.chance >= _CHANCE:
            return SAME
        return BETTER if self.won > self.lost else WORSE


@dataclass(frozen=True)
class Trial:
    """Outcome of a trial.

    Attributes:
        verdict: :data:`BETTER`, :data:`WORSE` or :data:`SAME`.
        reasons: why, a phrase each.
        words: what both were tested on.
        arena_limit: bytes.
        notes: what to know about the figures, a sentence each.
    """

    candidate: Figures
    running: Figures
    differences: list[Difference]
    verdict: str
    reasons: list[str]
    words: list[str]
    arena_limit: int
    notes: list[str]

    @property
    def code(self) -> int:
        """Exit code: 1 if the candidate is worse, else 0."""
        return 1 if self.verdict == WORSE else 0

    def as_json(self) -> dict[str, Any]:
        """All of it in JSON's types, with the 95 % intervals."""
        return _plain(self) | {"exit_code": self.code}


def judge(new: Figures, old: Figures, differences: Sequence[Difference], limit: int) -> tuple[str, list[str]]:
    """The verdict by :data:`RULES`, and its reasons, the gravest first."""
    mine, theirs = new.measured, old.measured
    faults = []
    if new.arena_bytes > limit:
        faults.append(f"the arena of {new.arena_bytes:,} bytes is over the board's {limit:,}")
    if mine.crashes and not theirs.crashes:
        faults.append(f"restarted {mine.crashes} times after errors")
    if mine.lost_samples and not theirs.lost_samples:
        faults.append(f"too slow to listen: {mine.lost_samples:,} samples were lost")
    told = {d.what: _told(d, mine, theirs) for d in differences}
    lost = [told[d.what] for d in differences if d.verdict == WORSE]
    won = [told[d.what] for d in differences if d.verdict == BETTER]
    even = [told[d.what] for d in differences if d.verdict == SAME]
    if faults or lost:
        return WORSE, faults + lost
    if won:
        return BETTER, [*won, *even, "the arena fits"]
    return SAME, even


def _told(difference: Difference, mine: Measured, theirs: Measured) -> str:
    d = difference
    if d.what == "false accepts":
        return f"false accepts {d.lost} against {d.won}{_by_chance(d)}"
    a, b = (mine.all_clips, theirs.all_clips) if d.what == "clips" else (mine.words, theirs.words)
    name = "accuracy" if d.what == "clips" else "words detected"
    split = f"won {d.won} and lost {d.lost} of {a.of}"
    return f"{name} {(a.share - b.share) * 100:+.1f} points ({split}){_by_chance(d)}"


def _by_chance(difference: Difference) -> str:
    return "" if difference.verdict != SAME else ", which may be chance" if difference.chance < 1 else ""


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if not is_dataclass(value):
        return str(value) if isinstance(value, Path) else value
    made = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Count):
        made["interval"] = list(value.interval)
    if isinstance(value, Measured):
        made["false_an_hour"] = list(value.false_an_hour)
    if isinstance(value, Difference):
        made |= {"chance": value.chance, "verdict": value.verdict}
    return made
