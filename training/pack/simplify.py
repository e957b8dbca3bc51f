"""Rewrites of a graph that leave every byte of its output as it is.

Float edges are dropped: an input that is quantised first, or an output that is dequantised last, becomes the
quantised tensor itself. What changes no byte becomes a RESHAPE, or nothing. PAD goes into the convolution
after it, RELU and RELU6 into the operator before them, and what nobody uses is left out.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from cicada.training.pack import quantise, tables
from cicada.training.pack.errors import PackError
from cicada.training.pack.graph import Graph, Operator, Tensor

_RESHAPES = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE")
_CLAMPED = (
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "ADD",
    "SUB",
    "MUL",
    "AVERAGE_POOL_2D",
    "MAX_POOL_2D",
)
_ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")


def simplify(graph: Graph) -> Graph:
    """A graph that computes the same bytes with less.

    RESHAPE stands for EXPAND_DIMS and SQUEEZE too afterwards, and no tensor is float32. The given graph stays
    as it is.

    Raises:
        PackError: if float32 is used anywhere but at the edges.
    """
    operators = [
        Operator(op.kind, op.index, list(op.inputs), list(op.outputs), dict(op.attributes))
        for op in graph.operators
    ]
    graph = Graph(graph.input, graph.output, operators, list(graph.variables), graph.macs)
    _quantised_input(graph)
    _quantised_output(graph)
    count = -1
    while count != len(graph.operators):
        count = len(graph.operators)
        for rewrite in (_neutral, _bypass, _constants, _pads, _activations, _unused):
            rewrite(graph)
    _no_floats(graph)
    return graph


def _quantised_input(graph: Graph) -> None:
    """A float input becomes what the QUANTIZE behind it makes, in the input's shape."""
    tensor = graph.input
    if tensor.dtype != "float32":
        return
    passed = []
    while tensor.dtype == "float32":
        users = [op for op in graph.operators if tensor in op.inputs]
        if len(users) != 1 or users[0].kind not in ("QUANTIZE", *_RESHAPES) or tensor is graph.output:
            raise PackError("a float32 input must go into one QUANTIZE, and nowhere else", tensor=tensor)
        passed.append(users[0])
        tensor = users[0].outputs[0]
    put = []
    if tensor.shape != graph.input.shape:
        tensor = dataclasses.replace(tensor, index=-1, shape=graph.input.shape)
        put = [Operator("RESHAPE", -1, [tensor], [passed[-1].outputs[0]])]
    graph.operators = put + [op for op in graph.operators if op not in passed]
    graph.input = tensor


def _quantised_output(graph: Graph) -> None:
    """A float output becomes what the DEQUANTIZE before it takes, in the output's shape."""
    tensor = graph.output
    while tensor.dtype == "float32":
        maker = next((op for op in graph.operators if tensor in op.outputs), None)
        if maker is None or maker.kind not in ("DEQUANTIZE", *_RESHAPES) or maker.inputs[0] is None:
            raise PackError("a float32 output must come out of a DEQUANTIZE", tensor=graph.output)
        tensor = maker.inputs[0]
    if tensor.shape != graph.output.shape or tensor is graph.input:
        shaped = dataclasses.replace(tensor, index=-1, shape=graph.output.shape, data=None)
        graph.operators.append(Operator("RESHAPE", -1, [tensor], [shaped]))
        tensor = shaped
    graph.output = tensor


def _no_floats(graph: Graph) -> None:
    for op in graph.operators:
        for tensor in (*op.inputs, *op.outputs):
            if tensor is not None and tensor.dtype == "float32":
                raise PackError("float32 is supported only at the model's input and output", op, tensor)


def _neutral(graph: Graph) -> None:
    """What copies all bytes in their order becomes RESHAPE."""
    for op in graph.operators:
        if op.kind != "RESHAPE" and len(op.outputs) == 1 and _copies(op):
            op.kind, op.attributes = "RESHAPE", {}


def _copies(op: Operator) -> bool:
    x = op.inputs[0] if op.inputs else None
    if x is None or x.elements != op.outputs[0].elements:
        return False
    if op.kind in ("SPLIT", "SPLIT_V", "CONCATENATION", "PAD", "PADV2", *_RESHAPES):
        return True  # all of it, as the numbers of elements are equal
    if op.kind == "STRIDED_SLICE":
        steps = zip(op.attributes["strides"], x.shape, strict=True)
        return all(stride > 0 or n == 1 for stride, n in steps)
    if op.kind == "TRANSPOSE":
        moved = [axis for axis in op.attributes["perm"] if x.shape[axis] > 1]
        return moved == sorted(moved)
    if op.kind in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        return op.attributes["kernel"] == (1, 1) and quantise.pool_range(op) == (-128, 127)
    table = tables.unary(op)
    return table is not None and tables.is_identity(table)


def _bypass(graph: Graph) -> None:
    """A RESHAPE takes what an earlier one took; one that changes nothing is left out."""
    source: dict[Tensor, Tensor] = {}  # what a RESHAPE's output is a copy of
    same: dict[Tensor, Tensor] = {}  # what stands for a tensor
    kept = []
    for op in graph.operators:
        op.inputs = [None if t is None else same.get(t, t) for t in op.inputs]
        if op.kind == "RESHAPE":
            x, y = op.inputs[0], op.outputs[0]
            assert x is not None
            x = source.get(x, x)
            op.inputs[0] = source[y] = x
            if _alike(x, y) and not (y is graph.output and (x is graph.input or x.data is not None)):
                same[y] = x
                continue
        kept.append(op)
    graph.operators = kept
    graph.output = same.get(graph.output, graph.output)


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and _same_values(one, other)


def _same_values(one: Tensor, other: Tensor) -> bool:
    """Whether equal bytes of two tensors stand for equal values."""
    return (
        one.dtype == other.dtype
        and np.array_equal(one.scale, other.scale)
        and np.array_equal(one.zero_point, other.zero_point)
    )


def _constants(graph: Graph) -> None:
    """RESHAPE and functions of one value of a constant are constants."""
    known: dict[Tensor, Tensor] = {}
    kept = []
    for op in graph.operators:
        op.inputs = [None if t is None else known.get(t, t) for t in op.inputs]
        x = op.inputs[0] if op.inputs else None
        y = op.outputs[0] if op.outputs else None
        if x is None or x.data is None or y is None or y is graph.output:
            kept.append(op)
            continue
        table = tables.unary(op)
        if op.kind == "RESHAPE":
            known[y] = dataclasses.replace(y, data=x.data.reshape(y.shape))
        elif table is not None:
            known[y] = dataclasses.replace(y, data=table[x.data.view(np.uint8)].view(y.dtype))
        else:
            kept.append(op)
    graph.operators = kept


def _pads(graph: Graph) -> None:
    """PAD with the zero point goes into a convolution's own padding, whose taps add nothing either."""
    padded = {op.outputs[0]: op for op in graph.operators if op.kind in ("PAD", "PADV2")}
    for op in graph.operators:
        y = op.inputs[0] if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D") else None
        if y is None or y not in padded:
            continue
        x, about = padded[y].inputs[0], padded[y].attributes
        assert x is not None
        outer, *inner, channels = about["pads"]
        if about["value"] != y.zero or not _same_values(x, y) or any((*outer, *channels)):
            continue
        pad = tuple(own + before for own, (before, _) in zip(op.attributes["pad"], inner, strict=True))
        if _reaches(op, x, pad):
            op.inputs[0], op.attributes["pad"] = x, pad


def _reaches(op: Operator, x: Tensor, pad: tuple[int, ...]) -> bool:
    """Whether every row and column of kernels would still touch the input, as the machine wants it."""
    about = op.attributes
    out = op.outputs[0].shape[1:3]
    for axis in range(2):
        extent = (about["kernel"][axis] - 1) * about["dilation"][axis] + 1
        after = (out[axis] - 1) * about["stride"][axis] + extent - pad[axis] - x.shape[1 + axis]
        if max(pad[axis], after) >= extent:
            return False
    return True


def _activations(graph: Graph) -> None:
    """RELU and RELU6 become the limits of the operator before them, if nobody else sees its output."""
    makers: dict[Tensor, Operator] = {}
    kept = []
    uses = _uses(graph)
    for op in graph.operators:
        x = op.inputs[0] if op.kind in ("RELU", "RELU6") else None
        maker = makers.get(x) if x is not None and uses[x] == 1 else None
        name = None if maker is None else _joint_activation(maker, op)
        if maker is None or name is None:
            kept.append(op)
            makers |= {y: op for y in op.outputs}
            continue
        maker.attributes["activation"], maker.outputs = name, op.outputs
        makers[op.outputs[0]] = maker
    graph.operators = kept


def _joint_activation(maker: Operator, op: Operator) -> str | None:
    """The fused activation that does what ``maker`` and then ``op`` do, if there is one."""
    x, y = maker.outputs[0] if maker.outputs else None, op.outputs[0]
    if maker.kind not in _CLAMPED or x is None or not _same_values(x, y):
        return None
    table = tables.unary(op)
    assert table is not None
    scale, zero = float(y.scale[0]), y.zero
    low, high = quantise.activation_range(maker.attributes["activation"], scale, zero, y.dtype)
    values = np.arange(low, high + 1)
    outputs = table[values & 0xFF].view(np.int8).astype(int)
    bounds = int(outputs[0]), int(outputs[-1])
    if not np.array_equal(outputs, np.clip(values, *bounds)):
        return None
    for name in _ACTIVATIONS:
        if quantise.activation_range(name, scale, zero, y.dtype) == bounds:
            return name
    return None


def _uses(graph: Graph) -> dict[Tensor, int]:
    uses: dict[Tensor, int] = {}
    for op in graph.operators:
        for tensor in (*op.inputs, *op.outputs):
            if tensor is not None:
                uses[tensor] = uses.get(tensor, 0) + (tensor in op.inputs)
    uses[graph.output] = uses.get(graph.output, 0) + 1
    return uses


def _unused(graph: Graph) -> None:
    """Leave out what computes nothing that is used, and variables that nobody reads."""
    read = {id(op.attributes["variable"]) for op in graph.operators if op.kind == "READ_VARIABLE"}
    needed, kept = {graph.output}, []
    for op in reversed(graph.operators):
        if op.kind == "ASSIGN_VARIABLE":
            used = id(op.attributes["variable"]) in read
        else:
            used = any(y in needed for y in op.outputs)
        if used:
            kept.append(op)
            needed |= {x for x in op.inputs if x is not None}
    graph.operators = kept[::-1]
    graph.variables = [variable for variable in graph.variables if id(variable) in read]
