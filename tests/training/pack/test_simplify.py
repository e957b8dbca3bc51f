"""Simplified graphs have fewer operators and compute the same bytes."""

from __future__ import annotations

import random

import numpy as np
import pytest

from cicada.training.pack.errors import PackError
from cicada.training.pack.reader import read
from cicada.training.pack.simplify import simplify
from support.rebuilding import assert_same
from support.zoo import graphs, layers, moves, pointwise
from support.zoo.model import Model, Quant
from support.zoo.singles import SINGLES
from support.zoo.streams import STREAMS

_Q = Quant(0.05, -3)
_RNG = random.Random(5)


def _kinds(model: bytes, steps: int = 4) -> list[str]:
    """The operators that are left, once it is certain that they compute the same."""
    graph = simplify(read(model))
    assert_same(model, graph, steps)
    return [op.kind for op in graph.operators]


@pytest.mark.parametrize("kind", SINGLES)
def test_every_operator_computes_the_same(kind):
    for seed in range(100, 110):
        _kinds(SINGLES[kind](random.Random(seed)), steps=2)


@pytest.mark.parametrize("kind", STREAMS)
def test_streams_compute_the_same(kind):
    for seed in range(100, 106):
        _kinds(STREAMS[kind](random.Random(seed)), steps=12)


def test_networks_compute_the_same():
    for seed in range(100, 120):
        _kinds(graphs.network(random.Random(seed)))


@pytest.mark.parametrize("name", ["okay_nabu", "hey_jarvis"])
def test_wake_words_compute_the_same(shared_data, name):
    _kinds((shared_data / "models" / f"{name}.tflite").read_bytes(), steps=30)


def test_the_given_graph_stays_as_it_is():
    graph = read(graphs.network(random.Random(3)))
    before = [(op.kind, list(op.inputs), list(op.outputs), dict(op.attributes)) for op in graph.operators]
    simplify(graph)
    assert before == [(op.kind, op.inputs, op.outputs, op.attributes) for op in graph.operators]


def test_float_edges_are_dropped():
    model = Model()
    x = model.input((1, 6), None, "FLOAT32")
    flat = model.tensor((1, 2, 3), None, "FLOAT32")
    model.operator("RESHAPE", [x, moves.ints(model, (1, 2, 3))], [flat])
    y = pointwise.unary(model, "QUANTIZE", flat, _Q)
    y = pointwise.unary(model, "TANH", y)
    y = pointwise.unary(model, "DEQUANTIZE", y)
    whole = model.finish(moves.reshape(model, y, (1, 6)))
    assert _kinds(whole) == ["RESHAPE", "TANH", "RESHAPE"]
    graph = simplify(read(whole))
    assert (graph.input.dtype, graph.input.shape, graph.input.zero) == ("int8", (1, 6), -3)
    assert (graph.output.dtype, graph.output.shape, graph.output.zero) == ("int8", (1, 6), 0)


def test_float_between_operators_is_refused():
    model = Model()
    x = model.input((1, 6), _Q)
    y = pointwise.unary(model, "DEQUANTIZE", x)
    whole = model.finish(pointwise.unary(model, "QUANTIZE", y, Quant(0.1, 4)))
    with pytest.raises(PackError, match="float32 is supported only at the model's input and output"):
        simplify(read(whole))


def test_a_float_input_with_two_users_is_refused():
    model = Model()
    x = model.input((1, 6), None, "FLOAT32")
    parts = [pointwise.unary(model, "QUANTIZE", x, _Q) for _ in range(2)]
    whole = model.finish(pointwise.binary(model, _RNG, "ADD", *parts, out=_Q))
    with pytest.raises(PackError, match="must go into one QUANTIZE"):
        simplify(read(whole))


def _twice(between):
    """TANH, what is tested, TANH."""
    model = Model()
    y = pointwise.unary(model, "TANH", model.input((1, 4, 3), _Q))
    return model.finish(pointwise.unary(model, "TANH", between(model, y)))


_SAME = {
    "reshape to the same shape": lambda m, x: moves.reshape(m, x, (1, 4, 3)),
    "slice of everything": lambda m, x: moves.strided_slice(m, x, (0, 0, 0), (1, 4, 3), (1, 1, 1)),
    "transposition that keeps the order": lambda m, x: moves.transpose(m, x, [0, 1, 2]),
    "pad by nothing": lambda m, x: moves.pad(m, x, [(0, 0)] * 3),
    "concatenation of one": lambda m, x: moves.concatenate(m, [x], 1),
    "split into one": lambda m, x: moves.split(m, x, 1, 1)[0],
    "quantisation to the same": lambda m, x: pointwise.unary(m, "QUANTIZE", x, x.quant),
    "there and back": lambda m, x: moves.reshape(m, moves.reshape(m, x, (1, 12)), (1, 4, 3)),
}


@pytest.mark.parametrize("between", _SAME.values(), ids=_SAME)
def test_what_changes_nothing_is_left_out(between):
    assert _kinds(_twice(between)) == ["TANH", "TANH"]


_ALIASES = {
    "transposition of an axis of one": lambda m, x: moves.transpose(m, x, [1, 0, 2]),
    "chain of reshapes": lambda m, x: moves.reshape(m, moves.reshape(m, x, (1, 12)), (1, 3, 4)),
    "slice that drops an axis": lambda m, x: moves.strided_slice(
        m, x, (0, 0, 0), (1, 4, 3), (1, 1, 1), shrink_mask=1
    ),
}


@pytest.mark.parametrize("between", _ALIASES.values(), ids=_ALIASES)
def test_what_only_changes_the_shape_is_one_reshape(between):
    assert _kinds(_twice(between)) == ["TANH", "RESHAPE", "TANH"]


def test_a_slice_that_drops_something_stays():
    assert "STRIDED_SLICE" in _kinds(
        _twice(lambda m, x: moves.strided_slice(m, x, (0, 0, 0), (1, 3, 3), (1, 1, 1)))
    )


def test_a_backward_slice_of_everything_stays():
    assert "STRIDED_SLICE" in _kinds(
        _twice(lambda m, x: moves.strided_slice(m, x, (0, 3, 0), (1, 0, 3), (1, -1, 1), end_mask=2))
    )


def test_an_identity_keeps_its_quantisation_for_what_follows():
    model = Model()
    x = model.input((1, 6), _Q)
    y = model.tensor((1, 6), Quant(0.2, 11))
    model.operator("RESHAPE", [x, moves.ints(model, (1, 6))], [y])
    assert _kinds(model.finish(pointwise.unary(model, "TANH", y))) == ["RESHAPE", "TANH"]


def test_a_model_that_only_copies_keeps_one_operator():
    model = Model()
    x = model.input((1, 6), _Q)
    assert _kinds(model.finish(moves.reshape(model, moves.reshape(model, x, (6,)), (1, 6)))) == ["RESHAPE"]


@pytest.mark.parametrize("layer", [layers.conv, layers.depthwise])
@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_pad_goes_into_the_convolution(layer, padding):
    for seed in range(10):
        rng, model = random.Random(seed), Model()
        x = model.input((1, 5, 6, 3), _Q)
        kernel = rng.randint(2, 3), rng.randint(2, 3)
        amounts = [(0, 0), (rng.randint(0, 1), rng.randint(0, 1)), (rng.randint(0, 1), 1), (0, 0)]
        y = moves.pad(model, x, amounts)
        more = {"channels": 4} if layer is layers.conv else {"multiplier": 2}
        stride = rng.randint(1, 2), rng.randint(1, 2)
        y = layer(model, rng, y, kernel=kernel, stride=stride, padding=padding, **more)
        kinds = _kinds(model.finish(y))
        # With two paddings in one, rows of kernels may miss the input entirely; those stay apart.
        assert kinds[-1] in ("CONV_2D", "DEPTHWISE_CONV_2D") and (len(kinds) == 1 or padding == "SAME")


def _padded(value: int, amounts, kernel=(3, 3)):
    rng, model = random.Random(1), Model()
    x = model.input((1, 5, 6, 3), _Q)
    y = model.tensor([n + sum(a) for n, a in zip(x.shape, amounts, strict=True)], _Q)
    constant = model.constant(np.array([value], np.int8), _Q)
    model.operator("PADV2", [x, model.constant(np.array(amounts, np.int32)), constant], [y])
    return model.finish(layers.conv(model, rng, y, 4, kernel, padding="VALID"))


def test_pad_with_another_value_stays():
    amounts = [(0, 0), (1, 1), (1, 1), (0, 0)]
    assert _kinds(_padded(-3, amounts)) == ["CONV_2D"]
    assert _kinds(_padded(-2, amounts)) == ["PADV2", "CONV_2D"]


def test_pad_of_channels_stays():
    assert _kinds(_padded(-3, [(0, 0), (1, 1), (1, 1), (0, 1)])) == ["PADV2", "CONV_2D"]


def test_pad_beyond_the_kernel_stays():
    assert _kinds(_padded(-3, [(0, 0), (3, 0), (0, 0), (0, 0)])) == ["PADV2", "CONV_2D"]
    assert _kinds(_padded(-3, [(0, 0), (0, 0), (0, 3), (0, 0)])) == ["PADV2", "CONV_2D"]
    assert _kinds(_padded(-3, [(0, 0), (2, 2), (2, 2), (0, 0)])) == ["CONV_2D"]


@pytest.mark.parametrize("after", ["RELU", "RELU6"])
@pytest.mark.parametrize("before", ["NONE", "RELU", "RELU6"])
@pytest.mark.parametrize("scale", [0.02, 0.1])
def test_an_activation_goes_into_the_layer_before_it(before, after, scale):
    model, out = Model(), Quant(scale, -20)
    x = model.input((1, 4, 4, 3), _Q)
    y = layers.conv(model, random.Random(2), x, 5, (2, 2), activation=before, out=out)
    whole = model.finish(pointwise.unary(model, after, y, out))
    assert _kinds(whole) == ["CONV_2D"]
    joint = simplify(read(whole)).operators[0].attributes["activation"]
    # In steps of 0.02 a six is beyond the highest byte.
    assert joint == ("RELU6" if "RELU6" in (before, after) and scale == 0.1 else "RELU")


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
def test_an_activation_goes_into_sums_and_products(kind):
    model = Model()
    x = model.input((1, 4, 3), _Q)
    y = pointwise.binary(model, _RNG, kind, x, pointwise.unary(model, "TANH", x), out=_Q)
    assert _kinds(model.finish(pointwise.unary(model, "RELU", y, _Q))) == ["TANH", kind]


def test_an_activation_with_another_scale_stays():
    model = Model()
    x = model.input((1, 4, 4, 3), _Q)
    y = layers.conv(model, random.Random(2), x, 5, out=Quant(0.1, -20))
    whole = model.finish(pointwise.unary(model, "RELU", y, Quant(0.05, -20)))
    assert _kinds(whole) == ["CONV_2D", "RELU"]


def test_an_activation_of_what_others_use_stays():
    model = Model()
    x = model.input((1, 4, 4, 3), _Q)
    y = layers.conv(model, random.Random(2), x, 3, out=_Q)
    z = pointwise.unary(model, "RELU", y, _Q)
    whole = model.finish(pointwise.binary(model, _RNG, "ADD", y, z, out=_Q))
    assert _kinds(whole) == ["CONV_2D", "RELU", "ADD"]


def test_unused_operators_and_variables_are_left_out():
    model = Model()
    x = model.input((1, 4), _Q)
    pointwise.unary(model, "TANH", pointwise.unary(model, "LOGISTIC", x))
    handle = model.variable("never read", (1, 4), _Q, None)
    model.operator("ASSIGN_VARIABLE", [handle, x], [])
    whole = model.finish(pointwise.unary(model, "TANH", x))
    assert _kinds(whole) == ["TANH"] and simplify(read(whole)).variables == []


def test_functions_of_constants_are_constants():
    model = Model()
    x = model.input((1, 12), _Q)
    constant = model.constant(np.arange(-6, 6, dtype=np.int8).reshape(3, 4), _Q)
    b = moves.reshape(model, pointwise.unary(model, "TANH", constant), (1, 12))
    whole = model.finish(pointwise.binary(model, _RNG, "MUL", x, b, out=_Q))
    assert _kinds(whole) == ["MUL"]
    assert simplify(read(whole)).operators[0].inputs[1].data.shape == (1, 12)
