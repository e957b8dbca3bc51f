"""Picture of a run of the twin: current over time, the states it was in, what drew how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from cicada.tools.twin.power import BUSY, DEEP_SLEEP, IDLE, LIGHT_SLEEP, OFF
from cicada.training.figures import FAINT, INK, figure

#: The states of the power meter as a person would call them, in the order of pictures and tables.
STATES = {
    BUSY: "CPU busy",
    IDLE: "CPU idle",
    LIGHT_SLEEP: "light sleep",
    DEEP_SLEEP: "deep sleep",
    OFF: "no power",
}
#: What draws current beside the chip in one of its states.
LOADS = {"microphone": "microphone", "wifi": "Wi-Fi", "sensors": "sensors"}

# Okabe and Ito's colours, as in training's pictures.
_COLOURS = {
    "CPU busy": "#D55E00",
    "CPU idle": "#E69F00",
    "light sleep": "#56B4E9",
    "deep sleep": "#0072B2",
    "no power": "#8a8a8a",
    "microphone": "#009E73",
    "Wi-Fi": "#CC79A7",
    "sensors": "#c8c8c8",
}
_COLUMNS = 1000  # about one for each pixel of the picture's width
_SHARES = 250  # columns of the two lower rows, where single stretches would be only noise
_EXACT = 3000  # stretches drawn as they are; more become an envelope
# Sleeps are shaded from this share of the width on and named where their name has room; shorter ones are seen
# in the row of states.
_SHADED, _NAMED = 0.005, 0.07
_FLOOR_MA, _CEILING_MA = 0.001, 300.0
_UNITS = ((2 * 86400, 86400, "days"), (2 * 3600, 3600, "h"), (300, 60, "min"), (0, 1, "s"))


@dataclass(frozen=True)
class Course:
    """Stretches of constant current, one after the other without a gap.

    Attributes:
        times: ``float64[n + 1]``, s: where the first begins and where each ends.
        current: ``float64[n]``, mA.
        state: ``int64[n]``, place in :data:`STATES`.
        parts: by name (values of :data:`STATES` and :data:`LOADS`) ``float64[n]``, mA; together ``current``.
    """

    times: np.ndarray
    current: np.ndarray
    state: np.ndarray
    parts: Mapping[str, np.ndarray]

    @property
    def seconds(self) -> float:
        """Length, s."""
        return float(self.times[-1] - self.times[0])

    @cached_property
    def charge(self) -> np.ndarray:
        """Charge drawn until each of ``times``, mA s, ``float64[n + 1]``."""
        return self._until(self.current)

    def means(self, values: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """Average over time of ``values`` (one a stretch) between neighbouring ``edges`` (s)."""
        return np.diff(np.interp(edges, self.times, self._until(values))) / np.diff(edges)

    def moving_average(self, at: np.ndarray, seconds: float) -> np.ndarray:
        """Average current (mA) over ``seconds`` around each moment of ``at``, less at the ends."""
        low = np.maximum(at - seconds / 2, self.times[0])
        high = np.minimum(at + seconds / 2, self.times[-1])
        until = self.charge
        return (np.interp(high, self.times, until) - np.interp(low, self.times, until)) / (high - low)

    def envelope(self, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest current (mA) between neighbouring ``edges`` (s): no peak is lost."""
        first = np.searchsorted(self.times[1:], edges[:-1], side="right")
        stop = np.searchsorted(self.times[:-1], edges[1:], side="left")
        first = np.minimum(first, len(self.current) - 1)
        # One value behind the last, as reduceat takes no index beyond the end.
        pairs = np.stack([first, np.maximum(stop, first + 1)], axis=1).ravel()
        low = np.minimum.reduceat(np.append(self.current, np.inf), pairs)[::2]
        high = np.maximum.reduceat(np.append(self.current, -np.inf), pairs)[::2]
        return low, high

    def spells(self, state: int) -> list[tuple[float, float]]:
        """From when to when (s) it was in one state without a break, whatever the current."""
        inside = np.concatenate([[False], self.state == state, [False]])
        turns = np.flatnonzero(np.diff(inside))
        return [(float(self.times[a]), float(self.times[b])) for a, b in turns.reshape(-1, 2)]

    def _until(self, values: np.ndarray) -> np.ndarray:
        return np.concatenate([[0.0], np.cumsum(values * np.diff(self.times))])


def draw(path: Path, course: Course, marks: Mapping[str, Sequence[float]], title: str) -> None:
    """Draw a run as a PNG about 1250 pixels wide.

    Args:
        path: the PNG.
        course: what was drawn when.
        marks: moments (s) by what happened then; a row for each name that has any.
        title: headline.
    """
    marks = {name: times for name, times in marks.items() if len(times)}
    _, scale, unit = next(u for u in _UNITS if course.seconds >= u[0])
    heights = [0.12 + 0.17 * len(marks), 2.7, 0.4, 1.1]
    size = (9.6, 1.3 + sum(heights))
    with figure(path, size, nrows=4, sharex=True, height_ratios=heights) as (drawn, axes):
        _marks(axes[0], marks, course, scale)
        _current(axes[1], course, scale)
        _states(axes[2], course, scale)
        _contributions(axes[3], course, scale)
        axes[3].set_xlabel(f"virtual time ({unit})")
        axes[3].set_xlim(course.times[0] / scale, course.times[-1] / scale)
        drawn.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=11)
        drawn.align_ylabels(axes[1:])
        _legend(drawn, course)


def _edges(course: Course, columns: int) -> np.ndarray:
    return np.linspace(course.times[0], course.times[-1], columns + 1)


def _marks(axis, marks: Mapping[str, Sequence[float]], course: Course, scale: float) -> None:
    """A row of ticks for each kind of mark, so that many of them never cover one another's names."""
    edges = _edges(course, 2 * _COLUMNS)
    for row, times in enumerate(marks.values()):
        columns = np.unique(np.clip(np.searchsorted(edges, times) - 1, 0, len(edges) - 2))
        many = len(columns) > _COLUMNS / 4
        axis.vlines(edges[columns] / scale, row - 0.36, row + 0.36, INK, linewidth=0.4 if many else 1.3)
    names = [f"{name} ({len(times):,})" for name, times in marks.items()]
    axis.set_yticks(range(len(marks)), names, fontsize=8)
    axis.set_ylim(len(marks) - 0.4, -0.6)
    axis.tick_params(length=0)
    axis.tick_params(axis="x", labelbottom=False)
    axis.spines[:].set_visible(False)


def _current(axis, course: Course, scale: float) -> None:
    shown = np.maximum(course.current, _FLOOR_MA)
    edges = _edges(course, _COLUMNS)
    if len(shown) <= _EXACT:
        axis.stairs(shown, course.times / scale, baseline=None, color="#8a8a8a", linewidth=0.7)
        what = "current"
    else:
        low, high = course.envelope(edges)
        low, high = np.maximum(low, _FLOOR_MA), np.maximum(high, _FLOOR_MA)
        middle = (edges[1:] + edges[:-1]) / 2 / scale
        axis.fill_between(middle, low, high, step="mid", color="#c4c4c4", linewidth=0)
        what = "current, lowest to highest"
    seconds = _nice(course.seconds / 40)
    average = np.maximum(course.moving_average(edges, seconds), _FLOOR_MA)
    axis.plot(edges / scale, average, color=INK, linewidth=1.6)
    for name in ("light sleep", "deep sleep", "no power"):
        spells = course.spells(list(STATES.values()).index(name))
        for start, end in spells:
            if end - start < _SHADED * course.seconds:
                continue
            axis.axvspan(start / scale, end / scale, color=_COLOURS[name], alpha=0.13, linewidth=0)
            if end - start > _NAMED * course.seconds:
                axis.text(
                    (start + end) / 2 / scale, 0.96, name, transform=axis.get_xaxis_transform(),
                    ha="center", va="top", fontsize=8, color=_COLOURS[name],
                )  # fmt: skip
    axis.set_yscale("log")
    axis.set_ylim(_FLOOR_MA, max(_CEILING_MA, 1.3 * float(shown.max())))
    ticks = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
    axis.set_yticks(ticks, ["1 µA", "10 µA", "100 µA", "1 mA", "10 mA", "100 mA"])
    axis.minorticks_off()
    axis.grid(axis="y", color=FAINT, linewidth=0.7)
    axis.set_axisbelow(True)
    axis.set_ylabel("current")
    axis.set_title(f"grey: {what}; black: average over {_span(seconds)}", fontsize=9, fontweight="normal")


def _states(axis, course: Course, scale: float) -> None:
    edges = _edges(course, _SHARES)
    shares = [course.means((course.state == n).astype(float), edges) for n in range(len(STATES))]
    _stack(axis, edges / scale, shares, list(STATES.values()))
    axis.set_ylim(0, 1)
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.set_ylabel("time in", rotation=0, ha="right", va="center", fontsize=9)


def _contributions(axis, course: Course, scale: float) -> None:
    edges = _edges(course, _SHARES)
    names = list(course.parts)
    means = [course.means(course.parts[name], edges) for name in names]
    _stack(axis, edges / scale, means, names)
    axis.set_ylim(0, max(1.1 * float(np.sum(means, axis=0).max(initial=0.0)), 1e-3))
    axis.set_ylabel("mA from")
    axis.grid(axis="y", color=FAINT, linewidth=0.7)
    axis.set_axisbelow(True)


def _stack(axis, edges: np.ndarray, layers: Sequence[np.ndarray], names: Sequence[str]) -> None:
    below = np.zeros(len(edges) - 1)
    for layer, name in zip(layers, names, strict=True):
        if layer.any():
            axis.stairs(below + layer, edges, baseline=below, fill=True, color=_COLOURS[name], linewidth=0)
        below = below + layer


def _legend(drawn, course: Course) -> None:
    from matplotlib.patches import Patch

    present = [name for n, name in enumerate(STATES.values()) if (course.state == n).any()]
    present += [name for name in LOADS.values() if name in course.parts and course.parts[name].any()]
    patches = [Patch(color=_COLOURS[name], label=name) for name in present]
    drawn.legend(handles=patches, loc="outside lower center", ncols=len(patches), fontsize=9)


def _nice(seconds: float) -> float:
    """The next of 1, 2, 5, 10, 20, 30 s, minutes or hours."""
    steps = [n * unit for unit in (1, 60, 3600) for n in (1, 2, 5, 10, 20, 30)] + [6 * 3600, 12 * 3600, 86400]
    return float(next((step for step in steps if step >= seconds), steps[-1]))


def _span(seconds: float) -> str:
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"
