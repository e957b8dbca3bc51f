"""Layouts find every value where numpy's strided arrays find it."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cicada.training.pack.program import Buffer, Ring, View
from cicada.training.pack.views import LIMIT, Layout, common, flat_shape, joint

shapes = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)


def places(layout: Layout, origin: int = 0) -> list[int]:
    """The byte of each value, in order; on a ring whose position is ``origin`` bytes from its start."""
    found = [
        layout.at + sum(i * step for i, (_, step) in zip(at, layout.dims, strict=True))
        for at in itertools.product(*(range(count) for count, _ in layout.dims))
    ]
    return [(origin + at) % layout.memory.size for at in found] if isinstance(layout.memory, Ring) else found


def seen(view: View) -> list[int]:
    """The byte of each value that an operator sees through a view, as ``cpm_view`` of format.h says."""
    at = [
        view.at + y * view.row + x * view.pitch + k
        for y in range(view.h)
        for x in range(view.w)
        for k in range(view.c)
    ]
    return [each % view.memory.size for each in at] if isinstance(view.memory, Ring) else at


def buffer(size: int) -> Buffer:
    return Buffer("b", size)


def ring(rows: int, row: int) -> Ring:
    return Ring("r", rows, row, np.zeros((rows, row), np.int8))


def factors(draw: st.DrawFn, size: int) -> tuple[int, ...]:
    found = []
    while size > 1 and len(found) < 3:
        found.append(draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0])))
        size //= found[-1]
    return (*found, size)


@st.composite
def walks(draw: st.DrawFn) -> tuple[np.ndarray, Layout]:
    """An array of places after some slices, transpositions and reshapes, and the layout after the same."""
    shape = draw(shapes)
    size = int(np.prod(shape))
    array, layout = np.arange(size).reshape(shape), Layout.dense(buffer(size), size)
    for _ in range(draw(st.integers(0, 4))):
        how = draw(st.sampled_from(["slice", "transpose", "reshape"]))
        if how == "slice":
            begin, count, step = [], [], []
            for n in array.shape:
                by = draw(st.sampled_from([1, 1, 2, 3, -1]))
                first = draw(st.integers(0, n - 1))
                most = (n - 1 - first) // by + 1 if by > 0 else first // -by + 1
                begin.append(first)
                step.append(by)
                count.append(draw(st.integers(1, most)))
            index = np.ix_(*(b + s * np.arange(c) for b, s, c in zip(begin, step, count, strict=True)))
            following = layout.sliced(array.shape, begin, count, step)
            array, changed = (array[index], following) if following else (array, layout)
        elif how == "transpose":
            perm = draw(st.permutations(range(array.ndim)))
            following = layout.transposed(array.shape, perm)
            array, changed = (array.transpose(perm), following) if following else (array, layout)
        else:
            array, changed = array.reshape(factors(draw, array.size)), layout
        layout = changed
    return array, layout


@given(walks())
def test_a_layout_follows_slices_transpositions_and_reshapes(walk: tuple[np.ndarray, Layout]) -> None:
    array, layout = walk
    assert places(layout) == array.reshape(-1).tolist()


@given(shapes, st.data())
def test_a_dense_tensor_can_be_sliced_and_transposed_in_any_shape(
    shape: tuple[int, ...], data: st.DataObject
) -> None:
    size = int(np.prod(shape))
    layout = Layout.dense(buffer(size), size)
    axis = data.draw(st.integers(0, len(shape) - 1))
    assert layout.part(shape, axis, 0, 1) is not None
    assert layout.transposed(shape, data.draw(st.permutations(range(len(shape))))) is not None


@given(walks(), st.data())
def test_a_view_shows_what_the_layout_has(walk: tuple[np.ndarray, Layout], data: st.DataObject) -> None:
    _, layout = walk
    size = layout.elements
    h = data.draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
    w = data.draw(st.sampled_from([n for n in range(1, size // h + 1) if size // h % n == 0]))
    view = layout.view(h, w, size // h // w)
    if view is not None:
        assert seen(view) == places(layout)
        assert view.pitch >= view.c and view.row >= (view.w - 1) * view.pitch + view.c
    assert Layout.dense(buffer(size), size).view(h, w, size // h // w) is not None


@given(walks(), st.integers(0, 5))
def test_common_views_show_what_the_layouts_have(walk: tuple[np.ndarray, Layout], at: int) -> None:
    _, layout = walk
    other = Layout.dense(buffer(layout.elements + at), layout.elements, at)
    views = common([layout, other])
    if views is not None:
        assert [seen(view) for view in views] == [places(layout), places(other)]
        assert len({(view.h, view.w, view.c) for view in views}) == 1
    assert common([other, other]) is not None


@given(walks(), walks())
def test_joint_dimensions_lead_through_both_layouts(
    one: tuple[np.ndarray, Layout], two: tuple[np.ndarray, Layout]
) -> None:
    a, b = one[1], two[1]
    if a.elements != b.elements:
        b = Layout.dense(buffer(a.elements), a.elements)
    dims = joint([a, b])
    if dims is None:
        return
    for side, layout in enumerate((a, b)):
        walked = Layout(layout.memory, layout.at, tuple((count, steps[side]) for count, steps in dims))
        assert places(walked) == places(layout)


@given(st.integers(1, 6), st.integers(1, 8), st.data())
def test_a_view_of_a_ring_stays_in_place_when_the_ring_moves_on(
    rows: int, row: int, data: st.DataObject
) -> None:
    memory = ring(rows, row)
    first, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, row - 1))
    count, width = data.draw(st.integers(1, rows)), data.draw(st.integers(1, row - left))
    moved = data.draw(st.integers(0, rows))
    layout = Layout.make(memory, first * row + left, [(count, row), (width, 1)])
    assert places(layout.advanced(moved), moved * row % memory.size) == places(layout)
    view = layout.view(count, 1, width)
    assert view is not None and seen(view) == places(layout)


def test_the_rows_of_a_ring_are_not_one_row() -> None:
    whole = Layout.rows(ring(4, 6), 1, 4)
    assert whole.steps((24,)) is None and whole.view(1, 1, 24) is None and not whole.is_dense
    assert whole.steps((1, 4, 1, 6)) == (0, 6, 0, 1)
    assert whole.view(1, 4, 6) is None, "rows wrap, columns do not"


def test_rows_of_one_byte_are_rows_of_a_ring() -> None:
    view = Layout.rows(ring(5, 1), 0, 5).view(5, 1, 1)
    assert view is not None and view.row == 1


def test_every_second_row_of_a_ring_is_no_view() -> None:
    layout = Layout.rows(ring(6, 4), 0, 6).sliced((6, 4), (0, 0), (3, 4), (2, 1))
    assert layout is not None and layout.view(3, 1, 4) is None


def test_many_values_become_rows() -> None:
    assert flat_shape(LIMIT) == (1, 1, LIMIT)
    assert flat_shape(2 * LIMIT) == (2, 1, LIMIT)
    assert flat_shape(65537) is None, "a prime beyond the limit"


def test_a_view_beyond_the_format_is_none() -> None:
    assert Layout.dense(buffer(LIMIT + 1), LIMIT + 1).view(1, 1, LIMIT + 1) is None
