"""What is in a picture: the stages from a folder of pictures to a model on a node with a camera."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from cicada.tools.errors import UserError
from cicada.tools.paths import BUILD, FIRMWARE, ROOT
from cicada.tools.stages import hash_files, key, publish, stage
from cicada.training import artefacts, backend, evaluate, footprint, images, lesson, quantise
from cicada.training.architectures import resolve
from cicada.training.compress import aware, calibrate, distil, prune
from cicada.training.corpora.base import SPLITS
from cicada.training.corpora.pictures import Gallery, open_pictures
from cicada.training.fit import fit
from cicada.training.recipe import ImageRecipe, Train, digest
from cicada.training.result import encoded
from cicada.training.tasks import seeing

if TYPE_CHECKING:
    import keras

CHECKPOINTS = BUILD / "checkpoints"
_PACKAGE = Path(__file__).parents[1]
_PRUNING = 512  # examples that say which channels matter


class Run:
    """The stages of one recipe on one folder; each is made on first use and then found in the cache."""

    def __init__(self, recipe: ImageRecipe, gallery: Gallery, cache: Path | None = None) -> None:
        """Nothing is made yet.

        Args:
            recipe: what to do.
            gallery: the pictures.
            cache: where stages are kept (default ``build/cache``).
        """
        self.recipe, self.gallery, self.cache = recipe, gallery, cache
        self.size = recipe.corpus.width, recipe.corpus.height

    @cached_property
    def pictures(self) -> Path:
        """Folder of the scaled pictures."""
        inputs = {
            "pictures": self.gallery.fingerprint,
            "size": self.size,
            "seed": self.recipe.seed,
            "code": _code("images", "corpora/pictures")
            + hash_files([FIRMWARE / "engine" / "image", ROOT / "tools" / "engine.py"]),
            "packages": _versions("numpy", "pillow"),
        }
        return self._stage(
            "pictures",
            inputs,
            lambda folder: images.extract(self.gallery, *self.size, self.recipe.seed, folder),
        )

    def examples(self, split: str) -> images.Examples:
        """The scaled pictures of a split."""
        return images.load(self.pictures, split)

    @cached_property
    def teacher(self) -> Path | None:
        """Folder of the trained teacher, if the recipe has one."""
        how = self.recipe.teacher
        return None if how is None else self._trained("teacher", how.model, how.train, None)

    @cached_property
    def trained(self) -> Path:
        """Folder of the trained float model and the history of its training."""
        return self._trained("weights", self.recipe.model, self.recipe.train, self.teacher)

    def _trained(self, name: str, model: dict[str, Any], train: Train, teacher: Path | None) -> Path:
        def make(folder: Path, checkpoint: Path) -> None:
            built = build(self.recipe, model)
            self._fit(
                folder, built, train, checkpoint, "Teacher" if name == "teacher" else "Training", teacher
            )
            built.save(folder / "model.keras")

        return self._learning(
            name,
            {"model": model, "train": msgspec.to_builtins(train), "teacher": self._taught(teacher)},
            make,
        )

    @cached_property
    def pruned(self) -> Path:
        """Folder of the float model with fewer channels, or of the trained one without ``prune``."""
        how, before = self.recipe.prune, self.trained
        if how is None:
            return before

        def make(folder: Path, checkpoint: Path) -> None:
            examples = self.examples("train")
            rows = np.random.default_rng([self.recipe.seed, 4]).permutation(len(examples.x))[:_PRUNING]
            small = prune.prune(_load(before), how.keep, lesson.as_input(examples.x[rows]), examples.y[rows])
            train = msgspec.structs.replace(self.recipe.train, epochs=how.epochs, rate=how.rate)
            self._fit(folder, small, train, checkpoint, "After pruning", self.teacher)
            small.save(folder / "model.keras")

        inputs = {"before": before.name, "prune": msgspec.to_builtins(how), "code": _code("compress/prune")}
        return self._learning("pruned", {**inputs, "teacher": self._taught(self.teacher)}, make)

    @cached_property
    def quantised(self) -> Path:
        """Folder of the ``.tflite``, and of what the float model says to the test pictures."""
        before, how = self.pruned, self.recipe.quantise

        def make(folder: Path, checkpoint: Path) -> None:
            model, examples, test = _load(before), self.examples("train"), self.examples("test")
            rows = calibrate.choose(
                examples.x, examples.y, how.calibration, how.examples, self.recipe.seed, model=model
            )
            np.save(folder / "float.npy", model.predict(lesson.as_input(test.x), batch_size=256, verbose=0))
            if how.aware_epochs:
                tuned = aware.aware(model, lesson.as_input(examples.x[rows]))
                train = msgspec.structs.replace(
                    self.recipe.train, epochs=how.aware_epochs, rate=how.aware_rate, average=0.0
                )
                self._fit(folder, tuned, train, checkpoint, "Quantised", self.teacher)
                blob = aware.convert(tuned)
            else:
                blob = quantise.convert(model, examples.x[rows])
            (folder / "model.tflite").write_bytes(blob)
            np.save(folder / "int8.npy", quantise.tflite_outputs(blob, test.x))

        inputs = {
            "before": before.name,
            "quantise": msgspec.to_builtins(how),
            "code": _code("quantise", "flatbuffer", "compress/aware", "compress/calibrate"),
            "teacher": self._taught(self.teacher),
        }
        return self._learning("int8", inputs, make)

    def made(self) -> Path:
        """Folder of the finished artefacts."""
        names = ("artefacts", "container", "evaluate", "export", "figures", "flatbuffer", "selftest")
        inputs = {
            "model": self.quantised.name,
            "source": self.gallery.source,
            "recipe": digest(self.recipe),
            "code": _code(*names, "tasks/image", "tasks/seeing")
            + hash_files([_PACKAGE / "pack", _PACKAGE / "evaluation", FIRMWARE / "engine" / "runtime"])
            + hash_files([ROOT / "tools" / f"{name}.py" for name in ("tflm", "packed")]),
            "packages": _versions("cicada", "tflite-micro", "matplotlib", "scikit-learn"),
        }
        return self._stage("image", inputs, lambda folder: seeing.measure(self, folder, key(inputs)))

    def _fit(
        self,
        folder: Path,
        model: keras.Model,
        train: Train,
        checkpoint: Path,
        what: str,
        teacher: Path | None,
    ) -> None:
        tf = backend.tensorflow()
        import keras

        keras.utils.set_random_seed(self.recipe.seed)
        tf.config.experimental.enable_op_determinism()
        examples, validation = self.examples("train"), self.examples("validation")
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

        history = fit(
            model,
            loss,
            distil.taught(epoch, _load(teacher)) if teacher else epoch,
            lambda: _validate(model, validation, len(self.gallery.labels)),
            train,
            train.examples // train.batch,
            checkpoint,
            what,
            "val_accuracy",
        )
        (folder / "history.json").write_bytes(encoded(history))

    def _taught(self, teacher: Path | None) -> list[Any] | None:
        """What a training depends on if somebody teaches."""
        how = self.recipe.teacher
        return [teacher.name, how.weight, how.temperature] if teacher and how else None

    def _learning(self, name: str, inputs: Mapping[str, Any], make: Callable[[Path, Path], None]) -> Path:
        """A stage that trains, with a checkpoint that lives until it is done."""
        teacher = self.recipe.teacher
        models = [self.recipe.model, *([teacher.model] if teacher else [])]
        used = [f"architectures/{model['architecture']}" for model in models]
        everything = {
            **inputs,
            "pictures": self.pictures.name,
            "seed": self.recipe.seed,
            "fit": _code("fit", "images", "backend", "compress/distil", "tasks/image", *used),
            "versions": _versions("numpy", "tensorflow", "keras"),
        }
        checkpoint = CHECKPOINTS / f"{key(everything)}.npz"
        folder = self._stage(name, everything, lambda work: make(work, checkpoint))
        checkpoint.unlink(missing_ok=True)
        return folder

    def _stage(self, name: str, inputs: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
        return stage(name, inputs, make, self.cache)


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
    trainings = [(recipe.train.epochs, recipe.train), (recipe.quantise.aware_epochs, recipe.train)]
    if recipe.teacher:
        trainings.append((recipe.teacher.train.epochs, recipe.teacher.train))
    if recipe.prune:
        trainings.append((recipe.prune.epochs, recipe.train))
    return {
        "source": gallery.source,
        "pictures": {split: len(gallery.of(split)) for split in SPLITS},
        "examples": len(gallery.of("train")) * images.CROPS,
        "steps": sum(epochs * (train.examples // train.batch) for epochs, train in trainings),
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
    made = opened.made()
    for path in sorted(made.iterdir()):
        if path.name != "inputs.json":
            publish(path, out / path.name)
    metrics = json.loads((made / "metrics.json").read_text(encoding="utf-8"))
    artefacts.check_budget(recipe.budget, metrics["model"], f"recipe '{recipe.name}'")
    return metrics


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


def _load(folder: Path) -> keras.Model:
    backend.tensorflow()
    import keras

    return keras.models.load_model(folder / "model.keras", compile=False)


def _code(*modules: str) -> str:
    """Hash of modules of the training package, by name without ``.py``."""
    return hash_files([_PACKAGE / f"{module}.py" for module in modules])


def _versions(*packages: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in packages}
