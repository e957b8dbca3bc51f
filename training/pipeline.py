"""From recordings to a model a device can run: the stages, their order and what each depends on."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cicada.tools.errors import UserError
from cicada.tools.paths import BUILD, FIRMWARE, ROOT
from cicada.tools.stages import hash_files, key, publish, stage, write_atomic
from cicada.tools.tflm import Interpreter
from cicada.training import (
    batches,
    container,
    decision,
    evaluate,
    export,
    features,
    figures,
    flatbuffer,
    selftest,
    streaming,
)
from cicada.training.corpora import Corpus, open_corpus
from cicada.training.manifest import manifest
from cicada.training.pack import pack
from cicada.training.train import Settings, as_input, fit
from cicada.training.windows import labels as labels_of

_CHECKPOINTS = BUILD / "checkpoints"
_PICTURES = ("confusion.png", "curves.png")
_FILES = ("kws.tflite", "kws.cpm", "kws.cmod", "kws_model.c", "kws_model.h", "metrics.json", *_PICTURES)


@dataclass(frozen=True)
class Budget:
    """How much work a run is.

    Attributes:
        amounts: training examples to make.
        settings: of the training.
        calibration: windows that set the ranges of the INT8 activations.
        stream_clips, stream_noise_s: size of the validation and test streams.
    """

    amounts: features.Amounts
    settings: Settings
    calibration: int
    stream_clips: int
    stream_noise_s: float


BUDGETS: Mapping[str, Budget] = {
    "demo": Budget(features.Amounts(10, 3, 1600), Settings(), 400, 40, 45.0),
    "tiny": Budget(
        features.Amounts(2, 1, 60),
        Settings(epochs=5, sampling=batches.Sampling(examples=2048, batch=64)),
        40,
        6,
        2.0,
    ),
}


@dataclass(frozen=True)
class Result:
    """What a run made; the same as ``result.json`` beside the artefacts.

    Attributes:
        out: folder of the artefacts: ``kws.tflite``, ``kws.cpm``, ``kws.cmod`` (one of the two in its
            container), ``kws_model.c``, ``kws_model.h``, ``metrics.json`` and the pictures.
        labels: class names in the model's order.
        accuracy: INT8 under TFLM, test speakers, classes of about equal size.
        accuracy_by_word: recall of each label on all test examples, the same way.
        engine: what the container's model is for, "packed" or "TFLM".
        model_bytes, arena_bytes, macs: its size, its arena, multiply-accumulates an inference.
        source: what the model was trained on, in a phrase.
        metrics: all figures, see ``metrics.json``.
    """

    out: Path
    labels: list[str]
    accuracy: float
    accuracy_by_word: dict[str, float]
    engine: str
    model_bytes: int
    arena_bytes: int
    macs: int
    source: str
    metrics: dict[str, Any] = field(repr=False)

    @property
    def pictures(self) -> list[Path]:
        """Paths of the pictures."""
        return [self.out / name for name in _PICTURES]

    @classmethod
    def load(cls, out: Path) -> Result:
        """Read ``result.json`` from ``out``.

        Raises:
            UserError: there is no such file, or it is damaged.
        """
        path = out / "result.json"
        try:
            return cls(out=out, **json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"no finished training in {out} ({error}): run 'make train' first") from error

    def save(self) -> None:
        """Write ``result.json`` to ``out``."""
        content = {name: value for name, value in vars(self).items() if name != "out"}
        write_atomic(self.out / "result.json", _json(content))


def train(
    data: Path | None,
    words: Sequence[str],
    out: Path = BUILD / "kws",
    seed: int = 1,
    budget: str = "demo",
    cache: Path | None = None,
    engine: str = "packed",
) -> Result:
    """Make the model for ``words``, or find that it is made already.

    Args:
        data: folder of recordings, None for the synthesised corpus.
        words: vocabulary.
        out: folder for the artefacts; each file in it is replaced as a whole.
        seed: seed of everything random.
        budget: name in :data:`BUDGETS`.
        cache: where stages are kept (default ``build/cache``).
        engine: "packed" or "tflm": which form of the model goes into container and C array.

    Raises:
        UserError: bad words or recordings, no space, or training that diverges.
    """
    if budget not in BUDGETS:
        raise UserError(f"no budget '{budget}': choose one of {', '.join(BUDGETS)}")
    return Pipeline(open_corpus(data, words, seed=seed), seed, BUDGETS[budget], cache, engine).run(out)


class Pipeline:
    """The stages for one corpus, seed and budget; each is made on first use and then found in the cache."""

    def __init__(
        self, corpus: Corpus, seed: int, budget: Budget, cache: Path | None = None, engine: str = "packed"
    ) -> None:
        """Nothing is made yet.

        Args:
            corpus: speech and noise.
            seed: seed of everything random.
            budget: how much work to do.
            cache: where stages are kept (default ``build/cache``).
            engine: "packed" or "tflm".
        """
        self.corpus, self.seed, self.budget, self.cache = corpus, seed, budget, cache
        self.engine = engine
        self.labels = labels_of(corpus.words)

    def run(self, out: Path) -> Result:
        """Make everything and put it into ``out``."""
        made = self._stage("kws", self._pack_inputs(), self._pack)
        for name in _FILES:
            publish(made / name, out / name)
        metrics = json.loads((made / "metrics.json").read_text(encoding="utf-8"))
        result = Result(
            out=out,
            labels=self.labels,
            accuracy=metrics["test"]["tflm"]["accuracy"],
            accuracy_by_word={k: v["recall"] for k, v in metrics["test"]["tflm"]["words"].items()},
            engine=metrics["model"]["engine"],
            model_bytes=metrics["model"]["bytes"],
            arena_bytes=metrics["model"]["arena"],
            macs=metrics["model"]["macs"],
            source=self.corpus.source,
            metrics=metrics,
        )
        result.save()
        return result

    @cached_property
    def features(self) -> Path:
        """Folder of the examples."""
        inputs = {
            "corpus": self.corpus.fingerprint,
            "amounts": asdict(self.budget.amounts),
            "seed": self.seed,
            "code": _code("features", "scenes", "windows", "augment", "corpora/noise")
            + hash_files([FIRMWARE / "engine" / "frontend"])
            + hash_files([ROOT / "tools" / "engine.py", ROOT / "tools" / "audio.py"]),
            "packages": _versions("numpy", "soxr", "soundfile"),
        }

        def make(folder: Path) -> None:
            features.extract(self.corpus, self.budget.amounts, self.seed, folder)

        return self._stage("features", inputs, make)

    @cached_property
    def weights(self) -> Path:
        """Folder of the trained weights and the history of the training."""
        source = self.features
        inputs = {
            "features": source.name,
            "settings": asdict(self.budget.settings),
            "seed": self.seed,
            "code": _code("train", "model", "batches", "backend"),
            "packages": _versions("numpy", "tensorflow", "keras"),
        }
        checkpoint = _CHECKPOINTS / f"{key(inputs)}.npz"

        def make(folder: Path) -> None:
            strips, validation = features.load_strips(source), features.load_windows(source, "validation")
            weights, history = fit(
                strips, validation, len(self.labels), self.budget.settings, self.seed, checkpoint
            )
            np.savez(folder / "weights.npz", *weights)
            (folder / "history.json").write_bytes(_json(history))

        folder = self._stage("weights", inputs, make)
        checkpoint.unlink(missing_ok=True)
        return folder

    @cached_property
    def quantised(self) -> Path:
        """Folder of the ``.tflite``, and of what TensorFlow's float and INT8 models say to the test set."""
        weights = self.weights
        inputs = {
            "weights": weights.name,
            "calibration": self.budget.calibration,
            "code": _code("quantise", "model", "flatbuffer", "backend"),
            "packages": _versions("tensorflow", "keras"),
        }
        return self._stage("int8", inputs, lambda folder: self._quantise(weights, folder))

    def _quantise(self, weights: Path, folder: Path) -> None:
        from cicada.training import backend, quantise
        from cicada.training.model import build

        backend.tensorflow()
        strips, test = features.load_strips(self.features), features.load_windows(self.features, "test")
        model, _ = build(len(self.labels), int(strips.word.max()) + 1)
        with np.load(weights / "weights.npz") as arrays:
            model.set_weights([arrays[name] for name in arrays.files])
        rows = np.random.default_rng([self.seed, 3]).permutation(len(strips.x))[: self.budget.calibration]
        blob = quantise.convert(model, features.centred(strips)[rows])
        (folder / "kws.tflite").write_bytes(blob)
        np.save(folder / "float.npy", model.predict(as_input(test.x), batch_size=512, verbose=0))
        np.save(folder / "int8.npy", quantise.tflite_outputs(blob, test.x))

    def _pack_inputs(self) -> dict[str, Any]:
        names = (
            "container",
            "decision",
            "evaluate",
            "export",
            "figures",
            "flatbuffer",
            "manifest",
            "pipeline",
            "selftest",
        )
        return {
            "model": self.quantised.name,
            "streams": [self.budget.stream_clips, self.budget.stream_noise_s],
            "source": self.corpus.source,
            "engine": self.engine,
            "code": _code(*names, "streaming")
            + hash_files([Path(__file__).parent / "pack", FIRMWARE / "engine" / "runtime"])
            + hash_files(
                [decision.SMOOTHER, *(ROOT / "tools" / f"{name}.py" for name in ("tflm", "packed"))]
            ),
            "packages": _versions("cicada", "tflite-micro", "matplotlib"),
        }

    def _pack(self, folder: Path) -> None:
        """Measure under TFLM, choose the decision's settings, write all artefacts."""
        quantised, weights = self.quantised, self.weights
        blob = (quantised / "kws.tflite").read_bytes()
        found, interpreter = flatbuffer.describe(blob), Interpreter(blob)
        packed = pack(blob)
        test = features.load_windows(self.features, "test")
        outputs = {
            "tflm": evaluate.tflm_outputs(interpreter, test.x, "Test under TFLM"),
            "tflite": np.load(quantised / "int8.npy"),
            "float": np.load(quantised / "float.npy"),
        }
        reports = {
            name: evaluate.report(test.y, values, self.labels, self.seed) for name, values in outputs.items()
        }
        forms = {
            "packed": {
                "bytes": len(packed.blob),
                "arena": packed.plan.arena,
                "instructions": packed.instructions,
            },
            "TFLM": {"bytes": len(blob), "arena": interpreter.arena},
        }
        engine, model = ("TFLM", blob) if self.engine == "tflm" else ("packed", packed.blob)
        chosen, on_validation, on_test = self._decide(interpreter)
        key_of_inputs = key(self._pack_inputs())
        metrics = {
            "labels": self.labels,
            "data": self.corpus.source,
            "model": {**forms[engine], "engine": engine, "macs": found.macs, "forms": forms},
            "test": reports,
            "decision": chosen.as_json(),
            "stream": {"validation": asdict(on_validation), "test": asdict(on_test)},
        }
        about = manifest(
            found,
            version=f"{importlib.metadata.version('cicada')}+{key_of_inputs[:8]}",
            labels=self.labels,
            engine=engine,
            arena=forms[engine]["arena"],
            decision=chosen,
            data=self.corpus.source,
            inputs=key_of_inputs,
        )
        about["selftest"] = selftest.vector(interpreter)
        header, source = export.c_sources(model, about)
        (folder / "kws.tflite").write_bytes(blob)
        (folder / "kws.cpm").write_bytes(packed.blob)
        (folder / "kws.cmod").write_bytes(container.pack(about, model))
        (folder / "kws_model.h").write_text(header, encoding="ascii")
        (folder / "kws_model.c").write_text(source, encoding="ascii")
        (folder / "metrics.json").write_bytes(_json(metrics))
        figures.curves(folder / "curves.png", json.loads((weights / "history.json").read_text()))
        matrix = np.array(reports["tflm"]["confusion"])
        figures.confusion(folder / "confusion.png", matrix, self.labels, "INT8 under TFLM, test speakers")

    def _decide(self, interpreter: Interpreter) -> tuple[decision.Decision, decision.Score, decision.Score]:
        """Choose on the validation stream; measure that choice on the test stream."""

        def stream(split: str) -> tuple[streaming.Stream, streaming.Outputs]:
            made = streaming.make(
                self.corpus, split, self.seed, self.budget.stream_clips, self.budget.stream_noise_s
            )
            return made, streaming.run(made.pcm, interpreter.invoke, f"Stream, {split}")

        chosen, on_validation = decision.choose(*stream("validation"), self.labels)
        sound, outputs = stream("test")
        detections = decision.detect(outputs, self.labels, chosen)
        return chosen, on_validation, decision.score(sound, detections, self.corpus.words)

    def _stage(self, name: str, inputs: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
        return stage(name, inputs, make, self.cache)


def _code(*modules: str) -> str:
    """Hash of modules of this package, by name without ``.py``."""
    return hash_files([Path(__file__).parent / f"{module}.py" for module in modules])


def _versions(*packages: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in packages}


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
