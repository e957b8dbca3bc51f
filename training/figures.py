"""Pictures: training curves, confusion matrix, and a timeline of what was played and what was heard."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cicada.tools.audio import RATE
from cicada.tools.stages import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind eyes too (jfly.uni-koeln.de/color); the first two
# belong to _silence_ and _unknown_ and stay in the background.
_FIXED = ("#c8c8c8", "#8a8a8a")
WORDS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, FAINT = "#222222", "#dddddd"
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "figure.dpi": 130,
    "legend.frameon": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def colour(label: int) -> str:
    """Colour of a class, the same in every picture."""
    return _FIXED[label] if label < 2 else WORDS[(label - 2) % len(WORDS)]


def curves(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Loss and accuracy by epoch, as :func:`cicada.training.lesson.train` returns them."""
    epochs = np.arange(1, len(history) + 1)
    with figure(path, (9, 3.6), ncols=2) as (_, axes):
        for axis, name, title in ((axes[0], "loss", "Loss"), (axes[1], "accuracy", "Accuracy")):
            axis.plot(epochs, [h[name] for h in history], color=WORDS[0], label="training (distorted)")
            axis.plot(epochs, [h["val_" + name] for h in history], color=WORDS[1], label="validation (clean)")
            axis.set_title(title)
            axis.set_xlabel("epoch")
            axis.grid(axis="y", color=FAINT, linewidth=0.7)
            axis.set_axisbelow(True)
            axis.xaxis.get_major_locator().set_params(integer=True)
        axes[0].set_ylim(bottom=0)
        axes[1].set_ylim(top=1)
        axes[1].yaxis.set_major_formatter("{x:.0%}")
        axes[1].legend(loc="lower right")


def confusion(path: Path, matrix: np.ndarray, labels: Sequence[str], title: str, truth: str = "said") -> None:
    """Confusion matrix: rows what was there (``truth``), columns what was answered; shares as shade."""
    matrix = np.asarray(matrix)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = 2.6 + 0.62 * len(labels)
    with figure(path, (side + 0.6, side)) as (drawn, axis):
        image = axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(matrix.shape):
            dark = share[row, column] > 0.5
            axis.text(
                column,
                row,
                f"{matrix[row, column]}\n{share[row, column]:.0%}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if dark else (INK if matrix[row, column] else "#aaaaaa"),
            )
        axis.set_xticks(range(len(labels)), labels, rotation=35, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(len(labels)), labels)
        axis.set_xlabel("answered")
        axis.set_ylabel(truth)
        axis.set_title(title, fontsize=10)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
        bar = drawn.colorbar(image, ax=axis, fraction=0.046, pad=0.04, format="{x:.0%}")
        bar.outline.set_visible(False)
        bar.set_label(f"share of what was {truth}")


def pareto(
    path: Path, points: Sequence[tuple[int, float, float, float]], best: Sequence[int], cost: str, title: str
) -> None:
    """Accuracy of models against what they cost, and a line through those that no other beats.

    Args:
        path: of the PNG.
        points: number, accuracy (0 to 1), multiply-accumulates and bytes of each model.
        best: numbers of those that no other beats in everything.
        cost: what the multiply-accumulates are of: ``macs`` (an inference) or ``macs_per_s``.
        title: of the picture.
    """
    of = {"macs": "million MACs an inference", "macs_per_s": "million MACs a second"}[cost]
    with figure(path, (9, 3.8), ncols=2, sharey=True) as (drawn, axes):
        for axis, column, scale, name in ((axes[0], 2, 1e6, of), (axes[1], 3, 1024, "KB packed")):
            for point in points:
                chosen = point[0] in best
                at = (point[column] / scale, point[1])
                axis.plot(*at, "o", color=WORDS[0] if chosen else _FIXED[0], zorder=2 + chosen)
                if chosen:
                    axis.annotate(str(point[0]), at, (4, 4), textcoords="offset points", fontsize=8)
            front = []
            for point in sorted(points, key=lambda one: (one[column], -one[1])):
                if not front or point[1] > front[-1][1]:
                    front.append(point)
            axis.step(
                [point[column] / scale for point in front],
                [point[1] for point in front],
                where="post",
                color=WORDS[1],
                linewidth=1,
            )
            axis.set_xlabel(name)
            axis.grid(color=FAINT, linewidth=0.7)
            axis.set_axisbelow(True)
        axes[0].set_ylabel("accuracy")
        axes[0].yaxis.set_major_formatter("{x:.1%}")
        drawn.suptitle(title, x=0.01, ha="left", fontweight="bold")


def timeline(
    path: Path,
    pcm: np.ndarray,
    scores: np.ndarray,
    times: np.ndarray,
    detections: Sequence[tuple[float, str, float]],
    labels: Sequence[str],
    title: str,
    *,
    played: Sequence[tuple[float, float, str]] = (),
    asleep: Sequence[tuple[float, float]] = (),
    threshold: float | None = None,
) -> None:
    """Sound and words above, class scores and detections below, on one time axis.

    Args:
        path: the PNG.
        pcm: ``int16[n]`` at 16 kHz.
        scores: ``[t, classes]``, 0..1.
        times: ``[t]``, seconds.
        detections: time in seconds, word and score of each.
        labels: class names.
        title: headline.
        played: start and end in seconds and word of what was said.
        asleep: stretches in seconds in which nobody listened.
        threshold: score at which a word fires, drawn as a line.
    """
    scores, times = np.asarray(scores, np.float64).reshape(-1, len(labels)), np.asarray(times)
    seconds = len(pcm) / RATE
    width = float(np.clip(seconds * 0.45, 9, 24))
    with figure(path, (width, 4.8), nrows=2, sharex=True, height_ratios=[1, 1.3]) as (drawn, axes):
        top, bottom = axes
        _waveform(top, pcm)
        number = {label: index for index, label in enumerate(labels)}
        for start, end, word in played:
            wanted = word in number
            shade = colour(number[word]) if wanted else _FIXED[1]
            top.axvspan(start, end, color=shade, alpha=0.18, linewidth=0)
            top.text(
                (start + end) / 2,
                1.02,
                word,
                transform=top.get_xaxis_transform(),
                ha="center",
                va="bottom",
                color=shade,
                fontsize=9,
                fontweight="bold" if wanted else "normal",
            )
        top.set_ylim(-1, 1)
        top.set_yticks([])
        top.set_ylabel("sound")
        top.spines["left"].set_visible(False)
        for label in range(len(labels)):
            wide = 1.6 if label > 1 else 1.0
            for at, part in _pieces(times, scores[:, label]):
                bottom.plot(at, part, color=colour(label), linewidth=wide, zorder=1 + (label > 1))
            # A leading underscore would keep a name out of the legend.
            bottom.plot([], [], color=colour(label), linewidth=wide, label=labels[label].strip("_"))
        if threshold is not None:
            bottom.axhline(threshold, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), label="threshold")
        for at, word, score in detections:
            bottom.plot(
                [at],
                [score],
                marker="v",
                markersize=9,
                color=colour(number.get(word, 1)),
                markeredgecolor=INK,
                linestyle="none",
                zorder=4,
                clip_on=False,
            )
            top.axvline(at, color=colour(number.get(word, 1)), linewidth=1.2, linestyle=(0, (2, 2)))
        if detections:
            bottom.plot(
                [],
                [],
                marker="v",
                markersize=8,
                color="white",
                markeredgecolor=INK,
                linestyle="none",
                label="detected",
            )
        for start, end in asleep:
            for axis in axes:
                axis.axvspan(start, end, facecolor="#f1f1f1", edgecolor="#bbbbbb", hatch="///", linewidth=0)
            bottom.text(
                (start + end) / 2,
                0.5,
                "asleep",
                ha="center",
                va="center",
                fontsize=9,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 2},
            )
        bottom.set_ylim(0, 1.04)
        bottom.set_xlim(0, seconds)
        bottom.set_ylabel("score")
        bottom.set_xlabel("time (s)")
        bottom.legend(ncols=len(labels) + 2, loc="upper center", bbox_to_anchor=(0.5, -0.2))
        drawn.suptitle(title, x=0.01, ha="left", fontweight="bold")


def _waveform(axis, pcm: np.ndarray) -> None:
    """Envelope of the sound, scaled to its peak: lowest and highest sample of each of 2000 stretches."""
    step = max(1, len(pcm) // 2000)
    blocks = np.asarray(pcm[: len(pcm) // step * step], np.float64).reshape(-1, step)
    peak = max(float(np.abs(blocks).max(initial=0)), 1.0)
    at = (np.arange(len(blocks)) + 0.5) * step / RATE
    low, high = blocks.min(axis=1, initial=0) / peak, blocks.max(axis=1, initial=0) / peak
    axis.fill_between(at, low, high, color="#4a4a4a", linewidth=0.3)


def _pieces(times: np.ndarray, values: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cut a curve where more than half a second is missing, so that no line is drawn through a sleep."""
    cuts = np.flatnonzero(np.diff(times) > 0.5) + 1
    yield from zip(np.split(times, cuts), np.split(values, cuts), strict=True)


@contextmanager
def figure(path: Path, size: tuple[float, float], **grid: object) -> Iterator[tuple[Figure, object]]:
    """A figure in the common style, written to ``path`` when the body is done."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    ratios = {"height_ratios": grid.pop("height_ratios")} if "height_ratios" in grid else None
    with pyplot.rc_context(_STYLE):
        drawn, axes = pyplot.subplots(figsize=size, layout="constrained", gridspec_kw=ratios, **grid)
        try:
            yield drawn, axes
            image = io.BytesIO()
            # No date and no version inside: the same data give the same file.
            drawn.savefig(image, format="png", metadata={"Software": None})
        finally:
            pyplot.close(drawn)
    write_atomic(path, image.getvalue())
