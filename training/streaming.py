"""Minutes of continuous sound through front end and model, as the device hears it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cicada.tools.audio import RATE
from cicada.training import augment, progress, scenes
from cicada.training.corpora.base import Clip, Corpus
from cicada.training.windows import CONTEXT, FRAMES, STEP_MS, WINDOW_MS, speech_span

#: A model on one window: see :func:`answers`.
Invoke = Callable[[np.ndarray], np.ndarray]
#: The model runs every so many frames: each 100 ms.
HOP_FRAMES = 5
_LEVEL = 2000.0  # speech level of a stream before each word's own gain, int16 units (-24 dBFS)


@dataclass(frozen=True)
class Pace:
    """How a model is fed.

    Attributes:
        step_ms: milliseconds from frame to frame, 10 or 20.
        frames: of one model input.
        hop_frames: from inference to inference. Where it equals ``frames`` the model is a streaming one: it
            gets every frame once, and remembers.
    """

    step_ms: int = STEP_MS
    frames: int = FRAMES
    hop_frames: int = HOP_FRAMES

    @property
    def hop_ms(self) -> int:
        """Milliseconds from inference to inference."""
        return self.step_ms * self.hop_frames

    def heard_ms(self, frames: int) -> int:
        """When the last of so many frames is complete, in ms from the first sample."""
        return WINDOW_MS + (frames - 1) * self.step_ms


@dataclass(frozen=True)
class Spoken:
    """A word in a stream: where it is heard, in seconds from the stream's start."""

    start: float
    end: float
    word: str


@dataclass(frozen=True)
class Stream:
    """Sound ``int16[n]`` and the words in it, in order of time."""

    pcm: np.ndarray
    spoken: list[Spoken]

    @property
    def hours(self) -> float:
        """Length in hours."""
        return len(self.pcm) / RATE / 3600


@dataclass(frozen=True)
class Outputs:
    """What the model said: ``times_ms`` of each inference, ``scores int8[n, classes]`` of zero point -128."""

    times_ms: list[int]
    scores: np.ndarray


def make(corpus: Corpus, split: str, seed: int, clips_a_word: int, noise_s: float) -> Stream:
    """Lay a split's clips into its backgrounds: wanted words among twice as many others, and pauses.

    Args:
        corpus: where clips and backgrounds are from.
        split: ``validation`` or ``test``.
        seed: seed of order, pauses and levels.
        clips_a_word: at most so many clips of a wanted word.
        noise_s: seconds of background alone before the words and after them.
    """
    rng = np.random.default_rng([seed, 2, zlib.crc32(split.encode())])
    clips = _choose(corpus, split, clips_a_word, rng)
    noises = corpus.backgrounds[split]
    pause = int(noise_s * RATE)
    gaps = rng.integers(RATE // 4, RATE, len(clips))
    sounds = [clip.load().astype(np.float64) for clip in clips]
    total = 2 * pause + CONTEXT + int(gaps.sum()) + sum(map(len, sounds))
    stretches = []
    while sum(map(len, stretches)) < total:
        stretch = scenes.background(noises, 15 * RATE, rng)
        rms = max(float(np.sqrt(np.mean(stretch**2))), 1.0)
        stretches.append(stretch * _LEVEL / rms * 10 ** (-rng.uniform(10, 35) / 20))
    pcm = np.concatenate(stretches)[:total]
    spoken, at = [], pause + CONTEXT
    for clip, sound, gap in zip(clips, sounds, gaps, strict=True):
        at += int(gap)
        first, last = speech_span(sound)
        level = _LEVEL * 10 ** (rng.uniform(-8, 8) / 20) / max(augment.speech_level(sound), 1.0)
        pcm[at : at + len(sound)] += sound * level
        spoken.append(Spoken((at + first) / RATE, (at + last) / RATE, clip.word))
        at += len(sound)
    return Stream(augment.to_pcm(pcm), spoken)


def answers(frames: np.ndarray, invoke: Invoke, what: str, pace: Pace) -> Outputs:
    """A model's outputs over the features of a stream.

    As on the device, nothing is asked before the front end has settled (:data:`CONTEXT`) and the window is
    full; then it is asked once a hop.

    Args:
        frames: ``int8[n, 40]``.
        invoke: ``int8[frames, 40]`` to ``int8[classes]`` of zero point -128 or ``uint8[classes]`` of zero
            point 0; of a streaming model that has just been reset.
        what: name of the progress bar.
        pace: how the model is fed.

    Raises:
        ValueError: the stream is too short for a single inference.
    """
    first = CONTEXT * 1000 // RATE // pace.step_ms + pace.frames
    ends = range(first, len(frames) + 1, pace.hop_frames)
    if not ends:
        raise ValueError(f"a stream needs {first} frames or more, this has {len(frames)}")
    scores = []
    with progress.bar(what, len(ends)) as advance:
        for end in ends:
            scores.append(invoke(frames[end - pace.frames : end]))
            advance()
    stacked = np.stack(scores)
    if stacked.dtype == np.uint8:
        stacked = (stacked.astype(np.int16) - 128).astype(np.int8)
    return Outputs([pace.heard_ms(end) for end in ends], stacked)


def _choose(corpus: Corpus, split: str, most: int, rng: np.random.Generator) -> list[Clip]:
    clips = [clip for clip in corpus.clips if clip.split == split]
    wanted: list[Clip] = []
    for word in corpus.words:
        own = [clip for clip in clips if clip.word == word]
        wanted += _some(own, most, rng)
    others = [clip for clip in clips if clip.word not in corpus.words]
    chosen = wanted + _some(others, 2 * len(wanted), rng)
    return [chosen[index] for index in rng.permutation(len(chosen))]


def _some(clips: Sequence[Clip], most: int, rng: np.random.Generator) -> list[Clip]:
    return [clips[index] for index in rng.permutation(len(clips))[:most]]
