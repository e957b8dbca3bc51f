"""Accuracy on clips in noise: as recorded, and with noise at given levels under them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cicada.tools import engine
from cicada.tools.runtimes import Runtime
from cicada.training import augment, evaluate, features, progress, scenes
from cicada.training.corpora.base import Clip
from cicada.training.streaming import Pace
from cicada.training.windows import Window, labels

#: Speech level over the RMS of the noise, in dB; None is the clip as it was recorded.
SNRS: tuple[float | None, ...] = (None, 20.0, 10.0, 5.0, 0.0)
_FULL_SCALE = 32767.0


def by_snr(
    clips: Sequence[Clip],
    words: Sequence[str],
    backgrounds: Sequence[np.ndarray],
    noises: Sequence[np.ndarray],
    model: Runtime,
    pace: Pace,
    window: Window,
    seed: int = 1,
    snrs: Sequence[float | None] = SNRS,
) -> list[dict[str, Any]]:
    """A model's accuracy at each level of noise, through the device's front end.

    The noise is heard from 2 s before the clip on, so that the front end has settled on it. Each clip meets
    the same stretch of the same noise at every level.

    Args:
        clips: of words, wanted or not.
        words: the wanted words.
        backgrounds: what is heard before a clip as it was recorded.
        noises: ``int16[n]`` at 16 kHz, of the same split as the clips.
        model: one that is opened.
        pace: how it is fed.
        window: of the clips.
        seed: of the choice of noise.
        snrs: the levels.

    Returns:
        for each level :func:`cicada.training.evaluate.report`, and the level as ``snr_db``.
    """
    names = labels(tuple(words))
    y = np.array([features.class_of(clip.word, words) for clip in clips])
    speakers = [clip.speaker for clip in clips]
    outputs: list[list[np.ndarray]] = [[] for _ in snrs]
    with progress.bar("Noise", len(clips)) as advance:
        for clip in clips:
            clean = scenes.evaluation(clip, backgrounds, window)
            for level, said in zip(snrs, outputs, strict=True):
                pcm = clean if level is None else noisy(clip, clean, noises, level, seed)
                said.append(answer(model, engine.features(pcm, pace.step_ms), pace))
            advance()
    return [
        {"snr_db": level, **evaluate.report(y, np.stack(said), names, seed, speakers)}
        for level, said in zip(snrs, outputs, strict=True)
    ]


def noisy(
    clip: Clip, clean: np.ndarray, noises: Sequence[np.ndarray], snr_db: float, seed: int
) -> np.ndarray:
    """A clip's scene with noise under all of it, made softer as a whole where it would not fit.

    Args:
        clip: which decides, with ``seed``, on the stretch of noise.
        clean: the scene, ``int16[n]``.
        noises: to choose from.
        snr_db: level of the scene's speech over that of the noise.
        seed: of the choice.

    Returns:
        ``int16[n]``.
    """
    rng = scenes.clip_seed(clip, seed, 9)
    mixed = augment.mix(clean, noises[rng.integers(len(noises))], snr_db, rng)
    return augment.to_pcm(mixed * min(1.0, _FULL_SCALE / max(float(np.abs(mixed).max()), 1.0)))


def answer(model: Runtime, frames: np.ndarray, pace: Pace) -> np.ndarray:
    """What a model says at the end of a scene, ``[classes]``.

    A streaming model hears all of the scene from a reset state, whole calls up to its last frame; others see
    the last window.

    Args:
        model: one that is opened.
        frames: ``int8[n, 40]``, at least one input's.
        pace: how it is fed.
    """
    model.reset()
    if pace.hop_frames != pace.frames:
        return model.invoke(frames[-pace.frames :])
    for start in range(len(frames) % pace.frames, len(frames), pace.frames):
        output = model.invoke(frames[start : start + pace.frames])
    return output
