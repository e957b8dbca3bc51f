"""An autoencoder: it learns to rebuild normal windows through a narrow place, and fails at all others.

What it cannot rebuild is the distance: the mean square of the difference, in standard deviations of each
feature, calculated inside the network (Y. Koizumi et al., "Description and discussion on DCASE2020 challenge
task 2", arXiv:2006.05822, have it as their baseline). See :mod:`cicada.training.tasks.anomaly` for what turns
the distance into scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta

from cicada.training.architectures.one_class import set_weights, standard
from cicada.training.recipe import Count, Section

if TYPE_CHECKING:
    import keras

NAME = "autoencoder"
TASKS = frozenset({"anomaly"})
LEARNS = True


class Options(Section, kw_only=True):
    """Widths.

    Attributes:
        hidden: of the layers before the narrow place; those behind it mirror them.
        code: values in the narrow place.
    """

    hidden: Annotated[tuple[Count, ...], Meta(min_length=1)] = (48,)
    code: Count = 8


def body(options: Options, inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Layers from features ``[batch, axes, features, 1]`` to the distance ``[batch, 1]``."""
    from keras import layers, ops

    features = inputs.shape[1] * inputs.shape[2]
    x = layers.Reshape((1, 1, features))(inputs)
    whole = layers.Flatten()(layers.DepthwiseConv2D(1, trainable=False, name="standard")(x))
    x = whole
    for number, width in enumerate((*options.hidden, options.code, *options.hidden[::-1])):
        x = layers.Dense(width, activation="relu", name=f"d{number}")(x)
    error = layers.Subtract()([layers.Dense(features, name="again")(x), whole])
    return ops.mean(layers.Multiply()([error, error]), axis=1, keepdims=True)


def prepare(options: Options, model: keras.Model, x: np.ndarray, states: np.ndarray, seed: int) -> None:
    """Standardise by normal windows ``float32[n, axes, features, 1]``; the rest is for training."""
    scale, offset = standard(x)
    set_weights(model, "standard", scale[None, None, :, None], offset)
