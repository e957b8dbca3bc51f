"""Training: epochs with a checkpoint after each, so that an interrupted run goes on where it was."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cicada.tools.errors import UserError
from cicada.tools.stages import write_atomic
from cicada.training import backend, batches, progress
from cicada.training.features import Strips, Windows


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        epochs: passes over ``sampling.examples`` examples.
        sampling: how an epoch is drawn.
        rate: highest learning rate; it rises to it in ``warmup`` steps and falls as half a cosine.
        warmup: steps.
        decay: weight decay (AdamW, arXiv:1711.05101).
        smoothing: label smoothing.
        words: weight of the loss for telling all words apart.
    """

    epochs: int = 45
    sampling: batches.Sampling = field(default_factory=batches.Sampling)
    rate: float = 6e-3
    warmup: int = 100
    decay: float = 1e-3
    smoothing: float = 0.05
    words: float = 1.0


def fit(
    strips: Strips, validation: Windows, classes: int, settings: Settings, seed: int, checkpoint: Path
) -> tuple[list[np.ndarray], list[dict[str, float]]]:
    """Train the model.

    The same seed gives the same model on the same machine and TensorFlow; across machines sums in
    another order may change the last digits, and with them single decisions.

    Args:
        strips: training examples.
        validation: examples whose accuracy is shown after each epoch; nothing is chosen by it.
        classes: number of classes.
        settings: see :class:`Settings`.
        seed: seed of initial weights and sampling.
        checkpoint: file that is written after each epoch and taken up if it is there and fits.

    Returns:
        the model's weights in Keras's order, and for each epoch ``loss``, ``accuracy`` (training, on
        distorted examples), ``val_loss`` and ``val_accuracy`` (mean over the classes).

    Raises:
        UserError: the loss is not a number any more.
    """
    tf = backend.tensorflow()
    import keras

    from cicada.training.model import build

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    model, lesson = build(classes, int(strips.word.max()) + 1)
    steps = settings.epochs * (settings.sampling.examples // settings.sampling.batch)
    warmup = min(settings.warmup, steps // 4)
    rate = keras.optimizers.schedules.CosineDecay(
        settings.rate / 30, steps - warmup, alpha=0.003, warmup_target=settings.rate, warmup_steps=warmup
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=settings.decay)
    optimizer.build(lesson.trainable_variables)
    variables = [*lesson.variables, *optimizer.variables]
    loss_of = keras.losses.CategoricalCrossentropy(label_smoothing=settings.smoothing)

    @tf.function(reduce_retracing=True)
    def learn(x, y, word):
        with tf.GradientTape() as tape:
            scores, said = lesson(x, training=True)
            loss = loss_of(y, scores)
            total = loss + settings.words * loss_of(word, said)
        gradients = tape.gradient(total, lesson.trainable_variables)
        optimizer.apply_gradients(zip(gradients, lesson.trainable_variables, strict=True))
        hit = tf.argmax(scores, 1) == tf.argmax(y, 1)
        return loss, tf.reduce_mean(tf.cast(hit, tf.float32))

    history = _resume(checkpoint, variables)
    steps_an_epoch = steps // settings.epochs
    with progress.bar("Training", settings.epochs * steps_an_epoch) as advance:
        if history:
            advance(len(history) * steps_an_epoch, f"continuing after epoch {len(history)}")
        for epoch in range(len(history), settings.epochs):
            seen = []
            for batch in batches.epoch(strips, classes, settings.sampling, seed, epoch):
                seen.append(learn(*map(tf.constant, batch)))
                advance()
            loss, accuracy = (
                float(np.mean([float(v) for v in column])) for column in zip(*seen, strict=True)
            )
            if not np.isfinite(loss):
                raise UserError(
                    f"training went astray: the loss of epoch {epoch + 1} is not a number; try another SEED,"
                    " and look for recordings that are broken"
                )
            val_loss, val_accuracy = _validate(model, validation, classes)
            history.append(
                {"loss": loss, "accuracy": accuracy, "val_loss": val_loss, "val_accuracy": val_accuracy}
            )
            _save(checkpoint, variables, history)
            advance(0, f"epoch {epoch + 1}  loss {loss:.3f}  val {val_accuracy:.1%}")
    return model.get_weights(), history


def as_input(x: np.ndarray) -> np.ndarray:
    """INT8 features ``int8[n, frames, channels]`` as the float model takes them."""
    return (x.astype(np.float32) / 128)[..., None]


def _validate(model, windows: Windows, classes: int) -> tuple[float, float]:
    scores = model.predict(as_input(windows.x), batch_size=512, verbose=0)
    truth = np.clip(scores[np.arange(len(scores)), windows.y], 1e-7, 1.0)
    hit = scores.argmax(axis=1) == windows.y
    recalls = [hit[windows.y == c].mean() for c in range(classes) if (windows.y == c).any()]
    return float(-np.log(truth).mean()), float(np.mean(recalls))


def _save(path: Path, variables: list, history: list[dict[str, float]]) -> None:
    arrays = {f"v{number}": np.asarray(variable) for number, variable in enumerate(variables)}
    blob = io.BytesIO()
    np.savez(blob, history=np.array(json.dumps(history)), **arrays)
    write_atomic(path, blob.getvalue())


def _resume(path: Path, variables: list) -> list[dict[str, float]]:
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
