"""Models become graphs that compute the same, and what is not supported is refused with a reason."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

from cicada.training import flatbuffer
from cicada.training.pack.errors import PackError
from cicada.training.pack.reader import read
from support.rebuilding import assert_same, edited
from support.zoo import graphs, layers, moves, pointwise
from support.zoo.model import Model, Quant
from support.zoo.singles import SINGLES
from support.zoo.streams import STREAMS

_REFERENCE = (
    "ad01_int8",
    "hey_jarvis",
    "kws_ref_model",
    "micro_speech_quantized",
    "okay_nabu",
    "pretrainedResnet_quant",
    "str_ww_ref_model",
)
_Q = Quant(0.05, -3)


@pytest.mark.parametrize("name", _REFERENCE)
def test_reference_models_compute_the_same(shared_data, name):
    model = (shared_data / "models" / f"{name}.tflite").read_bytes()
    graph = read(model)
    assert graph.macs == flatbuffer.macs(model)
    assert_same(model, graph, steps=1 if graph.macs > 1e6 else 6)


def test_a_wake_word_model_has_its_states(shared_data):
    graph = read((shared_data / "models" / "okay_nabu.tflite").read_bytes())
    shapes = {v.name: v.tensor.shape for v in graph.variables}
    assert shapes == {
        "stream/states": (1, 2, 1, 40),
        "stream_1/states": (1, 4, 1, 32),
        "stream_2/states": (1, 10, 1, 64),
        "stream_3/states": (1, 14, 1, 64),
        "stream_4/states": (1, 22, 1, 64),
        "stream_5/states": (1, 5, 1, 64),
    }
    assert all((v.initial == -128).all() for v in graph.variables)
    assert (graph.input.shape, graph.input.dtype) == ((1, 3, 40), "int8")
    assert (graph.output.dtype, graph.output.zero) == ("uint8", 0)


@pytest.mark.parametrize("kind", SINGLES)
def test_every_operator_computes_the_same(kind):
    for seed in range(12):
        model = SINGLES[kind](random.Random(seed))
        assert_same(model, read(model), steps=2)


@pytest.mark.parametrize("kind", STREAMS)
def test_streams_compute_the_same(kind):
    for seed in range(6):
        model = STREAMS[kind](random.Random(seed))
        assert_same(model, read(model), steps=12)


def test_networks_compute_the_same():
    for seed in range(20):
        model = graphs.network(random.Random(seed))
        assert_same(model, read(model))


def test_an_open_batch_is_one():
    def open_batch(tree):
        for tensor in tree.subgraphs[0].tensors:
            tensor.shape = [-1, *tensor.shape[1:]]

    model = Model()
    whole = model.finish(_logistic(model, None))
    graph = read(edited(whole, open_batch))
    assert graph.input.shape == graph.output.shape == (1, 9)


def test_variables_begin_as_call_once_sets_them_or_at_their_zero_point():
    model = Model()
    x = model.input((1, 4), _Q)
    set_to = np.array([[1, 2, 3, 4]], np.int8)
    for name, initial in (("set", set_to), ("unset", None)):
        handle = model.variable(name, (1, 4), _Q, initial)
        held = model.tensor((1, 4), _Q)
        model.operator("READ_VARIABLE", [handle], [held])
        model.operator("ASSIGN_VARIABLE", [handle, x], [])
    variables = {v.name: v.initial for v in read(model.finish(held)).variables}
    assert np.array_equal(variables["set"], set_to)
    assert np.array_equal(variables["unset"], np.full((1, 4), -3))


def test_slices_are_resolved_to_plain_numbers():
    model = Model()
    x = model.input((1, 9, 4), _Q)
    y = moves.strided_slice(model, x, (0, -2, 0), (1, 0, 99), (1, -3, 2), begin_mask=1, end_mask=3)
    about = read(model.finish(y)).operators[0].attributes
    assert about == {"begin": (0, 7, 0), "size": (1, 3, 2), "strides": (1, -3, 2)}


def _tensor(number, **fields):
    """An edit of tensor ``number``: fields of its own or of its quantisation."""

    def edit(tree):
        tensor = tree.subgraphs[0].tensors[number]
        for key, value in fields.items():
            setattr(tensor if hasattr(tensor, key) else tensor.quantization, key, value)

    return edit


def _operator(**fields):
    """An edit of the last operator: fields of its own or of its options."""

    def edit(tree):
        operator = tree.subgraphs[0].operators[-1]
        for key, value in fields.items():
            setattr(operator if hasattr(operator, key) else operator.builtinOptions, key, value)

    return edit


def _content(number, *values):
    """An edit of a constant int32 tensor."""

    def edit(tree):
        buffer = tree.buffers[tree.subgraphs[0].tensors[number].buffer]
        buffer.data = np.frombuffer(np.array(values, np.int32).tobytes(), np.uint8)

    return edit


def _conv(model, rng):
    x = model.input((1, 5, 6, 3), _Q)
    return layers.conv(model, rng, x, 4, (3, 3))


def _depthwise(model, rng):
    x = model.input((1, 5, 6, 3), _Q)
    return layers.depthwise(model, rng, x, (3, 3), multiplier=2)


def _dense(model, rng):
    return layers.dense(model, rng, model.input((1, 12), _Q), 5)


def _pool(model, rng):
    return layers.pool(model, model.input((1, 4, 4, 2), _Q), True, (2, 2), (2, 2))


def _add(model, rng):
    x = model.input((1, 4, 3), _Q)
    return pointwise.binary(model, rng, "ADD", x, x, out=_Q)


def _mean(model, rng):
    return pointwise.mean(model, rng, model.input((1, 4, 4, 2), _Q), [1, 2], True)


def _softmax(model, rng):
    return pointwise.unary(model, "SOFTMAX", model.input((1, 9), _Q), beta=1.0)


def _logistic(model, rng):
    return pointwise.unary(model, "LOGISTIC", model.input((1, 9), _Q))


def _reshape(model, rng):
    return moves.reshape(model, model.input((1, 12), _Q), (1, 3, 4))


def _concat(model, rng):
    x = model.input((1, 4, 3), _Q)
    return moves.concatenate(model, [x, x], 1)


def _split(model, rng):
    return moves.split(model, model.input((1, 4, 6), _Q), 2, 3)[1]


def _slice(model, rng):
    x = model.input((1, 4, 6), _Q)
    return moves.strided_slice(model, x, (0, 1, 0), (1, 4, 6), (1, 1, 2))


def _padded(model, rng):
    return moves.pad(model, model.input((1, 4, 4, 2), _Q), [(0, 0), (1, 1), (0, 2), (0, 0)])


def _transposed(model, rng):
    return moves.transpose(model, model.input((1, 4, 6), _Q), [0, 2, 1])


_F32, _U8 = 0, 3  # TensorType
_WRONG = [
    (_logistic, _tensor(0, type=_F32), "is float32, not int8"),
    (_logistic, _tensor(0, quantization=None), "0 scales, and one"),
    (_logistic, _tensor(0, zeroPoint=[]), "1 scales and 0 zero points"),
    (_logistic, _tensor(1, zeroPoint=[0]), "logistic's output has zero point -128"),
    (_add, _tensor(0, scale=[1.0, 2.0]), "2 scales, and one"),
    (_add, _tensor(0, scale=[np.nan]), "a scale is not a positive number"),
    (_add, _tensor(0, scale=[1e30]), "scales of inputs and output are too far apart"),
    (_add, _operator(inputs=[0]), "it has 1 inputs, not 2"),
    (_add, _operator(inputs=[0, -1]), "input 1 is left out"),
    (_add, _operator(outputs=[]), "it has 0 outputs, not 1"),
    (_add, _operator(inputs=[0, 1]), "it is used before any operator computes it"),
    (_pool, _tensor(0, zeroPoint=[300]), "zero point 300 is not -128 to 127"),
    (_pool, _tensor(1, zeroPoint=[9]), "output has the input's scale and zero point"),
    (_pool, _operator(filterHeight=0), "kernel 0 x 2 is not within"),
    (_conv, _tensor(0, shape=[1, 0, 6, 3]), "[1, 0, 6, 3] has a dimension that is not positive"),
    (_conv, _tensor(0, shape=[1, 60000, 60000, 3]), "has more than 8388608 elements"),
    (_conv, _tensor(0, shape=[2, 5, 6, 3]), "a batch of 2 is not supported"),
    (_conv, _tensor(0, shape=[1, 5, 6, 6]), "groups are not supported"),
    (_conv, _tensor(0, type=_U8), "it is uint8, not int8"),
    (_conv, _tensor(1, type=_U8), "weights are uint8, not int8"),
    (_conv, _tensor(1, buffer=0), "weights are not a constant"),
    (_conv, _tensor(1, shape=[4, 3, 3, 2]), "content has 108 bytes"),
    (_conv, _tensor(1, scale=[1.0, 1.0, 0.0, 1.0]), "a scale is not a positive number"),
    (_conv, _tensor(1, scale=[1.0, 1.0, 1.0]), "it has 3 scales for 4 channels"),
    (_conv, _tensor(1, zeroPoint=[0, 0, 1, 0]), "weights have a zero point"),
    (_conv, _tensor(1, zeroPoint=[0, 0]), "4 scales and 2 zero points"),
    (_conv, _tensor(1, quantizedDimension=3), "belong to axis 3, not 0"),
    (_conv, _tensor(3, shape=[1, 5, 6, 5]), "its inputs give [1, 5, 6, 4]"),
    (_conv, _tensor(3, isVariable=True), "a variable tensor of old style"),
    (_conv, _content(2, 0, 0, 1 << 30, -(1 << 31)), "the sums do not fit into 32 bits"),
    (_conv, _operator(strideH=0), "stride 0 x 1 is not within 1 to 255"),
    (_conv, _operator(dilationWFactor=300), "dilation 1 x 300 is not within 1 to 255"),
    (_conv, _operator(dilationHFactor=6, padding=1), "reaches over 13 does not fit into 5"),
    (_conv, _operator(padding=9), "not SAME or VALID"),
    (_conv, _operator(fusedActivationFunction=4), "the fused activation TANH is not supported"),
    (_conv, _operator(builtinOptionsType=0, builtinOptions=None), "without Conv2DOptions"),
    (_depthwise, _tensor(1, quantizedDimension=0), "belong to axis 0, not 3"),
    (_depthwise, _operator(depthMultiplier=3), "not that of 3 channels times 3"),
    (_dense, _tensor(2, type=_F32), "the bias is float32, not a constant of int32"),
    (_dense, _tensor(2, scale=[9.0]), "the bias does not have the input's scale"),
    (_dense, _tensor(2, scale=[np.nan]), "the bias does not have the input's scale"),
    (_dense, _tensor(1, shape=[10, 6]), "the bias has 5 values for 10 channels"),
    (_dense, _tensor(0, shape=[1, 13]), "13 values are no rows of 12"),
    (_dense, _operator(weightsFormat=1), "shuffled weights"),
    (_mean, _content(2, 1, 7), "axis 7 of a tensor with 4 axes"),
    (_mean, _tensor(2, buffer=0), "it is not a constant"),
    (_softmax, _tensor(1, zeroPoint=[0]), "has scale 1/256 and zero point -128"),
    (_softmax, _operator(beta=0.0), "a beta of 0.0"),
    (_reshape, _tensor(1, shape=[1, 3, 5]), "has 12 values and [1, 3, 5] has 15"),
    (_concat, _tensor(1, zeroPoint=[4]), "is not that of the output"),
    (_concat, _operator(axis=3), "axis 3 of a tensor with 3 axes"),
    (_split, _tensor(0, shape=[1, 4, 5]), "do not make up the 5 of axis 2"),
    (_slice, _tensor(1, shape=[1, 3, 4]), "its inputs give [1, 3, 3]"),
    (_slice, _operator(newAxisMask=1), "new axis mask is not supported"),
    (_slice, _content(4, 1, 0, 2), "the stride along axis 1 is 0"),
    (_slice, _content(4, 1, -1, 2), "takes nothing of the 4 along axis 1"),
    (_padded, _content(2, 0, 0, -1, 1, 0, 2, 0, 0), "two numbers for each of 4 axes"),
    (_transposed, _content(2, 0, 2, 2), "no permutation of 3 axes"),
]


@pytest.mark.parametrize(("build", "edit", "why"), _WRONG, ids=[why for *_, why in _WRONG])
def test_what_is_wrong_is_refused_by_operator_tensor_and_reason(build, edit, why):
    model = Model()
    whole = model.finish(build(model, random.Random(1)))
    read(whole)
    with pytest.raises(PackError, match=re.escape(why)) as refused:
        read(edited(whole, edit))
    message = str(refused.value)
    assert "\n" not in message and ("operator 0" in message or "tensor 't" in message)


def test_an_unknown_operator_is_named():
    model = Model()
    x = model.input((1, 4), _Q)
    y = model.tensor((1, 4), _Q)
    model.operator("ABS", [x], [y])
    with pytest.raises(PackError, match=re.escape("operator 0 (ABS): this operator is not supported")):
        read(model.finish(y))


def test_a_custom_operator_is_named(shared_data):
    model = (shared_data / "models" / "audio_preprocessor_int8.tflite").read_bytes()
    with pytest.raises(PackError, match=re.escape("operator 0 (CUSTOM SignalWindow)")):
        read(model)


def test_two_inputs_are_refused():
    model = Model()
    whole = model.finish(_add(model, random.Random(1)))
    with pytest.raises(PackError, match="the model has 2 inputs and 1 outputs"):
        read(edited(whole, lambda tree: setattr(tree.subgraphs[0], "inputs", [0, 1])))


def test_a_variable_begins_at_the_zero_point_of_what_is_assigned_to_it():
    model = Model()
    x = model.input((1, 4), Quant(0.05, 77))
    handle = model.variable("state", (1, 4), _Q, None)
    held = model.tensor((1, 4), _Q)
    model.operator("READ_VARIABLE", [handle], [held])
    model.operator("ASSIGN_VARIABLE", [handle, x], [])
    whole = model.finish(held)
    assert (read(whole).variables[0].initial == 77).all()
    assert_same(whole, read(whole))


def test_a_variable_that_is_never_assigned_is_refused():
    with pytest.raises(PackError, match="variable 'state' is read and never assigned"):
        read(edited(_stream(), lambda tree: tree.subgraphs[0].operators.pop()))


def test_a_long_name_is_cut_in_messages():
    long = edited(_stream(), lambda tree: setattr(tree.subgraphs[0].tensors[0], "name", b"x" * 500))
    with pytest.raises(PackError, match=r"tensor 'x{77}\.\.\.'"):
        read(edited(long, lambda tree: setattr(tree.subgraphs[0].tensors[0], "shape", [0, 4])))


def _stream(initial=None):
    model = Model()
    x = model.input((1, 4), _Q)
    handle = model.variable("state", (1, 4), _Q, initial)
    held = model.tensor((1, 4), _Q)
    model.operator("READ_VARIABLE", [handle], [held])
    model.operator("ASSIGN_VARIABLE", [handle, x], [])
    return model.finish(held)


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda tree: setattr(tree.subgraphs[1].tensors[1], "shape", [4]), "to shape [4], not [1, 4]"),
        (lambda tree: setattr(tree.subgraphs[1].tensors[1], "buffer", 0), "not an int8 constant"),
        (lambda tree: tree.subgraphs[1].operators.pop(0), "not a VAR_HANDLE's output"),
        (
            lambda tree: setattr(tree.subgraphs[1].operators[0].builtinOptions, "container", None),
            "some variables have a container and some have none",
        ),
        (
            lambda tree: setattr(tree.subgraphs[0].operators[1].builtinOptions, "sharedName", None),
            "a variable has no name",
        ),
        (lambda tree: setattr(tree.subgraphs[0].tensors[1], "type", 2), "handle is int32, not one resource"),
        (lambda tree: tree.subgraphs.pop(), "it calls subgraph 1 of 1"),
        (lambda tree: setattr(tree.subgraphs[1].operators[1], "opcodeIndex", 2), "holds READ_VARIABLE"),
        (
            lambda tree: tree.subgraphs[0].operators.append(tree.subgraphs[0].operators[0]),
            "after variables are",
        ),
        (lambda tree: tree.subgraphs[0].operators.insert(0, tree.subgraphs[0].operators[0]), "a second one"),
        (lambda tree: tree.subgraphs[0].operators.pop(1), "not a VAR_HANDLE's output"),
    ],
)
def test_wrong_variables_are_refused(edit, why):
    whole = _stream(np.zeros((1, 4), np.int8))
    read(whole)
    with pytest.raises(PackError, match=re.escape(why)):
        read(edited(whole, edit))
