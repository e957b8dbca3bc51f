"""New words from a few examples: prototypes over an embedding, on speakers whom nothing was learned from.

Examples come from the training side of a corpus. The threshold is set on words of its validation side, the
figures are those of its test side; no speaker is on two sides.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cicada.tools import engine
from cicada.tools.adapting import device
from cicada.tools.errors import UserError
from cicada.tools.packed import PackedModel

#: Clips of a wanted word and of each other word on a side, at most.
CLIPS, OTHERS = 40, 12
#: Share of other words that may be taken for a wanted one when the threshold is set.
FALSE = 0.05
_FRAMES = 49
_SIDES = ("train", "validation", "test")


@dataclass(frozen=True)
class Embeddings:
    """What a model makes of a corpus.

    Attributes:
        zero: the embedding's zero point.
        wanted: by word and side, ``int8[clips, dims]``.
        others: by side, of all other words and silence.
    """

    zero: int
    wanted: dict[str, dict[str, NDArray[np.int8]]]
    others: dict[str, NDArray[np.int8]]


@dataclass(frozen=True)
class Pair:
    """Two words that were taught, means over draws of the examples.

    Attributes:
        words: both.
        apart: share of their clips nearest to the right one.
        found: share that is also near enough.
        false: share of other words' clips near enough to one of them.
        threshold: cosine that lets :data:`FALSE` of the validation side's other words pass.
    """

    words: tuple[str, str]
    apart: float
    found: float
    false: float
    threshold: float


def embed(model: PackedModel, folder: Path, words: Sequence[str]) -> Embeddings:
    """Run a model that takes the node's log-mel window over a Speech Commands folder.

    Args:
        model: input ``int8[1, 49, 40, 1]``.
        folder: as ``DATA``.
        words: those to be taught.

    Raises:
        UserError: the model is for something else, or the folder cannot be used.
    """
    from cicada.training import scenes
    from cicada.training.corpora import open_corpus

    if int(np.prod(model.input["shape"])) != _FRAMES * engine.CHANNELS:
        raise UserError(
            f"the model takes {model.input['shape']}, not a window of {_FRAMES} x {engine.CHANNELS}"
        )
    corpus = open_corpus(folder, words)
    made: dict[tuple[str, str], list[NDArray[np.int8]]] = {}
    for clip in corpus.clips:
        rows = made.setdefault((clip.word, clip.split), [])
        if len(rows) < (CLIPS if clip.word in words else OTHERS):
            sound = scenes.evaluation(clip, corpus.backgrounds[clip.split])
            rows.append(model.invoke(engine.features(sound)[-_FRAMES:]))
    dims = int(np.prod(model.output["shape"]))
    side = lambda split, chosen: np.array(  # noqa: E731
        [row for (word, at), rows in made.items() if at == split and chosen(word) for row in rows], np.int8
    ).reshape(-1, dims)
    return Embeddings(
        model.output["zero_point"],
        {word: {split: side(split, word.__eq__) for split in _SIDES} for word in words},
        {split: side(split, lambda word: word not in words) for split in _SIDES},
    )


def teach(found: Embeddings, examples: int, draws: int = 3, seed: int = 1) -> list[Pair]:
    """Teach every pair of the wanted words ``draws`` times with ``examples`` clips each.

    Raises:
        UserError: there are fewer clips, or words.
    """
    fewest = min(len(sides["train"]) for sides in found.wanted.values())
    if len(found.wanted) < 2 or fewest < examples:
        raise UserError(f"two words with {examples} training clips each are needed; the rarest has {fewest}")
    rng = np.random.default_rng(seed)
    pairs = itertools.combinations(found.wanted, 2)
    return [_pair(found, words, examples, draws, rng) for words in pairs]


def _pair(
    found: Embeddings, words: tuple[str, str], examples: int, draws: int, rng: np.random.Generator
) -> Pair:
    results = []
    for _ in range(draws):
        known = device.prototypes()(found.others["test"].shape[1], 2, found.zero, 0.0)
        for word in words:
            clips = found.wanted[word]["train"]
            for n in rng.choice(len(clips), examples, replace=False):
                known.add(word, clips[n].tolist())
        unknown = [known.classify(row.tolist())[1] for row in found.others["validation"]]
        threshold = float(np.quantile(unknown, 1 - FALSE))
        right, enough = [], []
        for word in words:
            for row in found.wanted[word]["test"]:
                name, similarity = known.classify(row.tolist())
                right.append(name == word)
                enough.append(name == word and similarity > threshold)
        false = np.mean([known.classify(row.tolist())[1] > threshold for row in found.others["test"]])
        results.append((np.mean(right), np.mean(enough), false, threshold))
    return Pair(words, *np.mean(results, axis=0).tolist())
