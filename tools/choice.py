"""What the person at the command line chose to hear: the demo's recipe, with words of their own."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cicada.training.recipe import KeywordRecipe

#: What can run a model: our runtime, or TensorFlow Lite Micro.
ENGINES = ("packed", "tflm")


@dataclass(frozen=True)
class Choice:
    """One training, as its options name it.

    Attributes:
        data: folder of recordings, None for the synthesised corpus.
        words: vocabulary.
        seed: of everything random.
        engine: one of :data:`ENGINES`.
    """

    data: Path | None = None
    words: tuple[str, ...] = ("yes", "no")
    seed: int = 1
    engine: str = "packed"

    @classmethod
    def of(cls, options: argparse.Namespace) -> Choice:
        """The choice that :func:`add_options` led to."""
        return cls(options.data, tuple(options.words), options.seed, options.engine)

    def recipe(self) -> KeywordRecipe:
        """The demo's recipe with this choice in it: recordings if there are any, else synthesis."""
        import msgspec

        from cicada.training import recipe as recipes

        demo = recipes.load(recipes.find("demo"))
        replace = msgspec.structs.replace
        kind = "folder" if self.data else "synthesis"
        corpus = replace(demo.corpus, kind=kind, words=self.words)
        return replace(demo, corpus=corpus, seed=self.seed, engine=self.engine)

    def arguments(self) -> list[str]:
        """The options that lead to this choice."""
        data = ["--data", str(self.data.resolve())] if self.data else []
        return ["--words", ",".join(self.words), "--seed", str(self.seed), "--engine", self.engine, *data]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``, ``--words``, ``--seed`` and ``--engine``."""
    parser.add_argument("--data", type=Path, help="recordings, Speech Commands layout (default: synthesised)")
    parser.add_argument("--words", type=_words, default=["yes", "no"], help="vocabulary, e.g. yes,no")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=ENGINES, default="packed", help="what runs the model")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
