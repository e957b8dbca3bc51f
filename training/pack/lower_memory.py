"""The memory of a program in the making: where tensors lie, where they shall be written, what is copied."""

from __future__ import annotations

import itertools
import math

import numpy as np

from cicada.training.pack.errors import PackError
from cicada.training.pack.graph import Operator, Tensor, Variable
from cicada.training.pack.program import Buffer, Copy, Fill, Op, Ring, View
from cicada.training.pack.views import LIMIT, Layout, common, flat_shape, joint


class Memory:
    """Operators so far, and the place of every tensor at this point of the program.

    Attributes:
        ops: machine operators, in order.
        operator: the graph's operator that is being lowered, for messages.
        buffers, rings: all memory.
        layouts: where tensors lie now.
        targets: where operators still to come shall write their output, so that nobody has to move it.
        plain: whether convolutions are for accelerated kernels.
    """

    def __init__(self, plain: bool = False) -> None:
        self.plain = plain
        self.ops: list[Op] = []
        self.operator: Operator | None = None
        self.buffers: list[Buffer] = []
        self.rings: list[Ring] = []
        self.layouts: dict[Tensor, Layout] = {}
        self.targets: dict[Tensor, Layout] = {}
        self._states: dict[Variable, Buffer] = {}
        self._missing: dict[Ring, int] = {}  # bytes of new rows that are not written yet
        self._new: dict[Ring, int] = {}  # new rows of one inference

    def buffer(self, name: str, size: int, initial: np.ndarray | None = None) -> Buffer:
        """New memory of ``size`` bytes; with ``initial`` it keeps its content."""
        content = None if initial is None else np.ascontiguousarray(initial).reshape(-1).view(np.int8)
        made = Buffer(name, size, content)
        self.buffers.append(made)
        return made

    def state(self, variable: Variable) -> Layout:
        """Where a variable lies that is no ring."""
        size = variable.tensor.elements
        if variable not in self._states:
            self._states[variable] = self.buffer(variable.name, size, variable.initial)
        return Layout.dense(self._states[variable], size)

    def ring(self, ring: Ring, new: int) -> None:
        """Takes a ring that gets ``new`` rows in every inference."""
        self.rings.append(ring)
        self._missing[ring] = new * ring.row
        self._new[ring] = new

    def has_new_rows(self, ring: Ring) -> bool:
        """Whether this inference's rows are in the ring, and its position has moved on."""
        return self._missing[ring] == 0

    def settle(self, tensor: Tensor, whole: Layout) -> bool:
        """Notes where a tensor lies of which parts may still be missing.

        Returns:
            False if nothing is missing, since the ring that it belongs to has moved on.
        """
        ring = whole.memory
        complete = isinstance(ring, Ring) and self.has_new_rows(ring)
        self.layouts[tensor] = whole.advanced(self._new[ring]) if complete else whole  # type: ignore[index]
        return not complete

    def layout(self, tensor: Tensor) -> Layout:
        """Where a tensor lies; a constant gets memory that is set at reset."""
        if tensor not in self.layouts:
            if tensor.data is None:
                raise ValueError(f"tensor '{tensor.name}' is read before it is written")
            memory = self.buffer(tensor.name, tensor.elements, np.asarray(tensor.data))
            self.layouts[tensor] = Layout.dense(memory, tensor.elements)
        return self.layouts[tensor]

    def dense(self, tensor: Tensor) -> Layout:
        """Where a tensor lies value by value; copied there if it does not yet."""
        layout = self.layout(tensor)
        if not layout.is_dense:
            copy = Layout.dense(self.buffer(tensor.name, tensor.elements), tensor.elements)
            self.copy(tensor.name, layout, copy)
            self.layouts[tensor] = copy
        return self.layouts[tensor]

    @staticmethod
    def unplaced(tensor: Tensor) -> Layout:
        """How :meth:`dense` would have a tensor lie."""
        return Layout.dense(Buffer(tensor.name, tensor.elements), tensor.elements)

    def view(self, tensor: Tensor, h: int, w: int, c: int) -> View:
        """A tensor as rows, pixels and channels to read; copied if it does not lie so."""
        found = self.layout(tensor).view(h, w, c) or self.dense(tensor).view(h, w, c)
        if found is None:
            raise self._too_large(tensor, h, w, c)
        return found

    def out(self, tensor: Tensor, h: int, w: int, c: int) -> View:
        """Where an operator shall write a tensor of that shape: its target, or new memory.

        :meth:`add` must follow.
        """
        target = self.targets.get(tensor)
        found = target.view(h, w, c) if target is not None else None
        if found is None:
            target = self.new(tensor)
            found = target.view(h, w, c)
        if found is None:
            raise self._too_large(tensor, h, w, c)
        assert target is not None
        self.layouts[tensor] = target
        return found

    def new(self, tensor: Tensor) -> Layout:
        """New memory for a tensor."""
        return Layout.dense(self.buffer(tensor.name, tensor.elements), tensor.elements)

    def same(self, source: Tensor, output: Tensor) -> tuple[View, View]:
        """Views of one shape on an input and an output, for an operator that works value by value.

        :meth:`add` must follow.
        """
        target = self.targets.get(output) or self.new(output)
        views = common([self.layout(source), target]) or common([self.dense(source), target])
        if views is None:
            target = self.new(output)
            views = common([self.dense(source), target])
        if views is None:
            raise PackError(
                f"{output.elements} values cannot be cut into rows of at most {LIMIT}", self.operator, output
            )
        self.layouts[output] = target
        return views[0], views[1]

    def add(self, op: Op, tensor: Tensor) -> None:
        """Adds the operator that writes a tensor to where :meth:`out` or :meth:`same` said."""
        self.ops.append(op)
        self._wrote(self.layouts[tensor])

    def copy(self, name: str, source: Layout, target: Layout) -> None:
        """Adds what moves values from one layout to another, which must not overlap."""
        dims = joint([source, target])
        if isinstance(source.memory, Ring) and (
            dims is None or not _walks(source.memory, target.memory, dims)
        ):
            source = self._straight(name, source)
            dims = joint([source, target])
        if dims is None:
            straight = Layout.dense(self.buffer(name, source.elements), source.elements)
            self.copy(name, source, straight)
            source = straight
            dims = joint([source, target])
        assert dims is not None
        self._copies(name, source, target, dims)
        self._wrote(target)

    def fill(self, name: str, target: Layout, value: int) -> None:
        """Adds what sets all values of a layout to ``value``."""
        views = common([target])
        if views is not None:
            self.ops.append(Fill(name, output=views[0], value=value))
            self._wrote(target)
        else:
            content = np.full(target.elements, value, np.int8)
            self.copy(name, Layout.dense(self.buffer(name, content.size, content), content.size), target)

    def _straight(self, name: str, source: Layout) -> Layout:
        """A copy of all rows of a ring from a layout's lowest on, and that layout on it."""
        ring = source.memory
        assert isinstance(ring, Ring)
        memory = self.buffer(name, ring.size)
        rows = Layout.make(memory, 0, [(ring.rows, ring.row), (ring.row, 1)])
        below = sum(min(step, 0) * (count - 1) for count, step in source.dims)
        first, within = divmod(source.at + below, ring.row)
        self._copies(
            name,
            Layout.rows(ring, first, ring.rows),
            rows,
            [(ring.rows, (ring.row, ring.row)), (ring.row, (1, 1))],
        )
        return Layout.make(memory, within - below, source.dims)

    def _copies(
        self, name: str, source: Layout, target: Layout, dims: list[tuple[int, tuple[int, ...]]]
    ) -> None:
        memories = (source.memory, target.memory)
        first = next((dim for dim in dims if _is_rows(memories, dim[1])), None)
        rows = tuple(memory.row if isinstance(memory, Ring) else 0 for memory in memories)
        inner, outer = [], []
        for dim in dims:
            if dim is not first and _over_rows(memories, dim[1]):
                outer.append(dim)
            elif dim is not first:
                inner += self._small(name, dim)
        if first is not None or any(rows):
            outer += _fewest(inner, 3)
            inner = [(1, (0, 0))] * (3 - len(inner)) + inner
            four = [first or (1, rows), *inner]
        else:
            outer += _fewest(inner, 4)
            four = [(1, (0, 0))] * (4 - len(inner)) + inner
        for place in itertools.product(*(range(count) for count, _ in outer)):
            at = [
                layout.at + sum(i * steps[side] for i, (_, steps) in zip(place, outer, strict=True))
                for side, layout in enumerate((source, target))
            ]
            self.ops.append(
                Copy(
                    name,
                    input=source.memory,
                    output=target.memory,
                    dims=tuple(count for count, _ in four),  # type: ignore[arg-type]
                    in_at=at[0] % source.memory.size,
                    out_at=at[1] % target.memory.size,
                    in_step=tuple(steps[0] for _, steps in four),  # type: ignore[arg-type]
                    out_step=tuple(steps[1] for _, steps in four),  # type: ignore[arg-type]
                )
            )

    def _too_large(self, tensor: Tensor, h: int, w: int, c: int) -> PackError:
        return PackError(
            f"shape {list(tensor.shape)}, seen as {h} rows, {w} columns and {c} channels, has more "
            f"than {LIMIT} of one of them",
            self.operator,
            tensor,
        )

    def _small(self, name: str, dim: tuple[int, tuple[int, ...]]) -> list[tuple[int, tuple[int, ...]]]:
        """A dimension as one or two that are small enough for a copy."""
        count, steps = dim
        shape = flat_shape(count)
        if shape is None:
            raise PackError(
                f"{count} values of '{name}' cannot be cut into rows of at most {LIMIT}", self.operator
            )
        rows, _, columns = shape
        return [(rows, tuple(step * columns for step in steps))] * (rows > 1) + [(columns, steps)]

    def _wrote(self, layout: Layout) -> None:
        """Notes that the last operator has written a layout; a ring that is complete moves on."""
        ring = layout.memory
        if not isinstance(ring, Ring):
            return
        self._missing[ring] -= layout.elements
        if self._missing[ring] == 0:
            rows = self._new[ring]
            self.ops[-1].advance, self.ops[-1].advance_rows = ring, rows
            for tensor, known in self.layouts.items():
                if known.memory is ring:
                    self.layouts[tensor] = known.advanced(rows)


def _fewest(dims: list[tuple[int, tuple[int, ...]]], most: int) -> list[tuple[int, tuple[int, ...]]]:
    """Takes dimensions out of a list, so that ``most`` are left: those that need the fewest copies."""
    taken = sorted(dims, key=lambda dim: dim[0])[: max(len(dims) - most, 0)]
    for dim in taken:
        dims.remove(dim)
    return taken


def _over_rows(memories: tuple[Buffer | Ring, ...], steps: tuple[int, ...]) -> bool:
    """Whether a dimension steps over the rows of a ring."""
    return any(
        isinstance(memory, Ring) and step % memory.row == 0
        for memory, step in zip(memories, steps, strict=True)
    )


def _is_rows(memories: tuple[Buffer | Ring, ...], steps: tuple[int, ...]) -> bool:
    """Whether a dimension can be a copy's first, where rings wrap: it steps from row to row of each."""
    rings = [(memory, step) for memory, step in zip(memories, steps, strict=True) if isinstance(memory, Ring)]
    return bool(rings) and all(step == memory.row for memory, step in rings)


def _walks(source: Buffer | Ring, target: Buffer | Ring, dims: list[tuple[int, tuple[int, ...]]]) -> bool:
    """Whether so few copies do that none needs to be saved by straightening the source first."""
    memories = (source, target)
    over = [dim for dim in dims if _over_rows(memories, dim[1])]
    if any(_is_rows(memories, steps) for _, steps in over):
        over.remove(next(dim for dim in over if _is_rows(memories, dim[1])))
    return math.prod(count for count, _ in over) <= 1
