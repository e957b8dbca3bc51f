"""How far a machine is from normal: from recordings of the sound machine to a model on a node.

The network calculates the distance itself (:mod:`cicada.training.architectures.one_class`,
:mod:`~cicada.training.architectures.autoencoder`); its last layer turns it into scores of "normal" and
"anomaly" such that the chosen threshold is a score of :data:`~cicada.training.evaluation.faults.THRESHOLD`,
where the device's vibration pipeline begins to report. Recordings of faults are for testing alone: neither
weights nor threshold have seen one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cicada.tools.errors import UserError
from cicada.training import artefacts, backend, quantise, vibrations
from cicada.training.architectures import resolve
from cicada.training.artefacts import Forms
from cicada.training.corpora.machines import Machines, Recording
from cicada.training.evaluation import compare, faults
from cicada.training.fit import fit
from cicada.training.recipe import AnomalyRecipe
from cicada.training.report import machines as report
from cicada.training.tasks import machinery
from cicada.training.vibrations import Examples

LABELS = ["normal", "anomaly"]
# How steep scores are: so many units of the softmax's input from a distance of 0 to the threshold.
_STEEPNESS = 4.0
# Ranges of activations are set by normal windows and by the same drawn away from the mean of their recording,
# so that distances somewhat beyond the threshold are told apart too.
_STRETCHES = (1.0, 1.5, 2.0)
_FORMS = 300  # windows on which all forms of the model are compared


class Detector:
    """A model from features to scores, and from features to the distance, on the same weights."""

    def __init__(self, recipe: AnomalyRecipe) -> None:
        """An untrained one."""
        backend.tensorflow()
        import keras
        from keras import layers

        self.recipe = recipe
        self.architecture, self.options = resolve(recipe.model, recipe)
        keras.utils.set_random_seed(recipe.seed)
        inputs = layers.Input((*machinery.shape(recipe.frontend), 1), name="features")
        away = self.architecture.body(self.options, inputs)
        self.away = keras.Model(inputs, away, name="distance")
        self.model = keras.Model(
            inputs, layers.Dense(2, activation="softmax", name="scores")(away), name="anomaly"
        )

    def distance(self, x: np.ndarray) -> np.ndarray:
        """Distances ``float32[n]`` of windows ``int8[n, axes, features]``."""
        return self.away.predict(vibrations.as_input(x), batch_size=512, verbose=0)[:, 0]

    def train(self, train: Examples, validation: Examples, checkpoint: Path) -> list[dict[str, float]]:
        """Learn what is normal, then where the threshold lies; returns the history of the training."""
        recipe = self.recipe
        self.architecture.prepare(
            self.options, self.model, vibrations.as_input(train.x), train.recording, recipe.seed
        )
        history = []
        if self.architecture.LEARNS:
            history = fit(
                self.away, _loss, lambda number: self._epoch(train, number),
                lambda: {"val_loss": float(self.distance(validation.x).mean())}, recipe.train,
                max(1, recipe.train.examples // recipe.train.batch), checkpoint,
            )  # fmt: skip
            checkpoint.unlink(missing_ok=True)
        self._set_threshold(self.distance(validation.x))
        return history

    def _epoch(self, train: Examples, number: int) -> Iterator[tuple[np.ndarray, ...]]:
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, number])
        # A short recording of a state counts for more than its windows.
        x = train.x[vibrations.draw(train.recording, recipe.train.examples, rng)]
        for at in range(0, len(x) - recipe.train.batch + 1, recipe.train.batch):
            yield (vibrations.as_input(x[at : at + recipe.train.batch]),)

    def _set_threshold(self, normal: np.ndarray) -> None:
        """Give the last layer its weights, by distances of normal windows."""
        least = float(np.quantile(normal, 1 - self.recipe.alarms))
        slope = _STEEPNESS / max(least, 1e-6)
        # The softmax of two values is the logistic function of their difference.
        offset = np.log(faults.THRESHOLD / (1 - faults.THRESHOLD)) - slope * least
        kernel = np.array([[-slope / 2, slope / 2]], np.float32)
        self.model.get_layer("scores").set_weights([kernel, np.array([-offset / 2, offset / 2], np.float32)])

    def quantised(self, train: Examples) -> bytes:
        """The INT8 ``.tflite``."""
        rng = np.random.default_rng([self.recipe.seed, 3])
        rows = rng.permutation(len(train.x))[: self.recipe.quantise.examples]
        own = {number: train.of(number).mean(axis=0) for number in np.unique(train.recording)}
        middle = np.stack([own[number] for number in train.recording[rows]])
        away = train.x[rows] - middle
        stretched = [np.clip(np.rint(middle + far * away), -128, 127) for far in _STRETCHES]
        return quantise.convert(self.model, np.concatenate(stretched).astype(np.int8))


def _loss(distance: Any) -> tuple[Any, dict[str, Any]]:
    tf = backend.tensorflow()
    return tf.reduce_mean(distance), {}


def plan(recipe: AnomalyRecipe, data: Path | None) -> dict[str, Any]:
    """What a run would do, from an untrained model; checks the budget.

    Returns:
        ``source``, ``recordings`` (by label), ``steps`` of training and ``model`` (bytes, arena, MACs,
        instructions).

    Raises:
        UserError: bad recordings, or a budget that cannot be met.
    """
    corpus, normal, strange = _open(recipe, data)
    _deal(recipe, normal)
    kinds = [one.label for one in (*normal, *strange)]
    detector = Detector(recipe)
    return {
        "source": corpus.source,
        "recordings": {label: kinds.count(label) for label in corpus.labels() if label in kinds},
        "steps": recipe.train.epochs * (recipe.train.examples // recipe.train.batch)
        if detector.architecture.LEARNS
        else 0,
        "model": _afforded(recipe, detector),
    }


def run(recipe: AnomalyRecipe, data: Path | None, out: Path, cache: Path | None = None) -> dict[str, Any]:
    """Make the model, or find that it is made already; see :func:`cicada.training.tasks.vibration.run`."""
    corpus, normal, strange = _open(recipe, data)
    split = _deal(recipe, normal)
    if any(msgspec.to_builtins(recipe.budget).values()):
        _afforded(recipe, Detector(recipe))

    def make(folder: Path, digested: str) -> None:
        _make(recipe, corpus, split, strange, folder, digested)

    return machinery.made(recipe, corpus, make, out, cache)


def tiny(recipe: AnomalyRecipe) -> AnomalyRecipe:
    """The recipe cut down to what runs end to end in seconds; what it learns is of no use."""
    replace = msgspec.structs.replace
    return replace(
        recipe,
        train=replace(recipe.train, epochs=2, examples=128, batch=32),
        quantise=replace(recipe.quantise, examples=40),
    )


def _open(recipe: AnomalyRecipe, data: Path | None) -> tuple[Machines, list[Recording], list[Recording]]:
    """The corpus, its normal recordings, and those of faults."""
    machinery.refuse(recipe)
    corpus = vibrations.open_corpus(recipe, data)
    normal = [one for one in corpus.recordings if one.label in recipe.normal]
    strange = [one for one in corpus.recordings if one.label not in (*recipe.normal, *recipe.without)]
    for what, found in (("a normal machine", normal), ("a fault, to test with", strange)):
        if not found:
            raise UserError(
                f"{corpus.source} has no recording of {what}; it has {', '.join(corpus.labels())}: record"
                f" one, or change `normal` in recipe '{recipe.name}'"
            )
    return corpus, normal, strange


def _deal(recipe: AnomalyRecipe, normal: list[Recording]) -> vibrations.Split:
    return vibrations.deal(normal, recipe.corpus.split, recipe.seed, recipe.frontend)[0][0]


def _afforded(recipe: AnomalyRecipe, detector: Detector) -> dict[str, Any]:
    """What the model costs, from noise; a budget that it does not keep is refused."""
    axes, features = machinery.shape(recipe.frontend)
    noise = np.random.default_rng(recipe.seed).integers(-128, 128, (64, axes, features)).astype(np.int8)
    some = Examples(noise, np.arange(64) // 32, [])
    detector.architecture.prepare(
        detector.options, detector.model, vibrations.as_input(noise), some.recording, recipe.seed
    )
    front = recipe.frontend
    figures = Forms(detector.quantised(some)).figures(
        artefacts.ENGINES[recipe.engine], front.rate_hz / front.samples
    )
    artefacts.check_budget(recipe.budget, figures, f"recipe '{recipe.name}'")
    return figures


def _make(
    recipe: AnomalyRecipe,
    corpus: Machines,
    split: vibrations.Split,
    strange: list[Recording],
    folder: Path,
    digested: str,
) -> None:
    """Train, measure, write the artefacts."""
    front = recipe.frontend
    train, validation = (vibrations.extract(split[name], front) for name in ("train", "validation"))
    test = vibrations.extract([*split["test"], *strange], front)
    detector = Detector(recipe)
    history = detector.train(train, validation, machinery.checkpoint(digested, 0))
    forms = Forms(detector.quantised(train))
    floating = detector.model.predict(vibrations.as_input(test.x), batch_size=512, verbose=0)
    integer = machinery.share(quantise.tflite_outputs(forms.tflite, test.x))
    kinds = [one.label for one in test.recordings]
    decision = faults.decision(recipe.decide.windows)

    def judge(scores: np.ndarray) -> dict[str, Any]:
        return faults.anomalies(scores[:, 1], test.recording, kinds, recipe.normal, faults.THRESHOLD)

    rows = np.sort(np.random.default_rng(recipe.seed).permutation(len(test.x))[:_FORMS])
    faulty = np.array([kind not in recipe.normal for kind in kinds]).astype(np.int64)[test.recording]
    outputs = compare.forms(test.x[rows], forms.tflite, forms.packed.blob, detector.model)
    on_validation = machinery.share(quantise.tflite_outputs(forms.tflite, validation.x))[:, 1]
    found = judge(integer)
    streams = machinery.onsets(test, [kind in recipe.normal for kind in kinds], front, forms)
    delay = faults.delays(streams, front.samples / front.rate_hz, **decision) if streams else None
    results = {
        "test": {
            **found,
            "float": judge(floating.astype(np.float64)),
            "delay": delay,
            "forms": compare.compare(outputs, faulty[rows], test.recording[rows]),
        },
        "validation": {
            "windows": len(on_validation),
            "false_alarms": float((on_validation >= faults.THRESHOLD).mean()),
        },
    }
    (folder / "history.json").write_text(json.dumps(history))
    metrics = machinery.write(
        recipe,
        folder,
        digested,
        forms,
        labels=LABELS,
        decision=decision,
        source=corpus.source,
        results=results,
        summary={
            "AUROC": f"{found['auroc']:.3f} a window, {found['recordings']['auroc']:.3f} a recording",
            "pAUC": f"{found['pauc']:.3f} up to {faults.MAX_FPR:.0%} false alarms",
            "at the threshold": f"{found['false_alarms']:.1%} false alarms, {found['detected']:.1%} detected",
        },
    )
    onsets = {"recorded": streams} if streams else {}
    report.write_anomalies(recipe, folder, metrics, history, report.Judged(test, integer), onsets)
