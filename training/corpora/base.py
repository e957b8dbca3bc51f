"""What a corpus is: clips of words by speakers in splits, and background noise for each split."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cicada.tools import audio
from cicada.tools.errors import UserError
from cicada.training.evaluation import groups, shared

SPLITS = ("train", "validation", "test")
#: Fewest clips a wanted word (and the other words together) must have for training to mean anything.
MIN_CLIPS = {"train": 20, "validation": 5, "test": 5}
_WORD = re.compile(r"[a-z][a-z0-9_'-]{0,30}")
_RESERVED = {"silence", "unknown"}


@dataclass(frozen=True)
class Clip:
    """One recording of one word; ``word`` is the word really spoken, wanted or not."""

    path: Path
    word: str
    speaker: str
    split: str

    def load(self) -> np.ndarray:
        """The recording as ``int16[n]`` at 16 kHz, of whatever length it has (nominally 1 s)."""
        return audio.load(self.path)


@dataclass
class Corpus:
    """Speech for one vocabulary, split by speaker.

    Attributes:
        source: one phrase that says where the speech is from.
        words: the wanted words, in the order asked for.
        clips: all clips; those of other words are material for ``_unknown_``.
        backgrounds: for each split, noise recordings ``int16[n]`` at 16 kHz, at least 1 s each; no
            stretch of sound is in two splits.
        fingerprint: changes if and only if data, split or vocabulary change.
    """

    source: str
    words: tuple[str, ...]
    clips: list[Clip]
    backgrounds: dict[str, list[np.ndarray]]
    fingerprint: str

    def counts(self) -> dict[tuple[str, str], int]:
        """Number of clips by (word, split); pairs without a clip are absent."""
        return dict(Counter((clip.word, clip.split) for clip in self.clips))


def check_words(words: Iterable[str]) -> tuple[str, ...]:
    """The wanted words as a tuple, or a UserError that says which one cannot be a keyword."""
    wanted = tuple(words)
    if not wanted:
        raise UserError("no word to listen for: name at least one, e.g. WORDS=yes,no")
    for word in wanted:
        if word.strip("_") in _RESERVED:
            raise UserError(
                f"'{word}' cannot be a wanted word: that class always exists; leave it out of WORDS"
            )
        if not _WORD.fullmatch(word):
            raise UserError(
                f"'{word}' cannot be a wanted word: use lower-case letters a-z, digits, '-', '_' and ',"
                " starting with a letter, 31 characters at most, with commas between words"
            )
    twice = sorted(word for word, count in Counter(wanted).items() if count > 1)
    if twice:
        raise UserError(f"WORDS names {', '.join(twice)} more than once: name each word once")
    return wanted


def check_speakers(clips: Sequence[Clip], where: str) -> None:
    """Refuse a leak: a speaker with clips in two splits is a UserError that names both clips."""
    groups.refuse(((clip.speaker, clip.split, f"{clip.word}/{clip.path.name}") for clip in clips), where)


def check_sounds(corpus: Corpus, where: str) -> None:
    """Refuse a leak that names do not show: the same stretch of sound in two splits, clips or backgrounds.

    All recordings are read for it, a few hundred a second.

    Raises:
        UserError: there is one; the message names both recordings.
    """
    clips = ((clip.load(), clip.split, f"{clip.word}/{clip.path.name}") for clip in corpus.clips)
    noises = (
        (pcm, split, f"background {number}")
        for split, recordings in corpus.backgrounds.items()
        for number, pcm in enumerate(recordings, 1)
    )
    shared.refuse_shared(itertools.chain(clips, noises), where)


def check_counts(clips: Sequence[Clip], words: Sequence[str], where: str) -> None:
    """Refuse a vocabulary the data cannot teach: unknown words, or too few clips of a class."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for clip in clips:
        counts[clip.word][clip.split] += 1
    missing = [word for word in words if word not in counts]
    if missing:
        raise UserError(
            f"{where} has no recordings of {_quoted(missing)}: choose WORDS from {', '.join(sorted(counts))}"
        )
    unknown: Counter[str] = Counter()
    for word, by_split in counts.items():
        if word not in words:
            unknown.update(by_split)
    needed = ", ".join(f"{count} {split}" for split, count in MIN_CLIPS.items())
    for name, by_split in [
        *((f"'{word}'", counts[word]) for word in words),
        ("words outside WORDS", unknown),
    ]:
        if any(by_split[split] < count for split, count in MIN_CLIPS.items()):
            have = ", ".join(f"{by_split[split]} {split}" for split in SPLITS)
            raise UserError(
                f"{where} has too few recordings of {name} ({have}; at least {needed} are needed):"
                " record more speakers or choose other WORDS"
            )


def fingerprint(*parts: object) -> str:
    """SHA-256 (hex) over JSON-able parts, in their order."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def _quoted(words: Sequence[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)
