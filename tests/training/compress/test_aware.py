"""What is trained with fake rounding is what the device computes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.errors import UserError
from cicada.tools.packed import PackedModel
from cicada.tools.tflm import Interpreter
from cicada.training import backend, quantise
from cicada.training.architectures import mixednet
from cicada.training.compress import aware, prune
from cicada.training.flatbuffer import describe
from cicada.training.pack import pack

ROWS, COLUMNS, CLASSES = 12, 10, 4


def features(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, (count, ROWS, COLUMNS, 1)).astype(np.int8)


def build():
    """Every way in which layers are coupled: a branch that is added, one that is joined, pooling between."""
    keras = backend.tensorflow().keras
    layers = keras.layers
    keras.utils.set_random_seed(4)
    inputs = keras.Input((ROWS, COLUMNS, 1), name="features")
    x = layers.Conv2D(8, 3, 2, padding="same", use_bias=False)(inputs)
    x = around = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(x))
    x = layers.ReLU()(layers.Add()([x, around]))
    left = layers.Conv2D(6, 1, activation="relu")(layers.Conv2D(5, 1, activation="relu")(x))
    right = layers.MaxPooling2D(3, 1, padding="same")(layers.Conv2D(3, 1)(x))
    x = layers.Concatenate()([left, layers.SpatialDropout2D(0.2)(right)])
    x = layers.Activation("relu6")(layers.BatchNormalization()(x))
    x = layers.Flatten()(layers.AveragePooling2D(x.shape[1:3])(x))
    scores = layers.Dense(CLASSES, activation="softmax", name="scores")(x)
    said = layers.Dense(7, activation="softmax", name="said")(x)
    model = keras.Model(inputs, [scores, said])
    rng = np.random.default_rng(4)
    # Biases and the parts of batch normalisation are not their first values, and channels differ in size.
    model.set_weights(
        [w + rng.uniform(0.05, 0.6, w.shape) if w.ndim == 1 else w for w in model.get_weights()]
    )
    return model


@pytest.fixture(scope="module")
def made():
    """A model with two outputs and its quantisation-aware form, moved by some steps of training."""
    tf = backend.tensorflow()
    model = build()
    taught = aware.aware(model, features(64).astype(np.float32) / 128)
    begin = [np.asarray(v) for v in taught.trainable_variables]
    optimizer = tf.keras.optimizers.Adam(5e-3)
    for seed in range(6):
        x = tf.constant(features(32, seed).astype(np.float32) / 128)
        with tf.GradientTape() as tape:
            scores, said = taught(x, training=True)
            loss = tf.reduce_mean(tf.square(scores[:, 0] - 0.9)) + tf.reduce_mean(said[:, 1])
        optimizer.apply(tape.gradient(loss, taught.trainable_variables), taught.trainable_variables)
    return model, taught, begin


def test_before_training_it_says_what_the_float_model_says():
    model, x = build(), features(64).astype(np.float32) / 128
    for rounded, exact in zip(aware.aware(model, x)(x), model(x), strict=True):
        assert 0 < np.abs(rounded - exact).max() < 0.05


def test_training_moves_every_weight_and_the_ends_of_ranges(made):
    _, taught, begin = made
    moved = [
        np.abs(np.asarray(v) - old).max() for v, old in zip(taught.trainable_variables, begin, strict=True)
    ]
    kinds = [v.name for v in taught.trainable_variables]
    assert all(step > 1e-4 for step, kind in zip(moved, kinds, strict=True) if kind in ("kernel", "factor"))
    assert sum(step > 1e-4 for step, kind in zip(moved, kinds, strict=True) if kind == "reach") >= 3


def test_plain_form_computes_the_same_with_ordinary_layers(made):
    _, taught, _ = made
    x = features(64, 9).astype(np.float32) / 128
    plain = aware.plain(taught)
    for one, other in zip(plain(x), taught(x), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)
    kinds = {type(layer).__name__ for layer in plain.layers}
    assert "BatchNormalization" not in kinds and "Weighted" not in kinds


def test_device_computes_what_was_trained(made):
    _, taught, _ = made
    x = features(64, 9)
    blob = aware.convert(taught)
    found = describe(blob)
    quantise.check(found, (ROWS, COLUMNS, 1))
    assert "QUANTIZE" not in found.operators  # what is joined has one scale already
    interpreter, packed = Interpreter(blob), PackedModel(pack(blob).blob)
    tflm = np.stack([interpreter.invoke(one[..., 0]) for one in x])
    np.testing.assert_array_equal(np.stack([packed.invoke(one[..., 0]) for one in x]), tflm)
    expected = np.asarray(taught(x.astype(np.float32) / 128)[0])
    # Half a step of the output's 1/256, and a logit that fell on the other side of a rounding edge.
    difference = np.abs((tflm.astype(int) + 128) / 256 - expected)
    assert difference.max() < 0.03 and np.median(difference) <= 1 / 500


def test_trained_ranges_are_in_the_file(made):
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    _, taught, _ = made
    blob = aware.convert(taught)
    graph = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(blob, 0)).subgraphs[0]
    scales = {float(t.quantization.scale[0]) for t in graph.tensors if t.quantization.scale is not None}
    grids = [layer for layer in taught.layers if type(layer).__name__ == "Grid" and not layer.fixed]
    on_the_way = [grid for grid in grids if "said" not in grid.name]
    assert len(on_the_way) >= 4
    for grid in on_the_way:
        low, high = grid.range()
        assert min(abs(scale / ((high - low) / 255) - 1) for scale in scales) < 1e-5


def test_a_pruned_and_aware_network_streams_as_it_was_trained():
    keras = backend.tensorflow().keras
    keras.utils.set_random_seed(3)
    options = mixednet.Options(first=8, blocks=(12, 12), kernels=((3, 5), (3, 5)), spectral=1)
    inputs = keras.Input((21, 40, 1), name="features")
    body = mixednet.body(options, inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="scores")(body))
    rng = np.random.default_rng(3)
    x = rng.integers(-128, 128, (64, 21, 40, 1)).astype(np.int8)
    real = x.astype(np.float32) / 128
    small = prune.prune(model, 0.6, real, rng.integers(0, 3, 64))
    blob = aware.convert(aware.aware(small, real))
    whole, stream = Interpreter(blob), Interpreter(mixednet.streaming(options, blob))
    first = 21 % options.stride
    for at in range(first, 21, options.stride):
        last = stream.invoke(x[0, at : at + options.stride, :, 0])
    np.testing.assert_array_equal(last, whole.invoke(x[0, :, :, 0]))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 999),
    shift=st.floats(-3, 3),
    tail=st.sampled_from([0.0, 3.0, 30.0]),
)
def test_best_range_costs_no_more_than_least_and_largest(seed, shift, tail):
    rng = np.random.default_rng(seed)
    values = rng.normal(shift, 1, 3000).astype(np.float32)
    values[:3] *= 1 + tail

    def cost(low, high):
        scale = (high - low) / 255
        zero = np.round(-low / scale)
        return np.square((np.clip(np.round(values / scale) + zero, 0, 255) - zero) * scale - values).mean()

    low, high = aware.best_range(values)
    assert low <= 0 <= high
    assert cost(low, high) <= cost(min(values.min(), 0), max(values.max(), 0)) * (1 + 1e-6)


def test_layers_it_cannot_round_are_named():
    keras = backend.tensorflow().keras
    inputs = keras.Input((ROWS, COLUMNS))
    lstm = keras.Model(inputs, keras.layers.LSTM(4, name="memory")(inputs))
    with pytest.raises(UserError, match="'memory': layers of kind LSTM"):
        aware.aware(lstm, np.zeros((2, ROWS, COLUMNS), np.float32))
    dense = keras.layers.Dense(COLUMNS, name="both")
    with pytest.raises(UserError, match="'both': it is used twice"):
        aware.aware(keras.Model(inputs, dense(dense(inputs))), np.zeros((2, ROWS, COLUMNS), np.float32))
    inner = keras.Model(inputs, dense(inputs), name="inner")
    with pytest.raises(UserError, match="'inner'"):
        aware.aware(keras.Model(inputs, inner(inputs)), np.zeros((2, ROWS, COLUMNS), np.float32))
