"""How a model is made, whatever it is for: teacher, training, pruning and quantisation as cached stages."""

from __future__ import annotations

import importlib.metadata
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from cicada.tools.paths import BUILD
from cicada.tools.stages import ABOUT, hash_files, key, publish, stage
from cicada.training import artefacts, lesson, quantise
from cicada.training.architectures import load
from cicada.training.recipe import Common, Train
from cicada.training.result import encoded

if TYPE_CHECKING:
    import keras

CHECKPOINTS = BUILD / "checkpoints"
PACKAGE = Path(__file__).parents[1]
_PRUNING = 512  # examples that say which channels matter
_MODEL = "model.keras"


class Making(ABC):
    """The stages of one recipe; each is made on first use and then found in the cache.

    A task says what its examples are, what its networks are trained as, and how; the rest is here.
    """

    #: Modules of the training package that a training depends on, beside those named here.
    learnt_by: tuple[str, ...] = ()

    def __init__(self, recipe: Any, cache: Path | None) -> None:
        """Nothing is made yet.

        Args:
            recipe: what to do.
            cache: where stages are kept (default ``build/cache``).
        """
        self.recipe, self.cache = recipe, cache

    @property
    @abstractmethod
    def examples(self) -> Path:
        """Folder of the stage that made the examples."""

    @property
    @abstractmethod
    def learning_inputs(self) -> Mapping[str, Any]:
        """What of the recipe, beside model and training, decides on what is learnt."""

    @abstractmethod
    def build(self, model: Mapping[str, Any]) -> tuple[keras.Model, keras.Model]:
        """An untrained network of a table ``model``: what is trained, and what of it is kept."""

    @abstractmethod
    def fit(
        self, model: keras.Model, train: Train, checkpoint: Path, what: str, teacher: keras.Model | None
    ) -> list[dict[str, float]]:
        """Train a network in place; returns the history."""

    @abstractmethod
    def training_examples(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs ``int8[n, rows, columns]`` to calibrate and to prune with, and their classes."""

    @abstractmethod
    def test_inputs(self) -> np.ndarray:
        """Inputs ``int8[n, rows, columns]`` of the test."""

    @cached_property
    def teacher(self) -> Path | None:
        """Folder of the trained teacher, if the recipe has one."""
        how = self.recipe.teacher
        return None if how is None else self._trained("teacher", how.model, how.train, None)

    @cached_property
    def trained(self) -> Path:
        """Folder of the trained float model and the history of its training."""
        return self._trained("weights", self.recipe.model, self.recipe.train, self.teacher)

    @cached_property
    def pruned(self) -> Path:
        """Folder of the float model with fewer channels, trained further; or of the trained one."""
        how, before = self.recipe.prune, self.trained
        if how is None:
            return before

        def make(folder: Path, checkpoint: Path) -> None:
            from cicada.training.compress import prune

            x, y = self.training_examples()
            rows = np.random.default_rng([self.recipe.seed, 4]).permutation(len(x))[:_PRUNING]
            small = prune.prune(self.loaded(before), how.keep, lesson.as_input(x[rows]), y[rows])
            train = msgspec.structs.replace(self.recipe.train, epochs=how.epochs, rate=how.rate)
            self._fit(folder, small, train, checkpoint, "After pruning", self.teacher)
            small.save(folder / _MODEL)

        inputs = {
            "before": before.name,
            "prune": msgspec.to_builtins(how),
            "teacher": self._taught(self.teacher),
            "code": code("compress/prune", "compress/channels", "compress/graph"),
        }
        return self.learning("pruned", inputs, make)

    @cached_property
    def quantised(self) -> Path:
        """Folder of the ``.tflite``, and of what the float model and it say to the test."""
        before, how = self.pruned, self.recipe.quantise

        def make(folder: Path, checkpoint: Path) -> None:
            from cicada.training.compress import aware, calibrate

            model, (x, y), test = self.loaded(before), self.training_examples(), self.test_inputs()
            rows = calibrate.choose(x, y, how.calibration, how.examples, self.recipe.seed, model=model)
            np.save(folder / "float.npy", lesson.scores_of(model, test))
            if how.aware_epochs:
                tuned = aware.aware(model, lesson.as_input(x[rows]))
                train = msgspec.structs.replace(
                    self.recipe.train, epochs=how.aware_epochs, rate=how.aware_rate, average=0.0
                )
                self._fit(folder, tuned, train, checkpoint, "Quantised", self.teacher)
                blob = aware.convert(tuned)
            else:
                blob = quantise.convert(model, x[rows])
            (folder / "model.tflite").write_bytes(blob)
            np.save(folder / "int8.npy", quantise.tflite_outputs(blob, test))

        ways = (f"compress/{name}" for name in ("aware", "fake", "graph", "calibrate"))
        inputs = {
            "before": before.name,
            "quantise": msgspec.to_builtins(how),
            "teacher": self._taught(self.teacher),
            "code": code("quantise", "flatbuffer", *ways),
        }
        return self.learning("int8", inputs, make)

    def loaded(self, folder: Path) -> keras.Model:
        """The float model in a stage's folder."""
        return load(folder / _MODEL)

    def learning(self, name: str, inputs: Mapping[str, Any], make: Callable[[Path, Path], None]) -> Path:
        """A stage that trains; ``make(folder, checkpoint)``, whose checkpoint lives until it is done."""
        teacher = self.recipe.teacher
        models = [self.recipe.model, *([teacher.model] if teacher else [])]
        used = (f"architectures/{model['architecture']}" for model in models)
        everything = {
            **inputs,
            **self.learning_inputs,
            "examples": self.examples.name,
            "seed": self.recipe.seed,
            "fit": code("fit", "lesson", "backend", "compress/distil", *self.learnt_by, *used),
            "versions": versions("numpy", "tensorflow", "keras"),
        }
        checkpoint = CHECKPOINTS / f"{key(everything)}.npz"
        folder = self.stage(name, everything, lambda work: make(work, checkpoint))
        checkpoint.unlink(missing_ok=True)
        return folder

    def stage(self, name: str, inputs: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
        """A stage in this run's cache."""
        return stage(name, inputs, make, self.cache)

    def _trained(self, name: str, model: Mapping[str, Any], train: Train, teacher: Path | None) -> Path:
        def make(folder: Path, checkpoint: Path) -> None:
            taught, kept = self.build(model)
            what = "Teacher" if name == "teacher" else "Training"
            self._fit(folder, taught, train, checkpoint, what, teacher)
            kept.save(folder / _MODEL)

        inputs = {"model": model, "train": msgspec.to_builtins(train), "teacher": self._taught(teacher)}
        return self.learning(name, inputs, make)

    def _fit(
        self,
        folder: Path,
        model: keras.Model,
        train: Train,
        checkpoint: Path,
        what: str,
        teacher: Path | None,
    ) -> None:
        history = self.fit(model, train, checkpoint, what, self.loaded(teacher) if teacher else None)
        (folder / "history.json").write_bytes(encoded(history))

    def _taught(self, teacher: Path | None) -> list[Any] | None:
        """What a training depends on if somebody teaches."""
        how = self.recipe.teacher
        return [teacher.name, how.weight, how.temperature] if teacher and how else None


def steps(recipe: Common) -> int:
    """Batches of all trainings of a recipe together."""
    train = recipe.train
    trainings = [(train.epochs, train), (recipe.quantise.aware_epochs, train)]
    if recipe.teacher:
        trainings.append((recipe.teacher.train.epochs, recipe.teacher.train))
    if recipe.prune:
        trainings.append((recipe.prune.epochs, train))
    return sum(epochs * (how.examples // how.batch) for epochs, how in trainings)


def published(made: Path, out: Path, recipe: Common) -> dict[str, Any]:
    """Put a finished stage's artefacts into ``out``, each replaced as a whole.

    Returns:
        the content of ``metrics.json``.

    Raises:
        UserError: the model needs more than the recipe's budget.
    """
    for path in sorted(made.iterdir()):
        if path.name != ABOUT:
            publish(path, out / path.name)
    metrics = json.loads((made / "metrics.json").read_text(encoding="utf-8"))
    artefacts.check_budget(recipe.budget, metrics["model"], f"recipe '{recipe.name}'")
    return metrics


def code(*modules: str) -> str:
    """Hash of modules of the training package, by name without ``.py``; a name of a package is all of it."""
    found = ((PACKAGE / f"{name}.py", PACKAGE / name) for name in modules)
    return hash_files([module if module.is_file() else package for module, package in found])


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of packages."""
    return {name: importlib.metadata.version(name) for name in packages}
