"""Small streaming networks, as training makes them, in both forms."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from cicada.training import backend, quantise
from cicada.training.architectures import mixednet

CLASSES = 4
#: Frames of a window and options of networks that differ in all that matters to the streaming form.
SHAPES: dict[str, tuple[int, dict[str, Any]]] = {
    "bands": (
        27,
        {
            "stride": 2,
            "first": 4,
            "spectral": 3,
            "blocks": (4, 6, 6, 8),
            "kernels": ((3,), (2,), (2, 3), (2, 4)),
        },
    ),
    "flat": (
        30,
        {
            "stride": 3,
            "first": 8,
            "spectral": 0,
            "blocks": (8, 12, 12),
            "kernels": ((3,), (1, 2, 3), (1,)),
            "head": "flat",
        },
    ),
    "plain": (
        12,
        {
            "stride": 1,
            "first": 6,
            "first_kernel": 1,
            "spectral": 0,
            "blocks": (8,),
            "kernels": ((4,),),
            "residual": False,
        },
    ),
}


@dataclass(frozen=True)
class Made:
    """A network in all its forms.

    Attributes:
        options, frames: that it was built with.
        model: Keras, untrained, with batch statistics of chance.
        float32, int8: the whole form as ``.tflite``.
    """

    options: mixednet.Options
    frames: int
    model: Any
    float32: bytes
    int8: bytes


def build(options: mixednet.Options, frames: int, classes: int = CLASSES, seed: int = 1) -> Any:
    """The network with a softmax on top; its numbers are of chance, but such that all of them matter."""
    backend.tensorflow()
    import keras

    keras.utils.set_random_seed(seed)
    inputs = keras.layers.Input((frames, 40, 1), name="features")
    body = mixednet.body(options, inputs)
    scores = keras.layers.Dense(classes, activation="softmax", name="scores")
    model = keras.Model(inputs, scores(body))
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            count = layer.gamma.shape[0]
            gamma, beta = rng.uniform(0.5, 1.5, count), rng.normal(0, 0.3, count)
            layer.set_weights([gamma, beta, rng.normal(0, 0.3, count), rng.uniform(0.1, 0.5, count)])
    # Where one class always wins, scores do not show what was computed.
    x = np.stack([noise(frames, seed) for seed in range(8)])[..., None].astype(np.float32) / 128
    kernel, bias = scores.get_weights()
    logits = np.asarray(keras.Model(inputs, body)(x)) @ kernel
    scores.set_weights([kernel / logits.std(), bias - logits.mean(0) / logits.std()])
    return model


@lru_cache
def made(shape: str) -> Made:
    """One of :data:`SHAPES`."""
    frames, chosen = SHAPES[shape]
    options = mixednet.Options(**chosen)
    model = build(options, frames)
    windows = np.stack([noise(frames, seed) for seed in range(40)])
    return Made(options, frames, model, float32(model), quantise.convert(model, windows))


def float32(model: Any) -> bytes:
    """A Keras model as a ``.tflite`` without quantisation."""
    tf = backend.tensorflow()
    with tempfile.TemporaryDirectory() as saved, backend.quiet():
        signature = [tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, "features")]
        model.export(saved, "tf_saved_model", verbose=False, input_signature=signature)
        return bytes(tf.lite.TFLiteConverter.from_saved_model(saved).convert())


def noise(frames: int, seed: int) -> np.ndarray:
    """Features ``int8[frames, 40]`` of all levels, with stretches of silence as a front end has them."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (frames, 40))
    x[np.repeat(rng.random(-(-frames // 5)) < 0.3, 5)[:frames]] = -128
    return x.astype(np.int8)
