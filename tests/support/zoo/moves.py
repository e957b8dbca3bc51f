"""Operators that move bytes and compute nothing. All keep scale and zero point."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np

from support.zoo.model import Model, Tensor


def ints(model: Model, values: Sequence[int]) -> Tensor:
    """An int32 constant."""
    return model.constant(np.array(values, np.int32))


def reshape(model: Model, x: Tensor, shape: Sequence[int], free: bool = False) -> Tensor:
    """RESHAPE; with ``free`` the shape in the file leaves the largest dimension open, as -1."""
    assert math.prod(shape) == x.elements
    asked = list(shape)
    if free:
        asked[asked.index(max(asked))] = -1
    y = model.tensor(shape, x.quant, x.dtype)
    model.operator("RESHAPE", [x, ints(model, asked)], [y], newShape=asked)
    return y


def concatenate(model: Model, parts: Sequence[Tensor], axis: int) -> Tensor:
    """CONCATENATION of tensors with one quantisation."""
    assert len({part.quant for part in parts}) == 1
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    y = model.tensor(shape, parts[0].quant)
    model.operator("CONCATENATION", list(parts), [y], axis=axis)
    return y


def split(model: Model, x: Tensor, axis: int, count: int) -> list[Tensor]:
    """SPLIT into ``count`` equal parts; ``axis`` is not negative, TFLM takes no other."""
    shape = list(x.shape)
    shape[axis] //= count
    parts = [model.tensor(shape, x.quant) for _ in range(count)]
    model.operator("SPLIT", [ints_scalar(model, axis), x], parts, numSplits=count)
    return parts


def split_v(model: Model, x: Tensor, axis: int, sizes: Sequence[int], free: bool = False) -> list[Tensor]:
    """SPLIT_V into parts of ``sizes``; with ``free`` the last one is written as -1."""
    parts = []
    for size in sizes:
        shape = list(x.shape)
        shape[axis] = size
        parts.append(model.tensor(shape, x.quant))
    written = [*sizes[:-1], -1] if free else list(sizes)
    model.operator(
        "SPLIT_V", [x, ints(model, written), ints_scalar(model, axis)], parts, numSplits=len(parts)
    )
    return parts


def ints_scalar(model: Model, value: int) -> Tensor:
    """An int32 constant without dimensions."""
    return model.constant(np.array(value, np.int32))


def strided_slice(
    model: Model,
    x: Tensor,
    begin: Sequence[int],
    end: Sequence[int],
    strides: Sequence[int],
    begin_mask: int = 0,
    end_mask: int = 0,
    shrink_mask: int = 0,
) -> Tensor:
    """STRIDED_SLICE; numpy's slices have the same meaning but for indices that are masked."""
    shape = []
    for axis, size in enumerate(x.shape):
        bit = 1 << axis
        if shrink_mask & bit:
            continue
        piece = slice(
            None if begin_mask & bit else begin[axis], None if end_mask & bit else end[axis], strides[axis]
        )
        shape.append(len(range(*piece.indices(size))))
    y = model.tensor(shape, x.quant)
    model.operator(
        "STRIDED_SLICE",
        [x, ints(model, begin), ints(model, end), ints(model, strides)],
        [y],
        beginMask=begin_mask,
        endMask=end_mask,
        shrinkAxisMask=shrink_mask,
    )
    return y


def random_slice(
    model: Model, rng: random.Random, x: Tensor, steps: bool = True, shrink: bool = True
) -> Tensor:
    """A slice of at least one value: masks, negative indices and, if allowed, steps, lost dimensions."""
    begin, end, strides = [], [], []
    masks = [0, 0, 0]  # of begin, end, lost dimensions
    for axis, size in enumerate(x.shape):
        step = rng.choice([1, 1, 1, 2, 3, -1, -2]) if steps and axis else 1
        low = rng.randint(0, size - 1)
        high = rng.randint(low, size - 1)  # the last index that is taken
        first, last = (low, high + 1) if step > 0 else (high, low - 1)
        if step < 0 and last < 0:
            last = -size - 1  # -1 would be the last value
        elif 0 < last < size and rng.random() < 0.3:
            last -= size
        if rng.random() < 0.3:
            first -= size
        if shrink and axis and step == 1 and rng.random() < 0.1:
            masks[2] |= 1 << axis
        elif rng.random() < 0.5:
            chosen = rng.choice([(0,), (1,), (0, 1)])  # what it masks means nothing any more
            for which in chosen:
                masks[which] |= 1 << axis
        begin.append(first)
        end.append(last)
        strides.append(step)
    return strided_slice(model, x, begin, end, strides, *masks)


def pad(model: Model, x: Tensor, amounts: Sequence[tuple[int, int]], value: int | None = None) -> Tensor:
    """PAD with the zero point, or PADV2 with ``value``."""
    shape = [n + before + after for n, (before, after) in zip(x.shape, amounts, strict=True)]
    y = model.tensor(shape, x.quant)
    inputs = [x, model.constant(np.array(amounts, np.int32))]
    if value is not None:
        inputs.append(model.constant(np.array(value, np.int8), x.quant))
    model.operator("PAD" if value is None else "PADV2", inputs, [y])
    return y


def expand(model: Model, x: Tensor, axis: int) -> Tensor:
    """EXPAND_DIMS: a dimension of 1 before ``axis``."""
    y = model.tensor((*x.shape[:axis], 1, *x.shape[axis:]), x.quant)
    model.operator("EXPAND_DIMS", [x, ints(model, [axis])], [y])
    return y


def squeeze(model: Model, x: Tensor, axes: Sequence[int]) -> Tensor:
    """SQUEEZE: dimensions of 1 go."""
    y = model.tensor([n for axis, n in enumerate(x.shape) if axis not in axes], x.quant)
    model.operator("SQUEEZE", [x], [y], squeezeDims=list(axes))
    return y


def transpose(model: Model, x: Tensor, order: Sequence[int]) -> Tensor:
    """TRANSPOSE."""
    y = model.tensor([x.shape[axis] for axis in order], x.quant)
    model.operator("TRANSPOSE", [x, ints(model, order)], [y])
    return y
