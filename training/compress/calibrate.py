"""Which training examples set the ranges of the activations in quantisation after training.

TensorFlow Lite takes the least and the largest value that any of them causes, so a few odd examples make
every step of an activation coarser, and a class that is missing is clipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

#: Share of the examples that ``trimmed`` leaves out.
TRIMMED = 0.05
_BATCH = 256


def choose(
    x: np.ndarray, y: np.ndarray, how: str, count: int, seed: int, model: keras.Model | None = None
) -> np.ndarray:
    """Rows of ``x`` to calibrate with; the same seed gives the same ones.

    - ``random``: any.
    - ``balanced``: as many of each class as there are, in turn, until there are enough.
    - ``trimmed``: any but the twentieth that drives activations furthest. How far an example reaches is
      the largest of its activations, each divided by the root mean square of that layer's over all
      examples.

    Args:
        x: training examples ``int8[n, ...]``.
        y: their classes ``int64[n]``.
        how: see above.
        count: rows wanted; there are fewer if there are not so many.
        seed: of the choice.
        model: the trained model; only ``trimmed`` needs it.

    Returns:
        ``int64[rows]``, none twice.

    Raises:
        ValueError: ``how`` is none of these, or ``trimmed`` without a model.
    """
    shuffled = np.random.default_rng([seed, 3]).permutation(len(x))
    if how == "random":
        return shuffled[:count]
    if how == "balanced":
        # The first of each class, then the second of each, and so on.
        place = np.empty(len(x), np.int64)
        for label in np.unique(y):
            members = shuffled[y[shuffled] == label]
            place[members] = np.arange(len(members))
        return shuffled[np.argsort(place[shuffled], kind="stable")][:count]
    if how != "trimmed" or model is None:
        raise ValueError(
            f"no way of calibration '{how}'" if how != "trimmed" else "'trimmed' needs the model"
        )
    spare = min(len(x), count + int(np.ceil(count * TRIMMED / (1 - TRIMMED))))
    rows = shuffled[:spare]
    far = np.argsort(_reach(model, x[rows]), kind="stable")[max(1, int(spare * (1 - TRIMMED))) :]
    return np.delete(rows, far)[:count]


def _reach(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """How far each example drives the activations, ``float[n]``."""
    import keras

    outputs = [layer.output for layer in model.layers if isinstance(layer.output, keras.KerasTensor)]
    probe = keras.Model(model.input, outputs)
    shape = (-1, *model.input_shape[1:])
    most, square, values = [], np.zeros(len(outputs)), np.zeros(len(outputs))
    for at in range(0, len(x), _BATCH):
        made = probe(x[at : at + _BATCH].reshape(shape).astype(np.float32) / 128, training=False)
        flat = [np.abs(np.asarray(output).reshape(len(output), -1)) for output in made]
        most.append(np.stack([one.max(axis=1) for one in flat], axis=1))
        square += [np.square(one, dtype=np.float64).sum() for one in flat]
        values += [one.size for one in flat]
    typical = np.sqrt(square / values) + 1e-12
    return (np.concatenate(most) / typical).max(axis=1)
