"""What sounds like a wanted word or phrase and is not: what a wake word must learn to pass over.

Halves of the phrase, its words in another order, and the phrase with words of the dictionary that are nearest
in sound in place of its own. Nearness is the edit distance of phonemes, a symbol a phoneme, by the American
dictionary and the letter-to-sound rules of the package hibari-tts (which are those of misaki).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest

import numpy as np

from cicada.tools.errors import UserError

# Words of these lengths; shorter and longer ones are hardly ever near.
_SPELLING = re.compile(r"[a-z]{2,12}")
#: Neighbours of each word of a phrase that are tried.
_NEAR = 40
# Stress and spaces go; reduced vowels and the tapped t are what they are when said slowly.
_PLAIN = str.maketrans({"ˈ": "", "ˌ": "", "ː": "", " ": "", "ᵊ": "ə", "ᵻ": "ɪ", "ɾ": "t", "T": "t"})
# Everyday words that stand before and behind the halves of a phrase.
_COMPANY = (
    "the,my,a,this,okay,hello,what,one,that,good,there,you,now,look,please,is,was,can,time,people".split(",")
)


class Sounds:
    """Pronunciations: a dictionary, and rules for what it lacks."""

    def __init__(self) -> None:
        """Load both; takes about a second.

        Raises:
            UserError: the package is missing or damaged.
        """
        try:
            from hibari.g2p import G2P

            self._rules = G2P()
            gold = self._rules.lexicon.golds.d
        except Exception as error:  # it has no error of its own, and reads several kinds of file
            raise UserError(
                f"the dictionary of the speech synthesiser hibari cannot be loaded ({error}): run 'make'"
                " again to reinstall the packages"
            ) from error
        #: Sound of each word by its spelling.
        self.words = {
            word: _bare(sound)
            for word, sound in gold.items()
            if isinstance(sound, str) and _SPELLING.fullmatch(word)
        }

    def of(self, text: str) -> str:
        """How a word or phrase sounds, without spaces and stress."""
        return _bare(self._rules(text.replace("_", " ")))


def alike(
    wanted: Sequence[str], sound: Callable[[str], str], dictionary: Mapping[str, str], count: int
) -> list[str]:
    """At most ``count`` words and phrases to learn *not* to react to, nearest kinds first and by turns.

    Nothing is in it that sounds like a wanted word, or holds one (``cicadas`` holds ``cicada``). Of a phrase,
    its halves and single words are; no other phrase holds one that differs by one phoneme only (``okay
    cicada`` after ``hey cicada``): by one, many a speaker does.

    Args:
        wanted: words and phrases, ``_`` between words.
        sound: pronunciation of a word or phrase, a character a phoneme.
        dictionary: sound of each word of the language.
        count: how many to return.
    """
    sounds = {word: sound(word) for word in wanted}
    chosen: dict[str, str] = {}
    spellings, heard = list(dictionary), list(dictionary.values())

    def near(word: str) -> list[str]:
        away = distances(sound(word), heard)
        order = sorted(range(len(away)), key=lambda i: (away[i], spellings[i]))
        found: dict[str, str] = {}
        for index in order[: 3 * _NEAR]:
            if away[index]:
                found.setdefault(heard[index], spellings[index])
        return list(found.values())[:_NEAR]

    def fits(text: str, own: str) -> bool:
        least = 2 if "_" in text else 1
        return own not in chosen.values() and not any(
            _inside(whole, own) < least for whole in sounds.values()
        )

    for text in _by_turns([_candidates(word, near) for word in wanted]):
        if len(chosen) == count:
            break
        own = sound(text)
        if own and fits(text, own):
            chosen[text] = own
    return list(chosen)


def distances(one: str, others: Sequence[str]) -> np.ndarray:
    """Levenshtein distances ``int[len(others)]`` from one string to many, at once for all of them."""
    lengths = np.array([len(other) for other in others], int)
    widest = int(lengths.max(initial=0))
    codes = np.zeros((len(others), widest), np.int32)
    for row, other in zip(codes, others, strict=True):
        row[: len(other)] = [ord(character) for character in other]
    steps = np.arange(widest + 1)
    rows = np.repeat(steps[None], len(others), 0)
    for number, character in enumerate(one, 1):
        changed = np.minimum(rows[:, :-1] + (codes != ord(character)), rows[:, 1:] + 1)
        best = np.concatenate([np.full((len(others), 1), number), changed], 1)
        # An insertion costs one more than the place before; a running minimum does them all.
        rows = np.minimum.accumulate(best - steps, 1) + steps
    return rows[np.arange(len(others)), lengths]


def _inside(one: str, other: str) -> int:
    """Least Levenshtein distance from ``one`` to any stretch of ``other``: "okay" ends as "hey" but one."""
    row = [0] * (len(other) + 1)
    for i, a in enumerate(one, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return min(row)


def _candidates(phrase: str, near: Callable[[str], list[str]]) -> Iterator[str]:
    """What is like one phrase; the kinds take turns, so that each has its share of any number."""
    parts = phrase.split("_")
    neighbours = [near(part) for part in parts]
    if len(parts) == 1:
        yield from neighbours[0]
        return
    runs = [
        parts[first:last]
        for first in range(len(parts))
        for last in range(first + 1, len(parts) + 1)
        if last - first < len(parts)
    ]
    yield from map("_".join, runs)
    yield "_".join(reversed(parts))
    replaced = [
        ["_".join([*parts[:at], word, *parts[at + 1 :]]) for word in words]
        for at, words in enumerate(neighbours)
    ]
    both = ["_".join(words) for words in zip(*neighbours, strict=False)]
    before = [f"{word}_{'_'.join(parts[1:])}" for word in _COMPANY]
    after = [f"{'_'.join(parts[:-1])}_{word}" for word in _COMPANY]
    yield from _by_turns([*replaced, both, before, after, *neighbours])


def _by_turns(lists: Sequence[Iterator[str] | list[str]]) -> Iterator[str]:
    """The first of each, then the second of each, and so on."""
    for row in zip_longest(*lists):
        yield from (text for text in row if text is not None)


def _bare(sound: str) -> str:
    return sound.translate(_PLAIN)
