"""What a keyword model is trained as: its classes, beside them all words of the corpus, and a teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cicada.training import backend, batches
from cicada.training.compress import distil
from cicada.training.features import Strips, Windows
from cicada.training.fit import fit
from cicada.training.recipe import KeywordRecipe, Teacher, Train
from cicada.training.windows import CHANNELS, Window

if TYPE_CHECKING:
    import keras

# Weight of the loss for telling all words apart.
_WORDS = 1.0


@dataclass(frozen=True)
class Lesson:
    """A keyword model and what it is trained as, on the same weights.

    Attributes:
        model: features ``float32[batch, frames, 40, 1]`` to probabilities ``float32[batch, classes]``.
        taught: the same with a second output ``float32[batch, words]``.
    """

    model: keras.Model
    taught: keras.Model


def build(architecture: Any, options: Any, window: Window, classes: int, words: int, seed: int) -> Lesson:
    """An untrained model.

    Telling all words of the corpus apart teaches the body more about "no" against "go" than the lump class
    ``_unknown_`` does; the head for that (multi-task learning: R. Caruana, Machine Learning 28, 1997) is
    thrown away after training.

    Args:
        architecture, options: from :func:`cicada.training.architectures.resolve`.
        window: of the model.
        classes: number of classes, ``_silence_`` and ``_unknown_`` included.
        words: number of different words in the corpus, and silence.
        seed: of the initial weights.
    """
    backend.tensorflow()
    import keras
    from keras import layers

    # The converter writes the names of layers into the file, and Keras numbers them by what came before.
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    inputs = layers.Input((window.frames, CHANNELS, 1), name="features")
    body = architecture.body(options, inputs)
    return heads(inputs, body, classes, words)


def heads(inputs: Any, body: Any, classes: int, words: int) -> Lesson:
    """Put both heads on a body."""
    import keras
    from keras import layers

    scores = layers.Dense(classes, activation="softmax", name="scores")(body)
    said = layers.Dense(words, activation="softmax", name="words")(body)
    return Lesson(keras.Model(inputs, scores, name="kws"), keras.Model(inputs, [scores, said], name="lesson"))


def train(
    model: keras.Model,
    strips: Strips,
    validation: Windows,
    recipe: KeywordRecipe,
    settings: Train,
    seed: int,
    checkpoint: Path,
    what: str = "Training",
    teacher: tuple[keras.Model, Teacher] | None = None,
) -> list[dict[str, float]]:
    """Fit ``model``, with the classes' output alone or with the words' output beside it, in place.

    The same seed gives the same weights on the same machine and TensorFlow.

    Args:
        model: either of a :class:`Lesson`, or one made of it.
        strips: training examples.
        validation: examples whose accuracy is shown after each epoch; nothing is chosen by it.
        recipe: for how epochs are drawn.
        settings: of this training.
        seed: of what is drawn.
        checkpoint: see :func:`cicada.training.fit.fit`.
        what: name of the progress bar.
        teacher: a trained model, and how much it has to say.

    Returns:
        for each epoch ``loss``, ``accuracy`` (training, on distorted examples), ``val_loss`` and
        ``val_accuracy`` (mean over the classes).

    Raises:
        UserError: the loss is not a number any more.
    """
    tf = backend.tensorflow()
    import keras

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    classes = model.outputs[0].shape[-1]
    both = len(model.outputs) == 2
    words_loss = keras.losses.CategoricalCrossentropy(label_smoothing=settings.smoothing)
    weight, temperature = (teacher[1].weight, teacher[1].temperature) if teacher else (0.0, 1.0)

    def loss(outputs: Any, y: Any, word: Any, opinion: Any = None) -> tuple[Any, dict[str, Any]]:
        scores = outputs[0] if both else outputs
        if opinion is None:
            own = keras.losses.categorical_crossentropy(y, scores, label_smoothing=settings.smoothing)
            own = tf.reduce_mean(own)
        else:
            own = distil.loss(scores, y, opinion, weight, temperature, settings.smoothing)
        hit = tf.argmax(scores, 1) == tf.argmax(y, 1)
        total = own + _WORDS * words_loss(word, outputs[1]) if both else own
        return total, {"loss": own, "accuracy": tf.reduce_mean(tf.cast(hit, tf.float32))}

    def epoch(number: int) -> Iterator[tuple[np.ndarray, ...]]:
        return batches.epoch(strips, classes, recipe.augment, settings, seed, number)

    source: Callable[[int], Any] = distil.taught(epoch, teacher[0]) if teacher else epoch
    return fit(
        model,
        loss,
        source,
        lambda: _validate(model, validation, classes),
        settings,
        settings.examples // settings.batch,
        checkpoint,
        what,
        "val_accuracy",
    )


def settle(model: keras.Model, x: np.ndarray) -> None:
    """Give an untrained model the normalisation of one batch ``int8[n, frames, 40]``.

    With that its activations have the size of a trained one's, and it can be quantised.
    """
    import keras

    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    kept = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    model(as_input(x), training=True)
    for layer, momentum in zip(layers, kept, strict=True):
        layer.momentum = momentum


def as_input(x: np.ndarray) -> np.ndarray:
    """Features ``int8[n, rows, columns]`` as float models take them, ``float32[n, rows, columns, 1]``."""
    return (x.astype(np.float32) / 128)[..., None]


def scores_of(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Probabilities ``float32[n, classes]`` for ``int8[n, frames, 40]``."""
    outputs = model.predict(as_input(x), batch_size=512, verbose=0)
    return outputs[0] if isinstance(outputs, list | tuple) else outputs


def _validate(model: keras.Model, windows: Windows, classes: int) -> dict[str, float]:
    scores = scores_of(model, windows.x)
    truth = np.clip(scores[np.arange(len(scores)), windows.y], 1e-7, 1.0)
    hit = scores.argmax(axis=1) == windows.y
    recalls = [hit[windows.y == c].mean() for c in range(classes) if (windows.y == c).any()]
    return {"val_loss": float(-np.log(truth).mean()), "val_accuracy": float(np.mean(recalls))}
