"""What a recipe's model will cost, known before it is trained: its size does not depend on what it learns."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from cicada.tools.errors import UserError
from cicada.training import artefacts, backend, quantise
from cicada.training.architectures import resolve
from cicada.training.artefacts import Forms
from cicada.training.recipe import ImageRecipe, KeywordRecipe, Recipe, VibrationRecipe
from cicada.training.windows import CHANNELS, labels

if TYPE_CHECKING:
    import keras

_STATISTICS = 3  # of an axis beside its bands, see firmware/engine/vibration
_EXAMPLES = 8  # of noise, that set the ranges of the activations


def figures(recipe: Recipe) -> dict[str, Any]:
    """The costs of a recipe's model, from an untrained one.

    Returns:
        as :meth:`cicada.training.artefacts.Forms.figures`. ``bytes`` may differ by a few hundred from the
        trained model's, which depends on how well weights compress.

    Raises:
        UserError: the model needs an operator that the device lacks, or is too small to have all its layers;
            or it is one for anomalies, whose layers depend on the training data.
    """
    architecture, options = resolve(recipe.model, recipe)
    shape, classes, per_s = outside(recipe)
    try:
        model = network(architecture, options, shape, classes, recipe.seed)
    except ValueError as error:  # of Keras: a layer would have no output
        raise UserError(
            f"recipe '{recipe.name}': these layers do not fit an input of {shape[0]} x {shape[1]} ({error})"
        ) from error
    blob = untrained(model, recipe.seed)
    if getattr(architecture, "STREAMING", False):
        blob = architecture.streaming(options, blob)
        per_s = 1000 / (architecture.stride(options) * recipe.frontend.step_ms)
    return Forms(blob).figures(artefacts.ENGINES[recipe.engine], per_s)


def network(
    architecture: ModuleType, options: Any, shape: Sequence[int], classes: int, seed: int
) -> keras.Model:
    """An untrained model whose outputs depend on its input.

    Keras gives depthwise convolutions so small weights that after some of them everything is rounded to one
    value; training mends that, but here nothing is trained. So theirs are drawn anew, with the variance that
    K. He et al. give (arXiv:1502.01852).

    Args:
        architecture, options: from :func:`cicada.training.architectures.resolve`.
        shape: rows and columns of the input.
        classes: of the output.
        seed: of the weights.

    Raises:
        ValueError: the layers do not fit the shape.
    """
    backend.tensorflow()
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    inputs = layers.Input((*shape, 1), name="features")
    scores = layers.Dense(classes, activation="softmax", name="scores")(architecture.body(options, inputs))
    model = keras.Model(inputs, scores)
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.DepthwiseConv2D):
            taps = np.prod(layer.kernel.shape[:2])
            layer.kernel.assign(rng.normal(0, np.sqrt(2 / taps), layer.kernel.shape))
    return model


def untrained(model: keras.Model, seed: int) -> bytes:
    """The ``.tflite`` of a model that was not trained, its ranges set by noise."""
    noise = np.random.default_rng(seed).integers(-128, 128, (_EXAMPLES, *model.input_shape[1:3]))
    return quantise.convert(model, noise.astype(np.int8))


def outside(recipe: Recipe) -> tuple[tuple[int, int], int, float | None]:
    """Rows and columns of the model's input, classes of its output, and inferences a second if known.

    Raises:
        UserError: it is for anomalies.
    """
    if isinstance(recipe, KeywordRecipe):
        front = recipe.frontend
        per_s = 1000 / (recipe.decide.hop_frames * front.step_ms)
        return (front.frames, CHANNELS), len(labels(recipe.corpus.words)), per_s
    if isinstance(recipe, VibrationRecipe):
        front = recipe.frontend
        return (front.axes, front.bands + _STATISTICS + front.envelope), len(recipe.labels), None
    if isinstance(recipe, ImageRecipe):
        pictures = recipe.corpus
        return (pictures.height, pictures.width), len(pictures.labels), None
    raise UserError(
        f"recipe '{recipe.name}': what a model for anomalies costs is known only after its training"
    )
