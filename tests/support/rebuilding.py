"""A compiler's graph written as a ``.tflite`` file again, so that TFLM can say what the graph computes.

Everything that the graph resolved (paddings, slices, axes) is written from its attributes, so a wrong one
shows in the outputs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cicada.tools.tflm import Interpreter
from cicada.training.pack.graph import Graph, Operator, Tensor
from support.zoo import model as zoo
from support.zoo.draws import ACTIVATIONS, PADDINGS
from support.zoo.model import Model, Quant

_PLAIN = ("LOGISTIC", "TANH", "RELU", "RELU6", "HARD_SWISH", "QUANTIZE", "DEQUANTIZE", "RESHAPE")


def rebuilt(graph: Graph) -> bytes:
    """The ``.tflite`` file of a graph, read or simplified.

    Variables get their initial values by CALL_ONCE.
    """
    return _Rebuilder(graph).finish()


def edited(model: bytes, edit: Callable[[Any], object]) -> bytes:
    """The file after ``edit`` has changed its tree of the schema's objects."""
    import flatbuffers
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    edit(tree)
    builder = flatbuffers.Builder(1 << 14)
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def assert_same(model: bytes, graph: Graph, steps: int = 4, seed: int = 0) -> None:
    """See that a graph computes what the model does, byte for byte, over inferences on random bytes.

    Where the model's edges are float32 and the graph's are not, the values are those of the graph's bytes.
    """
    one, other = Interpreter(model), Interpreter(rebuilt(graph))
    rng = np.random.default_rng(seed)
    for step in range(steps):
        raw = rng.integers(0, 256, graph.input.elements).astype(np.uint8)
        if graph.input.dtype == "float32":
            given = raw = rng.normal(0, 2, graph.input.elements).astype(np.float32)
        elif one.input["dtype"] == np.float32:
            given = _values(raw.view(graph.input.dtype), graph.input)
        else:
            given = raw.view(one.input["dtype"])
        expected, found = one.invoke(given), other.invoke(raw.view(other.input["dtype"]))
        if expected.dtype == np.float32 and found.dtype != np.float32:
            found = _values(found, graph.output)
        assert np.array_equal(found, expected), f"step {step}: {found} is not {expected}"


def _values(raw: NDArray[Any], tensor: Tensor) -> NDArray[np.float32]:
    return (raw.astype(np.int32) - tensor.zero).astype(np.float32) * tensor.scale[0]


class _Rebuilder:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.model = Model()
        self.made: dict[Tensor, zoo.Tensor] = {}
        given = graph.input
        self.made[given] = self.model.input(given.shape, _quant(given), given.dtype.upper())
        self.handles = {
            id(v): self.model.variable(v.name, v.tensor.shape, _quant(v.tensor), v.initial)
            for v in graph.variables
        }

    def finish(self) -> bytes:
        for op in self.graph.operators:
            getattr(self, f"_{op.kind.lower()}", self._other)(op)
        return self.model.finish(self.tensor(self.graph.output))

    def tensor(self, tensor: Tensor) -> zoo.Tensor:
        if tensor not in self.made:
            self.made[tensor] = self._make(tensor)
        return self.made[tensor]

    def _make(self, tensor: Tensor) -> zoo.Tensor:
        if tensor.data is None:
            return self.model.tensor(tensor.shape, _quant(tensor), tensor.dtype.upper())
        if tensor.scale.size > 1:
            return self.model.constant(tensor.data, scales=tensor.scale, axis=tensor.axis)
        return self.model.constant(tensor.data, _quant(tensor))

    def ints(self, *values: int) -> zoo.Tensor:
        return self.model.constant(np.array(values, np.int32))

    def put(self, op: Operator, *inputs: zoo.Tensor, **options: Any) -> None:
        """The operator with its own data inputs, more inputs and options."""
        own = [None if t is None else self.tensor(t) for t in op.inputs]
        while own and own[-1] is None:
            own.pop()
        self.model.operator(op.kind, [*own, *inputs], [self.tensor(t) for t in op.outputs], **options)

    def _other(self, op: Operator) -> None:
        about = op.attributes
        options: dict[str, Any] = {}
        if "activation" in about:
            options["fusedActivationFunction"] = ACTIVATIONS[about["activation"]]
        if op.kind == "FULLY_CONNECTED":
            options["keepNumDims"] = about["keep_num_dims"]
        options |= {key: about[key] for key in ("alpha", "beta", "axis") if key in about}
        if op.kind not in (*_PLAIN, "FULLY_CONNECTED", "LEAKY_RELU", "SOFTMAX", "CONCATENATION"):
            assert op.kind in ("ADD", "SUB", "MUL"), op.kind
        self.put(op, **options)

    def _squeeze(self, op: Operator) -> None:
        self.put(dataclasses.replace(op, kind="RESHAPE"))

    _expand_dims = _squeeze

    def _conv_2d(self, op: Operator) -> None:
        """With explicit padding: PAD by the zero point, then a VALID convolution."""
        about = op.attributes
        x = op.inputs[0]
        op = dataclasses.replace(op, inputs=[self._padded(op), *op.inputs[1:]])
        depthwise = {"depthMultiplier": about["multiplier"]} if "multiplier" in about else {}
        assert x is not None
        self.put(
            op,
            padding=PADDINGS["VALID"],
            strideH=about["stride"][0],
            strideW=about["stride"][1],
            dilationHFactor=about["dilation"][0],
            dilationWFactor=about["dilation"][1],
            fusedActivationFunction=ACTIVATIONS[about["activation"]],
            **depthwise,
        )

    _depthwise_conv_2d = _conv_2d

    def _padded(self, op: Operator) -> Tensor:
        x, about = op.inputs[0], op.attributes
        assert x is not None
        pads = [(0, 0)]
        for axis in range(2):
            extent = (about["kernel"][axis] - 1) * about["dilation"][axis] + 1
            reach = (op.outputs[0].shape[1 + axis] - 1) * about["stride"][axis] + extent
            before = about["pad"][axis]
            pads.append((before, max(0, reach - before - x.shape[1 + axis])))
        pads.append((0, 0))
        if not any(map(any, pads)):
            return x
        shape = tuple(n + sum(pair) for n, pair in zip(x.shape, pads, strict=True))
        padded = dataclasses.replace(x, shape=shape)
        self._pad(Operator("PAD", -1, [x], [padded], {"pads": tuple(pads), "value": x.zero}))
        return padded

    def _average_pool_2d(self, op: Operator) -> None:
        """SAME or VALID, whichever has the padding."""
        about, x, y = op.attributes, op.inputs[0], op.outputs[0]
        assert x is not None
        same = all(
            -(-n // s) == m for n, s, m in zip(x.shape[1:3], about["stride"], y.shape[1:3], strict=True)
        )
        self.put(
            op,
            padding=PADDINGS["SAME" if same else "VALID"],
            filterHeight=about["kernel"][0],
            filterWidth=about["kernel"][1],
            strideH=about["stride"][0],
            strideW=about["stride"][1],
            fusedActivationFunction=ACTIVATIONS[about["activation"]],
        )

    _max_pool_2d = _average_pool_2d

    def _mean(self, op: Operator) -> None:
        self.put(op, self.ints(*op.attributes["axes"]), keepDims=op.attributes["keep_dims"])

    def _split(self, op: Operator) -> None:
        """Each output a slice of its own."""
        x, about = op.inputs[0], op.attributes
        assert x is not None
        first = 0
        for y, size in zip(op.outputs, about["sizes"], strict=True):
            begin, sizes = [0] * len(x.shape), list(x.shape)
            begin[about["axis"]], sizes[about["axis"]] = first, size
            first += size
            attributes = {"begin": begin, "size": sizes, "strides": [1] * len(x.shape)}
            self._strided_slice(Operator("STRIDED_SLICE", -1, [x], [y], attributes))

    _split_v = _split

    def _strided_slice(self, op: Operator) -> None:
        """Without masks but those that say how an end before the first element is written."""
        about, x, y = op.attributes, op.inputs[0], op.outputs[0]
        assert x is not None
        ends = [b + n * s for b, n, s in zip(about["begin"], about["size"], about["strides"], strict=True)]
        mask = sum(1 << axis for axis, end in enumerate(ends) if end < 0)
        whole = dataclasses.replace(y, shape=tuple(about["size"]))
        operands = (about["begin"], [max(end, 0) for end in ends], about["strides"])
        out = whole if whole.shape != y.shape else y
        self.put(
            dataclasses.replace(op, outputs=[out]), *(self.ints(*each) for each in operands), endMask=mask
        )
        if out is not y:
            self.put(Operator("RESHAPE", -1, [out], [y]))

    def _pad(self, op: Operator) -> None:
        y = op.outputs[0]
        pads = self.model.constant(np.array(op.attributes["pads"], np.int32))
        value = self.model.constant(np.array([op.attributes["value"]], np.int8), _quant(y))
        self.put(dataclasses.replace(op, kind="PADV2"), pads, value)

    _padv2 = _pad

    def _transpose(self, op: Operator) -> None:
        self.put(op, self.ints(*op.attributes["perm"]))

    def _read_variable(self, op: Operator) -> None:
        handle = self.handles[id(op.attributes["variable"])]
        self.model.operator("READ_VARIABLE", [handle], [self.tensor(op.outputs[0])])

    def _assign_variable(self, op: Operator) -> None:
        handle = self.handles[id(op.attributes["variable"])]
        value = op.inputs[0]
        assert value is not None
        self.model.operator("ASSIGN_VARIABLE", [handle, self.tensor(value)], [])


def _quant(tensor: Tensor) -> Quant | None:
    if tensor.scale.size == 0:
        return None
    return Quant(float(tensor.scale[0]), int(tensor.zero_point[0]) if tensor.zero_point.size else 0)
