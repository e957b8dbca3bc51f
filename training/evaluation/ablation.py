"""What each way of varying the examples buys: the recipe trained without it, against the recipe as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from cicada.tools import engine
from cicada.tools.errors import UserError
from cicada.training import augment, features, progress, quantise, scenes
from cicada.training.evaluation import noise
from cicada.training.evaluation.intervals import Interval, bootstrap, people
from cicada.training.recipe import KeywordRecipe
from cicada.training.report.page import Table
from cicada.training.tasks import keyword

#: What is left out at a time, by the names that recipes have for it.
WAYS: Mapping[str, tuple[str, ...]] = {
    "other speeds": ("speed",),
    "rooms": ("room",),
    "other microphones": ("colour",),
    "words before and after": ("before", "after"),
    "noise": ("noise",),
}
AS_RECORDED, IN_ROOMS = "as recorded", "in rooms"
_SNRS_DB = (10.0, 0.0)


@dataclass(frozen=True)
class Row:
    """A recipe with or without some ways.

    Attributes:
        what: in words.
        accuracy: of the INT8 model on validation speakers, by what the clips went through.
        gain: how much higher the mean of these is than the first row's, on the same clips.
    """

    what: str
    accuracy: Mapping[str, float]
    gain: Interval


def variants(recipe: KeywordRecipe) -> list[tuple[str, KeywordRecipe]]:
    """The recipe, the recipe without each way that it has, and without all of them.

    Raises:
        UserError: it has none.
    """

    def without(names: Sequence[str]) -> KeywordRecipe:
        how = msgspec.structs.replace(recipe.augment, **dict.fromkeys(names, 0.0))
        return msgspec.structs.replace(recipe, augment=how)

    used = {
        what: names for what, names in WAYS.items() if any(getattr(recipe.augment, name) for name in names)
    }
    if not used:
        raise UserError(f"recipe '{recipe.name}' varies nothing: give `augment` shares above 0 to compare")
    rows = [("the recipe as it is", recipe)]
    rows += [(f"without {what}", without(names)) for what, names in used.items()]
    everything = [name for names in used.values() for name in names]
    return rows if len(used) == 1 else [*rows, ("without all of them", without(everything))]


def compare(recipe: KeywordRecipe, data: Path | None, cache: Path | None = None) -> list[Row]:
    """Train a model for each of :func:`variants`, and let all of them hear the same clips.

    The clips are those of the validation speakers, for whoever reads the table will choose by it: as
    recorded, with noise under them, and in simulated rooms, other ones than in training but of the same kind.

    Args:
        recipe: see :func:`variants`.
        data: folder of recordings; comes before the recipe's.
        cache: where stages are kept (default ``build/cache``).

    Raises:
        UserError: bad words or recordings, or nothing to leave out.
    """
    runs = [(what, keyword.open_run(one, data, cache)) for what, one in variants(recipe)]
    models = [(what, run.forms()[0].tflite) for what, run in runs]
    heard, y, speakers = conditions(runs[0][1])
    right = [
        {name: quantise.tflite_outputs(model, x).argmax(axis=1) == y for name, x in heard.items()}
        for _, model in models
    ]
    means = [np.mean([hits for hits in one.values()], axis=0) for one in right]
    clusters = people(speakers)
    return [
        Row(
            what,
            {name: float(hits.mean()) for name, hits in one.items()},
            bootstrap(clusters, lambda rows, mean=mean: float((mean[rows] - means[0][rows]).mean())),
        )
        for (what, _), one, mean in zip(models, right, means, strict=True)
    ]


def conditions(run: keyword.Run) -> tuple[dict[str, np.ndarray], np.ndarray, list[str]]:
    """The validation speakers' clips of words, as they are heard under several conditions.

    Returns:
        inputs ``int8[n, frames, 40]`` by condition, classes ``int64[n]``, and speakers.
    """
    corpus, window, seed = run.corpus, run.window, run.recipe.seed
    clips = [clip for clip in corpus.clips if clip.split == "validation"]
    sounds = corpus.backgrounds["validation"]
    heard: dict[str, list[np.ndarray]] = {}
    with progress.bar("Conditions", len(clips)) as advance:
        for clip in clips:
            clean = scenes.evaluation(clip, sounds, window)
            kinds = {AS_RECORDED: clean}
            for level in _SNRS_DB:
                kinds[f"noise, {level:g} dB"] = noise.noisy(clip, clean, sounds, level, seed)
            kinds[IN_ROOMS] = augment.to_pcm(augment.room(clean, scenes.clip_seed(clip, seed, 10)))
            for name, pcm in kinds.items():
                heard.setdefault(name, []).append(engine.features(pcm, window.step_ms)[-window.frames :])
            advance()
    y = np.array([features.class_of(clip.word, corpus.words) for clip in clips])
    return {name: np.stack(rows) for name, rows in heard.items()}, y, [clip.speaker for clip in clips]


def table(rows: Sequence[Row]) -> Table:
    """The rows as a table: accuracies in percent, the gain with its 95 % interval over speakers."""
    names = list(rows[0].accuracy)
    return Table(
        ["examples", *names, "gain, mean of all"],
        [
            [row.what, *(f"{100 * row.accuracy[name]:.1f}" for name in names), row.gain.text(100)]
            for row in rows
        ],
    )
