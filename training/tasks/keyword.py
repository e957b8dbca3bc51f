"""Words, or one wake word: the stages from recordings to a model on a node, and what each depends on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from cicada.tools.paths import FIRMWARE, ROOT
from cicada.tools.stages import hash_files, stage
from cicada.training import artefacts, features, footprint, lesson, quantise
from cicada.training.architectures import resolve
from cicada.training.artefacts import Forms
from cicada.training.corpora.base import SPLITS, Corpus
from cicada.training.corpora.speech import open_speech
from cicada.training.recipe import KeywordRecipe, Train, digest
from cicada.training.result import Result, encoded
from cicada.training.streaming import Pace
from cicada.training.tasks import hearing
from cicada.training.tasks.making import PACKAGE, Making, code, published, steps, versions
from cicada.training.windows import Window, labels

if TYPE_CHECKING:
    import keras


class Run(Making):
    """The stages of one recipe on one corpus; each is made on first use and then found in the cache."""

    learnt_by = ("batches",)

    def __init__(self, recipe: KeywordRecipe, corpus: Corpus, cache: Path | None = None) -> None:
        """Nothing is made yet.

        Args:
            recipe: what to do.
            corpus: speech and noise.
            cache: where stages are kept (default ``build/cache``).
        """
        super().__init__(recipe, cache)
        self.corpus = corpus
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
    def examples(self) -> Path:
        """Folder of the examples."""
        recipe = self.recipe
        made_by = ("words", "unknown", "silences", "speed", "room", "colour", "before", "after", "noise")
        inputs = {
            "corpus": self.corpus.fingerprint,
            "frontend": msgspec.to_builtins(recipe.frontend),
            "augment": {name: getattr(recipe.augment, name) for name in made_by},
            "seed": recipe.seed,
            "code": code("features", "scenes", "windows", "augment", "corpora/noise")
            + hash_files([FIRMWARE / "engine" / "frontend"])
            + hash_files([ROOT / "tools" / "engine.py", ROOT / "tools" / "audio.py"]),
            "packages": versions("numpy", "soxr", "soundfile"),
        }
        return self.stage(
            "features",
            inputs,
            lambda folder: features.extract(self.corpus, recipe.augment, self.window, recipe.seed, folder),
        )

    @cached_property
    def strips(self) -> features.Strips:
        """The training examples."""
        return features.load_strips(self.examples, self.window)

    def windows(self, split: str) -> features.Windows:
        """The examples of ``validation`` or ``test``."""
        return features.load_windows(self.examples, split)

    @property
    def learning_inputs(self) -> dict[str, Any]:
        """How epochs are drawn."""
        return {"shares": msgspec.to_builtins(self.recipe.augment)}

    def build(self, model: Mapping[str, Any]) -> tuple[keras.Model, keras.Model]:
        """An untrained network: with the words' output beside the classes', and without."""
        architecture, options = resolve(dict(model), self.recipe)
        built = lesson.build(
            architecture, options, self.window, len(self.labels), self.words, self.recipe.seed
        )
        return built.taught, built.model

    def fit(
        self, model: keras.Model, train: Train, checkpoint: Path, what: str, teacher: keras.Model | None
    ) -> list[dict[str, float]]:
        """Train a network in place; returns the history."""
        recipe = self.recipe
        opinion = (teacher, recipe.teacher) if teacher else None
        validation = self.windows("validation")
        return lesson.train(
            model, self.strips, validation, recipe, train, recipe.seed, checkpoint, what, opinion
        )

    def training_examples(self) -> tuple[np.ndarray, np.ndarray]:
        """The clips' own windows, and their classes."""
        return features.centred(self.strips), self.strips.y

    def test_inputs(self) -> np.ndarray:
        """The test's windows."""
        return self.windows("test").x

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
            "code": code(*names, *more)
            + hash_files(
                [
                    PACKAGE / "pack",
                    PACKAGE / "evaluation",
                    PACKAGE / "report",
                    FIRMWARE / "engine" / "runtime",
                ]
            )
            + hash_files([hearing.SMOOTHER, *host]),
            "packages": versions("cicada", "tflite-micro", "matplotlib"),
        }

    def made(self) -> Path:
        """Folder of the finished artefacts."""
        return self.stage("kws", self._final_inputs(), self.finish)


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
    return {
        "source": run.corpus.source,
        "clips": {split: sum(c.split == split for c in run.corpus.clips) for split in SPLITS},
        "examples": wanted * how.words + (len(clips) - wanted) * how.unknown + how.silences,
        "steps": steps(recipe),
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
        "code": code("footprint", "quantise", "artefacts", "stream_export", "flatedit")
        + hash_files([Path(run.architecture.__file__), PACKAGE / "pack"]),
        "packages": versions("tensorflow", "keras", "tflite-micro"),
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
    metrics = published(made, out, recipe)
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


def validated(
    recipe: KeywordRecipe, data: Path | None, cache: Path | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Train, and ask the INT8 model about the validation speakers' windows; a search chooses by it.

    Returns:
        its outputs ``int8[n, classes]`` (those of whole windows if it streams) and the classes ``int64[n]``.

    Raises:
        UserError: as :func:`run`, but for the budget, which is not looked at.
    """
    opened = open_run(recipe, data, cache)
    windows = opened.windows("validation")
    return quantise.tflite_outputs(opened.forms()[0].tflite, windows.x), windows.y


def tiny(recipe: KeywordRecipe) -> KeywordRecipe:
    """The recipe cut down to what runs end to end in seconds; what it learns is of no use."""
    replace = msgspec.structs.replace
    train = replace(recipe.train, epochs=5, examples=2048, batch=64)
    return replace(
        recipe,
        corpus=replace(recipe.corpus, clips=1, others=min(recipe.corpus.others, 4)),
        augment=replace(recipe.augment, words=2, unknown=1, silences=60),
        train=train,
        quantise=replace(recipe.quantise, examples=40, aware_epochs=min(recipe.quantise.aware_epochs, 1)),
        prune=recipe.prune and replace(recipe.prune, epochs=1),
        teacher=recipe.teacher and replace(recipe.teacher, train=replace(train, epochs=2)),
        decide=replace(recipe.decide, clips=6, hours=0.01, snrs_db=recipe.decide.snrs_db[:1]),
        budget=recipe.budget,
    )
