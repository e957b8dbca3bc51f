"""Which fault a machine has: from recordings to a model on a node with an accelerometer.

Every fold of :func:`cicada.training.vibrations.deal` is trained and tested, so that every bearing is tested
once. The model that is kept is that of the first fold, and its figures are those of bearings it has not seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from cicada.tools.errors import UserError
from cicada.training import artefacts, backend, footprint, quantise, vibrations
from cicada.training.architectures import resolve
from cicada.training.artefacts import Forms
from cicada.training.compress import calibrate
from cicada.training.corpora import splits
from cicada.training.corpora.machines import Machines, Recording
from cicada.training.evaluation import compare, faults
from cicada.training.fit import fit
from cicada.training.recipe import VibrationRecipe
from cicada.training.report import machines as report
from cicada.training.tasks import machinery
from cicada.training.vibrations import Examples

if TYPE_CHECKING:
    import keras

_ONSETS = 24  # generated recordings in which a fault begins
_FORMS = 300  # windows on which all forms of the model are compared


class Fold:
    """One split, and the model that is trained on it."""

    def __init__(
        self, recipe: VibrationRecipe, split: vibrations.Split, generated: Examples, checkpoint: Path
    ) -> None:
        """Extract the features; nothing is trained yet.

        Args:
            recipe: what to do.
            split: recordings by split.
            generated: windows of the physical generator to train on beside the others, or none.
            checkpoint: file for an interrupted training.
        """
        self.recipe, self.generated, self._checkpoint = recipe, generated, checkpoint
        self.examples = {
            name: vibrations.extract(members, recipe.frontend) for name, members in split.items()
        }

    def y(self, split: str) -> np.ndarray:
        """Classes of a split's windows."""
        return self.examples[split].y(self.recipe.labels)

    def train(self, what: str) -> keras.Model:
        """The float model."""
        recipe = self.recipe
        model = _build(recipe)
        self.history = fit(
            model, _loss(recipe), self._epoch, lambda: self._validate(model), recipe.train,
            recipe.train.examples // recipe.train.batch, self._checkpoint, what, "val_macro_f1",
        )  # fmt: skip
        self._checkpoint.unlink(missing_ok=True)
        return model

    def quantised(self, model: keras.Model) -> bytes:
        """The INT8 ``.tflite``."""
        how, real = self.recipe.quantise, self.examples["train"]
        rows = calibrate.choose(
            real.x, self.y("train"), how.calibration, how.examples, self.recipe.seed, model=model
        )
        return quantise.convert(model, real.x[rows])

    def _epoch(self, number: int) -> Iterator[tuple[np.ndarray, ...]]:
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, number])
        count = recipe.train.examples
        parts = []
        shares = [(self.examples["train"], 2 if len(self.generated.x) else 1), (self.generated, 2)]
        for examples, share in shares:
            if len(examples.x):
                y = examples.y(recipe.labels)
                chosen = vibrations.draw(y, count // share, rng)
                parts.append((examples.x[chosen], y[chosen]))
        x, y = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = rng.permutation(len(x))
        moved = vibrations.vary(x[order], y[order], recipe.frontend, rng)
        one_hot = np.eye(len(recipe.labels), dtype=np.float32)[y[order]]
        return vibrations.batches(vibrations.as_input(moved), one_hot, recipe.train.batch)

    def _validate(self, model: keras.Model) -> dict[str, float]:
        scores = model.predict(vibrations.as_input(self.examples["validation"].x), batch_size=512, verbose=0)
        y = self.y("validation")
        return {"val_macro_f1": faults.macro_f1(y, scores.argmax(axis=1), len(self.recipe.labels))}

    def judge(self, scores: np.ndarray, split: str = "test") -> dict[str, Any]:
        """Figures of a model's scores of a split; see :func:`cicada.training.evaluation.faults.classes`."""
        examples = self.examples[split]
        bearings = [one.bearing for one in examples.recordings]
        return faults.classes(scores, self.y(split), examples.recording, bearings, self.recipe.labels)


def plan(recipe: VibrationRecipe, data: Path | None) -> dict[str, Any]:
    """What a run would do, from an untrained model; checks the budget.

    Returns:
        ``source``, ``recordings`` (by label), ``folds``, ``steps`` (of all trainings together) and ``model``
        (bytes, arena, MACs, instructions).

    Raises:
        UserError: bad recordings, or a budget that cannot be met.
    """
    corpus, chosen = _open(recipe, data)
    dealt, _ = vibrations.deal(chosen, recipe.corpus.split, recipe.seed, recipe.frontend)
    figures = _afforded(recipe)
    steps = recipe.train.epochs * (recipe.train.examples // recipe.train.batch)
    return {
        "source": corpus.source,
        "recordings": {label: sum(one.label == label for one in chosen) for label in recipe.labels},
        "folds": len(dealt),
        "steps": (len(dealt) + 1) * steps,
        "model": figures,
    }


def run(recipe: VibrationRecipe, data: Path | None, out: Path, cache: Path | None = None) -> dict[str, Any]:
    """Make the model, or find that it is made already.

    Args:
        recipe: what to do.
        data: folder of recordings; comes before the recipe's.
        out: folder for the artefacts; each file in it is replaced as a whole.
        cache: where stages are kept (default ``build/cache``).

    Returns:
        the content of ``metrics.json``.

    Raises:
        UserError: bad recordings, a budget that cannot be met, no space, training that diverges.
    """
    corpus, chosen = _open(recipe, data)
    dealt, timed = vibrations.deal(chosen, recipe.corpus.split, recipe.seed, recipe.frontend)
    if any(msgspec.to_builtins(recipe.budget).values()):
        _afforded(recipe)

    def make(folder: Path, digested: str) -> None:
        _make(recipe, corpus, chosen, dealt, timed, folder, digested)

    return machinery.made(recipe, corpus, make, out, cache)


def validated(
    recipe: VibrationRecipe, data: Path | None, cache: Path | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Train the first fold, and ask its INT8 model about its validation; a search chooses by it.

    Args:
        recipe: what to do.
        data: folder of recordings; comes before the recipe's.
        cache: where stages are kept (default ``build/cache``).

    Returns:
        outputs ``int8[n, labels]`` and the labels ``int64[n]`` of the validation's windows.

    Raises:
        UserError: as :func:`run`, but for the budget, which is not looked at.
    """
    corpus, chosen = _open(recipe, data)
    split = vibrations.deal(chosen, recipe.corpus.split, recipe.seed, recipe.frontend)[0][0]

    def make(folder: Path, digested: str) -> None:
        fold = Fold(recipe, split, _generated_examples(recipe), machinery.checkpoint(digested, 0))
        blob = fold.quantised(fold.train("Training"))
        outputs = quantise.tflite_outputs(blob, fold.examples["validation"].x)
        np.savez(folder / "validation.npz", outputs=outputs, y=fold.y("validation"))

    with np.load(machinery.stage_of("validated", recipe, corpus, make, cache) / "validation.npz") as stored:
        return stored["outputs"], stored["y"]


def tiny(recipe: VibrationRecipe) -> VibrationRecipe:
    """The recipe cut down to what runs end to end in seconds; what it learns is of no use."""
    replace = msgspec.structs.replace
    return replace(
        recipe,
        train=replace(recipe.train, epochs=2, examples=256, batch=64),
        quantise=replace(recipe.quantise, examples=40),
        corpus=replace(recipe.corpus, generated=min(recipe.corpus.generated, 24)),
    )


def _open(recipe: VibrationRecipe, data: Path | None) -> tuple[Machines, list[Recording]]:
    machinery.refuse(recipe)
    corpus = vibrations.open_corpus(recipe, data)
    missing = [label for label in recipe.labels if label not in corpus.labels()]
    if missing:
        raise UserError(
            f"{corpus.source} has no recording of '{missing[0]}', which recipe '{recipe.name}' has among its"
            f" labels; it has {', '.join(corpus.labels())}: record it, or change `labels`"
        )
    return corpus, [one for one in corpus.recordings if one.label in recipe.labels]


def _afforded(recipe: VibrationRecipe) -> dict[str, Any]:
    figures = footprint.figures(recipe)
    artefacts.check_budget(recipe.budget, figures, f"recipe '{recipe.name}'")
    return figures


def _build(recipe: VibrationRecipe) -> keras.Model:
    backend.tensorflow()
    import keras
    from keras import layers

    architecture, options = resolve(recipe.model, recipe)
    keras.utils.set_random_seed(recipe.seed)
    inputs = layers.Input((*machinery.shape(recipe.frontend), 1), name="features")
    body = architecture.body(options, inputs)
    scores = layers.Dense(len(recipe.labels), activation="softmax", name="scores")(body)
    return keras.Model(inputs, scores, name="vibration")


def _loss(recipe: VibrationRecipe) -> Any:
    tf = backend.tensorflow()
    import keras

    def loss(scores: Any, y: Any) -> tuple[Any, dict[str, Any]]:
        value = keras.losses.categorical_crossentropy(y, scores, label_smoothing=recipe.train.smoothing)
        hit = tf.argmax(scores, 1) == tf.argmax(y, 1)
        return tf.reduce_mean(value), {"accuracy": tf.reduce_mean(tf.cast(hit, tf.float32))}

    return loss


def _make(
    recipe: VibrationRecipe,
    corpus: Machines,
    chosen: list[Recording],
    dealt: list[vibrations.Split],
    timed: list[str],
    folder: Path,
    digested: str,
) -> None:
    """Train and measure all folds; write the artefacts of the first."""
    generated = _generated_examples(recipe)
    # Where samples are slow a window is longer than the usual pieces.
    piece_s = max(splits.WINDOW_S, recipe.frontend.samples / recipe.frontend.rate_hz)
    leaky = splits.assign(chosen, "window", recipe.seed, piece_s=piece_s)
    tested, judgements, forms = [], [], None
    for number, split in enumerate([*dealt, leaky]):
        last = number == len(dealt)
        fold = Fold(recipe, split, generated, machinery.checkpoint(digested, number))
        model = fold.train("The leaky split" if last else f"Fold {number + 1} of {len(dealt)}")
        x = fold.examples["test"].x
        judged = {"float": fold.judge(model.predict(vibrations.as_input(x), batch_size=512, verbose=0))}
        if last:
            break
        blob = fold.quantised(model)
        integer = machinery.share(quantise.tflite_outputs(blob, x))
        judged["int8"] = fold.judge(integer)
        judgements.append(report.Judged(fold.examples["test"], integer))
        tested.append({**judged, "bearings": sorted({one.bearing for one in split["test"]})})
        if number == 0:
            forms, first = Forms(blob), fold
            (folder / "history.json").write_text(json.dumps(fold.history))
            few = np.sort(np.random.default_rng(recipe.seed).permutation(len(x))[:_FORMS])
            outputs = compare.forms(x[few], blob, forms.packed.blob, model)
            pairs = compare.compare(outputs, fold.y("test")[few], fold.examples["test"].recording[few])
            known = fold.examples["validation"]
            validation = machinery.share(quantise.tflite_outputs(blob, known.x))
            decision = faults.settle(validation, fold.y("validation"), known.recording, recipe.decide.windows)
            onsets = {"recorded": _recorded(fold, forms), "generated": _generated(recipe, forms)}
            onsets = {name: streams for name, streams in onsets.items() if streams}
    assert forms is not None
    window_s = recipe.frontend.samples / recipe.frontend.rate_hz
    test = {
        "folds": tested,
        "macro_f1": float(np.mean([one["int8"]["macro_f1"] for one in tested])),
        "float_macro_f1": float(np.mean([one["float"]["macro_f1"] for one in tested])),
        "spans": {
            span: float(np.mean([one["int8"]["spans"][span] for one in tested]))
            for span in tested[0]["int8"]["spans"]
        },
        "recordings": float(np.mean([one["int8"]["recordings"]["macro_f1"] for one in tested])),
        "by_time": timed,
        "split_f1": float(
            np.mean(
                [
                    value
                    for one in tested
                    for label, value in one["int8"]["f1"].items()
                    if label not in timed or len(timed) == len(recipe.labels)
                ]
            )
        ),
        "leaky": judged["float"]["macro_f1"],
        "delay": {name: faults.delays(streams, window_s, **decision) for name, streams in onsets.items()},
        "forms": pairs,
    }
    metrics = machinery.write(
        recipe,
        folder,
        digested,
        forms,
        labels=list(recipe.labels),
        decision=decision,
        source=corpus.source,
        results={"test": test, "validation": first.judge(validation, "validation")},
        summary={
            "macro F1": f"{test['macro_f1']:.3f} a window, {test['spans']['4']:.3f} over 4,"
            f" {test['recordings']:.3f} a recording, by {recipe.corpus.split}, {len(tested)} folds",
            **({f"without {', '.join(timed)}": f"{test['split_f1']:.3f} a window"} if timed else {}),
            "leaky split": f"{test['leaky']:.3f} a window: what not to believe",
        },
    )
    report.write_faults(recipe, folder, metrics, first.history, judgements, onsets)


def _generated_examples(recipe: VibrationRecipe) -> Examples:
    """Windows of the physical generator to train on beside the others, or none."""
    front, count = recipe.frontend, recipe.corpus.generated
    made = vibrations.generated(front, count, recipe.seed).recordings if count else []
    return vibrations.extract([one for one in made if one.label in recipe.labels], front)


def _recorded(fold: Fold, forms: Forms) -> list[tuple[np.ndarray, float]]:
    """Scores where recordings of a fault follow windows of the sound machine; both from the test."""
    examples = fold.examples["test"]
    kinds = [one.label == fold.recipe.labels[0] for one in examples.recordings]
    return machinery.onsets(examples, kinds, fold.recipe.frontend, forms)


def _generated(recipe: VibrationRecipe, forms: Forms) -> list[tuple[np.ndarray, float]]:
    """Scores of recordings of the physical generator, none of which was trained on."""
    if not recipe.corpus.generated:
        return []
    made = vibrations.generated(recipe.frontend, _ONSETS, recipe.seed + 1000, onset=True).recordings
    examples = vibrations.extract([one for one in made if one.label != recipe.labels[0]], recipe.frontend)
    return [
        (quantise.tflite_outputs(forms.tflite, examples.of(number)), one.condition["onset_s"])
        for number, one in enumerate(examples.recordings)
    ]
