"""Writes ``.tflite`` flatbuffers, operator by operator.

With the object API of the schema that the ``tflite-micro`` wheel carries. Format:
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: TFLM on the host gets an arena of ten times the file, so a file must not be too small for its activations.
_PADDING = 16384


class Quant(NamedTuple):
    """``real = scale * (quantised - zero)``."""

    scale: float
    zero: int


@dataclass(frozen=True)
class Tensor:
    """A tensor of the main subgraph: its number there, shape, TFLite's name of the type, and quantisation."""

    index: int
    shape: tuple[int, ...]
    dtype: str = "INT8"
    quant: Quant | None = None

    @property
    def elements(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))


class Model:
    """A model under construction: one input, one output, and resource variables.

    Attributes:
        tame: layers get numbers as trained ones have them. Otherwise there are extreme ones among them, and
            after a few layers of those nothing may be left of the input.
        kinds: TFLite's names of the operators of the main subgraph, in order.
        variables: names of the resource variables, in order.
    """

    def __init__(self, tame: bool = False) -> None:
        from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

        self.tame = tame
        self._schema = schema
        self._tree = schema.ModelT()
        self._tree.version = 3
        self._tree.description = b"zoo"
        self._tree.operatorCodes = []
        self._tree.buffers = [schema.BufferT()]  # the first one is that of tensors without content
        self._main, self._init = self._subgraph(b"main"), self._subgraph(b"init")
        self._codes: dict[str, int] = {}
        self.kinds: list[str] = []
        self.variables: list[str] = []

    def input(
        self, shape: Sequence[int], quant: Quant | None, dtype: str = "INT8", dynamic: bool = False
    ) -> Tensor:
        """The model's input; ``dynamic`` says in the file that the batch may be of any size."""
        made = self.tensor(shape, quant, dtype)
        self._main.inputs = [made.index]
        if dynamic:
            self._main.tensors[made.index].shapeSignature = [-1, *made.shape[1:]]
        return made

    def tensor(self, shape: Sequence[int], quant: Quant | None, dtype: str = "INT8") -> Tensor:
        """A tensor without content."""
        whole = tuple(int(n) for n in shape)
        index = self._add(self._main, whole, dtype, 0, _parameters(self._schema, quant))
        return Tensor(index, whole, dtype, quant)

    def constant(
        self,
        values: NDArray[Any],
        quant: Quant | None = None,
        scales: NDArray[Any] | None = None,
        axis: int = 0,
    ) -> Tensor:
        """A tensor with content, int8 or int32. ``scales``: one a channel along ``axis``, zero points 0."""
        dtype = {"int8": "INT8", "int32": "INT32"}[str(values.dtype)]
        parameters = _parameters(self._schema, quant)
        if scales is not None:
            parameters = self._schema.QuantizationParametersT()
            parameters.scale = np.asarray(scales, np.float32)
            parameters.zeroPoint = np.zeros(len(scales), np.int64)
            parameters.quantizedDimension = axis
        index = self._add(self._main, values.shape, dtype, self._buffer(values), parameters)
        return Tensor(index, tuple(values.shape), dtype, quant)

    def operator(
        self, kind: str, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor], **options: Any
    ) -> None:
        """Append an operator; ``None`` stands for an optional input. Options are named as in the schema."""
        self.kinds.append(kind)
        self._operator(self._main, kind, [-1 if t is None else t.index for t in inputs], outputs, options)

    def variable(
        self, name: str, shape: Sequence[int], quant: Quant, initial: NDArray[np.int8] | None
    ) -> Tensor:
        """A resource variable; returns its handle.

        ``initial`` goes into the subgraph that CALL_ONCE calls; without it the variable holds its zero point.
        """
        self.variables.append(name)
        handle = self.tensor((), None, "RESOURCE")
        self.operator("VAR_HANDLE", [], [handle], container=b"", sharedName=name.encode())
        if initial is not None:
            values = np.asarray(initial, np.int8).reshape(tuple(shape))
            inner = self._add(self._init, (), "RESOURCE", 0, None)
            content = self._add(
                self._init, values.shape, "INT8", self._buffer(values), _parameters(self._schema, quant)
            )
            options = {"container": b"", "sharedName": name.encode()}
            self._operator(self._init, "VAR_HANDLE", [], [inner], options)
            self._operator(self._init, "ASSIGN_VARIABLE", [inner, content], [], {})
        return handle

    def finish(self, output: Tensor, first: Sequence[str] = ()) -> bytes:
        """The flatbuffer of the model with that output; operators of the kinds ``first`` come first."""
        import flatbuffers

        order = sorted(range(len(self.kinds)), key=lambda n: self.kinds[n] not in first)
        self._main.operators = [self._main.operators[n] for n in order]
        self.kinds = [self.kinds[n] for n in order]
        self._main.outputs = [output.index]
        self._tree.subgraphs = [self._main]
        if self._init.operators:
            self._tree.subgraphs.append(self._init)
            self._operator(self._main, "CALL_ONCE", [], [], {"initSubgraphIndex": 1})
            self._main.operators.insert(0, self._main.operators.pop())
            self.kinds.insert(0, "CALL_ONCE")
        metadata = self._schema.MetadataT()
        metadata.name, metadata.buffer = b"padding", self._buffer(np.zeros(_PADDING, np.int8))
        self._tree.metadata = [metadata]
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(self._tree.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _subgraph(self, name: bytes) -> Any:
        graph = self._schema.SubGraphT()
        graph.name, graph.tensors, graph.operators, graph.inputs, graph.outputs = name, [], [], [], []
        return graph

    def _buffer(self, values: NDArray[Any]) -> int:
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self._tree.buffers.append(buffer)
        return len(self._tree.buffers) - 1

    def _add(self, graph: Any, shape: Sequence[int], dtype: str, buffer: int, parameters: Any) -> int:
        tensor = self._schema.TensorT()
        tensor.name = b"t%d" % len(graph.tensors)
        tensor.shape = [int(n) for n in shape]
        tensor.hasRank = True
        tensor.type = getattr(self._schema.TensorType, dtype)
        tensor.buffer, tensor.quantization = buffer, parameters
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1

    def _operator(
        self, graph: Any, kind: str, inputs: Sequence[int], outputs: Sequence[Any], options: dict[str, Any]
    ) -> None:
        operator = self._schema.OperatorT()
        operator.opcodeIndex = self._code(kind)
        operator.inputs = list(inputs)
        operator.outputs = [t.index if isinstance(t, Tensor) else t for t in outputs]
        name = _OPTIONS.get(kind, _camel(kind)) + "Options"
        if hasattr(self._schema, name + "T"):
            operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, name)
            operator.builtinOptions = getattr(self._schema, name + "T")()
        for key, value in options.items():
            if not hasattr(operator.builtinOptions, key):
                raise ValueError(f"{kind} has no option {key}")
            setattr(operator.builtinOptions, key, value)
        graph.operators.append(operator)

    def _code(self, kind: str) -> int:
        if kind not in self._codes:
            code = self._schema.OperatorCodeT()
            code.builtinCode = getattr(self._schema.BuiltinOperator, kind)
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            code.version = 1
            self._codes[kind] = len(self._tree.operatorCodes)
            self._tree.operatorCodes.append(code)
        return self._codes[kind]


#: Where the schema's options are not called like the operator.
_OPTIONS = {
    "CONV_2D": "Conv2D",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "AVERAGE_POOL_2D": "Pool2D",
    "MAX_POOL_2D": "Pool2D",
    "MEAN": "Reducer",
}


def _camel(kind: str) -> str:
    return re.sub(r"_?([A-Z0-9])([A-Z0-9]*)", lambda m: m[1] + m[2].lower(), kind)


def _parameters(schema: Any, quant: Quant | None) -> Any:
    if quant is None:
        return None
    parameters = schema.QuantizationParametersT()
    parameters.scale = np.array([quant.scale], np.float32)
    parameters.zeroPoint = np.array([quant.zero], np.int64)
    return parameters
