"""What the checks of single operators share: operands, types, quantisation and shapes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cicada.training.pack.errors import PackError
from cicada.training.pack.graph import Operator, Tensor

_RANGES = {"int8": (-128, 127), "uint8": (0, 255)}


def operands(operator: Operator, least: int, most: int | None = None, outputs: int = 1) -> None:
    """See that an operator has so many inputs (the first ``least`` of them not left out) and outputs."""
    most = least if most is None else most
    given = len(operator.inputs)
    if not least <= given <= most:
        raise PackError(
            f"it has {given} inputs, not {least}" + (f" to {most}" if most > least else ""), operator
        )
    if None in operator.inputs[:least]:
        raise PackError(f"input {operator.inputs.index(None)} is left out", operator)
    if len(operator.outputs) != outputs:
        raise PackError(f"it has {len(operator.outputs)} outputs, not {outputs}", operator)


def tensor(operator: Operator, number: int) -> Tensor:
    """Input ``number``, which :func:`operands` has found to be there."""
    found = operator.inputs[number]
    assert found is not None
    return found


def quantised(operator: Operator | None, one: Tensor, *dtypes: str) -> None:
    """See that a tensor is int8 (or of ``dtypes``) with one scale and one zero point in range."""
    allowed = dtypes or ("int8",)
    if one.dtype not in allowed:
        raise PackError(f"it is {one.dtype}, not {' or '.join(allowed)}", operator, one)
    if one.scale.size != 1:
        raise PackError(f"it has {one.scale.size} scales, and one is needed", operator, one)
    scales(operator, one)
    low, high = _RANGES[one.dtype]
    if not low <= one.zero <= high:
        raise PackError(f"zero point {one.zero} is not {low} to {high}", operator, one)


def scales(operator: Operator | None, one: Tensor) -> None:
    """See that scales are finite and positive, and that there is a zero point for each, or one for all."""
    if not (np.isfinite(one.scale).all() and (one.scale > 0).all()):
        raise PackError("a scale is not a positive number", operator, one)
    if one.zero_point.size not in (1, one.scale.size):
        raise PackError(
            f"it has {one.scale.size} scales and {one.zero_point.size} zero points", operator, one
        )
    one.zero_point = np.broadcast_to(one.zero_point, one.scale.shape)


def numbers(operator: Operator, one: Tensor, most: int = 64) -> NDArray[np.int64]:
    """The content of a constant int32 operand, flat.

    Raises:
        PackError: if it is computed, of another type, or has more than ``most`` elements.
    """
    if one.data is None:
        raise PackError("it is not a constant", operator, one)
    if one.dtype != "int32":
        raise PackError(f"it is {one.dtype}, not int32", operator, one)
    if one.elements > most:
        raise PackError(f"it has {one.elements} elements, more than {most}", operator, one)
    return np.asarray(one.data, np.int64).reshape(-1)


def axis_of(operator: Operator, axis: int, rank: int) -> int:
    """An axis counted from the front, from one that may be negative."""
    if not -rank <= axis < rank:
        raise PackError(f"axis {axis} of a tensor with {rank} axes", operator)
    return axis % rank


def shaped(operator: Operator, one: Tensor, shape: tuple[int, ...]) -> None:
    """See that an output has the shape that the inputs and options give."""
    if one.shape != shape:
        raise PackError(f"it has shape {list(one.shape)}, and its inputs give {list(shape)}", operator, one)


def rank(operator: Operator | None, one: Tensor, least: int, most: int | None = None) -> None:
    """See that a tensor has so many axes."""
    most = least if most is None else most
    if not least <= len(one.shape) <= most:
        wanted = f"{least}" if most == least else f"{least} to {most}"
        raise PackError(f"it has {len(one.shape)} axes, not {wanted}", operator, one)


def same_type(operator: Operator, one: Tensor, other: Tensor) -> None:
    """See that bytes that are only moved keep their type."""
    if one.dtype != other.dtype:
        raise PackError(f"it is {other.dtype}, and its input is {one.dtype}", operator, other)


def activation(operator: Operator, *allowed: str) -> None:
    """See that the fused activation is one that quantised kernels know."""
    found = operator.attributes["activation"]
    if found not in (allowed or ("NONE", "RELU", "RELU_N1_TO_1", "RELU6")):
        raise PackError(f"the fused activation {found} is not supported", operator)
