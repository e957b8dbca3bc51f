"""Pictures of reports: errors against each other, scores over time, and what an example looks like."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cicada.tools import engine
from cicada.training.figures import FAINT, INK, WORDS, figure

_SCALE = 4  # pixels of a spectrogram's cell


def trade(path: Path, heard: dict[str, Any]) -> None:
    """False accepts an hour against the share of missed words, with the point that was chosen.

    Args:
        path: of the PNG.
        heard: what :func:`cicada.training.evaluation.listening.measure` returns.
    """
    with figure(path, (6.4, 3.8)) as (_, axis):
        for colour, split in zip(WORDS, ("validation", "test"), strict=False):
            points = [p for p in heard["curves"][split] if p["miss_rate"] is not None]
            accepts = [p["false_accepts_per_hour"] for p in points]
            axis.step(accepts, [p["miss_rate"] for p in points], where="post", color=colour, label=split)
            chosen = heard[split]
            if chosen["wanted"]:
                at = chosen["false_accepts_per_hour"], chosen["missed"] / chosen["wanted"]
                axis.plot(*at, "o", color=colour, label=f"chosen setting, {split}")
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xlim(left=0)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_ylim(0, 1)
        axis.yaxis.set_major_formatter("{x:.0%}")
        axis.set_xlabel("false accepts an hour")
        axis.set_ylabel("wanted words missed")
        axis.grid(color=FAINT, linewidth=0.7)
        axis.legend()


def in_noise(path: Path, levels: list[dict[str, Any]]) -> None:
    """Accuracy by level of noise, with the intervals over speakers.

    Args:
        path: of the PNG.
        levels: what :func:`cicada.training.evaluation.noise.by_snr` returns.
    """
    names = ["as recorded" if one["snr_db"] is None else f"{one['snr_db']:g} dB" for one in levels]
    values = np.array([one["accuracy"] for one in levels])
    low = values - [one["interval"]["low"] for one in levels]
    high = np.array([one["interval"]["high"] for one in levels]) - values
    with figure(path, (6.4, 3.2)) as (_, axis):
        axis.bar(names, values, color=WORDS[0], width=0.6)
        axis.errorbar(names, values, [np.maximum(low, 0), np.maximum(high, 0)], fmt="none", color="black")
        for at, value in enumerate(values):
            axis.text(at, 0.03, f"{value:.0%}", ha="center", color="white")
        axis.set_ylim(0, 1)
        axis.yaxis.set_major_formatter("{x:.0%}")
        axis.set_xlabel("speech over noise")
        axis.set_ylabel("accuracy")


def spectrogram(x: np.ndarray) -> bytes:
    """Features ``int8[frames, channels]`` as PNG: time to the right, frequency upwards."""
    from matplotlib import colormaps
    from PIL import Image

    shade = (x.T[::-1].astype(np.float64) + 128) / 255
    coloured = (colormaps["magma"](shade)[..., :3] * 255).astype(np.uint8)
    image = Image.fromarray(coloured).resize(
        (x.shape[0] * _SCALE, x.shape[1] * _SCALE), Image.Resampling.NEAREST
    )
    blob = io.BytesIO()
    image.save(blob, "PNG")
    return blob.getvalue()


def sound(pcm: np.ndarray, rate: int) -> bytes:
    """The spectrogram of a sound ``int16[n]`` as the front end makes it; a pixel for silence."""
    if len(pcm) < rate // 10:
        return spectrogram(np.full((1, 1), -128, np.int8))
    return spectrogram(engine.features(pcm, 20))


def gray(x: np.ndarray) -> bytes:
    """Pixels ``int8[rows, columns]``, gray less 128, as PNG."""
    from PIL import Image

    shade = (x.astype(np.int16) + 128).astype(np.uint8)
    image = Image.fromarray(shade).resize((2 * x.shape[1], 2 * x.shape[0]), Image.Resampling.NEAREST)
    blob = io.BytesIO()
    image.save(blob, "PNG")
    return blob.getvalue()


def training(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Every figure that a training recorded, by epoch: losses to the left, the others to the right.

    Args:
        path: of the PNG.
        history: as :func:`cicada.training.fit.fit` returns it, of one epoch or more.
    """
    epochs = np.arange(1, len(history) + 1)
    sides = [[name for name in history[0] if ("loss" in name) == wanted] for wanted in (True, False)]
    sides = [names for names in sides if names]
    with figure(path, (4.5 * len(sides), 3.2), ncols=len(sides), squeeze=False) as (_, axes):
        for axis, names in zip(axes[0], sides, strict=True):
            for tint, name in zip(WORDS, names, strict=False):
                axis.plot(epochs, [one[name] for one in history], color=tint, label=name.replace("_", " "))
            axis.set_xlabel("epoch")
            axis.set_ylim(bottom=0)
            axis.grid(axis="y", color=FAINT, linewidth=0.7)
            axis.xaxis.get_major_locator().set_params(integer=True)
            axis.legend()


def histogram(path: Path, scores: Mapping[str, np.ndarray], threshold: float) -> None:
    """How often which score comes up, as a share of each kind of windows.

    Args:
        path: of the PNG.
        scores: 0..1, by kind.
        threshold: at which something is reported.
    """
    with figure(path, (6.4, 3.2)) as (_, axis):
        for tint, (name, values) in zip(WORDS, scores.items(), strict=False):
            weights = np.full(len(values), 1 / max(len(values), 1))
            label = f"{name} ({len(values):,})"
            axis.hist(values, np.linspace(0, 1, 41), weights=weights, color=tint, alpha=0.6, label=label)
        axis.axvline(threshold, color=INK, linestyle="--", linewidth=1, label="threshold")
        axis.set_xlabel("score")
        axis.set_ylabel("share of windows")
        axis.yaxis.set_major_formatter("{x:.0%}")
        axis.legend()


def roc(
    path: Path, score: np.ndarray, faulty: np.ndarray, at: float | None = None, up_to: float | None = None
) -> None:
    """Detections against false alarms.

    Args:
        path: of the PNG.
        score: ``[n]``, higher for what is to be detected.
        faulty: ``bool[n]``, what is to be detected; both kinds must be there.
        at: the threshold, marked.
        up_to: false alarm rate that a partial area goes to, shaded.
    """
    from sklearn.metrics import roc_curve

    false, found, _ = roc_curve(faulty, score)
    with figure(path, (4.2, 3.8)) as (_, axis):
        if up_to is not None:
            axis.axvspan(0, up_to, color=FAINT, label="area of the pAUC")
        axis.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
        axis.plot(false, found, color=WORDS[0])
        if at is not None:
            chosen = (score[~faulty] >= at).mean(), (score[faulty] >= at).mean()
            axis.plot(*chosen, "o", color=WORDS[1], label="at the threshold")
        axis.set_xlim(-0.02, 1.02)
        axis.set_ylim(-0.02, 1.02)
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_formatter("{x:.0%}")
        axis.set_xlabel("false alarms")
        axis.set_ylabel("detected")
        if axis.get_legend_handles_labels()[0]:
            axis.legend(loc="lower right")


def onset(
    path: Path, streams: Sequence[tuple[np.ndarray, float]], window_s: float, threshold: float, clear: float
) -> None:
    """Score over the time around the beginning of a fault: all streams, and their median.

    Args:
        path: of the PNG.
        streams: scores ``[n]`` 0..1 of windows in a row, and the second at which the fault begins.
        window_s: seconds of a window.
        threshold, clear: where the device begins to report, and where it ends.
    """
    binned: dict[int, list[float]] = {}
    with figure(path, (8, 3.2)) as (_, axis):
        for scores, begins in streams:
            at = np.arange(1, len(scores) + 1) * window_s - begins
            axis.plot(at, scores, color=WORDS[0], alpha=max(0.15, 0.6 / len(streams)), linewidth=0.8)
            for moment, score in zip(np.rint(at / window_s).astype(int), scores, strict=True):
                binned.setdefault(int(moment), []).append(float(score))
        # Where most streams have ended, a median would be that of a few.
        many = sorted(moment for moment, values in binned.items() if 2 * len(values) >= len(streams))
        middle = [float(np.median(binned[moment])) for moment in many]
        axis.plot(np.array(many) * window_s, middle, color=WORDS[1], label=f"median of {len(streams)}")
        axis.axvline(0, color=INK, linewidth=1)
        axis.axhline(threshold, color=INK, linestyle="--", linewidth=1, label=f"begins at {threshold:g}")
        axis.axhline(clear, color=INK, linestyle=":", linewidth=1, label=f"ends below {clear:g}")
        axis.set_ylim(-0.02, 1.02)
        axis.set_xlabel("seconds after the fault began")
        axis.set_ylabel("score of a fault")
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1))


def features(path: Path, lines: Mapping[str, np.ndarray], parts: Mapping[str, int]) -> None:
    """Features of a window beside others, an axis of the sensor below the other.

    Args:
        path: of the PNG.
        lines: ``[axes, features]`` by name; the first is drawn strongest.
        parts: how many features each part has, in their order.
    """
    rows = next(iter(lines.values())).shape[0]
    with figure(path, (4.6, 0.9 + 1.6 * rows), nrows=rows, sharex=True, squeeze=False) as (_, axes):
        for row, axis in enumerate(axes[:, 0]):
            for number, (tint, (name, values)) in enumerate(zip((INK, *WORDS), lines.items(), strict=False)):
                axis.plot(values[row], color=tint, linewidth=1 if number else 1.8, label=name)
            edges = np.cumsum([0, *parts.values()])
            for edge in edges[1:-1]:
                axis.axvline(edge - 0.5, color=FAINT)
            axis.set_xticks([edge + width / 2 for edge, width in zip(edges, parts.values(), strict=False)])
            axis.set_xticklabels(parts)
            axis.tick_params(length=0)
            axis.set_ylim(-130, 130)
        axes[0, 0].legend(ncols=len(lines), fontsize=8, loc="lower left", bbox_to_anchor=(0, 1))
