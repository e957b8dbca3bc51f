"""What a ``.tflite`` file says about itself: shapes, quantisation, operators and arithmetic.

Reads the flatbuffer with the schema that the ``tflite-micro`` wheel carries, so TensorFlow is not
needed. Format: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True)
class Tensor:
    """An input or output: ``real = scale * (quantised - zero_point)``, ``shape`` with the batch axis."""

    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int

    def as_json(self) -> dict[str, Any]:
        """The form manifests use: shape as in the file, scale and zero point."""
        return {"shape": list(self.shape), "scale": self.scale, "zero_point": self.zero_point}


@dataclass(frozen=True)
class Description:
    """One input, one output, the operator names in order, and the MACs of one inference."""

    input: Tensor
    output: Tensor
    operators: tuple[str, ...]
    macs: int


def describe(model: bytes) -> Description:
    """Describe a single-subgraph model with one input and one output.

    Raises:
        ValueError: if the bytes are no TFLite model of that form.
    """
    graph, codes = _parse(model)
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ValueError(
            f"model has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs, not 1 and 1"
        )
    names = _operator_names()
    return Description(
        input=_tensor(graph.tensors[graph.inputs[0]]),
        output=_tensor(graph.tensors[graph.outputs[0]]),
        operators=tuple(names[codes[op.opcodeIndex]] for op in graph.operators),
        macs=macs(model),
    )


def macs(model: bytes) -> int:
    """Multiply-accumulates of one inference (batch as in the file), summed over the operators.

    Counted from the shapes alone, so taps that fall on padding count too: convolutions
    ``outputs * kernel_h * kernel_w * input_channels``, depthwise ``outputs * kernel_h * kernel_w``,
    fully connected ``outputs * input_features``. Pooling, softmax and copies count nothing.
    """
    graph, codes = _parse(model)
    names = _operator_names()
    total = 0
    for op in graph.operators:
        name = names[codes[op.opcodeIndex]]
        if name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            continue
        outputs = math.prod(int(n) for n in graph.tensors[op.outputs[0]].shape)
        weights = [int(n) for n in graph.tensors[op.inputs[1]].shape]
        if name == "CONV_2D":
            total += outputs * math.prod(weights[1:])
        elif name == "DEPTHWISE_CONV_2D":
            total += outputs * math.prod(weights[1:3])
        else:
            total += outputs * weights[-1]
    return total


def _parse(model: bytes) -> tuple[Any, list[int]]:
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    if len(model) < 8 or bytes(model[4:8]) != b"TFL3":
        raise ValueError("not a TFLite flatbuffer: its identifier is not TFL3")
    try:
        tree = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytes(model), 0))
    except (struct.error, IndexError, ValueError, TypeError) as error:
        raise ValueError(f"a damaged TFLite flatbuffer: {error}") from error
    if not tree.subgraphs:
        raise ValueError("a TFLite flatbuffer without a graph")
    # Old converters fill only the 8-bit field, new ones the 32-bit field; the larger one holds.
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in tree.operatorCodes]
    return tree.subgraphs[0], codes


@lru_cache(maxsize=1)
def _operator_names() -> dict[int, str]:
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    return {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}


@lru_cache(maxsize=1)
def _type_names() -> dict[int, str]:
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    return {v: k.lower() for k, v in vars(schema.TensorType).items() if not k.startswith("_")}


def _tensor(tensor: Any) -> Tensor:
    quantisation = tensor.quantization
    scales = [] if quantisation is None or quantisation.scale is None else list(quantisation.scale)
    zeros = [] if quantisation is None or quantisation.zeroPoint is None else list(quantisation.zeroPoint)
    return Tensor(
        shape=tuple(int(n) for n in tensor.shape),
        dtype=_type_names()[tensor.type],
        scale=float(scales[0]) if scales else 1.0,
        zero_point=int(zeros[0]) if zeros else 0,
    )
