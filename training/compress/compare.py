"""What each way of compression buys, measured on one recipe against the plain model of equal size.

Every row is the recipe with only that way in it, so what rows have in common is trained once and then found
in the cache.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from cicada.training import lesson, quantise
from cicada.training.compress.graph import Graph, Step
from cicada.training.evaluation.intervals import Interval, bootstrap, people
from cicada.training.recipe import KeywordRecipe, Prune
from cicada.training.report.page import Table
from cicada.training.tasks import keyword

if TYPE_CHECKING:
    import keras

#: What is tried if the recipe does not say.
AWARE_EPOCHS = 5
KEEP = 0.5


@dataclass(frozen=True)
class Row:
    """One way of making the model.

    Attributes:
        what: in words.
        epochs: of training in all; those of a teacher do not count.
        tflite, packed: bytes of the INT8 model.
        macs: multiply-accumulates of an inference.
        floating: accuracy of the float model that was quantised, test speakers.
        validation: accuracy of the INT8 model (TensorFlow Lite), validation speakers.
        test: the same for the test speakers.
        gain: how much higher that is than the first row's, on the same clips.
    """

    what: str
    epochs: int
    tflite: int
    packed: int
    macs: int
    floating: float
    validation: float
    test: Interval
    gain: Interval


class _Scratch(keyword.Run):
    """The shape that pruning found, trained from new weights for as long as both trainings there took.

    Whether pruning is worth it is told by this one (Z. Liu et al., arXiv:1810.05270): it has the same size.
    """

    def __init__(self, pruned: keyword.Run) -> None:
        super().__init__(msgspec.structs.replace(pruned.recipe, prune=None), pruned.corpus, pruned.cache)
        self._pruned = pruned

    @cached_property
    def trained(self) -> Path:
        """Folder of the trained float model."""
        shape, how = self._pruned.pruned, self._pruned.recipe.prune
        train = msgspec.structs.replace(self.recipe.train, epochs=self.recipe.train.epochs + how.epochs)

        def make(folder: Path, checkpoint: Path) -> None:
            built = fresh(self.loaded(shape), self.words, self.recipe.seed)
            self._fit(folder, built.taught, train, checkpoint, "From scratch", None)
            built.model.save(folder / "model.keras")

        return self.learning("scratch", {"shape": shape.name, "train": msgspec.to_builtins(train)}, make)


def fresh(model: keras.Model, words: int, seed: int) -> lesson.Lesson:
    """A model of the same shape with new weights, ready to be trained.

    Args:
        model: ends in the layer "scores".
        words: number of different words in the corpus, and silence.
        seed: of the new weights.
    """
    import keras

    keras.utils.set_random_seed(seed)

    def anew(step: Step, args: Any, kwargs: Any) -> Any:
        if not isinstance(step.layer, keras.Layer):
            return step.layer(*args, **kwargs)
        return step.layer.__class__.from_config(step.layer.get_config())(*args, **kwargs)

    twin = Graph(model).rebuild(anew)
    scores = twin.get_layer("scores")
    return lesson.heads(twin.input, scores.input, scores.units, words)


def variants(recipe: KeywordRecipe) -> list[tuple[str, KeywordRecipe]]:
    """What is compared: the recipe with one way of compression at a time.

    Pruning and quantisation-aware training are tried with the recipe's settings if it has them, and a
    teacher only if it names one. What the recipe itself says comes last, if it joins several ways.
    """
    replace = msgspec.structs.replace
    post = replace(recipe.quantise, calibration="random", aware_epochs=0)
    plain = replace(recipe, prune=None, teacher=None, quantise=post)
    rows = [
        (f"plain, {how} calibration", replace(plain, quantise=replace(post, calibration=how)))
        for how in ("random", "balanced", "trimmed")
    ]
    aware = replace(post, aware_epochs=recipe.quantise.aware_epochs or AWARE_EPOCHS)
    rows.append(("quantisation-aware training", replace(plain, quantise=aware)))
    if recipe.teacher:
        rows.append(("distilled from the teacher", replace(plain, teacher=recipe.teacher)))
    prune = recipe.prune or Prune(keep=KEEP)
    rows.append((f"pruned to {prune.keep:.0%} of its work", replace(plain, prune=prune)))
    return rows if any(recipe == other for _, other in rows) else [*rows, ("the recipe as it is", recipe)]


def compare(recipe: KeywordRecipe, data: Path | None, cache: Path | None = None) -> list[Row]:
    """Make and measure the model in every way.

    Args:
        recipe: see :func:`variants`.
        data: folder of recordings; comes before the recipe's.
        cache: where stages are kept (default ``build/cache``).

    Raises:
        UserError: bad words or recordings, or layers that compression does not know.
    """
    runs = []
    for what, variant in variants(recipe):
        run = keyword.open_run(variant, data, cache)
        runs.append((what, run))
        if variant.prune and variant is not recipe:
            runs.append(("that shape, trained from scratch", _Scratch(run)))
    first = _right(runs[0][1])
    return [_measure(what, run, first) for what, run in runs]


def _measure(what: str, run: keyword.Run, first: np.ndarray) -> Row:
    """Make the model of a run, and measure it against who was right on which test clip in the first."""
    recipe, blob = run.recipe, (run.quantised / "model.tflite").read_bytes()
    validation, test = run.windows("validation"), run.windows("test")
    device, right, speakers = run.forms()[1], _right(run), people(test.speaker)
    epochs = recipe.train.epochs + recipe.quantise.aware_epochs
    epochs += recipe.prune.epochs if recipe.prune else 0
    epochs += run._pruned.recipe.prune.epochs if isinstance(run, _Scratch) else 0
    return Row(
        what,
        epochs,
        len(device.tflite),
        len(device.packed.blob),
        device.found.macs,
        float(_hits(np.load(run.quantised / "float.npy"), test.y).mean()),
        float(_hits(quantise.tflite_outputs(blob, validation.x), validation.y).mean()),
        bootstrap(speakers, lambda rows: float(right[rows].mean())),
        bootstrap(speakers, lambda rows: float((right[rows] - first[rows]).mean())),
    )


def table(rows: Iterable[Row]) -> Table:
    """The rows as a table: accuracies in percent, with 95 % intervals over speakers."""
    columns = (
        "model",
        "epochs",
        ".tflite",
        "packed",
        "MACs",
        "float, test",
        "INT8, validation",
        "INT8, test",
    )
    return Table(
        [*columns, "gain"],
        [
            [
                row.what,
                *(f"{count:,}" for count in (row.epochs, row.tflite, row.packed, row.macs)),
                *(f"{100 * share:.1f}" for share in (row.floating, row.validation)),
                row.test.text(100),
                row.gain.text(100),
            ]
            for row in rows
        ],
    )


def _right(run: keyword.Run) -> np.ndarray:
    """1 for each test clip that the INT8 model of a run is right about, else 0."""
    return _hits(np.load(run.quantised / "int8.npy"), run.windows("test").y)


def _hits(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (scores.argmax(axis=1) == y).astype(np.float64)
