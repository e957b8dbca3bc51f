"""Pools, means, softmax and operators on single values as machine operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cicada.training.pack import quantise
from cicada.training.pack.errors import PackError
from cicada.training.pack.graph import Operator, Tensor
from cicada.training.pack.lower_memory import Memory
from cicada.training.pack.program import Binary, Lut, Mean, Pool, Ring, Softmax, View, Window
from cicada.training.pack.views import Layout, flat_shape

#: The sum of so many exponentials fits its fixed-point format (firmware/engine/runtime/softmax.c).
SOFTMAX_CHANNELS = 4095


def pool(memory: Memory, operator: Operator) -> None:
    """AVERAGE_POOL_2D and MAX_POOL_2D."""
    source, output = _ends(operator)
    attributes = operator.attributes
    low, high = quantise.pool_range(operator)
    memory.add(
        Pool(
            output.name,
            input=memory.view(source, *source.shape[1:]),
            output=memory.out(output, *output.shape[1:]),
            window=Window(
                tuple(attributes["kernel"]), tuple(attributes["stride"]), (1, 1), tuple(attributes["pad"])
            ),
            largest=operator.kind == "MAX_POOL_2D",
            low=low,
            high=high,
        ),
        output,
    )


def softmax(memory: Memory, operator: Operator) -> None:
    """SOFTMAX over the last dimension."""
    source, output = _ends(operator)
    channels = source.shape[-1]
    if channels > SOFTMAX_CHANNELS:
        raise PackError(
            f"a softmax of more than {SOFTMAX_CHANNELS} values is not supported", operator, source
        )
    shape = (source.elements // channels, 1, channels)
    memory.add(
        Softmax(
            output.name,
            input=memory.view(source, *shape),
            output=memory.out(output, *shape),
            **quantise.softmax_numbers(operator),
        ),
        output,
    )


def mean(memory: Memory, operator: Operator) -> None:
    """MEAN over any axes; if those are not the rows or the columns, the values are put in order first."""
    source, output = _ends(operator)
    axes = operator.attributes["axes"]
    runs: list[tuple[int, bool]] = []  # neighbours that are kept, or not, are one
    for axis, count in enumerate(source.shape):
        gone = axis in axes
        if runs and runs[-1][1] == gone:
            count *= runs.pop()[0]
        if count > 1:
            runs.append((count, gone))
    if not runs or runs[-1][1]:
        runs.append((1, False))
    if len(runs) == 2 and isinstance(memory.layout(source).memory, Ring):
        runs.insert(1, (1, False))  # a ring's rows are a view's rows
    if len(runs) > 3:
        kept = [axis for axis in range(len(source.shape)) if axis not in axes]
        order = memory.dense(source).transposed(source.shape, [*kept, *axes])
        assert order is not None
        straight = Layout.dense(memory.buffer(source.name, source.elements), source.elements)
        memory.copy(source.name, order, straight)
        shape = (output.elements, source.elements // output.elements, 1)
        view = straight.view(*shape)
        if view is None:
            raise PackError(f"a mean of {shape[1]} values, {shape[0]} times, is too large", operator, source)
        small = (output.elements, 1, 1)
    else:
        runs = [(1, False)] * (3 - len(runs)) + runs
        view = memory.view(source, *(count for count, _ in runs))
        small = tuple(1 if gone else count for count, gone in runs)
    memory.add(
        Mean(output.name, input=view, output=memory.out(output, *small), **quantise.mean_numbers(operator)),
        output,
    )


def binary(memory: Memory, operator: Operator) -> None:
    """ADD, SUB and MUL, with shapes that broadcast."""
    a, b = operator.inputs
    output = operator.outputs[0]
    assert a is not None and b is not None
    for tensor in (a, b):
        if isinstance(memory.layout(tensor).memory, Ring):
            memory.dense(tensor)
    target = memory.targets.get(output)
    views = _broadcast((a, b, output), (memory.layout(a), memory.layout(b), target)) if target else None
    if views is None:
        target = memory.new(output)
        views = _broadcast((a, b, output), (memory.layout(a), memory.layout(b), target))
    if views is None:
        views = _broadcast((a, b, output), (memory.dense(a), memory.dense(b), target))
    if views is None:
        raise PackError(
            f"shapes {list(a.shape)} and {list(b.shape)} cannot be seen as rows, columns and "
            "channels that repeat",
            operator,
            output,
        )
    memory.layouts[output] = target
    memory.add(
        Binary(
            output.name,
            kind=operator.kind.lower(),
            a=views[0],
            b=views[1],
            output=views[2],
            **quantise.binary_numbers(operator),
        ),
        output,
    )


def lut(memory: Memory, source: Tensor, output: Tensor, table: NDArray[np.uint8]) -> None:
    """A function of one value."""
    inside, outside = memory.same(source, output)
    memory.add(Lut(output.name, input=inside, output=outside, table=table), output)


def _broadcast(tensors: Sequence[Tensor], layouts: Sequence[Layout]) -> list[View] | None:
    """Views of three dimensions each, 1 where a tensor repeats; None if the layouts do not allow them."""
    rank = max(len(tensor.shape) for tensor in tensors)
    shapes = [(1,) * (rank - len(tensor.shape)) + tuple(tensor.shape) for tensor in tensors]
    steps = [layout.steps(shape) for layout, shape in zip(layouts, shapes, strict=True)]
    if None in steps:
        return None
    dims: list[list[tuple[int, int]]] = []  # of each dimension: count and step in each tensor
    for axis in range(rank):
        dim = [(shape[axis], step[axis]) for shape, step in zip(shapes, steps, strict=True)]  # type: ignore[index]
        if max(count for count, _ in dim) == 1:
            continue
        if dims and all(_merge(outer, inner) for outer, inner in zip(dims[-1], dim, strict=True)):
            dim = [(outer[0] * inner[0], inner[1]) for outer, inner in zip(dims.pop(), dim, strict=True)]
        dims.append(dim)
    if not dims or any(step not in (0, 1) for _, step in dims[-1]):
        dims.append([(1, 0)] * len(tensors))
    if len(dims) > 3:
        return None
    if len(dims) == 1:
        dims = _split(dims[0])
    if len(dims) == 2:
        dims.insert(1, [(1, 0)] * len(tensors))
    views = []
    for which, layout in enumerate(layouts):
        h, w, c = ([(1, 0)] * (3 - len(dims)) + [dim[which] for dim in dims])[-3:]
        views.append(Layout.make(layout.memory, layout.at, [h, w, c]).view(h[0], w[0], c[0]))
    return views if None not in views else None  # type: ignore[return-value]


def _merge(outer: tuple[int, int], inner: tuple[int, int]) -> bool:
    return outer[0] == inner[0] == 1 or (inner[0] > 1 < outer[0] and outer[1] == inner[0] * inner[1])


def _split(dim: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """A single dimension of more values than a pixel can have, as rows of pixels."""
    count = max(n for n, _ in dim)
    rows, _, columns = flat_shape(count) or (1, 1, count)
    return [
        [(rows, step * columns) if n > 1 else (1, 0) for n, step in dim],
        [(columns, step) if n > 1 else (1, 0) for n, step in dim],
    ]


def _ends(operator: Operator) -> tuple[Tensor, Tensor]:
    source = operator.inputs[0]
    assert source is not None
    return source, operator.outputs[0]
