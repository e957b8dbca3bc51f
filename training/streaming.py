"""Minutes of continuous sound through front end and model, as the device hears it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cicada.tools.audio import RATE
from cicada.tools.engine import FrontEnd
from cicada.training import augment, progress, scenes
from cicada.training.corpora.base import Clip, Corpus
from cicada.training.windows import CHANNELS, CONTEXT, FRAMES, STEP, STEP_MS, speech_span

#: The model runs every so many frames: each 100 ms.
HOP_FRAMES = 5
_LEVEL = 2000.0  # speech level of a stream before each word's own gain, int16 units (-24 dBFS)


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
    """What the model said: ``times_ms`` of each inference, ``scores int8[n, classes]``."""

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


def run(pcm: np.ndarray, invoke: Callable[[np.ndarray], np.ndarray], what: str) -> Outputs:
    """Feed sound to the front end a hop at a time and the last second of features to the model.

    Args:
        pcm: ``int16[n]``.
        invoke: ``int8[49, 40]`` to ``int8[classes]``.
        what: name of the progress bar.
    """
    front, chunk = FrontEnd(STEP_MS), HOP_FRAMES * STEP
    window = np.full((FRAMES, CHANNELS), -128, np.int8)
    times, scores = [], []
    # As on the device, nothing is asked before the front end has settled and the window is full.
    missing = CONTEXT // STEP + FRAMES
    with progress.bar(what, len(pcm) // chunk) as advance:
        for end in range(chunk, len(pcm) + 1, chunk):
            missing -= front.push(pcm[end - chunk : end], window)
            advance()
            if missing > 0:
                continue
            times.append(end * 1000 // RATE)
            scores.append(invoke(window))
    return Outputs(times, np.stack(scores))


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
