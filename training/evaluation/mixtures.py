"""Hours of sound as a device may hear them: background, other words, and wanted words at random levels.

A mixture is made of scenes of half a minute, each from its own random numbers. So it takes no more memory
than one scene, and any stretch of it can be made again, for instance to listen to a false accept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from cicada.tools import engine
from cicada.tools.audio import RATE
from cicada.tools.runtimes import Runtime
from cicada.training import augment, progress, scenes
from cicada.training.corpora.base import Clip, Corpus
from cicada.training.streaming import Outputs, Pace, Spoken, answers
from cicada.training.windows import speech_span

SCENE_S = 30
#: Words a scene with speech has room for, one each 2 s.
PLACES = 15
_SLOT = SCENE_S * RATE // PLACES
_LONGEST = _SLOT - RATE // 10
_FADE = RATE // 100
_FULL_SCALE = 32768.0
# Levels in dB of full scale (RMS): speech of a scene, backgrounds in which nobody speaks.
_SPEECH_DB = (-40.0, -20.0)
_NOISE_DB = (-60.0, -25.0)
_WORD_DB = 4.0  # how far a word's level may be from its scene's


@dataclass(frozen=True)
class Mixture:
    """Sound to listen to, made when it is asked for.

    Scenes with speech are dealt out at random; the first and the last scene are without, so that the front
    end has settled and the last word can be heard. Each wanted clip is played once; the other places have
    other words, over and over if there are not enough.

    Attributes:
        wanted: clips to be heard.
        others: clips of words that are not to be heard.
        backgrounds: recordings ``int16[n]`` at 16 kHz, at least one.
        hours: length, rounded up to whole scenes.
        seed: of everything random.
        speech: share of the scenes in which somebody speaks.
        snr_db: least and most speech level over background in a scene, in dB.

    Raises:
        ValueError: nothing to play, or more wanted clips than places; the message says how long it must be.
    """

    wanted: Sequence[Clip] = field(repr=False)
    others: Sequence[Clip] = field(repr=False)
    backgrounds: Sequence[np.ndarray] = field(repr=False)
    hours: float
    seed: int
    speech: float = 0.5
    snr_db: tuple[float, float] = (5.0, 30.0)

    def __post_init__(self) -> None:
        if not self.backgrounds or not self.hours > 0 or not 0 <= self.speech <= 1:
            raise ValueError("a mixture needs a background, some time, and a share of speech of 0 to 1")
        places = PLACES * len(self._speaking)
        if len(self.wanted) > places:
            least = math.ceil(100 * least_hours(len(self.wanted), self.speech)) / 100
            raise ValueError(
                f"a mixture of {self.hours:g} h has places for {places} words, not for {len(self.wanted)}:"
                f" make it at least {least:.2f} h long"
            )

    @cached_property
    def scenes(self) -> int:
        """How many scenes there are: at least one with speech between two without."""
        return max(3, -(-round(self.hours * 3600) // SCENE_S))

    @cached_property
    def _speaking(self) -> dict[int, int]:
        """Scenes with speech by number, and the place of each among them."""
        rng = np.random.default_rng([self.seed, 5])
        chosen = rng.permutation(np.arange(1, self.scenes - 1))[: round(self.speech * self.scenes)]
        return {int(scene): place for place, scene in enumerate(np.sort(chosen))}

    @cached_property
    def _said(self) -> list[Clip | None]:
        """What is said at each place."""
        rng = np.random.default_rng([self.seed, 6])
        count = PLACES * len(self._speaking)
        order: list[Clip | None] = [None] * count
        free = rng.permutation(count)
        for place, index in zip(free, rng.permutation(len(self.wanted)), strict=False):
            order[place] = self.wanted[index]
        filling = np.sort(free[len(self.wanted) :])
        if self.others:
            rounds = [rng.permutation(len(self.others)) for _ in range(-(-count // len(self.others)))]
            for place, index in zip(filling, np.concatenate(rounds), strict=False):
                order[place] = self.others[index]
        return order

    def scene(self, number: int) -> tuple[np.ndarray, list[Spoken]]:
        """One scene: ``int16[SCENE_S * 16000]``, and its words with times from the mixture's start."""
        rng = np.random.default_rng([self.seed, 7, number])
        sound = scenes.background(self.backgrounds, SCENE_S * RATE, rng)
        rms = max(float(np.sqrt(np.mean(sound**2))), 1.0)
        place = self._speaking.get(number)
        level = rng.uniform(*(_NOISE_DB if place is None else _SPEECH_DB))
        snr = 0.0 if place is None else rng.uniform(*self.snr_db)
        sound *= _FULL_SCALE * 10 ** ((level - snr) / 20) / rms
        _fade(sound)
        spoken = []
        if place is not None:
            start = number * SCENE_S * RATE
            for slot, clip in enumerate(self._said[place * PLACES : (place + 1) * PLACES]):
                if clip is None:
                    continue
                pcm, first, last = _clip(clip)
                at = slot * _SLOT + int(rng.integers(_SLOT - len(pcm)))
                loudness = _FULL_SCALE * 10 ** ((level + rng.uniform(-_WORD_DB, _WORD_DB)) / 20)
                sound[at : at + len(pcm)] += pcm * (loudness / max(augment.speech_level(pcm), 1.0))
                spoken.append(Spoken((start + at + first) / RATE, (start + at + last) / RATE, clip.word))
        return augment.to_pcm(sound), spoken

    def all_scenes(self) -> Iterator[tuple[np.ndarray, list[Spoken]]]:
        """All scenes in order."""
        return map(self.scene, range(self.scenes))

    def sound(self, start: float, end: float) -> np.ndarray:
        """A stretch of it as ``int16[n]``, from ``start`` to ``end`` seconds, as far as there is sound."""
        first, last = max(round(start * RATE), 0), min(round(end * RATE), self.scenes * SCENE_S * RATE)
        length = SCENE_S * RATE
        numbers = range(first // length, -(-last // length))
        joined = np.concatenate([np.zeros(0, np.int16), *(self.scene(number)[0] for number in numbers)])
        return joined[first - numbers.start * length :][: max(last - first, 0)]

    def as_json(self) -> dict[str, Any]:
        """What it is made of; its figures are worth less the more often its recordings are repeated."""
        return {
            "hours": self.scenes * SCENE_S / 3600,
            "seed": self.seed,
            "speech": self.speech,
            "snr_db": list(self.snr_db),
            "wanted": len(self.wanted),
            "others": sum(clip is not None for clip in self._said) - len(self.wanted),
            "other_clips": len(self.others),
            "background_minutes": sum(map(len, self.backgrounds)) / RATE / 60,
        }


def least_hours(words: int, speech: float = 0.5) -> float:
    """Length of a mixture that has places for so many words, with a share ``speech`` of its scenes."""
    speaking = -(-words // PLACES)
    return max(speaking + 2, math.ceil((speaking + 0.5) / max(speech, 1e-9))) * SCENE_S / 3600


@dataclass(frozen=True)
class Heard:
    """What was said in some hours of sound, and what a model answered."""

    spoken: list[Spoken]
    hours: float
    outputs: Outputs


def of_split(corpus: Corpus, split: str, hours: float, seed: int, most: int | None = None) -> Mixture:
    """A mixture of one split's clips and backgrounds.

    Args:
        corpus: where they are from.
        split: ``validation`` or ``test``.
        hours: its length.
        seed: of everything random.
        most: at most so many clips of each wanted word, chosen at random; None for all.

    Raises:
        ValueError: as :class:`Mixture`.
    """
    rng = np.random.default_rng([seed, 8])
    clips = [clip for clip in corpus.clips if clip.split == split]
    wanted: list[Clip] = []
    for word in corpus.words:
        own = [clip for clip in clips if clip.word == word]
        wanted += [own[index] for index in rng.permutation(len(own))[:most]]
    others = [clip for clip in clips if clip.word not in corpus.words]
    return Mixture(wanted, others, corpus.backgrounds[split], hours, seed)


def listen(mixture: Mixture, model: Runtime, pace: Pace, what: str) -> Heard:
    """Let a model listen to all of a mixture, from a reset state.

    The front end computes each frame once; an hour of a model of 1 M MACs takes a packed model some 20 s.

    Args:
        mixture: the sound.
        model: one that is opened.
        pace: how it is fed.
        what: name of the progress bars.
    """
    front = engine.FrontEnd(pace.step_ms)
    frames: list[np.ndarray] = []
    spoken: list[Spoken] = []
    with progress.bar(f"{what}, sound", mixture.scenes) as advance:
        for pcm, words in mixture.all_scenes():
            frames.append(engine.quantise(front.feed(pcm)))
            spoken += words
            advance()
    model.reset()
    outputs = answers(np.concatenate(frames), model.invoke, what, pace)
    return Heard(spoken, mixture.scenes * SCENE_S / 3600, outputs)


def _clip(clip: Clip) -> tuple[np.ndarray, int, int]:
    """A clip that fits into a place, faded at both ends, and where its speech begins and ends in it."""
    pcm = clip.load().astype(np.float64)
    first, last = speech_span(pcm)
    cut = max(0, min((first + last - _LONGEST) // 2, len(pcm) - _LONGEST))
    pcm = pcm[cut : cut + _LONGEST].copy()
    _fade(pcm)
    return pcm, max(first - cut, 0), min(last - cut, len(pcm))


def _fade(sound: np.ndarray) -> None:
    """10 ms in and out, in place: a click is a sound that no model was asked about."""
    size = min(_FADE, len(sound) // 2)
    ramp = np.linspace(0.0, 1.0, size)
    sound[:size] *= ramp
    sound[len(sound) - size :] *= ramp[::-1]
