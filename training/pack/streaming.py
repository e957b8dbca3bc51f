"""Finds the state that can live in a ring.

A streaming layer sees S old rows and m new ones, and keeps the last S for the next inference:

    READ_VARIABLE (S rows) ─┐
    new rows (m) ───────────┴─ CONCATENATION ─┬─ convolutions
                                              └─ STRIDED_SLICE (the last S rows) ─ ASSIGN_VARIABLE

A ring of S + m rows does the same without moving the old rows: the new ones overwrite the m oldest, which no
layer needs any more. Whatever does not match exactly stays a variable that is copied.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cicada.training.pack import lower_alias
from cicada.training.pack.graph import Graph, Operator, Tensor, Variable
from cicada.training.pack.program import Ring
from cicada.training.pack.views import LIMIT, Layout

MAX_RINGS = 32  # CPM_RINGS
MAX_ADVANCE = 255  # cpm_op's advance_rows is uint8
MIN_ROW = 2  # bytes; to find each value in a ring costs more than to move it


@dataclass(eq=False)
class Stream:
    """A variable that becomes a ring.

    Attributes:
        variable: the state of ``old`` rows.
        ring: ``old + new`` rows.
        concat: the CONCATENATION that puts new rows behind old ones.
        old, new: rows.
    """

    variable: Variable
    ring: Ring
    concat: Operator
    old: int
    new: int


def find(graph: Graph) -> list[Stream]:
    """All variables of a graph that can become rings, at most as many as a model may have."""
    made_by = lower_alias.producers(graph)
    place = {operator: number for number, operator in enumerate(graph.operators)}
    found: list[Stream] = []
    for variable in graph.variables:
        reads = _uses(graph, variable, "READ_VARIABLE")
        assigns = _uses(graph, variable, "ASSIGN_VARIABLE")
        if not reads or len(assigns) != 1 or any(place[read] > place[assigns[0]] for read in reads):
            continue
        kept = assigns[0].inputs[0]
        assert kept is not None
        path = _path(kept, made_by)
        if path is None or len(found) == MAX_RINGS:
            continue
        concat, *aliases = path
        state = concat.inputs[0]
        assert state is not None
        if lower_alias.root(state, made_by) not in [read.outputs[0] for read in reads]:
            continue
        stream = _stream(variable, concat, state)
        if stream is not None and _last_rows(stream, aliases, kept):
            found.append(stream)
    return found


def _uses(graph: Graph, variable: Variable, kind: str) -> list[Operator]:
    return [op for op in graph.operators if op.kind == kind and op.attributes["variable"] is variable]


def _path(kept: Tensor, made_by: dict[Tensor, Operator]) -> list[Operator] | None:
    """From the CONCATENATION to the operator that makes what is kept; None if something else is between."""
    path: list[Operator] = []
    tensor = kept
    while tensor in made_by:
        operator = made_by[tensor]
        path.insert(0, operator)
        if operator.kind == "CONCATENATION":
            return path
        if operator.kind not in lower_alias.ALIASES or operator.inputs[0] is None:
            return None
        tensor = operator.inputs[0]
    return None


def _stream(variable: Variable, concat: Operator, state: Tensor) -> Stream | None:
    axis, shape = concat.attributes["axis"], concat.outputs[0].shape
    row = math.prod(shape[axis + 1 :])
    old, new = state.shape[axis], shape[axis] - state.shape[axis]
    if math.prod(shape[:axis]) != 1 or not 0 < new <= MAX_ADVANCE or old + new > LIMIT or row < MIN_ROW:
        return None
    oldest = np.asarray(variable.initial, np.int8).reshape(old, row)
    # Nobody reads the rows that the first inference overwrites. A value like the others' keeps the state
    # uniform, which takes no room in the blob.
    initial = np.concatenate([np.full((new, row), oldest[0, 0], np.int8), oldest])
    return Stream(variable, Ring(variable.name, old + new, row, initial), concat, old, new)


def _last_rows(stream: Stream, aliases: list[Operator], kept: Tensor) -> bool:
    """Whether what is kept are the last ``old`` rows of the CONCATENATION's output, in their order."""
    layout = Layout.rows(stream.ring, 0, stream.ring.rows)
    for operator, following in zip(aliases, [*aliases[1:], None], strict=True):
        made = lower_alias.outputs(operator, layout)
        if made is None:
            return False
        layout = made[operator.outputs.index(following.inputs[0] if following is not None else kept)]
    return layout == Layout.rows(stream.ring, stream.new, stream.old)
