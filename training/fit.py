"""Fitting weights: epochs with a checkpoint after each, so that an interrupted run goes on where it was."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cicada.tools.errors import UserError
from cicada.tools.stages import write_atomic
from cicada.training import backend, progress
from cicada.training.recipe import Train

if TYPE_CHECKING:
    import keras

#: ``loss(outputs, *targets)``: the loss to make small, and what the person watching sees, by name.
Loss = Callable[..., tuple[Any, dict[str, Any]]]


def fit(
    model: keras.Model,
    loss: Loss,
    epoch: Callable[[int], Iterable[tuple[np.ndarray, ...]]],
    validate: Callable[[], dict[str, float]],
    train: Train,
    steps: int,
    checkpoint: Path,
    what: str = "Training",
    shown: str | None = None,
) -> list[dict[str, float]]:
    """Fit a model's weights in place.

    The same seed gives the same weights on the same machine and TensorFlow; across machines sums in another
    order may change the last digits. Seed Keras (``keras.utils.set_random_seed``) before building the model.

    Args:
        model: what is trained; all its trainable variables take part.
        loss: ``loss(outputs, *targets) -> (loss, {name: value})``, in TensorFlow; it is traced.
        epoch: batches ``(inputs, *targets)`` of an epoch by its number, the same for the same number.
        validate: figures of the model as it is, added to the epoch's; nothing is chosen by them here.
        train: epochs, learning rate, decay, averaging.
        steps: batches of an epoch.
        checkpoint: file that is written after each epoch, and taken up if it is there and fits.
        what: name of the progress bar.
        shown: which of ``validate``'s figures stands behind the bar, as a percentage.

    Returns:
        for each epoch ``loss``, the other figures of ``loss`` and those of ``validate``.

    Raises:
        UserError: the loss is not a number any more.
    """
    tf = backend.tensorflow()
    learn, optimizer = learner(model, loss, train, steps)
    total = train.epochs * steps
    variables = [*model.variables, *optimizer.variables]
    history = _resume(checkpoint, variables)
    with progress.bar(what, total) as advance:
        if history:
            advance(len(history) * steps, f"continuing after epoch {len(history)}")
        for number in range(len(history), train.epochs):
            seen = []
            for batch in epoch(number):
                seen.append(learn(*(tf.constant(part) for part in batch)))
                advance()
            figures = {name: float(np.mean([float(step[name]) for step in seen])) for name in seen[0]}
            if not np.isfinite(figures["loss"]):
                raise UserError(
                    f"training went astray: the loss of epoch {number + 1} is not a number; try another seed"
                    " or a lower `train.rate`, and look for recordings that are broken"
                )
            with _Averaged(optimizer, model, train.average > 0):
                figures |= validate()
            history.append(figures)
            _save(checkpoint, variables, history)
            note = f"  {shown} {figures[shown]:.1%}" if shown else ""
            advance(0, f"epoch {number + 1}  loss {figures['loss']:.3f}{note}")
    if train.average > 0:
        optimizer.finalize_variable_values(model.trainable_variables)
    return history


def learner(
    model: keras.Model, loss: Loss, train: Train, steps: int
) -> tuple[Callable[..., dict[str, Any]], keras.Optimizer]:
    """What does one step of a training, and the optimizer behind it.

    Args:
        model, loss, train, steps: as :func:`fit`.

    Returns:
        ``learn(inputs, *targets) -> {"loss": value, ...}``, which changes the model's weights; it is traced
        when it is called first, which takes seconds.
    """
    tf = backend.tensorflow()
    import keras

    total = train.epochs * steps
    warmup = min(train.warmup, total // 4)
    rate = keras.optimizers.schedules.CosineDecay(
        train.rate / 30, total - warmup, alpha=0.003, warmup_target=train.rate, warmup_steps=warmup
    )
    optimizer = keras.optimizers.AdamW(
        rate,
        weight_decay=train.decay,
        global_clipnorm=train.clip or None,
        use_ema=train.average > 0,
        ema_momentum=train.average or 0.99,
    )
    optimizer.build(model.trainable_variables)

    @tf.function(reduce_retracing=True)
    def learn(inputs, *targets):
        with tf.GradientTape() as tape:
            value, figures = loss(model(inputs, training=True), *targets)
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return {"loss": value, **figures}

    return learn, optimizer


class _Averaged:
    """The model with the running average of its weights, for as long as the body runs."""

    def __init__(self, optimizer: keras.Optimizer, model: keras.Model, active: bool) -> None:
        self._optimizer, self._model, self._active = optimizer, model, active

    def __enter__(self) -> None:
        if self._active:
            self._own = [np.asarray(v) for v in self._model.trainable_variables]
            self._optimizer.finalize_variable_values(self._model.trainable_variables)

    def __exit__(self, *_: object) -> None:
        if self._active:
            for variable, value in zip(self._model.trainable_variables, self._own, strict=True):
                variable.assign(value)


def _save(path: Path, variables: Sequence[Any], history: list[dict[str, float]]) -> None:
    arrays = {f"v{number}": np.asarray(variable) for number, variable in enumerate(variables)}
    blob = io.BytesIO()
    np.savez(blob, history=np.array(json.dumps(history)), **arrays)
    write_atomic(path, blob.getvalue())


def _resume(path: Path, variables: Sequence[Any]) -> list[dict[str, float]]:
    """Load a checkpoint into the variables; returns the epochs it has behind it, none if it is unfit."""
    try:
        with np.load(path) as stored:
            arrays = [stored[f"v{number}"] for number in range(len(variables))]
            history = json.loads(str(stored["history"]))
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return []
    if any(array.shape != tuple(v.shape) for array, v in zip(arrays, variables, strict=True)):
        return []
    for array, variable in zip(arrays, variables, strict=True):
        variable.assign(array)
    return history
