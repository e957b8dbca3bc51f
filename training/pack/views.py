"""Where a tensor's values lie: a pattern of steps through a buffer or a ring. A slice or a transposition
changes it without moving a byte.

A :class:`Layout` forgets the tensor's shape: it keeps as few dimensions as describe the places of all values
in their order. So RESHAPE needs nothing, and whether a shape fits the layout is asked when an operator needs
it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cicada.training.pack.program import Buffer, Ring, View

#: cpm_view's dimensions and pitch are uint16.
LIMIT = 65535


@dataclass(frozen=True)
class Layout:
    """Places of a tensor's values, in the order of its elements.

    Attributes:
        memory: where they lie. On a ring, places count from the start of the row at its position, and wrap.
        at: byte of the first value.
        dims: (count, step in bytes), outermost first; counts of 1 are left out, and neighbours are one where
            that says the same. On a ring, dimensions that step over rows and those within a row stay apart,
            because only the former wrap.
    """

    memory: Buffer | Ring
    at: int
    dims: tuple[tuple[int, int], ...]

    @staticmethod
    def make(memory: Buffer | Ring, at: int, dims: Sequence[tuple[int, int]]) -> Layout:
        """A layout of any (count, step) pairs, outermost first."""
        row = memory.row if isinstance(memory, Ring) else 0
        kept: list[tuple[int, int]] = []
        for count, step in dims:
            if count == 1:
                continue
            if kept and kept[-1][1] == count * step and _over_rows(kept[-1][1], row) == _over_rows(step, row):
                count *= kept.pop()[0]
            kept.append((count, step))
        return Layout(memory, at % memory.size if row else at, tuple(kept))

    @staticmethod
    def dense(memory: Buffer, elements: int, at: int = 0) -> Layout:
        """Values one after the other."""
        return Layout.make(memory, at, [(elements, 1)])

    @staticmethod
    def rows(ring: Ring, first: int, count: int) -> Layout:
        """``count`` whole rows of a ring from row ``first`` on."""
        return Layout.make(ring, first * ring.row, [(count, ring.row), (ring.row, 1)])

    @property
    def elements(self) -> int:
        """Number of values."""
        return math.prod(count for count, _ in self.dims)

    @property
    def is_dense(self) -> bool:
        """Whether the values lie one after the other in a buffer."""
        return isinstance(self.memory, Buffer) and self.dims in ((), ((self.elements, 1),))

    def steps(self, shape: Sequence[int]) -> tuple[int, ...] | None:
        """The step along each dimension of ``shape`` (0 along those of 1), or None if the layout has none."""
        left = list(self.dims)
        steps = []
        for count in reversed(shape):
            if count == 1:
                steps.append(0)
                continue
            whole, step = left.pop()
            if whole % count:
                return None
            steps.append(step)
            if whole > count:
                left.append((whole // count, step * count))
        return tuple(reversed(steps))

    def sliced(
        self, shape: Sequence[int], begin: Sequence[int], size: Sequence[int], strides: Sequence[int]
    ) -> Layout | None:
        """The layout of ``size`` elements from ``begin`` on, ``strides`` apart, of a tensor of ``shape``."""
        steps = self.steps(shape)
        if steps is None:
            return None
        at = self.at + sum(step * first for step, first in zip(steps, begin, strict=True))
        dims = [(count, step * by) for count, step, by in zip(size, steps, strides, strict=True)]
        return Layout.make(self.memory, at, dims)

    def part(self, shape: Sequence[int], axis: int, first: int, count: int) -> Layout | None:
        """The layout of elements ``first`` to ``first + count`` along one axis."""
        begin, size = [0] * len(shape), list(shape)
        begin[axis], size[axis] = first, count
        return self.sliced(shape, begin, size, [1] * len(shape))

    def transposed(self, shape: Sequence[int], perm: Sequence[int]) -> Layout | None:
        """The layout with axis ``perm[i]`` of ``shape`` as axis i."""
        steps = self.steps(shape)
        if steps is None:
            return None
        return Layout.make(self.memory, self.at, [(shape[axis], steps[axis]) for axis in perm])

    def advanced(self, rows: int) -> Layout:
        """The same places of a ring after its position has moved on by ``rows`` rows."""
        assert isinstance(self.memory, Ring)
        return Layout.make(self.memory, self.at - rows * self.memory.row, self.dims)

    def view(self, h: int, w: int, c: int) -> View | None:
        """As ``cpm_view``, or None if the values lie otherwise or numbers do not fit."""
        steps = self.steps((h, w, c))
        if steps is None:
            return None
        row, pitch, step = steps
        pitch = pitch or c
        row = row or (self.memory.row if isinstance(self.memory, Ring) else max(w * pitch, 1))
        if (step not in (0, 1)) or pitch < c or row < (w - 1) * pitch + c or max(h, w, c, pitch) > LIMIT:
            return None
        if isinstance(self.memory, Ring) and (
            row != self.memory.row or self.at % row + (w - 1) * pitch + c > row or h > self.memory.rows
        ):
            return None
        return View(self.memory, h, w, c, at=self.at, pitch=pitch, row=row)


def _over_rows(step: int, row: int) -> bool:
    return row > 0 and step % row == 0


def joint(layouts: Sequence[Layout]) -> list[tuple[int, tuple[int, ...]]] | None:
    """Dimensions that several layouts share: (count, step in each), outermost first; None if they do not."""
    left = [list(layout.dims) for layout in layouts]
    found: list[tuple[int, tuple[int, ...]]] = []
    while left[0]:
        count = math.gcd(*(dims[-1][0] for dims in left))
        if count == 1:
            return None
        found.append((count, tuple(dims[-1][1] for dims in left)))
        for dims in left:
            whole, step = dims.pop()
            if whole > count:
                dims.append((whole // count, step * count))
    return found[::-1]


def common(layouts: Sequence[Layout]) -> list[View] | None:
    """Views of one shape on several layouts, for operators on single values; None if there are none."""
    dims = joint(layouts)
    if dims is None:
        return None
    if not dims or any(step != 1 for step in dims[-1][1]):
        dims = [*dims, (1, (1,) * len(layouts))]
    counts = [count for count, _ in dims]
    shapes: list[tuple[int, int, int] | None] = []
    if len(counts) == 1:
        shapes = [flat_shape(counts[0])]
    elif len(counts) == 2:
        shapes = [(counts[0], 1, counts[1]), (1, counts[0], counts[1])]
    elif len(counts) == 3:
        shapes = [(counts[0], counts[1], counts[2])]
    for shape in shapes:
        views = [layout.view(*shape) for layout in layouts] if shape is not None else [None]
        found = [view for view in views if view is not None]
        if len(found) == len(views):
            return found
    return None


def flat_shape(elements: int) -> tuple[int, int, int] | None:
    """Rows, columns and channels for so many values in a row: one pixel if they fit, else one a row."""
    for rows in range(1, LIMIT + 1):
        if elements % rows == 0 and elements // rows <= LIMIT:
            return rows, 1, elements // rows
    return None
