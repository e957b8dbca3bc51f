"""Corpora: folders of recordings, or speech synthesised on the spot, behind one interface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cicada.training.corpora import speech_commands
from cicada.training.corpora.base import SPLITS, Clip, Corpus, check_words
from cicada.training.corpora.speech import open_speech

__all__ = ["SPLITS", "Clip", "Corpus", "open_corpus", "open_speech"]


def open_corpus(data: Path | str | None, words: Sequence[str], *, seed: int = 1) -> Corpus:
    """Open the recordings to train on.

    Args:
        data: folder in the Speech Commands layout; None synthesises a corpus (cached).
        words: wanted words; every other word found becomes material for ``_unknown_``.
        seed: seed of whatever is generated (synthesised speech, generated backgrounds).

    Raises:
        UserError: bad words, a folder that is missing, empty, of another layout or leaks a speaker
            from one split into another, or too few clips of a word.
    """
    wanted = check_words(words)
    if data is not None:
        return speech_commands.read(Path(data), wanted, seed=seed)
    # Only this branch needs the speech synthesisers.
    from cicada.training.corpora import synth

    return synth.corpus(wanted, seed=seed)
