"""Pruned networks are smaller, and say what the network says with those channels silenced."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from cicada.tools.errors import UserError
from cicada.training import backend, quantise
from cicada.training.architectures import bc_resnet, mixednet, small_cnn
from cicada.training.compress import prune
from cicada.training.compress.channels import MAKERS, Channels
from cicada.training.compress.graph import Graph
from cicada.training.flatbuffer import describe

ROWS, COLUMNS, CLASSES = 8, 6, 4


def features(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, ROWS, COLUMNS, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    """Sums, joints, parts, depthwise convolutions and a flattened picture."""
    keras = backend.tensorflow().keras
    layers = keras.layers
    keras.utils.set_random_seed(4)
    inputs = keras.Input((ROWS, COLUMNS, 1), name="features")
    x = layers.Conv2D(8, 3, 2, padding="same", use_bias=False)(inputs)
    x = around = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(x))
    x = layers.ReLU()(layers.Add()([layers.Conv2D(8, 1)(x), around]))
    left = layers.DepthwiseConv2D(1, depth_multiplier=2)(mixednet._part(x, 4, 0, 5, "part"))
    right = layers.MaxPooling2D(3, 1, padding="same")(layers.Conv2D(5, 1, activation="relu")(x))
    x = layers.Concatenate()([left, layers.SpatialDropout2D(0.2)(right)])
    x = layers.BatchNormalization()(layers.Conv2D(7, 1)(x))
    x = layers.Flatten()(layers.AveragePooling2D((2, 1))(x))
    outputs = layers.Dense(CLASSES, activation="softmax", name="scores")(layers.Dense(9, "relu")(x))
    made = keras.Model(inputs, outputs)
    rng = np.random.default_rng(4)
    made.set_weights([w + rng.uniform(0.05, 0.6, w.shape) if w.ndim == 1 else w for w in made.get_weights()])
    return made


def silenced(graph: Graph, channels: Channels, alive: np.ndarray):
    """The same network, but no layer listens to the channels that are not alive."""
    from cicada.training.compress.graph import again

    def deaf(step, args, kwargs):
        outputs = again(step, args, kwargs)
        if step.kind in MAKERS:
            twin = outputs._keras_history.operation
            weights = step.layer.get_weights()
            weights[0] = weights[0] * alive[channels.of(step.inputs[0])][:, None]
            twin.set_weights(weights)
        return outputs

    return graph.rebuild(deaf)


@settings(max_examples=4)
@given(seed=st.integers(0, 9999), share=st.floats(0.2, 0.9))
def test_a_smaller_network_says_what_the_large_one_says_without_those_channels(model, seed, share):
    graph = Graph(model)
    channels = Channels(graph)
    alive = (np.random.default_rng(seed).random(len(channels.fixed)) < share) | channels.fixed
    for numbers in channels.makers():
        alive[numbers[0]] = True
    small = prune._shrink(graph, channels, alive)
    assert small.count_params() < model.count_params()
    x = features(16, seed)
    np.testing.assert_allclose(small(x), silenced(graph, channels, alive)(x), atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        (small_cnn, {"first": 8, "blocks": (12, 16)}),
        (bc_resnet, {"blocks": (2, 1, 1, 1)}),
        (mixednet, {"blocks": (16, 16), "kernels": ((3, 5), (3, 5)), "spectral": 1}),
    ],
)
def test_architectures_for_words_can_be_pruned(architecture, options):
    keras = backend.tensorflow().keras
    inputs = keras.Input((49, 40, 1))
    body = architecture.body(architecture.Options(**options), inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(body))
    graph = Graph(model)
    channels = Channels(graph)
    alive = prune.select(channels, np.random.default_rng(1).random(len(channels.fixed)), 0.5)
    x = np.random.default_rng(2).uniform(-1, 1, (4, 49, 40, 1)).astype(np.float32)
    small = prune._shrink(graph, channels, alive)
    np.testing.assert_allclose(small(x), silenced(graph, channels, alive)(x), atol=1e-5)
    assert small.count_params() < 0.85 * model.count_params()


def test_channels_that_nobody_listens_to_go_first(model):
    graph = Graph(model)
    channels = Channels(graph)
    alive = (np.random.default_rng(3).random(len(channels.fixed)) < 0.7) | channels.fixed
    partly = silenced(graph, channels, alive)
    x, y = features(100), np.random.default_rng(1).integers(0, CLASSES, 100)
    same = Graph(partly)
    worth = prune.importance(same, Channels(same), x, y)
    listened = np.concatenate([work.inputs for work in channels.work if work.inputs is not None])
    free = np.intersect1d(listened, np.flatnonzero(~channels.fixed))
    assert (worth[free[~alive[free]]] == 0).all() and (worth[free[alive[free]]] > 0).mean() > 0.7
    keep = channels.macs(alive) / channels.macs(np.ones(len(alive), bool))
    np.testing.assert_allclose(prune.prune(partly, keep, x, y)(x), partly(x), atol=1e-5)


def test_the_file_shrinks_to_the_share_asked_for(model):
    keep = 0.5
    x, y = features(64), np.random.default_rng(1).integers(0, CLASSES, 64)
    small = prune.prune(model, keep, x, y)
    rows = np.rint(x * 127).astype(np.int8)
    before, after = (quantise.convert(one, rows) for one in (model, small))
    channels = Channels(Graph(model))
    assert channels.macs(np.ones(len(channels.fixed), bool)) == describe(before).macs
    assert keep * 0.8 < describe(after).macs / describe(before).macs <= keep
    assert len(after) < len(before)


def test_of_two_outputs_both_stay_and_the_first_decides(model):
    keras = backend.tensorflow().keras
    said = keras.layers.Dense(5, activation="softmax", name="said")(model.layers[-1].input)
    both = keras.Model(model.input, [model.output, said])
    x, y = features(64), np.random.default_rng(1).integers(0, CLASSES, 64)
    one, two = (prune.prune(pruned, 0.7, x, y) for pruned in (model, both))
    assert [output.shape for output in two.outputs] == [(None, CLASSES), (None, 5)]
    assert two.count_params() - one.count_params() == (two.layers[-1].input.shape[-1] + 1) * 5


def test_worth_is_the_square_of_what_a_channel_gives_times_its_gradient():
    keras = backend.tensorflow().keras
    keras.utils.set_random_seed(2)
    inputs = keras.Input((5,))
    hidden = keras.layers.Dense(6, "relu")
    head = keras.layers.Dense(3, activation="softmax")
    model = keras.Model(inputs, head(hidden(inputs)))
    x = np.random.default_rng(1).normal(size=(128, 5)).astype(np.float32)
    y = np.random.default_rng(2).integers(0, 3, 128)
    graph = Graph(model)
    channels = Channels(graph)
    worth = prune.importance(graph, channels, x, y)[channels.of(graph.steps[0].outputs[0])]
    given = np.maximum(x @ np.asarray(hidden.kernel) + np.asarray(hidden.bias), 0)
    by_logits = softmax(given @ np.asarray(head.kernel) + np.asarray(head.bias), axis=1) - np.eye(3)[y]
    expected = np.square(given * (by_logits @ np.asarray(head.kernel).T)).mean(axis=0)
    np.testing.assert_allclose(worth, expected, rtol=1e-3)


def test_what_cannot_be_done_is_said(model):
    x, y = features(64), np.zeros(64, np.int64)
    with pytest.raises(UserError, match=r"cannot be pruned to 0% of its work, at most to \d+%"):
        prune.prune(model, 0.001, x, y)
    keras = backend.tensorflow().keras
    inputs = keras.Input((ROWS, COLUMNS))
    lstm = keras.Model(inputs, keras.layers.LSTM(4, name="memory")(inputs))
    with pytest.raises(UserError, match="'memory': layers of kind LSTM"):
        prune.prune(lstm, 0.5, x[..., 0], y)
