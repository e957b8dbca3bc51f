"""Takes a ``.tflite`` file apart, so that its graph can be changed, and writes it again.

With the object API of the schema that the ``tflite-micro`` wheel carries, so TensorFlow is not needed.
Format: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Of buffers, by the schema's force_align, which the Python API does not keep: a chip traps on a bias of 32
#: bits that is not aligned.
_ALIGNMENT = 16
#: Options of the operators that can be made, where they are not called like the operator.
_OPTIONS = {
    "ASSIGN_VARIABLE": "AssignVariable",
    "CALL_ONCE": "CallOnce",
    "CONCATENATION": "Concatenation",
    "READ_VARIABLE": "ReadVariable",
    "STRIDED_SLICE": "StridedSlice",
    "VAR_HANDLE": "VarHandle",
}


class Flat:
    """A file's only subgraph as a tree of objects, and makers of what goes into it.

    Args:
        model: the file, as TensorFlow's converter wrote it; it is trusted.

    Attributes:
        graph: ``SubGraphT`` of the schema; its operators and tensors may be changed at will.

    Raises:
        ValueError: it is no ``.tflite`` of one subgraph.
    """

    def __init__(self, model: bytes) -> None:
        from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

        if bytes(model[4:8]) != b"TFL3":
            raise ValueError("not a TFLite flatbuffer: its identifier is not TFL3")
        self._schema = schema
        self._tree = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytes(model), 0))
        if len(self._tree.subgraphs) != 1:
            raise ValueError(f"a TFLite flatbuffer of {len(self._tree.subgraphs)} subgraphs, not of one")
        self.graph = self._tree.subgraphs[0]
        enums = vars(schema.BuiltinOperator)
        self._kinds = {value: name for name, value in enums.items() if not name.startswith("_")}

    def kind(self, operator: Any) -> str:
        """The schema's name of an operator."""
        code = self._tree.operatorCodes[operator.opcodeIndex]
        return self._kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Shape of a tensor by its number."""
        return tuple(int(n) for n in self.graph.tensors[tensor].shape)

    def constant(self, tensor: int) -> bytes | None:
        """Content of a tensor, None if it is computed."""
        content = self._tree.buffers[self.graph.tensors[tensor].buffer].data
        return None if content is None or not len(content) else np.asarray(content).tobytes()

    def zeros(self, tensor: int, shape: Sequence[int]) -> NDArray[Any]:
        """What stands for 0.0 everywhere, in the type and quantisation of a tensor (int8 or float32)."""
        like = self.graph.tensors[tensor]
        if like.type == self._schema.TensorType.FLOAT32:
            return np.zeros(shape, np.float32)
        return np.full(shape, int(like.quantization.zeroPoint[0]), np.int8)

    def subgraph(self, name: str) -> tuple[int, Any]:
        """A new empty subgraph at the end of the file, and its number."""
        graph = self._schema.SubGraphT()
        graph.name = name.encode()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
        self._tree.subgraphs.append(graph)
        return len(self._tree.subgraphs) - 1, graph

    def add(
        self,
        name: str,
        shape: Sequence[int],
        like: int | None = None,
        content: NDArray[Any] | None = None,
        graph: Any = None,
    ) -> int:
        """A new tensor; its number.

        Args:
            name: kept in the file.
            shape: of it.
            like: the tensor of the main subgraph whose type and quantisation it has. Without it: int32 if
                there is a content, else the handle of a variable.
            content: of a constant.
            graph: the subgraph that it belongs to, None for the main one.
        """
        tensor = self._schema.TensorT()
        tensor.name, tensor.shape, tensor.hasRank = name.encode(), [int(n) for n in shape], True
        tensor.buffer = 0  # the one without content
        if like is not None:
            tensor.type = self.graph.tensors[like].type
            tensor.quantization = self.graph.tensors[like].quantization
        else:
            kinds = self._schema.TensorType
            tensor.type = kinds.RESOURCE if content is None else kinds.INT32
        if content is not None:
            buffer = self._schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(content).tobytes(), np.uint8)
            self._tree.buffers.append(buffer)
            tensor.buffer = len(self._tree.buffers) - 1
        graph = self.graph if graph is None else graph
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1

    def operator(self, kind: str, inputs: Sequence[int], outputs: Sequence[int], **options: Any) -> Any:
        """An operator that belongs to no graph yet; options are named as in the schema."""
        made = self._schema.OperatorT()
        made.opcodeIndex = self._code(kind)
        made.inputs, made.outputs = list(inputs), list(outputs)
        name = _OPTIONS[kind] + "Options"
        made.builtinOptionsType = getattr(self._schema.BuiltinOptions, name)
        made.builtinOptions = getattr(self._schema, name + "T")()
        for key, value in options.items():
            setattr(made.builtinOptions, key, value)
        return made

    def finish(self) -> bytes:
        """The file, without tensors and contents that nothing uses any more.

        Metadata and signatures are left out: they describe what the converter had, and devices skip them.
        """
        import flatbuffers

        self._tree.metadata = self._tree.signatureDefs = None
        for graph in self._tree.subgraphs:
            _drop_unused(graph)
        used = sorted({0, *(tensor.buffer for graph in self._tree.subgraphs for tensor in graph.tensors)})
        self._tree.buffers = [self._aligned(self._tree.buffers[number].data) for number in used]
        place = {old: new for new, old in enumerate(used)}
        for graph in self._tree.subgraphs:
            for tensor in graph.tensors:
                tensor.buffer = place[tensor.buffer]
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(self._tree.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _code(self, kind: str) -> int:
        value = getattr(self._schema.BuiltinOperator, kind)
        for number, code in enumerate(self._tree.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == value:
                return number
        code = self._schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = value, min(value, 127), 1
        self._tree.operatorCodes.append(code)
        return len(self._tree.operatorCodes) - 1

    def _aligned(self, data: NDArray[np.uint8] | None) -> Any:
        """A buffer that is written where the schema wants it."""
        schema = self._schema

        class Aligned(schema.BufferT):
            def Pack(self, builder: Any) -> Any:  # called so by the generated API
                at = None
                if self.data is not None:
                    builder.StartVector(1, len(self.data), _ALIGNMENT)
                    builder.head -= len(self.data)
                    builder.Bytes[builder.head : builder.head + len(self.data)] = bytes(self.data)
                    at = builder.EndVector()
                schema.BufferStart(builder)
                if at is not None:
                    schema.BufferAddData(builder, at)
                return schema.BufferEnd(builder)

        return Aligned(data)


def _drop_unused(graph: Any) -> None:
    """Renumber a subgraph's tensors, so that only those remain that something uses."""
    used = {int(n) for operator in graph.operators for n in (*operator.inputs, *operator.outputs)}
    used = sorted((used | {int(n) for n in (*graph.inputs, *graph.outputs)}) - {-1})
    place = {-1: -1} | {old: new for new, old in enumerate(used)}
    graph.tensors = [graph.tensors[number] for number in used]
    for holder in (graph, *graph.operators):
        holder.inputs = [place[int(n)] for n in holder.inputs]
        holder.outputs = [place[int(n)] for n in holder.outputs]
