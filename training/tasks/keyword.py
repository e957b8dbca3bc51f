"""Words, or one wake word: the stages from recordings to a model on a node, and what each depends on."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from cicada.tools.paths import BUILD, FIRMWARE, ROOT
from cicada.tools.stages import hash_files, key, publish, stage
from cicada.training import artefacts, backend, features, footprint, lesson, quantise
from cicada.training.architectures import resolve
from cicada.training.artefacts import Forms
from cicada.training.corpora.base import SPLITS, Corpus
from cicada.training.corpora.speech import open_speech
from cicada.training.recipe import KeywordRecipe, Train, digest
from cicada.training.result import Result, encoded
from cicada.training.streaming import Pace
from cicada.training.tasks import hearing
from cicada.training.windows import Window, labels

if TYPE_CHECKING:
    import keras

CHECKPOINTS = BUILD / "checkpoints"
_PACKAGE = Path(__file__).parents[1]


class Run:
    """The stages of one recipe on one corpus; each is made on first use and then found in the cache."""

    def __init__(self, recipe: KeywordRecipe, corpus: Corpus, cache: Path | None = None) -> None:
        """Nothing is made yet.

        Args:
            recipe: what to do.
            corpus: speech and noise.
            cache: where stages are kept (default ``build/cache``).
        """
        self.recipe, self.corpus, self.cache = recipe, corpus, cache
        self.labels = labels(corpus.words)
        self.window = Window(recipe.frontend.step_ms, recipe.frontend.frames)
        self.architecture, self.options = resolve(recipe.model, recipe)
        self.streams = getattr(self.architecture, "STREAMING", False)

    @property
    def hop(self) -> int:
        """Frames between two inferences on the device."""
        return self.architecture.stride(self.options) if self.streams else self.recipe.decide.hop_frames

    @property
    def pace(self) -> Pace:
        """How the device feeds the model."""
        frames = self.hop if self.streams else self.window.frames
        return Pace(self.window.step_ms, frames, self.hop)

    @property
    def words(self) -> int:
        """Number of different words in training, silence included."""
        return len({clip.word for clip in self.corpus.clips if clip.split == "train"}) + 1

    @cached_property
    def features(self) -> Path:
        """Folder of the examples."""
        recipe = self.recipe
        made_by = ("words", "unknown", "silences", "speed", "room", "colour", "before", "after", "noise")
        inputs = {
            "corpus": self.corpus.fingerprint,
            "frontend": msgspec.to_builtins(recipe.frontend),
            "augment": {name: getattr(recipe.augment, name) for name in made_by},
            "seed": recipe.seed,
            "code": _code("features", "scenes", "windows", "augment", "corpora/noise")
            + hash_files([FIRMWARE / "engine" / "frontend"])
            + hash_files([ROOT / "tools" / "engine.py", ROOT / "tools" / "audio.py"]),
            "packages": _versions("numpy", "soxr", "soundfile"),
        }
        return self._stage(
            "features",
            inputs,
            lambda folder: features.extract(self.corpus, recipe.augment, self.window, recipe.seed, folder),
        )

    @cached_property
    def strips(self) -> features.Strips:
        """The training examples."""
        return features.load_strips(self.features, self.window)

    def windows(self, split: str) -> features.Windows:
        """The examples of ``validation`` or ``test``."""
        return features.load_windows(self.features, split)

    @cached_property
    def teacher(self) -> Path | None:
        """Folder of the trained teacher, if the recipe has one."""
        if self.recipe.teacher is None:
            return None
        return self._trained("teacher", self.recipe.teacher.model, self.recipe.teacher.train, None)

    @cached_property
    def trained(self) -> Path:
        """Folder of the trained float model and the history of its training."""
        return self._trained("weights", self.recipe.model, self.recipe.train, self.teacher)

    def _trained(self, name: str, model: dict[str, Any], train: Train, teacher: Path | None) -> Path:
        architecture, options = resolve(model, self.recipe)

        def make(folder: Path, checkpoint: Path) -> None:
            built = lesson.build(
                architecture, options, self.window, len(self.labels), self.words, self.recipe.seed
            )
            what = "Teacher" if name == "teacher" else "Training"
            self._fit(folder, built.taught, train, checkpoint, what, teacher)
            built.model.save(folder / "model.keras")

        inputs = {"model": model, "train": msgspec.to_builtins(train), "teacher": teacher and teacher.name}
        if teacher:
            inputs["teaching"] = [self.recipe.teacher.weight, self.recipe.teacher.temperature]
        return self._learning(name, inputs, make)

    @cached_property
    def pruned(self) -> Path:
        """Folder of the float model with fewer channels, trained further; or of the trained one."""
        how = self.recipe.prune
        if how is None:
            return self.trained
        before = self.trained

        def make(folder: Path, checkpoint: Path) -> None:
            from cicada.training.compress import prune

            strips = self.strips
            rows = np.random.default_rng([self.recipe.seed, 4]).permutation(len(strips.x))[:512]
            examples = lesson.as_input(features.centred(strips)[rows])
            small = prune.prune(_load(before), how.keep, examples, strips.y[rows])
            train = msgspec.structs.replace(self.recipe.train, epochs=how.epochs, rate=how.rate)
            self._fit(folder, small, train, checkpoint, "After pruning", self.teacher)
            small.save(folder / "model.keras")

        inputs = {"before": before.name, "prune": msgspec.to_builtins(how), "code": _code("compress/prune")}
        return self._learning("pruned", inputs, make)

    @cached_property
    def quantised(self) -> Path:
        """Folder of the ``.tflite``, and of what the float model says to the test set."""
        before, how = self.pruned, self.recipe.quantise

        def make(folder: Path, checkpoint: Path) -> None:
            from cicada.training.compress import aware, calibrate

            model, test, strips = _load(before), self.windows("test"), self.strips
            examples = features.centred(strips)
            rows = calibrate.choose(
                examples, strips.y, how.calibration, how.examples, self.recipe.seed, model=model
            )
            np.save(folder / "float.npy", lesson.scores_of(model, test.x))
            if how.aware_epochs:
                tuned = aware.aware(model, lesson.as_input(examples[rows]))
                train = msgspec.structs.replace(
                    self.recipe.train, epochs=how.aware_epochs, rate=how.aware_rate, average=0.0
                )
                self._fit(folder, tuned, train, checkpoint, "Quantised", self.teacher)
                blob = aware.convert(tuned)
            else:
                blob = quantise.convert(model, examples[rows])
            (folder / "model.tflite").write_bytes(blob)
            np.save(folder / "int8.npy", quantise.tflite_outputs(blob, test.x))

        inputs = {
            "before": before.name,
            "quantise": msgspec.to_builtins(how),
            "code": _code("quantise", "flatbuffer", "compress/aware", "compress/calibrate"),
        }
        return self._learning("int8", inputs, make)

    def _fit(
        self, folder: Path, model: Any, train: Train, checkpoint: Path, what: str, teacher: Path | None
    ) -> None:
        taught = (_load(teacher), self.recipe.teacher) if teacher else None
        history = lesson.train(
            model,
            self.strips,
            self.windows("validation"),
            self.recipe,
            train,
            self.recipe.seed,
            checkpoint,
            what,
            taught,
        )
        (folder / "history.json").write_bytes(encoded(history))

    def forms(self) -> tuple[Forms, Forms]:
        """The model on whole windows, and as the device runs it; the same unless it streams."""
        whole = Forms((self.quantised / "model.tflite").read_bytes())
        if not self.streams:
            return whole, whole
        return whole, Forms(self.architecture.streaming(self.options, whole.tflite))

    def finish(self, folder: Path) -> None:
        """Measure, choose the decision's settings, write all artefacts."""
        hearing.measure(self, folder, self._final_inputs())

    def _final_inputs(self) -> dict[str, Any]:
        names = ("artefacts", "container", "decision", "evaluate", "export", "figures", "flatbuffer")
        more = ("manifest", "selftest", "streaming", "tasks/keyword", "tasks/hearing", "stream_export")
        host = (ROOT / "tools" / f"{name}.py" for name in ("tflm", "packed"))
        return {
            "model": self.quantised.name,
            "decide": msgspec.to_builtins(self.recipe.decide),
            "source": self.corpus.source,
            "recipe": digest(self.recipe),
            "code": _code(*names, *more)
            + hash_files(
                [
                    _PACKAGE / "pack",
                    _PACKAGE / "evaluation",
                    _PACKAGE / "report",
                    FIRMWARE / "engine" / "runtime",
                ]
            )
            + hash_files([hearing.SMOOTHER, *host]),
            "packages": _versions("cicada", "tflite-micro", "matplotlib"),
        }

    def made(self) -> Path:
        """Folder of the finished artefacts."""
        return self._stage("kws", self._final_inputs(), self.finish)

    def _learning(self, name: str, inputs: Mapping[str, Any], make: Callable[[Path, Path], None]) -> Path:
        """A stage that trains, with a checkpoint that lives until it is done."""
        everything = {
            **inputs,
            "features": self.features.name,
            "shares": msgspec.to_builtins(self.recipe.augment),
            "seed": self.recipe.seed,
            "fit": _code("fit", "lesson", "batches", "backend", "compress/distil")
            + hash_files([Path(self.architecture.__file__)]),
            "versions": _versions("numpy", "tensorflow", "keras"),
        }
        checkpoint = CHECKPOINTS / f"{key(everything)}.npz"
        folder = self._stage(name, everything, lambda work: make(work, checkpoint))
        checkpoint.unlink(missing_ok=True)
        return folder

    def _stage(self, name: str, inputs: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
        return stage(name, inputs, make, self.cache)


def open_run(recipe: KeywordRecipe, data: Path | None, cache: Path | None = None) -> Run:
    """Open the corpus of a recipe.

    Raises:
        UserError: bad words or recordings.
    """
    return Run(recipe, open_speech(recipe.corpus, recipe.frontend, data, recipe.seed), cache)


def plan(recipe: KeywordRecipe, data: Path | None) -> dict[str, Any]:
    """What a run would do, from an untrained model; checks the budget.

    Returns:
        ``examples`` (training examples to make), ``steps`` (of training, all trainings together), ``model``
        (bytes, arena, MACs, instructions), ``source``.

    Raises:
        UserError: bad words or recordings, or a budget that cannot be met.
    """
    run = open_run(recipe, data)
    figures = check_size(run)
    clips = [clip for clip in run.corpus.clips if clip.split == "train"]
    wanted = sum(clip.word in run.corpus.words for clip in clips)
    how = recipe.augment
    trainings = [(recipe.train.epochs, recipe.train)]
    if recipe.teacher:
        trainings.append((recipe.teacher.train.epochs, recipe.teacher.train))
    if recipe.prune:
        trainings.append((recipe.prune.epochs, recipe.train))
    if recipe.quantise.aware_epochs:
        trainings.append((recipe.quantise.aware_epochs, recipe.train))
    return {
        "source": run.corpus.source,
        "clips": {split: sum(c.split == split for c in run.corpus.clips) for split in SPLITS},
        "examples": wanted * how.words + (len(clips) - wanted) * how.unknown + how.silences,
        "steps": sum(epochs * (train.examples // train.batch) for epochs, train in trainings),
        "model": figures,
    }


def check_size(run: Run) -> dict[str, Any]:
    """What the recipe's model costs on the device, from one that is not trained; that has the same size.

    Raises:
        UserError: more than the budget.
    """

    def make(folder: Path) -> None:
        (folder / "figures.json").write_bytes(encoded(footprint.figures(run.recipe)))

    recipe = run.recipe
    inputs = {
        "model": recipe.model,
        "engine": recipe.engine,
        "frontend": msgspec.to_builtins(recipe.frontend),
        "classes": [len(run.labels), run.hop],
        "code": _code("footprint", "quantise", "artefacts", "stream_export", "flatedit")
        + hash_files([Path(run.architecture.__file__), _PACKAGE / "pack"]),
        "packages": _versions("tensorflow", "keras", "tflite-micro"),
    }
    figures = json.loads((stage("size", inputs, make, run.cache) / "figures.json").read_text())
    if recipe.prune is None:
        artefacts.check_budget(recipe.budget, figures, f"recipe '{recipe.name}'")
    return figures


def run(recipe: KeywordRecipe, data: Path | None, out: Path, cache: Path | None = None) -> dict[str, Any]:
    """Make the model, or find that it is made already.

    Args:
        recipe: what to do.
        data: folder of recordings; comes before the recipe's.
        out: folder for the artefacts; each file in it is replaced as a whole.
        cache: where stages are kept (default ``build/cache``).

    Returns:
        the content of ``metrics.json``.

    Raises:
        UserError: bad words or recordings, a budget that cannot be met, no space, training that diverges.
    """
    opened = open_run(recipe, data, cache)
    check_size(opened)
    made = opened.made()
    for path in sorted(made.iterdir()):
        if path.name != "inputs.json":
            publish(path, out / path.name)
    metrics = json.loads((made / "metrics.json").read_text(encoding="utf-8"))
    artefacts.check_budget(recipe.budget, metrics["model"], f"recipe '{recipe.name}'")
    result = Result(
        out=out,
        name=recipe.name,
        labels=opened.labels,
        accuracy=metrics["test"]["tflm"]["accuracy"],
        accuracy_by_word={k: v["recall"] for k, v in metrics["test"]["tflm"]["words"].items()},
        engine=metrics["model"]["engine"],
        model_bytes=metrics["model"]["bytes"],
        arena_bytes=metrics["model"]["arena"],
        macs=metrics["model"]["macs"],
        source=opened.corpus.source,
        pictures=[out / path.name for path in sorted(made.glob("*.png"))],
        metrics=metrics,
    )
    result.save()
    return metrics


def tiny(recipe: KeywordRecipe) -> KeywordRecipe:
    """The recipe cut down to what runs end to end in seconds; what it learns is of no use."""
    replace = msgspec.structs.replace
    train = replace(recipe.train, epochs=5, examples=2048, batch=64)
    return replace(
        recipe,
        augment=replace(recipe.augment, words=2, unknown=1, silences=60),
        train=train,
        quantise=replace(recipe.quantise, examples=40, aware_epochs=min(recipe.quantise.aware_epochs, 1)),
        prune=recipe.prune and replace(recipe.prune, epochs=1),
        teacher=recipe.teacher and replace(recipe.teacher, train=replace(train, epochs=2)),
        decide=replace(recipe.decide, clips=6, hours=0.01, snrs_db=recipe.decide.snrs_db[:1]),
        budget=recipe.budget,
    )


def _load(folder: Path) -> keras.Model:
    backend.tensorflow()
    import keras

    return keras.models.load_model(folder / "model.keras", compile=False)


def _code(*modules: str) -> str:
    """Hash of modules of the training package, by name without ``.py``."""
    return hash_files([path for m in modules if (path := _PACKAGE / f"{m}.py").is_file()])


def _versions(*packages: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in packages}
