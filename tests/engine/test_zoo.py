"""The zoo draws what it says, and TensorFlow Lite Micro runs it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from cicada.tools.tflm import Interpreter
from support.zoo import graphs, singles, streams
from support.zoo.model import Model, Quant

NAMES = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
MAKERS = {**singles.SINGLES, "network": graphs.network, **streams.STREAMS}


def parsed(model: bytes) -> Any:
    """The flatbuffer as the schema's objects."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))


def trees(name: str, count: int) -> Iterator[tuple[Any, Any]]:
    """Operators of ``count`` models: the model's object and each operator of its main subgraph."""
    for seed in range(count):
        tree = parsed(MAKERS[name](random.Random(f"{name} {seed}")))
        for operator in tree.subgraphs[0].operators:
            yield tree, operator


def kind(tree: Any, operator: Any) -> str:
    """TFLite's name of an operator."""
    return NAMES[tree.operatorCodes[operator.opcodeIndex].builtinCode]


@pytest.mark.parametrize("name", MAKERS)
def test_the_oracle_runs_each_kind(name):
    for seed in range(8):
        oracle = Interpreter(MAKERS[name](random.Random(f"{name} {seed}")))
        oracle.invoke(np.zeros(oracle.input["shape"], oracle.input["dtype"]))


@pytest.mark.parametrize("name", singles.SINGLES)
def test_a_maker_makes_its_operator(name):
    found = Counter(kind(tree, operator) for tree, operator in trees(name, 20))
    assert found[name] >= 15


def test_networks_and_streams_have_every_operator_together():
    found: set[str] = set()
    for name in ("network", *streams.STREAMS):
        found |= {kind(tree, operator) for tree, operator in trees(name, 150)}
    alone = {"SQUEEZE", "PADV2"}
    states = {"CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"}
    assert found == {*singles.SINGLES} - alone | states


@pytest.mark.parametrize("name", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
def test_layers_have_every_option(name):
    seen: set[tuple[str, Any]] = set()
    for tree, operator in trees(name, 200):
        tensors, options = tree.subgraphs[0].tensors, operator.builtinOptions
        filters = tensors[operator.inputs[1]]
        values = np.asarray(tree.buffers[filters.buffer].data).view(np.int8)
        seen |= set(vars(options).items()) if name != "FULLY_CONNECTED" else set()
        seen |= {
            ("activation", options.fusedActivationFunction),
            ("bias", len(operator.inputs) == 3 and operator.inputs[2] >= 0),
            ("channels", len(filters.quantization.scale) > 1),
            ("extreme", bool(set(values.tolist()) <= {-127, 127})),
            ("lowest", -128 in values),
            ("zeros", not values.any()),
        }
        if name == "FULLY_CONNECTED":
            seen |= {
                ("keep", bool(options.keepNumDims)),
                ("rows", _rows(tensors, operator) > 1),
            }
    wanted = {("activation", n) for n in range(4)}
    wanted |= {(what, flag) for what in ("bias", "channels", "extreme", "zeros") for flag in (True, False)}
    if name == "FULLY_CONNECTED":
        wanted |= {(what, flag) for what in ("keep", "rows", "lowest") for flag in (True, False)}
    else:
        wanted |= {("padding", 0), ("padding", 1)}
        for option in ("strideH", "strideW", "dilationHFactor", "dilationWFactor"):
            wanted |= {(option, n) for n in (1, 2, 3)}
    if name == "DEPTHWISE_CONV_2D":
        wanted |= {("depthMultiplier", n) for n in (1, 2, 3, 8)}
    assert wanted <= seen


def _rows(tensors: Any, operator: Any) -> int:
    """How many vectors a FULLY_CONNECTED takes."""
    return int(np.prod(tensors[operator.inputs[0]].shape)) // int(tensors[operator.inputs[1]].shape[1])


def test_multipliers_go_from_nothing_to_far_above_one():
    multipliers = []
    for tree, operator in trees("CONV_2D", 200):
        tensors = tree.subgraphs[0].tensors
        x, filters, y = (tensors[n].quantization for n in (*operator.inputs[:2], operator.outputs[0]))
        multipliers += [float(x.scale[0]) * float(s) / float(y.scale[0]) for s in filters.scale]
    assert min(multipliers) < 2**-33 and max(multipliers) > 32
    assert sum(2**-12 < m < 1 for m in multipliers) > len(multipliers) / 2


def test_outputs_mostly_say_something():
    differ = 0
    for seed in range(100):
        oracle = Interpreter(graphs.network(random.Random(seed)))
        shape, dtype = oracle.input["shape"], oracle.input["dtype"]
        numbers = np.random.default_rng(seed)
        outputs = {
            oracle.invoke(numbers.integers(-128, 128, shape).astype(dtype)).tobytes() for _ in range(4)
        }
        differ += len(outputs) > 1
    assert differ > 60


def test_slices_have_masks_steps_and_negative_indices():
    seen: set[str] = set()
    for tree, operator in trees("STRIDED_SLICE", 100):
        tensors, options = tree.subgraphs[0].tensors, operator.builtinOptions
        begin, end, strides = (
            np.asarray(tree.buffers[tensors[n].buffer].data).view(np.int32) for n in operator.inputs[1:]
        )
        seen |= {
            what
            for what, there in {
                "begin": (begin < 0).any(),
                "end": (end < 0).any(),
                "step": (strides > 1).any(),
                "back": (strides < 0).any(),
                "begin mask": options.beginMask,
                "end mask": options.endMask,
                "shrink": options.shrinkAxisMask,
            }.items()
            if there
        }
    assert len(seen) == 7


def test_streams_begin_with_other_values_than_the_zero_point_or_without_any():
    calls = Counter()
    for seed in range(60):
        tree = parsed(streams.wake_word(random.Random(seed)))
        if len(tree.subgraphs) == 1:
            calls["none"] += 1
            continue
        for operator in tree.subgraphs[1].operators:
            if kind(tree, operator) == "ASSIGN_VARIABLE":
                tensor = tree.subgraphs[1].tensors[operator.inputs[1]]
                values = np.asarray(tree.buffers[tensor.buffer].data).view(np.int8)
                calls["zero" if (values == tensor.quantization.zeroPoint[0]).all() else "other"] += 1
    assert calls["none"] and calls["zero"] and calls["other"]


def test_one_seed_makes_one_model():
    for make in MAKERS.values():
        assert make(random.Random(5)) == make(random.Random(5))


def test_an_unknown_option_is_refused():
    model = Model()
    x = model.input((1, 4), Quant(0.1, 0))
    with pytest.raises(ValueError, match="ADD has no option strideH"):
        model.operator("ADD", [x, x], [x], strideH=1)
