"""Hours of listening for a keyword model: settings chosen on validation sound, figures on test sound."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from cicada.tools.runtimes import Runtime
from cicada.training import decision
from cicada.training.corpora.base import Corpus
from cicada.training.decision import Decision
from cicada.training.evaluation import curves
from cicada.training.evaluation.mixtures import Mixture, least_hours, listen, of_split
from cicada.training.streaming import Pace
from cicada.training.windows import labels


def measure(
    corpus: Corpus,
    model: Runtime,
    pace: Pace,
    seed: int,
    hours: float,
    clips: int,
    accepts_per_hour: float | None = None,
) -> tuple[Decision, dict[str, Any]]:
    """Let a model listen to a mixture of validation recordings and to one of test recordings.

    Args:
        corpus: where clips and backgrounds are from.
        model: one that is opened.
        pace: how it is fed.
        seed: of the mixtures.
        hours: length of each, or more where the wanted words need it.
        clips: at most so many clips of each wanted word in each.
        accepts_per_hour: limit of false accepts on validation, see :func:`cicada.training.decision.pick`.

    Returns:
        the settings, and what :func:`cicada.training.evaluation.curves.measure` returns, with ``mixtures``:
        what each is made of, and ``errors``: the test mixture's false accepts and missed words with their
        times in seconds; :func:`mixture` gives their sound again.
    """
    made = {split: mixture(corpus, split, hours, seed, clips) for split in ("validation", "test")}
    heard = {split: listen(one, model, pace, f"Listening, {split}") for split, one in made.items()}
    names = labels(corpus.words)
    chosen, found = curves.measure(heard["validation"], heard["test"], names, pace, accepts_per_hour)
    detections = decision.detect(heard["test"].outputs, names, chosen)
    pairs, _ = decision.match(heard["test"], detections, corpus.words)
    found["mixtures"] = {split: one.as_json() for split, one in made.items()}
    found["errors"] = {
        "false_accepts": curves.false_accepts(heard["test"], detections, corpus.words),
        "missed": [asdict(spoken) for spoken, hit in pairs if hit is None],
    }
    return chosen, found


def mixture(corpus: Corpus, split: str, hours: float, seed: int, clips: int) -> Mixture:
    """The mixture that :func:`measure` plays for a split, for instance to cut an error's sound out of it."""
    counts = corpus.counts()
    wanted = sum(min(clips, counts.get((word, split), 0)) for word in corpus.words)
    # A third of the words in the scenes with speech are wanted ones, or fewer.
    return of_split(corpus, split, max(hours, least_hours(3 * wanted)), seed, clips)
