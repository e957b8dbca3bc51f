"""Letting a synthetic voice say a word in a way of its own, and what a microphone makes of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from cicada.tools import audio
from cicada.tools.errors import UserError
from cicada.training import augment
from cicada.training.corpora import noise, piper, voices

#: Least air around the word in a clip, in samples.
AIR = int(0.06 * audio.RATE)


@dataclass(frozen=True)
class Manner:
    """How a text is said, as far as a voice can.

    Attributes:
        accent: one of ``voices.ACCENTS``.
        pace: 1 is normal.
        pitch, span: height and range of the melody, 0 to 99; 50 is the voice's own.
        size: of the speaker: resampling moves all formants, like a longer or shorter vocal tract.
        seed: of breath and jitter.
    """

    accent: str
    pace: float
    pitch: int
    span: int
    size: float
    seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Manner:
        """A random manner."""
        size, pace = rng.uniform(0.88, 1.15), rng.uniform(0.75, 1.2)
        accent = str(rng.choice(voices.ACCENTS))
        pitch, span, seed = (int(rng.integers(*limits)) for limits in ((25, 76), (20, 81), (0, 2**31)))
        return cls(accent, pace, pitch, span, size, seed)


#: Says a text: ``say(text, manner, hurry) -> (int16[n], Hz)``, ``hurry`` times as fast as the manner.
Say = Callable[[str, Manner, float], tuple[np.ndarray, float]]


def espeak(variant: str, scratch: Path) -> Say:
    """A voice variant of espeak-ng."""
    engine = voices.Espeak(scratch)

    def say(text: str, how: Manner, hurry: float) -> tuple[np.ndarray, float]:
        rate = min(round(165 * how.pace * hurry), 450)
        raw = engine.render(
            text, how.accent, variant, rate=rate, pitch=how.pitch, span=how.span, seed=how.seed
        )
        return raw, engine.rate * how.size

    return say


def neural() -> Say:
    """hibari's voice. Its pitch is fixed, so its size varies more."""
    engine = voices.Neural()
    return lambda text, how, hurry: (
        engine.render(text, speed=how.pace * hurry, seed=how.seed),
        engine.rate * how.size**1.5,
    )


def external(folder: Path, voice: piper.Voice, scratch: Path, seed: int) -> Say:
    """A Piper voice."""
    engine = piper.Piper(folder, voice, voices.Espeak(scratch), seed)
    return lambda text, how, hurry: (
        engine.render(text, speed=how.pace * hurry),
        engine.rate * how.size**1.5,
    )


def utter(text: str, say: Say, rng: np.random.Generator, longest: int, cut: bool = False) -> np.ndarray:
    """Let a voice say a text: accent, pace, pitch, melody and size of the speaker vary.

    Args:
        text: as it is read out.
        say: the voice.
        rng: source of every choice.
        longest: samples (16 kHz) that it may take.
        cut: end what takes longer there, instead of refusing it.

    Returns:
        ``float64[n]`` at 16 kHz without leading and trailing silence.

    Raises:
        UserError: the text is silent or too long.
    """
    spoken_text = text + str(rng.choice([".", ".", "!", "?"]))
    how = Manner.draw(rng)
    # A slow voice may need more than the window: let it hurry before giving up on the word.
    for hurry in (1.0, 1.3, 1.7, 2.2):
        raw, rate = say(spoken_text, how, hurry)
        spoken = _trim(raw)
        if not len(spoken):
            raise UserError(f"'{text}' cannot be spoken by the speech synthesiser: choose another word")
        if len(spoken) * audio.RATE / rate <= longest or (cut and hurry > 2):
            return soxr.resample(spoken.astype(np.float64), rate, audio.RATE, quality="HQ")[:longest]
    raise UserError(
        f"'{text}' takes longer than the {(longest + AIR) / audio.RATE:.2g} s a model listens to: choose a"
        " shorter word, or more `frames` in the recipe"
    )


def record(spoken: np.ndarray, rng: np.random.Generator, length: int) -> np.ndarray:
    """What a microphone makes of a word, ``int16[length]``: place, room, sound, level and noise vary."""
    start = int(rng.integers(length - len(spoken) + 1))
    pcm = augment.place(spoken, start, length)
    if rng.random() < 0.5:
        pcm = augment.room(pcm, rng)
    pcm = augment.colour(pcm, rng)
    wanted = rng.uniform(-34.0, -14.0) + 20 * np.log10(32768)
    pcm = augment.gain(pcm, wanted - 20 * np.log10(max(augment.speech_level(pcm), 1e-3)))
    floor = noise.coloured(length, rng.uniform(0.0, 2.0), rng)
    # No recording is digitally silent; the noise of a room is what a front end adapts to between words.
    return augment.to_pcm(augment.mix(pcm, floor, rng.uniform(18.0, 45.0), rng))


def as_text(word: str) -> str:
    """A word as it is read out: ``hey_cicada`` is two words."""
    return re.sub(r"[_-]+", " ", word).strip()


def _trim(pcm: np.ndarray) -> np.ndarray:
    """Cut silence (40 dB below the peak) from both ends, but for a hundredth of a second or so."""
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > np.abs(pcm.astype(np.int32)).max(initial=0) / 100)
    if not len(loud):
        return pcm[:0]
    margin = 250
    return pcm[max(loud[0] - margin, 0) : loud[-1] + margin]
