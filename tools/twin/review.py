"""What the twin heard against what it was played."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cicada.tools.twin.power import DEEP_SLEEP
from cicada.tools.twin.sound import Played
from cicada.tools.twin.twin import Twin
from cicada.training.decision import Detection

_LATE_S = 1.5  # a detection belongs to a recording until this long after its end


@dataclass(frozen=True)
class Review:
    """Outcome of a run.

    Attributes:
        heard: wanted recordings whose word was detected while or shortly after they were played.
        missed: wanted recordings that were not, though the node was awake.
        asleep: wanted recordings played while the node slept.
        false: detections that belong to no recording of their word.
        detections: every detection.
        woke: boots after deep sleep.
    """

    heard: list[Played]
    missed: list[Played]
    asleep: list[Played]
    false: list[Detection]
    detections: list[Detection]
    woke: int
    twin: Twin

    def summary(self) -> str:
        """One phrase for the table."""
        wanted = len(self.heard) + len(self.missed)
        text = f"{len(self.heard)} of {wanted} words detected, {len(self.false)} false"
        if self.asleep:
            text += f", {len(self.asleep)} played while asleep"
        return text + f", woke {self.woke} time{'s' if self.woke != 1 else ''}"

    def draw(self, path: Path, labels: Sequence[str]) -> Path:
        """Timeline of the run as a picture."""
        from cicada.training.figures import timeline

        chip, sound = self.twin.chip, self.twin.world.sound
        outputs = chip.parts["neural"].scores
        times = np.array([at for at, _ in outputs])
        scores = np.array([output for _, output in outputs], np.float64).reshape(len(times), -1)
        timeline(
            path,
            sound.pcm,
            (scores + 128) / 255,
            times,
            [(d.at, d.word, d.score) for d in self.detections],
            list(labels),
            "What the twin was played and what it heard",
            played=[(p.start, p.end, p.word) for p in sound.played],
            asleep=[(s.start / 1e6, s.end / 1e6) for s in chip.meter.stretches if s.state == DEEP_SLEEP],
        )
        return path


def review(twin: Twin, words: Sequence[str]) -> Review:
    """Match the node's keyword events with the recordings it was played."""
    detections = [
        Detection(at, event["word"], event["score"] / 100)
        for at, event in twin.events
        if event["event"] == "keyword"
    ]
    asleep_spells = [(s.start / 1e6, s.end / 1e6) for s in twin.chip.meter.stretches if s.state == DEEP_SLEEP]
    left = list(detections)
    heard, missed, asleep = [], [], []
    for one in twin.world.sound.played:
        if one.word not in words:
            continue
        match = next((d for d in left if d.word == one.word and one.start <= d.at <= one.end + _LATE_S), None)
        if match:
            left.remove(match)
            heard.append(one)
        elif any(start < one.end and one.start < end for start, end in asleep_spells):
            asleep.append(one)
        else:
            missed.append(one)
    return Review(heard, missed, asleep, left, detections, twin.wakes, twin)
