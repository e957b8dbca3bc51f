"""From a ``.tflite`` file to a checked :class:`~cicada.training.pack.graph.Graph`.

What an operator's ``inputs`` and ``attributes`` hold once it is read. Pairs are (rows, columns). Operands
that only say how (axes, shapes, sizes, permutations) are attributes and no inputs any more.

======================  ================================  ====================================================
kind                    inputs                            attributes
======================  ================================  ====================================================
CONV_2D                 x, weights [n,kh,kw,c], bias [n]  kernel, stride, dilation, pad (before: top, left),
                        or None                           activation
DEPTHWISE_CONV_2D       x, weights [1,kh,kw,c*m], bias    the same, and multiplier (m)
FULLY_CONNECTED         x, weights [n,k], bias or None    activation, keep_num_dims
AVERAGE_POOL_2D         x                                 kernel, stride, pad, activation
MAX_POOL_2D             x                                 kernel, stride, pad, activation
ADD, SUB, MUL           a, b (shapes broadcast; either    activation
                        may be constant)
MEAN                    x                                 axes (ascending, not negative), keep_dims
SOFTMAX                 x (over its last axis)            beta
LEAKY_RELU              x                                 alpha
LOGISTIC, TANH, RELU,   x                                 none
RELU6, HARD_SWISH,
QUANTIZE, DEQUANTIZE
RESHAPE, EXPAND_DIMS,   x                                 none: the bytes stay, the shape is the output's
SQUEEZE
CONCATENATION           all (some may be constant)        axis (not negative)
SPLIT, SPLIT_V          x                                 axis (not negative), sizes (one an output)
STRIDED_SLICE           x                                 begin, size, strides: one number an axis of x;
                                                          element i along it is x[begin + i * stride].
                                                          Axes that the output lacks have size 1.
PAD, PADV2              x                                 pads ((before, after) an axis), value (int8)
TRANSPOSE               x                                 perm: output axis i is x's axis perm[i]
READ_VARIABLE           none                              variable
ASSIGN_VARIABLE         x                                 variable
======================  ================================  ====================================================

``activation`` is "NONE", "RELU", "RELU_N1_TO_1" or "RELU6". Activations are int8 with one scale; uint8 comes
only out of QUANTIZE, into QUANTIZE, and through operators that keep bytes; float32 only into a QUANTIZE and
out of a DEQUANTIZE. Constants are in ``Tensor.data``; weights, biases and constant operands are checked.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cicada.training.pack.checks import quantised, rank
from cicada.training.pack.errors import PackError, short
from cicada.training.pack.flat import FlatModel, RawGraph, RawOperator
from cicada.training.pack.graph import Graph, Operator, Tensor, Variable
from cicada.training.pack.validate import check

#: Elements of one tensor, and of all variables. No device that this serves has as much memory.
MAX_ELEMENTS = 1 << 23
#: Elements of all constants, counted at every operator that uses them.
MAX_CONSTANTS = 1 << 24

_DTYPES = {
    "int8": np.int8,
    "uint8": np.uint8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "float32": np.float32,
}


def read(model: bytes) -> Graph:
    """Read and check a model.

    Args:
        model: the ``.tflite`` file.

    Raises:
        PackError: if it is damaged, uses what the compiler does not know, or says what TFLite Micro would not
            run or would run out of bounds.
    """
    flat = FlatModel(model)
    reader = _Reader(flat, flat.graph(0))
    return reader.read()


class _Tensors:
    """The tensors of one subgraph, made when they are first asked for."""

    def __init__(self, raw: RawGraph) -> None:
        self._raw = raw
        self._made: dict[int, Tensor] = {}

    def __call__(self, number: int, operator: Operator | None = None) -> Tensor:
        if number not in self._made:
            self._made[number] = self._make(number, operator)
        return self._made[number]

    def _make(self, number: int, operator: Operator | None) -> Tensor:
        raw = self._raw.tensor(number)
        # A batch that the file leaves open is one clip at a time.
        shape = tuple(1 if n == -1 and axis == 0 else n for axis, n in enumerate(raw.shape))
        tensor = Tensor(raw.name, number, shape, raw.dtype, raw.scale, raw.zero_point, raw.axis)
        if raw.sparse:
            raise PackError("its content is stored sparsely, which is not supported", operator, tensor)
        if raw.variable:
            raise PackError("a variable tensor of old style is not supported", operator, tensor)
        if any(n < 1 for n in shape):
            raise PackError(f"shape {list(shape)} has a dimension that is not positive", operator, tensor)
        if math.prod(shape) > MAX_ELEMENTS:
            raise PackError(f"shape {list(shape)} has more than {MAX_ELEMENTS} elements", operator, tensor)
        if raw.data is not None:
            tensor.data = _content(tensor, raw.data, operator)
        return tensor


def _content(tensor: Tensor, data: NDArray[np.uint8], operator: Operator | None) -> NDArray:
    if tensor.dtype not in _DTYPES:
        raise PackError(f"a constant of {tensor.dtype} is not supported", operator, tensor)
    dtype = np.dtype(_DTYPES[tensor.dtype]).newbyteorder("<")
    needed = tensor.elements * dtype.itemsize
    if data.size != needed:
        raise PackError(
            f"its content has {data.size} bytes, and shape {list(tensor.shape)} of {tensor.dtype} "
            f"needs {needed}",
            operator,
            tensor,
        )
    return np.frombuffer(data, dtype).reshape(tensor.shape)


class _Reader:
    """Reads the main subgraph of a model."""

    def __init__(self, flat: FlatModel, raw: RawGraph) -> None:
        self.flat = flat
        self.raw = raw
        self.tensor = _Tensors(raw)
        self.handles: dict[int, str] = {}  # tensor of a VAR_HANDLE: the variable's name
        self.contained: set[bool] = set()  # whether variables have containers
        self.variables: dict[str, Variable] = {}
        self.assigned: dict[str, tuple[Operator, Tensor]] | None = None  # by CALL_ONCE
        self.constants = 0

    def read(self) -> Graph:
        if len(self.raw.inputs) != 1 or len(self.raw.outputs) != 1:
            raise PackError(
                f"the model has {len(self.raw.inputs)} inputs and {len(self.raw.outputs)} outputs; "
                "one of each is supported"
            )
        if min(self.raw.inputs + self.raw.outputs) < 0:
            raise PackError("the model's input or output is no tensor")
        given = self.tensor(self.raw.inputs[0])
        if given.data is not None:
            raise PackError("the model's input is a constant", tensor=given)
        if len(given.shape) > 2 and given.shape[0] != 1:
            raise PackError(f"a batch of {given.shape[0]} is not supported, only of 1", tensor=given)
        known = {id(given)}
        operators = []
        for index, raw in enumerate(self.raw.operators):
            operator = self._operator(index, raw)
            if operator is None:
                continue
            self._flows(operator, known)
            operators.append(operator)
        self._initialise(operators)
        wanted = self.tensor(self.raw.outputs[0])
        if id(wanted) not in known:
            raise PackError("no operator computes the model's output", tensor=wanted)
        for edge in (given, wanted):
            rank(None, edge, 0, 6)
            if edge.dtype != "float32":
                quantised(None, edge, "int8", "uint8")
        return Graph(given, wanted, operators, list(self.variables.values()), sum(map(macs, operators)))

    def _operator(self, index: int, raw: RawOperator) -> Operator | None:
        """A checked operator, or None for one that only names or sets variables."""
        operator = Operator(raw.kind, index, [], [], dict(raw.options))
        if raw.kind == "CALL_ONCE":
            self._call_once(operator)
            return None
        if raw.kind == "VAR_HANDLE":
            self._name_handle(operator, raw, self.tensor, self.handles)
            return None
        inputs = list(raw.inputs)
        if raw.kind in ("READ_VARIABLE", "ASSIGN_VARIABLE"):
            name = handle_of(operator, inputs, self.handles)
            inputs = inputs[1:]
        operator.inputs = [None if n < 0 else self.tensor(n, operator) for n in inputs]
        if min(raw.outputs, default=0) < 0:
            raise PackError("an output is left out", operator)
        operator.outputs = [self.tensor(n, operator) for n in raw.outputs]
        self.constants += sum(t.elements for t in operator.inputs if t is not None and t.data is not None)
        if self.constants > MAX_CONSTANTS:
            raise PackError(f"the constants have more than {MAX_CONSTANTS} elements together", operator)
        check(operator)
        if raw.kind in ("READ_VARIABLE", "ASSIGN_VARIABLE"):
            operator.attributes = {"variable": self._variable(name, operator)}
        return operator

    def _flows(self, operator: Operator, known: set[int]) -> None:
        """See that inputs are computed before they are used, and outputs only once."""
        for tensor in operator.inputs:
            if tensor is not None and tensor.data is None and id(tensor) not in known:
                raise PackError("it is used before any operator computes it", operator, tensor)
        for tensor in operator.outputs:
            if tensor.data is not None:
                raise PackError("an operator's output is a constant", operator, tensor)
            if id(tensor) in known:
                raise PackError("it is computed twice", operator, tensor)
            known.add(id(tensor))

    def _variable(self, name: str, operator: Operator) -> Variable:
        """The variable that an operator reads or assigns, made at the first of them."""
        value = (operator.inputs or operator.outputs)[0]
        assert value is not None
        if name not in self.variables:
            if sum(v.tensor.elements for v in self.variables.values()) + value.elements > MAX_ELEMENTS:
                raise PackError(f"the variables have more than {MAX_ELEMENTS} elements", operator, value)
            self.variables[name] = Variable(name, value, np.zeros(value.shape, np.int8))
        variable = self.variables[name]
        if variable.tensor.shape != value.shape:
            raise PackError(
                f"variable '{short(name)}' has shape {list(variable.tensor.shape)}, not {list(value.shape)}",
                operator,
                value,
            )
        return variable

    def _initialise(self, operators: list[Operator]) -> None:
        """Set variables to what CALL_ONCE assigns, else to the zero point of what is assigned to them first.

        The latter as micro_resource_variable.cc does.
        """
        assigning = {
            op.attributes["variable"].name: op for op in operators[::-1] if op.kind == "ASSIGN_VARIABLE"
        }
        for name, variable in self.variables.items():
            if name in (self.assigned or {}):
                by, constant = self.assigned[name]
                if constant.shape != variable.tensor.shape:
                    raise PackError(
                        f"it sets variable '{short(name)}' to shape {list(constant.shape)}, not "
                        f"{list(variable.tensor.shape)}",
                        by,
                        constant,
                    )
                variable.initial = np.array(constant.data, np.int8)
            elif name in assigning:
                value = assigning[name].inputs[0]
                assert value is not None
                variable.initial = np.full(value.shape, value.zero, np.int8)
            else:
                raise PackError(
                    f"variable '{short(name)}' is read and never assigned", tensor=variable.tensor
                )

    def _name_handle(
        self, operator: Operator, raw: RawOperator, tensor: _Tensors, handles: dict[int, str]
    ) -> None:
        """Note which variable the output of a VAR_HANDLE stands for."""
        if len(raw.outputs) != 1 or raw.outputs[0] < 0:
            raise PackError("VAR_HANDLE does not have one output", operator)
        handle = tensor(raw.outputs[0], operator)
        if handle.dtype != "resource" or handle.elements != 1:
            raise PackError(f"a variable's handle is {handle.dtype}, not one resource", operator, handle)
        container, name = raw.options["container"], raw.options["name"]
        if not name:
            raise PackError("a variable has no name", operator, handle)
        self.contained.add(container is not None)
        if len(self.contained) > 1:  # TFLM would compare a container's name with none, and crash
            raise PackError("some variables have a container and some have none", operator, handle)
        handles[raw.outputs[0]] = f"{container}/{name}" if container else name

    def _call_once(self, operator: Operator) -> None:
        """Run a subgraph that does nothing but assign constants to variables."""
        if self.variables:
            raise PackError("it comes after variables are used", operator)
        if self.assigned is not None:
            raise PackError("a second one is not supported", operator)
        number = operator.attributes["graph"]
        if not 0 < number < self.flat.graphs:
            raise PackError(f"it calls subgraph {number} of {self.flat.graphs}", operator)
        graph = self.flat.graph(number)
        tensor, handles, self.assigned = _Tensors(graph), {}, {}
        for raw in graph.operators:
            if raw.kind == "VAR_HANDLE":
                self._name_handle(operator, raw, tensor, handles)
            elif raw.kind == "ASSIGN_VARIABLE" and len(raw.inputs) == 2 and min(raw.inputs) >= 0:
                constant = tensor(raw.inputs[1], operator)
                if constant.data is None or constant.dtype != "int8":
                    raise PackError("it assigns what is not an int8 constant", operator, constant)
                self.assigned[handle_of(operator, list(raw.inputs), handles)] = operator, constant
            else:
                raise PackError(f"its subgraph holds {raw.kind}, not only assignments of constants", operator)


def handle_of(operator: Operator, inputs: list[int], handles: dict[int, str]) -> str:
    """The name of the variable whose handle is the first input."""
    if not inputs or inputs[0] not in handles:
        raise PackError("its first input is not a VAR_HANDLE's output", operator)
    return handles[inputs[0]]


def macs(operator: Operator) -> int:
    """Multiply-accumulates of one operator, counted as :func:`cicada.training.flatbuffer.macs` does."""
    if operator.kind not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return 0
    weights = operator.inputs[1]
    assert weights is not None
    taps = {
        "CONV_2D": weights.shape[1:],
        "DEPTHWISE_CONV_2D": weights.shape[1:3],
        "FULLY_CONNECTED": weights.shape[-1:],
    }
    return operator.outputs[0].elements * math.prod(taps[operator.kind])
