"""Sound scenes around clips: what the microphone hears before, during and after a word.

The front end subtracts a running noise estimate, so a clip cut out of its surroundings gives other
features than the same word on a device that has listened for hours. Every example is therefore a
scene: background, the word in it, background.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cicada.tools.audio import RATE
from cicada.training import augment
from cicada.training.corpora import noise
from cicada.training.corpora.base import Clip
from cicada.training.recipe import Augment
from cicada.training.windows import CONTEXT, SECOND, TAIL, Window, fitted, noise_floor, speech_span

#: What `Windows.word` says where nobody speaks.
SILENT_WORD = ""
_FADE = RATE // 100
_FULL_SCALE = 32767.0


@dataclass(frozen=True)
class Scene:
    """A training scene: sound and where the word is in it.

    Attributes:
        pcm: ``int16[CONTEXT + window.samples + TAIL]``; the clip's own window starts at ``CONTEXT``.
        span: first sample of the word and the one after its last; (-1, -1) if there is none.
    """

    pcm: np.ndarray
    span: tuple[int, int]


def clip_seed(clip: Clip, seed: int, *more: int) -> np.random.Generator:
    """Random numbers that depend on the clip (by word and file name), not on its place in a list."""
    return np.random.default_rng([seed, zlib.crc32(f"{clip.word}/{clip.path.name}".encode()), *more])


def evaluation(clip: Clip, backgrounds: Sequence[np.ndarray], window: Window = SECOND) -> np.ndarray:
    """A clip as it is, after 2 s of background at the clip's own noise floor.

    Args:
        clip: the clip; the choice of background depends on its word and file name alone.
        backgrounds: noise of the clip's split, ``int16[n]`` each.
        window: of the model.

    Returns:
        ``int16[CONTEXT + window.samples]``.
    """
    rng = clip_seed(clip, 0)
    pcm = fitted(clip.load(), window.samples, rng)
    context = _at_level(background(backgrounds, CONTEXT + _FADE, rng), noise_floor(pcm))
    return augment.to_pcm(_join(context, pcm.astype(np.float64)))


def training(
    clip: Clip,
    others: Sequence[Clip],
    backgrounds: Sequence[np.ndarray],
    rng: np.random.Generator,
    how: Augment,
    window: Window = SECOND,
) -> Scene:
    """One random variant of a training clip: speed, room, microphone, neighbours, noise and level.

    Args:
        clip: the clip whose word the example is for.
        others: clips from which the words before and after are taken.
        backgrounds: noise of the training split.
        rng: source of every choice.
        how: how often a scene has what.
        window: of the model.
    """
    pcm = clip.load().astype(np.float64)
    if rng.random() < how.speed:
        pcm = augment.speed(pcm, rng.uniform(0.88, 1.14))
    if rng.random() < how.room:
        pcm = augment.room(pcm, rng)
    if rng.random() < how.colour:
        pcm = augment.colour(pcm, rng)
    pcm = fitted(pcm, window.samples, rng)
    first, last = speech_span(pcm)
    floor = noise_floor(pcm)
    scene = _at_level(background(backgrounds, CONTEXT + window.samples + TAIL, rng), floor)
    scene = _join(_join(scene[: CONTEXT + _FADE], pcm), scene[-TAIL - _FADE :])
    loudness = augment.speech_level(pcm)
    if rng.random() < how.before:
        _add_word(scene, others[rng.integers(len(others))], loudness, rng, end=CONTEXT + first)
    if rng.random() < how.after:
        _add_word(scene, others[rng.integers(len(others))], loudness, rng, start=CONTEXT + last)
    if rng.random() < how.noise:
        level = loudness * 10 ** (-rng.uniform(4.0, 36.0) / 20)
        scene += _at_level(background(backgrounds, len(scene), rng), level)
    return Scene(augment.to_pcm(_at_peak(scene, rng.uniform(-32.0, -0.5))), (CONTEXT + first, CONTEXT + last))


def silence(backgrounds: Sequence[np.ndarray], rng: np.random.Generator, window: Window = SECOND) -> Scene:
    """A random scene in which nobody speaks: recorded or generated noise, at times none at all."""
    count = CONTEXT + window.samples + TAIL
    kind = rng.random()
    if kind < 0.08:
        return Scene(rng.integers(-1, 2, count).astype(np.int16) * int(rng.integers(0, 2)), (-1, -1))
    scene = background(backgrounds, count, rng)
    if kind < 0.25:
        scene = noise.coloured(count, rng.uniform(0.0, 2.0), rng)
    elif kind < 0.45:
        # The surroundings change within the window: a door opens, a machine starts.
        cut = int(rng.integers(CONTEXT, CONTEXT + window.samples))
        other = background(backgrounds, count, rng) * 10 ** rng.uniform(-0.8, 0.8)
        scene = _join(scene[: cut + _FADE], other[cut:])
    return Scene(augment.to_pcm(_at_peak(scene, rng.uniform(-66.0, -3.0))), (-1, -1))


def background(backgrounds: Sequence[np.ndarray], count: int, rng: np.random.Generator) -> np.ndarray:
    """A random stretch of a random recording, ``float64[count]``; shorter recordings are repeated."""
    source = backgrounds[rng.integers(len(backgrounds))]
    start = int(rng.integers(max(len(source) - count, 0) + 1))
    return np.resize(source[start:], count).astype(np.float64)


def _add_word(
    scene: np.ndarray,
    clip: Clip,
    loudness: float,
    rng: np.random.Generator,
    *,
    end: int | None = None,
    start: int | None = None,
) -> None:
    """Lay another word into the scene, 50 to 400 ms before ``end`` or after ``start``."""
    pcm = clip.load().astype(np.float64)
    first, last = speech_span(pcm)
    word = pcm[first:last] * (loudness / max(augment.speech_level(pcm), 1.0)) * rng.uniform(0.5, 1.5)
    fade = np.linspace(0.0, 1.0, min(_FADE, len(word) // 2))
    word[: len(fade)] *= fade
    word[len(word) - len(fade) :] *= fade[::-1]
    gap = int(rng.integers(RATE // 20, RATE * 2 // 5))
    at = end - gap - len(word) if end is not None else (start or 0) + gap
    scene += augment.place(word, at, len(scene))


def _at_level(pcm: np.ndarray, level: float) -> np.ndarray:
    """Scale to an RMS of ``level`` (int16 units)."""
    own = float(np.sqrt(np.mean(pcm**2)))
    return pcm * (level / own) if own > 0 else pcm


def _at_peak(pcm: np.ndarray, decibels: float) -> np.ndarray:
    """Scale to a peak of ``decibels`` relative to full scale."""
    peak = float(np.abs(pcm).max())
    return pcm * (_FULL_SCALE * 10 ** (decibels / 20) / peak) if peak > 0 else pcm


def _join(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Put two stretches together with a 10 ms cross-fade: the length is one fade less than the sum."""
    fade = np.linspace(0.0, 1.0, _FADE)
    seam = before[-_FADE:] * (1 - fade) + after[:_FADE] * fade
    return np.concatenate([before[:-_FADE], seam, after[_FADE:]])
