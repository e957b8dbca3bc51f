"""What is in a picture: the stages from a folder of pictures to a model on a node with a camera."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from cicada.tools.errors import UserError
from cicada.tools.paths import FIRMWARE, ROOT
from cicada.tools.stages import hash_files, key
from cicada.training import artefacts, backend, evaluate, footprint, images, lesson, quantise
from cicada.training.architectures import resolve
from cicada.training.compress import distil
from cicada.training.corpora.base import SPLITS
from cicada.training.corpora.pictures import Gallery, open_pictures
from cicada.training.fit import fit
from cicada.training.recipe import ImageRecipe, Train, digest
from cicada.training.tasks import seeing
from cicada.training.tasks.making import PACKAGE, Making, code, published, steps, versions

if TYPE_CHECKING:
    import keras


class Run(Making):
    """The stages of one recipe on one folder; each is made on first use and then found in the cache."""

    learnt_by = ("images", "tasks/image")

    def __init__(self, recipe: ImageRecipe, gallery: Gallery, cache: Path | None = None) -> None:
        """Nothing is made yet.

        Args:
            recipe: what to do.
            gallery: the pictures.
            cache: where stages are kept (default ``build/cache``).
        """
        super().__init__(recipe, cache)
        self.gallery = gallery
        self.size = recipe.corpus.width, recipe.corpus.height

    @cached_property
    def examples(self) -> Path:
        """Folder of the scaled pictures."""
        inputs = {
            "pictures": self.gallery.fingerprint,
            "size": self.size,
            "seed": self.recipe.seed,
            "code": code("images", "corpora/pictures")
            + hash_files([FIRMWARE / "engine" / "image", ROOT / "tools" / "engine.py"]),
            "packages": versions("numpy", "pillow"),
        }
        return self.stage(
            "pictures",
            inputs,
            lambda folder: images.extract(self.gallery, *self.size, self.recipe.seed, folder),
        )

    def pictures(self, split: str) -> images.Examples:
        """The scaled pictures of a split."""
        return images.load(self.examples, split)

    learning_inputs: Mapping[str, Any] = {}

    def build(self, model: Mapping[str, Any]) -> tuple[keras.Model, keras.Model]:
        """An untrained network, all of which is kept."""
        built = build(self.recipe, model)
        return built, built

    def training_examples(self) -> tuple[np.ndarray, np.ndarray]:
        """The crops to train on, and their classes."""
        crops = self.pictures("train")
        return crops.x, crops.y

    def test_inputs(self) -> np.ndarray:
        """The test's pictures."""
        return self.pictures("test").x

    def made(self) -> Path:
        """Folder of the finished artefacts."""
        names = ("artefacts", "container", "evaluate", "export", "figures", "flatbuffer", "selftest")
        inputs = {
            "model": self.quantised.name,
            "source": self.gallery.source,
            "recipe": digest(self.recipe),
            "code": code(*names, "tasks/image", "tasks/seeing")
            + hash_files([PACKAGE / name for name in ("pack", "evaluation", "report")])
            + hash_files([FIRMWARE / "engine" / "runtime"])
            + hash_files([ROOT / "tools" / f"{name}.py" for name in ("tflm", "packed")]),
            "packages": versions("cicada", "tflite-micro", "matplotlib", "scikit-learn"),
        }
        return self.stage("image", inputs, lambda folder: seeing.measure(self, folder, key(inputs)))

    def fit(
        self, model: keras.Model, train: Train, checkpoint: Path, what: str, teacher: keras.Model | None
    ) -> list[dict[str, float]]:
        """Train a network in place; returns the history."""
        tf = backend.tensorflow()
        import keras

        keras.utils.set_random_seed(self.recipe.seed)
        tf.config.experimental.enable_op_determinism()
        examples, validation = self.pictures("train"), self.pictures("validation")
        how = self.recipe.teacher

        def loss(scores: Any, y: Any, opinion: Any = None) -> tuple[Any, dict[str, Any]]:
            hit = tf.argmax(scores, 1) == tf.argmax(y, 1)
            if opinion is None:
                value = distil.loss(scores, y, y, 0.0, 1.0, train.smoothing)
            else:
                value = distil.loss(scores, y, opinion, how.weight, how.temperature, train.smoothing)
            return value, {"accuracy": tf.reduce_mean(tf.cast(hit, tf.float32))}

        def epoch(number: int) -> Iterator[tuple[np.ndarray, ...]]:
            return images.epoch(examples, self.gallery.labels, train, self.recipe.seed, number)

        return fit(
            model,
            loss,
            distil.taught(epoch, teacher) if teacher else epoch,
            lambda: _validate(model, validation, len(self.gallery.labels)),
            train,
            train.examples // train.batch,
            checkpoint,
            what,
            "val_accuracy",
        )


def open_run(recipe: ImageRecipe, data: Path | None, cache: Path | None = None) -> Run:
    """Open the folder of a recipe.

    Raises:
        UserError: no folder is named, or it is not as :mod:`cicada.training.corpora.pictures` says.
    """
    folder = data or (Path(recipe.corpus.folder) if recipe.corpus.folder else None)
    if folder is None:
        raise UserError(
            f"recipe '{recipe.name}' names no folder of pictures: give --data, or `folder` in `corpus`"
        )
    return Run(recipe, open_pictures(folder, recipe.corpus.labels), cache)


def plan(recipe: ImageRecipe, data: Path | None) -> dict[str, Any]:
    """What a run would do, from an untrained model; checks the budget.

    Returns:
        ``source``, ``pictures`` (of each split), ``examples`` (crops to train on), ``steps`` (of all
        trainings together) and ``model`` (bytes, arena, MACs, instructions).

    Raises:
        UserError: bad pictures, or a budget that cannot be met.
    """
    gallery = open_run(recipe, data).gallery
    return {
        "source": gallery.source,
        "pictures": {split: len(gallery.of(split)) for split in SPLITS},
        "examples": len(gallery.of("train")) * images.CROPS,
        "steps": steps(recipe),
        "model": _afforded(recipe),
    }


def run(recipe: ImageRecipe, data: Path | None, out: Path, cache: Path | None = None) -> dict[str, Any]:
    """Make the model, or find that it is made already.

    Args:
        recipe: what to do.
        data: folder of pictures; comes before the recipe's.
        out: folder for the artefacts; each file in it is replaced as a whole.
        cache: where stages are kept (default ``build/cache``).

    Returns:
        the content of ``metrics.json``.

    Raises:
        UserError: bad pictures, a budget that cannot be met, no space, training that diverges.
    """
    opened = open_run(recipe, data, cache)
    if recipe.prune is None and any(msgspec.to_builtins(recipe.budget).values()):
        _afforded(recipe)
    return published(opened.made(), out, recipe)


def validated(
    recipe: ImageRecipe, data: Path | None, cache: Path | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Train, and ask the INT8 model about the validation's pictures; a search chooses by it.

    Returns:
        its outputs ``int8[n, labels]`` and the labels ``int64[n]``.

    Raises:
        UserError: as :func:`run`, but for the budget, which is not looked at.
    """
    opened = open_run(recipe, data, cache)
    pictures = opened.pictures("validation")
    blob = (opened.quantised / "model.tflite").read_bytes()
    return quantise.tflite_outputs(blob, pictures.x), pictures.y


def tiny(recipe: ImageRecipe) -> ImageRecipe:
    """The recipe cut down to what runs end to end in seconds; what it learns is of no use."""
    replace = msgspec.structs.replace
    train = replace(recipe.train, epochs=3, examples=192, batch=32)
    return replace(
        recipe,
        train=train,
        quantise=replace(recipe.quantise, examples=20, aware_epochs=min(recipe.quantise.aware_epochs, 1)),
        prune=recipe.prune and replace(recipe.prune, epochs=1),
        teacher=recipe.teacher and replace(recipe.teacher, train=replace(train, epochs=1)),
    )


def _afforded(recipe: ImageRecipe) -> dict[str, Any]:
    """What the model costs; a budget that it does not keep, and that pruning will not help, is refused."""
    found = footprint.figures(recipe)
    if recipe.prune is None:
        artefacts.check_budget(recipe.budget, found, f"recipe '{recipe.name}'")
    return found


def build(recipe: ImageRecipe, model: Mapping[str, Any]) -> keras.Model:
    """An untrained network for a recipe's pictures, of a table ``model`` such as the recipe has.

    From pixels ``float32[batch, height, width, 1]``, gray less 128 and divided by 128, to probabilities
    ``float32[batch, labels]``.
    """
    backend.tensorflow()
    import keras
    from keras import layers

    architecture, options = resolve(dict(model), recipe)
    keras.utils.set_random_seed(recipe.seed)
    inputs = layers.Input((recipe.corpus.height, recipe.corpus.width, 1), name="features")
    body = architecture.body(options, inputs)
    scores = layers.Dense(len(recipe.corpus.labels), activation="softmax", name="scores")(body)
    return keras.Model(inputs, scores, name="image")


def _validate(model: keras.Model, examples: images.Examples, labels: int) -> dict[str, float]:
    scores = model.predict(lesson.as_input(examples.x), batch_size=256, verbose=0)
    truth = np.clip(scores[np.arange(len(scores)), examples.y], 1e-7, 1.0)
    matrix = evaluate.confusion(examples.y, scores.argmax(axis=1), labels)
    return {"val_loss": float(-np.log(truth).mean()), "val_accuracy": evaluate.balanced(matrix)}
