"""Choose what to play to the twin: recordings of speakers the model was never trained on."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from cicada.tools.errors import UserError
from cicada.tools.twin.sound import RATE, Played, Sound
from cicada.training.corpora import Clip, Corpus

_PEAK = 9000  # what each recording is scaled to: a voice near the microphone, nothing clipped
_CANDIDATES = 24  # recordings looked at for each one played
_SPEAKING_S = 2.6  # between the starts of two recordings
_FIRST_S = 2.5  # the window (1 s) must be full before the first word
# From the last word of the evening to the one after the night: the node sleeps 6 to 8 s after the former,
# for 10 s, and listens for at least 6 s more.
_NIGHT_S = 20.5


def clarity(pcm: np.ndarray) -> float:
    """Level of the loudest over the quietest tenth of a recording's 10 ms frames, dB."""
    frames = pcm[: len(pcm) // 160 * 160].reshape(-1, 160).astype(np.float64)
    power = np.sort((frames**2).mean(axis=1)) + 1.0
    tenth = max(1, len(power) // 10)
    return float(10 * np.log10(power[-tenth:].mean() / power[:tenth].mean()))


def choose(corpus: Corpus, words: Sequence[str], seed: int) -> list[Clip]:
    """One test recording for each of ``words``, in order: the clearest of a random few, no speaker twice.

    The choice looks at the sound alone, never at what a model makes of it.

    Raises:
        UserError: if the corpus holds no test recording of a word.
    """
    rng = random.Random(seed)
    chosen: list[Clip] = []
    for word in words:
        clips = sorted(
            (c for c in corpus.clips if c.word == word and c.split == "test"), key=lambda c: c.path
        )
        if not clips:
            raise UserError(f"no test recording of '{word}' in {corpus.source}: add some by other speakers")
        heard = {c.speaker for c in chosen}
        fresh = [c for c in clips if c.speaker not in heard] or clips
        few = rng.sample(fresh, min(_CANDIDATES, len(fresh)))
        chosen.append(max(few, key=lambda c: clarity(c.load())))
    return chosen


def scene(corpus: Corpus, seed: int, loop: bool = False) -> Sound:
    """The demo's scene: every wanted word twice and one other word, a silent spell long enough to
    sleep in, then the first wanted word again."""
    wanted = list(corpus.words)[:4]
    others = sorted({c.word for c in corpus.clips if c.split == "test"} - set(corpus.words))
    evening = wanted + others[seed % len(others) :][:1] + wanted if others else wanted * 2
    clips = choose(corpus, [*evening, wanted[0]], seed)
    played, at = [], _FIRST_S
    for number, clip in enumerate(clips):
        if number == len(evening):
            at = played[-1].end + _NIGHT_S
        played.append(_placed(clip, at))
        at += max(_SPEAKING_S, played[-1].end - at + 1.0)
    return Sound(played, at + 9.0, loop=loop, seed=seed)


def _placed(clip: Clip, at: float) -> Played:
    pcm = clip.load().astype(np.float64)
    pcm *= _PEAK / max(1.0, float(np.abs(pcm).max()))
    fade = min(len(pcm) // 4, RATE // 100)  # 10 ms, so that a cut recording does not click
    pcm[:fade] *= np.linspace(0, 1, fade)
    pcm[len(pcm) - fade :] *= np.linspace(1, 0, fade)
    return Played(at, np.rint(pcm).astype(np.int16), clip.word, clip.path)
