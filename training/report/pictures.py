"""Pictures of reports: the trade of false accepts against misses, noise, and what an example looks like."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from cicada.tools import engine
from cicada.training.figures import FAINT, WORDS, figure

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
                axis.plot(*at, "o", color=colour, label=f"chosen, on {split}")
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xlim(left=0)
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
