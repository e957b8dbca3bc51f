"""Tiny models for the campaign: real ones, packed as those of a release are, made without TensorFlow.

One fully connected layer over all features, written with the schema that the ``tflite-micro`` wheel carries
(https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from cicada.tools.tflm import Interpreter
from cicada.training import selftest
from cicada.training.pack import pack

LABELS = ["_silence_", "_unknown_", "yes", "no"]
_FEATURES = (1, 49, 40, 1)
_FULLY_CONNECTED, _INT8, _INT32 = 9, 9, 2  # BuiltinOperator, TensorType
_OPTIONS = 8  # BuiltinOptions.FullyConnectedOptions


@lru_cache
def tflite(seed: int) -> bytes:
    """A model of about 9 KB whose weights follow from ``seed``: int8[1, 49, 40, 1] to int8[1, 4]."""
    import flatbuffers
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    weights = np.zeros((4, 49 * 40), np.int8)
    # Mostly zeros, so that it packs well, and patches between two of them are short.
    weights[:, ::10] = np.random.default_rng(0).integers(-90, 90, weights[:, ::10].shape)
    weights[seed % 4, 100 : 100 + 10 * seed : 10] += seed
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs = 3, [graph]
    # Whatever it is given, it hears nothing: a device that hears words does not sleep.
    bias = np.array([6, -6, -6, -6], np.int32) * 128 * 127
    contents = [b"", weights.tobytes(), bias.tobytes()]
    model.buffers = [_buffer(schema, data) for data in contents]
    graph.tensors = [
        _tensor(schema, _FEATURES, _INT8, 0, 1 / 128, 0),
        _tensor(schema, weights.shape, _INT8, 1, 1 / 127, 0),
        _tensor(schema, (4,), _INT32, 2, 1 / 128 / 127, 0),
        _tensor(schema, (1, 4), _INT8, 0, 1 / 16, 0),
    ]
    graph.inputs, graph.outputs = [0], [3]
    code, layer = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = _FULLY_CONNECTED
    code.version = 1
    layer.opcodeIndex, layer.inputs, layer.outputs = 0, [0, 1, 2], [3]
    layer.builtinOptionsType, layer.builtinOptions = _OPTIONS, schema.FullyConnectedOptionsT()
    model.operatorCodes, graph.operators = [code], [layer]
    builder = flatbuffers.Builder(16384)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _buffer(schema, data: bytes):
    buffer = schema.BufferT()
    buffer.data = list(data) or None
    return buffer


def _tensor(schema, shape: tuple[int, ...], kind: int, buffer: int, scale: float, zero: int):
    tensor = schema.TensorT()
    tensor.shape, tensor.type, tensor.buffer = list(shape), kind, buffer
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero]
    return tensor


@lru_cache
def contained(seed: int, sound: bool = True) -> bytes:
    """:func:`tflite`, packed and in its container, as model ``kws``.

    Args:
        seed: of the weights, and its version.
        sound: whether its self-test is that of this model.
    """
    data = tflite(seed)
    vector = selftest.vector(Interpreter(data))
    if not sound:
        vector["output"] = [127 - abs(value) for value in vector["output"]]
    about = {
        "type": "kws",
        "name": "kws",
        "version": f"1.{seed}",
        "labels": LABELS,
        "frontend": {"rate": 16000, "window_ms": 30, "step_ms": 20, "channels": 40, "frames": 49},
        "input": {"shape": list(_FEATURES), "scale": 1 / 128, "zero_point": 0},
        "output": {"shape": [1, 4], "scale": 1 / 16, "zero_point": 0},
        "decision": {"hop_frames": 5, "window": 3, "threshold": 0.8, "refractory_ms": 1500},
        "selftest": vector,
    }
    return pack(data).contained(about)
