"""How far a window is from what is normal, in standard deviations: Mahalanobis' distance inside the network.

The features are standardised, turned so that their correlations vanish and each direction has variance 1
("whitened"), and compared with the centres of normal states: off, slow and fast are three. The distance is
the mean square of the difference to the nearest centre, in units of :data:`FAR` squared. Nothing is trained
by gradients: :func:`prepare` calculates all weights from normal windows (P. C. Mahalanobis, "On the
generalised distance in statistics", 1936; with centres it is the log-likelihood of a Gaussian mixture of one
covariance).

The device sees a chain of convolutions, a product and a mean; see :mod:`cicada.training.tasks.anomaly` for
what turns the distance into scores.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta

from cicada.training.recipe import Section

if TYPE_CHECKING:
    import keras

NAME = "one_class"
TASKS = frozenset({"anomaly"})
#: Whether gradients have something to do after :func:`prepare`.
LEARNS = False
#: Standard deviations at which a direction begins to count for no more. Other centres than the nearest are
#: tens of them away; without that limit they, not what matters, would set the ranges of the INT8 model.
FAR = 10.0
_LEAST = 0.5  # standard deviation of a feature, in its steps: rounding alone makes it vary by 0.3


class Options(Section, kw_only=True):
    """Size and caution.

    Attributes:
        centres: of normal states. If there are no more recordings than that, each is a state; else windows
            that lie together are.
        shrink: share of independent features in the covariance. The fewer windows, the more of it: it keeps
            directions in which few windows happen not to vary from weighing too much.
    """

    centres: Annotated[int, Meta(ge=1, le=32)] = 8
    shrink: Annotated[float, Meta(gt=0, le=1)] = 0.05


def body(options: Options, inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Layers from features ``[batch, axes, features, 1]`` to the distance ``[batch, 1]``."""
    from keras import layers, ops

    features, centres = inputs.shape[1] * inputs.shape[2], options.centres
    x = layers.Reshape((1, 1, features))(inputs)
    # A layer of its own: what is left to round after the mean is gone is small.
    x = layers.DepthwiseConv2D(1, name="standard")(x)
    x = layers.Conv2D(features, 1, name="white")(x)
    x = _centres()(centres, name="centres")(layers.Reshape((1, features))(x))
    x = layers.Activation("tanh")(x)
    x = ops.mean(layers.Multiply()([x, x]), axis=2)
    if centres == 1:
        return x
    # The device has no minimum, but a maximum over rows.
    x = layers.DepthwiseConv2D(1, use_bias=False, name="less")(layers.Reshape((centres, 1, 1))(x))
    x = layers.MaxPooling2D((centres, 1))(x)
    return layers.Flatten()(layers.DepthwiseConv2D(1, use_bias=False, name="more")(x))


@functools.cache
def _centres() -> type:
    """The layer that takes ``[centres, dims]`` off ``[batch, 1, dims]``."""
    import keras

    class Centres(keras.layers.Layer):
        def __init__(self, count: int, **others) -> None:
            super().__init__(**others)
            self.count = count

        def build(self, shape) -> None:
            self.places = self.add_weight(shape=(self.count, shape[-1]), name="places", trainable=False)

        def call(self, x):
            return x - self.places

    return Centres


def prepare(options: Options, model: keras.Model, x: np.ndarray, states: np.ndarray, seed: int) -> None:
    """Calculate the weights.

    Args:
        options: as of :func:`body`.
        model: with the layers of :func:`body`.
        x: normal windows ``float32[n, axes, features, 1]``, int8 divided by 128.
        states: ``int64[n]``, the recording of each window.
        seed: of where the search for centres begins.
    """
    scale, offset = standard(x)
    set_weights(model, "standard", scale[None, None, :, None], offset)
    rows = x.reshape(len(x), -1).astype(np.float64) * scale + offset
    state = _states(rows, states, options.centres, seed)
    means = np.array([rows[state == number].mean(axis=0) for number in range(state.max() + 1)])
    own = rows - means[state]
    covariance = own.T @ own / len(own)
    alone = np.diag(covariance.diagonal())
    rounding = np.diag(np.maximum((_LEAST / 128 * scale) ** 2 - covariance.diagonal(), 0))
    covariance = (1 - options.shrink) * covariance + options.shrink * alone + rounding
    variance, directions = np.linalg.eigh(covariance)
    white = directions / np.sqrt(variance) / FAR
    set_weights(model, "white", white[None, None], np.zeros(len(scale)))
    # Fewer states than centres: the last one again.
    centres = (means @ white)[np.minimum(np.arange(options.centres), len(means) - 1)]
    set_weights(model, "centres", centres)
    if options.centres > 1:
        for name in ("less", "more"):
            set_weights(model, name, -np.ones((1, 1, 1, 1)))


def _states(rows: np.ndarray, recording: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Which state each window is in, from 0 and without gaps."""
    if len(np.unique(recording)) <= most:
        return np.unique(recording, return_inverse=True)[1]
    from sklearn.cluster import KMeans

    found = KMeans(min(most, len(np.unique(rows, axis=0))), n_init=4, random_state=seed).fit(rows)
    return np.unique(found.labels_, return_inverse=True)[1]


def standard(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset ``float64[axes * features]`` that bring each feature to mean 0 and variance 1."""
    rows = x.reshape(len(x), -1).astype(np.float64)
    scale = 1 / np.maximum(rows.std(axis=0), _LEAST / 128)
    return scale, -rows.mean(axis=0) * scale


def set_weights(model: keras.Model, name: str, *values: np.ndarray) -> None:
    """Give a layer its weights."""
    model.get_layer(name).set_weights([np.asarray(value, np.float32) for value in values])
