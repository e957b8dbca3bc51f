"""A ``.tflite`` flatbuffer's tables as plain values, read so that a hostile file costs little.

The schema is the one that the ``tflite-micro`` wheel carries:
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs

Tables are read one field at a time and only where they are asked for, every vector's length is held against a
limit before it is walked, and content stays a view of the file. So time and memory are bounded by the limits
below, whatever the file says.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cicada.training.pack.errors import PackError

MAX_GRAPHS = 64
MAX_TENSORS = 4096
MAX_OPERATORS = 1024
MAX_OPERANDS = 64  # inputs, or outputs, of one operator
MAX_RANK = 8
MAX_NAME = 4096  # bytes of a name
MAX_TEXT = 1 << 26  # bytes of all names that are read

#: What the generated reader, struct and numpy raise on offsets and lengths that lead nowhere.
_LOST = (struct.error, IndexError, ValueError, TypeError, OverflowError, AssertionError, MemoryError)

#: Which table holds an operator's options, and which of its fields are read, by the names they get here.
_OPTIONS: dict[str, tuple[str, dict[str, str]]] = {}


def _options(kinds: str, table: str, **fields: str) -> None:
    for kind in kinds.split():
        _OPTIONS[kind] = table, fields


_STRIDES = {"stride_h": "StrideH", "stride_w": "StrideW", "padding": "Padding"}
_ACTIVATION = {"activation": "FusedActivationFunction"}
_DILATIONS = {"dilation_h": "DilationHFactor", "dilation_w": "DilationWFactor"}
_options("CONV_2D", "Conv2DOptions", **_STRIDES, **_ACTIVATION, **_DILATIONS)
_options(
    "DEPTHWISE_CONV_2D",
    "DepthwiseConv2DOptions",
    **_STRIDES,
    **_ACTIVATION,
    **_DILATIONS,
    multiplier="DepthMultiplier",
)
_options(
    "AVERAGE_POOL_2D MAX_POOL_2D",
    "Pool2DOptions",
    **_STRIDES,
    **_ACTIVATION,
    kernel_h="FilterHeight",
    kernel_w="FilterWidth",
)
_options(
    "FULLY_CONNECTED",
    "FullyConnectedOptions",
    **_ACTIVATION,
    weights_format="WeightsFormat",
    keep_num_dims="KeepNumDims",
)
_options("ADD", "AddOptions", **_ACTIVATION)
_options("SUB", "SubOptions", **_ACTIVATION)
_options("MUL", "MulOptions", **_ACTIVATION)
_options("SOFTMAX", "SoftmaxOptions", beta="Beta")
_options("LEAKY_RELU", "LeakyReluOptions", alpha="Alpha")
_options("CONCATENATION", "ConcatenationOptions", axis="Axis", **_ACTIVATION)
_options("MEAN", "ReducerOptions", keep_dims="KeepDims")
_options(
    "STRIDED_SLICE",
    "StridedSliceOptions",
    begin_mask="BeginMask",
    end_mask="EndMask",
    ellipsis_mask="EllipsisMask",
    new_axis_mask="NewAxisMask",
    shrink_axis_mask="ShrinkAxisMask",
    offset="Offset",
)
_options("CALL_ONCE", "CallOnceOptions", graph="InitSubgraphIndex")
_options("VAR_HANDLE", "VarHandleOptions", container="Container", name="SharedName")


@dataclass(frozen=True)
class RawTensor:
    """A tensor as the file has it; ``shape`` may hold -1, ``data`` is the buffer's bytes or None."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int
    data: NDArray[np.uint8] | None
    variable: bool
    sparse: bool


@dataclass(frozen=True)
class RawOperator:
    """An operator: numbers of tensors (-1: left out) and its options by name."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RawGraph:
    """A subgraph. ``tensor(n)`` reads tensor n, for n below ``tensors``."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: list[RawOperator]
    tensors: int
    tensor: Callable[[int], RawTensor]


class FlatModel:
    """The file; raises :class:`PackError` if it is no TFLite flatbuffer."""

    def __init__(self, model: bytes) -> None:
        from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

        if len(model) < 8 or bytes(model[4:8]) != b"TFL3":
            raise PackError("this is not a TFLite flatbuffer: its identifier is not TFL3")
        self._schema: Any = schema
        self._text_read = 0
        with _damage("its header"):
            self._model = schema.Model.GetRootAsModel(bytes(model), 0)
            self.graphs = _length("subgraphs", self._model.SubgraphsLength(), MAX_GRAPHS)
            self._codes = _length("operator codes", self._model.OperatorCodesLength(), MAX_OPERATORS)
        if not self.graphs:
            raise PackError("this TFLite flatbuffer holds no graph")

    def graph(self, number: int) -> RawGraph:
        """Read subgraph ``number`` (below ``graphs``), its tensors when they are asked for.

        Raises:
            PackError: if it is damaged or beyond the limits.
        """
        with _damage(f"subgraph {number}"):
            graph = self._model.Subgraphs(number)
            if graph is None:
                raise _Damaged("no subgraphs")
            tensors = _length("tensors", graph.TensorsLength(), MAX_TENSORS)
            operators = _length("operators", graph.OperatorsLength(), MAX_OPERATORS)
            inputs = _numbers(graph.InputsLength(), graph.InputsAsNumpy, "inputs", tensors)
            outputs = _numbers(graph.OutputsLength(), graph.OutputsAsNumpy, "outputs", tensors)
        names: dict[int, str] = {}
        read = [self._operator(graph, n, tensors, names) for n in range(operators)]
        return RawGraph(inputs, outputs, read, tensors, lambda n: self._tensor(graph, n))

    def _operator(self, graph: Any, number: int, tensors: int, names: dict[int, str]) -> RawOperator:
        with _damage(f"operator {number}"):
            operator = graph.Operators(number)
            code = operator.OpcodeIndex()
            if code not in names:
                names[code] = self._kind(code)
            kind = names[code]
            inputs = _numbers(operator.InputsLength(), operator.InputsAsNumpy, "inputs", tensors)
            outputs = _numbers(operator.OutputsLength(), operator.OutputsAsNumpy, "outputs", tensors)
            return RawOperator(kind, inputs, outputs, self._read_options(operator, kind))

    def _kind(self, index: int) -> str:
        if not 0 <= index < self._codes:
            raise _Damaged(f"operator code {index} of {self._codes}")
        code = self._model.OperatorCodes(index)
        # Old converters fill only the 8-bit field, new ones the 32-bit field; the larger one holds.
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = _enum("BuiltinOperator").get(builtin, f"operator {builtin}")
        return f"CUSTOM {self._text(code.CustomCode())}" if name == "CUSTOM" else name

    def _read_options(self, operator: Any, kind: str) -> dict[str, Any]:
        if kind not in _OPTIONS:
            return {}
        table, fields = _OPTIONS[kind]
        at = operator.BuiltinOptions()
        if at is None or operator.BuiltinOptionsType() != getattr(self._schema.BuiltinOptions, table):
            raise _Damaged(f"{kind} without {table}")
        options = getattr(self._schema, table)()
        options.Init(at.Bytes, at.Pos)
        values = {name: getattr(options, method)() for name, method in fields.items()}
        values |= {
            key: self._text(values[key]) for key in ("container", "name") if values.get(key) is not None
        }
        if "activation" in values:
            values["activation"] = _enum("ActivationFunctionType").get(values["activation"], "an unknown one")
        if "padding" in values:
            values["padding"] = _enum("Padding").get(values["padding"], "an unknown one")
        return values

    def _tensor(self, graph: Any, number: int) -> RawTensor:
        with _damage(f"tensor {number}"):
            tensor = graph.Tensors(number)
            name = self._text(tensor.Name()) or f"number {number}"
            rank = _length("dimensions", tensor.ShapeLength(), MAX_RANK)
            shape = tuple(int(n) for n in tensor.ShapeAsNumpy()) if rank else ()
            quantised = tensor.Quantization()
            scale, zero, axis = np.zeros(0, np.float32), np.zeros(0, np.int64), 0
            if quantised is not None:
                scale = _vector(quantised.ScaleLength(), quantised.ScaleAsNumpy, np.float32)
                zero = _vector(quantised.ZeroPointLength(), quantised.ZeroPointAsNumpy, np.int64)
                axis = int(quantised.QuantizedDimension())
            dtype = _enum("TensorType").get(tensor.Type(), f"type {tensor.Type()}").lower()
            data = self._content(int(tensor.Buffer()))
            sparse = tensor.Sparsity() is not None
            return RawTensor(name, shape, dtype, scale, zero, axis, data, bool(tensor.IsVariable()), sparse)

    def _text(self, raw: bytes | None) -> str:
        """A name as it may be printed. Reading copies it, so the copies are counted."""
        raw = raw or b""
        self._text_read += len(raw)
        if self._text_read > MAX_TEXT or len(raw) > MAX_NAME:
            raise _Damaged(f"a name of {len(raw)} bytes")
        return "".join(c if c.isprintable() and c != "'" else "?" for c in raw.decode("utf-8", "replace"))

    def _content(self, number: int) -> NDArray[np.uint8] | None:
        if not 0 <= number < self._model.BuffersLength():
            raise _Damaged(f"buffer {number} of {self._model.BuffersLength()}")
        buffer = self._model.Buffers(number)
        # Files above 2 GB keep content outside of the flatbuffer; no device takes such a model.
        if buffer.Offset() > 1 or buffer.Size() > 1:
            raise _Damaged("content outside of the flatbuffer")
        return buffer.DataAsNumpy() if buffer.DataLength() else None


class _Damaged(Exception):
    """What this module itself finds wrong."""


@contextmanager
def _damage(what: str) -> Iterator[None]:
    try:
        yield
    except _Damaged as error:
        raise PackError(f"this TFLite flatbuffer is damaged at {what}: {error}") from error
    except _LOST as error:
        raise PackError(
            f"this TFLite flatbuffer is damaged at {what}: an offset or a length leads out of the file"
        ) from error


def _length(what: str, length: int, most: int) -> int:
    if length > most:
        raise PackError(f"this TFLite flatbuffer has {length} {what}, more than {most}")
    return int(length)


def _numbers(length: int, read: Callable[[], Any], what: str, tensors: int) -> tuple[int, ...]:
    if not _length(what, length, MAX_OPERANDS):
        return ()
    numbers = tuple(int(n) for n in read())
    if not all(-1 <= n < tensors for n in numbers):
        raise _Damaged(f"{what} {numbers} of {tensors} tensors")
    return numbers


def _vector(length: int, read: Callable[[], Any], dtype: type) -> NDArray[Any]:
    return np.asarray(read(), dtype) if length else np.zeros(0, dtype)


@lru_cache(maxsize=8)
def _enum(name: str) -> dict[int, str]:
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    return {v: k for k, v in vars(getattr(schema, name)).items() if not k.startswith("_")}
