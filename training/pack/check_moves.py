"""Checks of operators that only move bytes, and of those that read and assign variables."""

from __future__ import annotations

from cicada.training.pack.checks import (
    activation,
    axis_of,
    numbers,
    operands,
    quantised,
    rank,
    same_type,
    shaped,
    tensor,
)
from cicada.training.pack.errors import PackError
from cicada.training.pack.graph import Operator

_BYTES = ("int8", "uint8")


def reshape(operator: Operator) -> None:
    """RESHAPE, EXPAND_DIMS, SQUEEZE: TFLM copies, and takes the output's shape from the file."""
    operands(operator, 1, 2)
    x, y = tensor(operator, 0), operator.outputs[0]
    if x.dtype != "float32":  # a float edge may be reshaped; simplify drops it with its neighbour
        quantised(operator, x, *_BYTES)
        quantised(operator, y, *_BYTES)
    same_type(operator, x, y)
    if x.elements != y.elements:
        raise PackError(
            f"shape {list(x.shape)} has {x.elements} values and {list(y.shape)} has {y.elements}",
            operator,
            y,
        )
    operator.inputs, operator.attributes = [x], {}


def concatenation(operator: Operator) -> None:
    """CONCATENATION (concatenation.cc): all inputs quantised as the output is."""
    operands(operator, 1, 64)
    if None in operator.inputs:
        raise PackError(f"input {operator.inputs.index(None)} is left out", operator)
    activation(operator, "NONE")
    y = operator.outputs[0]
    quantised(operator, y)
    axis = axis_of(operator, int(operator.attributes["axis"]), len(y.shape))
    total = 0
    for number in range(len(operator.inputs)):
        x = tensor(operator, number)
        quantised(operator, x)
        if x.scale[0] != y.scale[0] or x.zero != y.zero:
            raise PackError("its scale or zero point is not that of the output", operator, x)
        if len(x.shape) != len(y.shape):
            raise PackError(f"it has {len(x.shape)} axes, not {len(y.shape)}", operator, x)
        if x.shape[:axis] + x.shape[axis + 1 :] != y.shape[:axis] + y.shape[axis + 1 :]:
            raise PackError(
                f"shape {list(x.shape)} does not fit into {list(y.shape)} along axis {axis}", operator, x
            )
        total += x.shape[axis]
    shaped(operator, y, (*y.shape[:axis], total, *y.shape[axis + 1 :]))
    operator.attributes = {"axis": axis}


def split(operator: Operator) -> None:
    """SPLIT (axis, x) and SPLIT_V (x, sizes, axis): split.cc, split_v.cc."""
    by_size = operator.kind == "SPLIT_V"
    operands(operator, 3 if by_size else 2, outputs=len(operator.outputs))
    x = tensor(operator, 0 if by_size else 1)
    quantised(operator, x)
    given = numbers(operator, tensor(operator, 2 if by_size else 0), 1)
    axis = axis_of(operator, int(given[0]), len(x.shape))
    if not operator.outputs:
        raise PackError("it has no outputs", operator)
    if by_size:
        sizes = [int(n) for n in numbers(operator, tensor(operator, 1))]
        if sizes.count(-1) == 1:
            sizes[sizes.index(-1)] = x.shape[axis] - sum(sizes) - 1
    else:
        sizes = [x.shape[axis] // len(operator.outputs)] * len(operator.outputs)
    if len(sizes) != len(operator.outputs) or sum(sizes) != x.shape[axis] or min(sizes) < 1:
        raise PackError(
            f"{len(operator.outputs)} outputs of sizes {sizes} do not make up the {x.shape[axis]} "
            f"of axis {axis}",
            operator,
            x,
        )
    for size, y in zip(sizes, operator.outputs, strict=True):
        quantised(operator, y)
        shaped(operator, y, (*x.shape[:axis], size, *x.shape[axis + 1 :]))
    operator.inputs, operator.attributes = [x], {"axis": axis, "sizes": tuple(sizes)}


def strided_slice(operator: Operator) -> None:
    """STRIDED_SLICE (strided_slice_common.cc; indices: internal/strided_slice_logic.h)."""
    operands(operator, 4)
    options = operator.attributes
    x, y = tensor(operator, 0), operator.outputs[0]
    quantised(operator, x)
    quantised(operator, y)
    rank(operator, x, 1, 4)
    for name in ("ellipsis_mask", "new_axis_mask", "offset"):
        if options[name]:
            raise PackError(f"{name.replace('_', ' ')} is not supported", operator)
    axes = len(x.shape)
    given = [numbers(operator, tensor(operator, n), axes) for n in (1, 2, 3)]
    if any(one.size != axes for one in given):
        raise PackError(f"begin, end and strides do not have {axes} values each", operator)
    begins, sizes, shape = [], [], []
    for axis, length in enumerate(x.shape):
        begin, end, stride = (int(one[axis]) for one in given)
        if stride == 0:
            raise PackError(f"the stride along axis {axis} is 0", operator)
        shrinks = bool(options["shrink_axis_mask"] >> axis & 1)
        first, last = (0, length) if stride > 0 else (-1, length - 1)
        begin = min(max(begin + length * (begin < 0), first), last)
        end = min(max(end + length * (end < 0), first), last)
        if options["begin_mask"] >> axis & 1:
            begin = 0 if stride > 0 else length - 1
        if options["end_mask"] >> axis & 1:
            end = length if stride > 0 else -1
        if shrinks:
            end, stride = begin + 1, 1
        size = max(0, -(-(end - begin) // stride))
        if size < 1 or not 0 <= begin < length:
            raise PackError(f"it takes nothing of the {length} along axis {axis}", operator, x)
        begins.append(begin)
        sizes.append((size, stride))
        if not shrinks:
            shape.append(size)
    shaped(operator, y, tuple(shape))
    operator.inputs = [x]
    operator.attributes = {
        "begin": tuple(begins),
        "size": tuple(size for size, _ in sizes),
        "strides": tuple(stride for _, stride in sizes),
    }


def pad(operator: Operator) -> None:
    """PAD with the output's zero point, PADV2 with a constant (pad_common.cc)."""
    operands(operator, 2, 3)
    x, y = tensor(operator, 0), operator.outputs[0]
    quantised(operator, x)
    quantised(operator, y)
    rank(operator, x, 1, 5)
    amounts = numbers(operator, tensor(operator, 1))
    if amounts.size != 2 * len(x.shape) or (amounts < 0).any() or (amounts > 65535).any():
        raise PackError(
            f"paddings {amounts.tolist()} are not two numbers for each of {len(x.shape)} axes", operator
        )
    pads = tuple((int(a), int(b)) for a, b in amounts.reshape(-1, 2))
    shaped(operator, y, tuple(n + sum(pair) for n, pair in zip(x.shape, pads, strict=True)))
    value = y.zero
    if len(operator.inputs) == 3 and operator.inputs[2] is not None:
        constant = tensor(operator, 2)
        quantised(operator, constant)
        if constant.data is None or constant.elements != 1:
            raise PackError("the value to pad with is not one constant", operator, constant)
        if constant.scale[0] != y.scale[0] or constant.zero != y.zero:
            raise PackError("its scale or zero point is not that of the output", operator, constant)
        value = int(constant.data.reshape(-1)[0])
    operator.inputs, operator.attributes = [x], {"pads": pads, "value": value}


def transpose(operator: Operator) -> None:
    """TRANSPOSE (transpose_common.cc)."""
    operands(operator, 2)
    x, y = tensor(operator, 0), operator.outputs[0]
    quantised(operator, x)
    quantised(operator, y)
    rank(operator, x, 1, 5)
    perm = tuple(int(n) for n in numbers(operator, tensor(operator, 1)))
    if sorted(perm) != list(range(len(x.shape))):
        raise PackError(f"{list(perm)} is no permutation of {len(x.shape)} axes", operator)
    shaped(operator, y, tuple(x.shape[axis] for axis in perm))
    operator.inputs, operator.attributes = [x], {"perm": perm}


def read_variable(operator: Operator) -> None:
    """READ_VARIABLE; its handle is known to the reader and no input."""
    operands(operator, 0)
    quantised(operator, operator.outputs[0])


def assign_variable(operator: Operator) -> None:
    """ASSIGN_VARIABLE likewise."""
    operands(operator, 1, outputs=0)
    quantised(operator, tensor(operator, 0))
