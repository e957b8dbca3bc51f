"""Operators that put bytes somewhere: concatenation, padding, and variables that are not rings."""

from __future__ import annotations

import numpy as np

from cicada.training.pack.graph import Operator, Tensor
from cicada.training.pack.lower_memory import Memory
from cicada.training.pack.lower_place import Placement
from cicada.training.pack.streaming import Stream
from cicada.training.pack.views import Layout


def concatenation(memory: Memory, operator: Operator, places: Placement) -> None:
    """CONCATENATION: copies what its producers could not write to its place."""
    if memory.settle(operator.outputs[0], places.whole[operator]):
        for tensor, part in zip(operator.inputs, places.parts[operator], strict=True):
            assert tensor is not None and part is not None
            _put(memory, tensor, part)


def stream(memory: Memory, operator: Operator, places: Placement, known: Stream) -> None:
    """CONCATENATION of state and new rows: the ring after its position has moved on."""
    for tensor, part in zip(operator.inputs, places.parts[operator], strict=True):
        if part is not None and not memory.has_new_rows(known.ring):
            assert tensor is not None
            _put(memory, tensor, part)
    memory.layouts[operator.outputs[0]] = Layout.rows(known.ring, 0, known.ring.rows)


def pad(memory: Memory, operator: Operator, places: Placement) -> None:
    """PAD: the inner part likewise, and a border on each side."""
    source, output = operator.inputs[0], operator.outputs[0]
    assert source is not None
    whole, (inner,) = places.whole[operator], places.parts[operator]
    assert inner is not None
    if not memory.settle(output, whole):
        return
    _put(memory, source, inner)
    begin, size, ones = [0] * len(output.shape), list(output.shape), [1] * len(output.shape)
    for axis, (before, after) in enumerate(operator.attributes["pads"]):
        for first, count in ((0, before), (output.shape[axis] - after, after)):
            if count:
                at, extent = list(begin), list(size)
                at[axis], extent[axis] = first, count
                border = whole.sliced(output.shape, at, extent, ones)
                assert border is not None
                memory.fill(output.name, border, operator.attributes["value"])
        begin[axis], size[axis] = before, source.shape[axis]


def read(memory: Memory, operator: Operator, known: Stream | None) -> None:
    """READ_VARIABLE: the state where it lies. Who assigns to it later sees to it that this stays true."""
    output = operator.outputs[0]
    if known is not None:
        first = 0 if memory.has_new_rows(known.ring) else known.new
        memory.layouts[output] = Layout.rows(known.ring, first, known.old)
    else:
        memory.layouts[output] = memory.state(operator.attributes["variable"])


def assign(memory: Memory, operator: Operator, last_use: dict[Tensor, int], now: int) -> None:
    """ASSIGN_VARIABLE: a copy, after what still needs the old state has got one of its own."""
    source = operator.inputs[0]
    assert source is not None
    target = memory.state(operator.attributes["variable"])
    if memory.layout(source) == target:
        return
    for tensor, layout in list(memory.layouts.items()):
        if layout.memory is target.memory and (tensor is source or last_use.get(tensor, -1) > now):
            copy = memory.new(tensor)
            memory.copy(tensor.name, layout, copy)
            memory.layouts[tensor] = copy
    memory.copy(source.name, memory.layout(source), target)


def _put(memory: Memory, tensor: Tensor, place: Layout) -> None:
    """Has a tensor's values in a place."""
    if tensor.data is not None and (tensor.data == tensor.data.flat[0]).all():
        memory.fill(tensor.name, place, int(np.asarray(tensor.data).flat[0]))
    elif memory.layout(tensor) != place:
        memory.copy(tensor.name, memory.layout(tensor), place)
