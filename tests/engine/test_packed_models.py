"""The reference models, packed, equal TensorFlow Lite Micro in every byte."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from cicada.training.pack import pack
from cicada.training.pack.errors import PackError
from support.zoo.compare import Pair, inputs, walk

#: Random inputs each: fewer where TFLM takes long.
INPUTS = {
    "ad01_int8": 400,
    "kws_ref_model": 100,
    "micro_speech_quantized": 300,
    "pretrainedResnet_quant": 60,
    "str_ww_ref_model": 300,
}


def model(shared_data: Path, name: str) -> bytes:
    """The flatbuffer of a reference model."""
    return (shared_data / "models" / f"{name}.tflite").read_bytes()


@pytest.mark.parametrize("name", INPUTS)
def test_a_reference_model_equals_tflm(shared_data: Path, name: str):
    pair = Pair(model(shared_data, name))
    seen = {pair.step(values).tobytes() for values in inputs(pair.packed.input, 1, INPUTS[name] // 2)}
    seen |= {pair.step(values).tobytes() for values in walk(pair.packed.input, 2, INPUTS[name] // 2)}
    assert pair.packed.selftest()
    assert len(seen) > 2, "all outputs are alike: nothing was compared"


@pytest.mark.parametrize("name", [*INPUTS, "hey_jarvis", "okay_nabu"])
def test_packing_takes_less_than_three_seconds(shared_data: Path, name: str):
    data = model(shared_data, name)
    began = sum(os.times()[:4])  # of this process and of its child, in which TFLM runs
    pack(data)
    assert sum(os.times()[:4]) - began < 3


@pytest.mark.parametrize("name", ["hey_jarvis", "okay_nabu"])
def test_a_wake_word_model_equals_tflm_over_a_long_stream(shared_data: Path, name: str):
    pair = Pair(model(shared_data, name))
    details, seen = pair.packed.input, set()
    stream = itertools.chain(walk(details, 1, 2000), inputs(details, 2, 500), walk(details, 3, 100))
    for n, values in enumerate(stream):
        if n in (7, 1000):
            pair.reset()
        seen.add(pair.step(values).tobytes())
    assert len(seen) > 5


@pytest.mark.parametrize("name", ["hey_jarvis", "okay_nabu"])
def test_every_layer_of_a_wake_word_model_equals_tflm(shared_data: Path, name: str):
    # What leaves such a model is one byte that seldom changes, so each layer in turn is made the output.
    whole, seen = model(shared_data, name), set()
    for number in layers(whole):
        pair = Pair(ending_at(whole, number))
        for n, values in enumerate(walk(pair.packed.input, number, 60)):
            if n == 40:
                pair.reset()
            seen.add(pair.step(values).tobytes())
    assert len(seen) > 400


def layers(blob: bytes) -> list[int]:
    """Tensors that convolutions and fully connected layers of a model write."""
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(blob, 0))
    kinds = {getattr(schema.BuiltinOperator, k) for k in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")}
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in tree.operatorCodes]
    return [int(op.outputs[0]) for op in tree.subgraphs[0].operators if codes[op.opcodeIndex] in kinds]


def ending_at(blob: bytes, tensor: int) -> bytes:
    """The model with another tensor for its output."""
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(blob, 0))
    tree.subgraphs[0].outputs = [tensor]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("name", ["hey_jarvis", "okay_nabu"])
def test_a_reset_brings_back_the_outputs_of_the_start(shared_data: Path, name: str):
    packed = Pair(model(shared_data, name)).packed
    steps = list(walk(packed.input, 4, 60))
    first = [packed.invoke(values).tobytes() for values in steps]
    going_on = [packed.invoke(values).tobytes() for values in steps]
    packed.reset()
    assert [packed.invoke(values).tobytes() for values in steps] == first != going_on


def test_the_keyword_model_is_right_as_often_as_published(shared_data: Path):
    pair = Pair(model(shared_data, "kws_ref_model"))
    data = np.load(shared_data / "models" / "kws01_first200.npz")
    right = sum(
        int(pair.step(x).argmax() == label) for x, label in zip(data["inputs"], data["labels"], strict=True)
    )
    assert right == 183


def test_an_audio_front_end_as_a_model_is_refused_by_name(shared_data: Path):
    with pytest.raises(PackError, match=r"operator 0 \(CUSTOM SignalWindow\)"):
        pack(model(shared_data, "audio_preprocessor_int8"))
