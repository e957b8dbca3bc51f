"""Outputs over inputs: what the compiler believes to be right, against kernels played byte by byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cicada.training.pack.overlap import Overlap, memories, overlap
from cicada.training.pack.program import (
    Binary,
    Buffer,
    Copy,
    Lut,
    Mean,
    Op,
    Pool,
    Softmax,
    View,
    Window,
)
from support.orders import steps
from support.programs import column, conv, dense, depthwise


def spoils(op: Op, memory: Buffer, distance: int, strip: int = 0) -> bool:
    """Whether a byte of the input is written before its last read, at this distance of input from output."""
    written: set[int] = set()
    target = memories(op)[1]
    for reads, writes in steps(op, strip):
        if any(place is memory and offset + distance in written for place, offset in reads):
            return True
        written.update(offset for place, offset in writes if place is target)
    return False


def check(op: Op, memory: Buffer, strip: int = 0) -> Overlap:
    """Try every distance: each that is called right must be."""
    rule = overlap(op, memory, strip)
    out_size = memories(op)[1].size
    for distance in range(-memory.size // 4 * 4 - 8, out_size + 8, 4):
        if rule.legal(distance):
            assert not spoils(op, memory, distance, strip)
    # The threshold is not higher than it need be: the spoiling pair lies within 4 bytes below it.
    if -memory.size + 4 <= rule.above <= out_size:
        assert any(spoils(op, memory, rule.above - below, strip) for below in range(1, 5))
    return rule


def view_of(draw: st.DrawFn, name: str, shape: tuple[int, int, int]) -> View:
    """A view of this shape in a buffer of its own: dense, or a part of something larger."""
    h, w, c = shape
    pitch = c + draw(st.sampled_from([0, 0, 0, 1, 3, 4]))
    row = w * pitch + draw(st.sampled_from([0, 0, pitch, 1]))
    start = draw(st.sampled_from([0, 0, 4, 1]))
    size = start + (h - 1) * row + (w - 1) * pitch + c + draw(st.integers(0, 3))
    return View(Buffer(name, size), h, w, c, start, pitch, row)


def windows(draw: st.DrawFn, dilated: bool = True) -> tuple[Window, tuple[int, int], tuple[int, int]]:
    """A window, its input's and its output's rows and columns."""
    source, target, axes = [], [], []
    for _ in range(2):
        n, kernel, stride = draw(st.integers(1, 5)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
        dilation = draw(st.integers(1, 2)) if dilated else 1
        reach = (kernel - 1) * dilation + 1
        pad = draw(st.integers(0, reach - 1))
        behind = draw(st.integers(0, reach - 1))
        rows = (n - 1) * stride + reach - pad - behind + draw(st.integers(0, 1))
        source.append(max(rows, 1))
        target.append(n)
        axes.append((kernel, stride, dilation, pad))
    (kh, sh, dh, ph), (kw, sw, dw, pw) = axes
    return Window((kh, kw), (sh, sw), (dh, dw), (ph, pw)), tuple(source), tuple(target)


@given(st.data())
def test_convolutions(data: st.DataObject) -> None:
    window, source, target = windows(data.draw)
    a = view_of(data.draw, "in", (*source, data.draw(st.integers(1, 6))))
    out = view_of(data.draw, "out", (*target, data.draw(st.integers(1, 6))))
    check(conv(a, out, window), a.memory)


@given(st.data())
def test_depthwise_convolutions_in_any_strips(data: st.DataObject) -> None:
    window, source, target = windows(data.draw)
    channels, multiplier = data.draw(st.integers(1, 6)), data.draw(st.sampled_from([1, 1, 1, 2]))
    a = view_of(data.draw, "in", (*source, channels))
    out = view_of(data.draw, "out", (*target, channels * multiplier))
    strip = data.draw(st.integers(1, target[0]))
    check(depthwise(a, out, window), a.memory, strip)


@given(st.data())
def test_columns(data: st.DataObject) -> None:
    rows, kernel, stride = (data.draw(st.integers(1, most)) for most in (5, 4, 3))
    dilation, channels = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 20))
    source = (rows - 1) * stride + (kernel - 1) * dilation + 1 + data.draw(st.integers(0, 1))
    a = view_of(data.draw, "in", (source, 1, channels))
    out = view_of(data.draw, "out", (rows, 1, channels))
    check(column(a, out, Window((kernel, 1), (stride, 1), (dilation, 1))), a.memory)


def test_a_column_works_in_place() -> None:
    a = View(Buffer("in", 28 * 40), 28, 1, 40)
    out = View(Buffer("out", 24 * 40), 24, 1, 40)
    assert overlap(column(a, out, Window((5, 1))), a.memory).above <= 0


@given(st.data())
def test_pools(data: st.DataObject) -> None:
    window, source, target = windows(data.draw, dilated=False)
    channels = data.draw(st.integers(1, 5))
    a, out = (view_of(data.draw, n, (*s, channels)) for n, s in (("in", source), ("out", target)))
    check(Pool("pool", input=a, output=out, window=window, largest=True, low=-128, high=127), a.memory)


shapes = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5))


@given(st.data(), shapes)
def test_one_value_at_a_time(data: st.DataObject, shape: tuple[int, int, int]) -> None:
    a, out = (view_of(data.draw, name, shape) for name in ("in", "out"))
    check(Lut("lut", input=a, output=out, table=None), a.memory)
    check(Softmax("softmax", input=a, output=out, multiplier=1, left_shift=0, diff_min=0), a.memory)


@given(st.data(), shapes)
def test_means(data: st.DataObject, shape: tuple[int, int, int]) -> None:
    h, w = (data.draw(st.sampled_from([1, n])) for n in shape[:2])
    a, out = view_of(data.draw, "in", shape), view_of(data.draw, "out", (h, w, shape[2]))
    check(Mean("mean", input=a, output=out, multiplier=0, shift=0, correction=0, out_zero=0), a.memory)


@given(st.data(), shapes)
def test_sums_with_repeated_dimensions(data: st.DataObject, shape: tuple[int, int, int]) -> None:
    small = tuple(data.draw(st.sampled_from([1, n])) for n in shape)
    first, second = data.draw(st.permutations([shape, small]))
    a, b, out = (view_of(data.draw, n, s) for n, s in (("a", first), ("b", second), ("out", shape)))
    numbers = {"a_offset": 0, "b_offset": 0, "out_zero": 0, "low": -128, "high": 127}
    op = Binary("add", kind="add", a=a, b=b, output=out, **numbers)
    check(op, a.memory)
    check(op, b.memory)
    if first == second:
        same = View(a.memory, b.h, b.w, b.c, a.at, a.pitch, a.row)
        check(Binary("add", kind="add", a=a, b=same, output=out, **numbers), a.memory)


def dense_view(name: str, h: int, w: int, c: int) -> View:
    return View(Buffer(name, h * w * c), h, w, c)


def test_a_1x1_convolution_works_in_place() -> None:
    for channels in (8, 5):
        a, out = dense_view("in", 5, 5, 8), dense_view("out", 5, 5, channels)
        assert check(conv(a, out, Window((1, 1))), a.memory).legal(0)


def test_a_wider_1x1_convolution_needs_room_below() -> None:
    a, out = dense_view("in", 5, 5, 4), dense_view("out", 5, 5, 8)
    # Before the last group of 4 pixels, 24 of 25 are written and the 25th is to be read.
    assert check(conv(a, out, Window((1, 1))), a.memory).above == 24 * 8 - 24 * 4


def test_a_whole_plane_depthwise_convolution_works_in_place() -> None:
    a, out = dense_view("in", 6, 5, 8), dense_view("out", 6, 5, 8)
    op = depthwise(a, out, Window((3, 3), pad=(1, 1)))
    assert check(op, a.memory, 6).legal(0)
    rule = check(op, a.memory, 2)
    # Strips of 2 rows: the row above the next strip must not be written yet.
    assert not rule.legal(0) and rule.legal(5 * 8)


def test_a_dense_layer_overlaps_only_if_it_gathers_its_input() -> None:
    a, out = dense_view("in", 1, 1, 8), dense_view("out", 1, 1, 8)
    assert not check(dense(a, out), a.memory).legal(0)
    wide = View(Buffer("in", 16), 2, 1, 4, 0, 4, 8)
    assert check(dense(wide, out), wide.memory).legal(0)


def test_a_copy_overlaps_nowhere() -> None:
    a, out = Buffer("in", 16), Buffer("out", 16)
    step = (16, 16, 4, 1)
    op = Copy(
        "copy", 0, input=a, output=out, dims=(1, 1, 4, 4), in_at=0, out_at=0, in_step=step, out_step=step
    )
    assert check(op, a).above == 16


def test_a_depthwise_convolution_that_multiplies_channels_is_not_in_place() -> None:
    a = View(Buffer("in", 16), 2, 2, 2, 0, 4)
    assert not check(depthwise(a, dense_view("out", 2, 2, 4), Window((1, 1))), a.memory, 2).legal(0)


fours = st.integers(0, 12).map(lambda n: 4 * n)


@given(fours.map(lambda n: n + 4), fours.map(lambda n: n + 4), st.integers(-12, 12), st.data())
def test_the_most_that_can_be_shared_is_what_trying_every_distance_finds(
    size: int, out_size: int, above: int, data: st.DataObject
) -> None:
    step = data.draw(st.sampled_from([0, 4, 12, 20]))
    rest = data.draw(st.integers(0, max(step // 4 - 1, 0))) * 4
    rule = Overlap(4 * above, step, rest, 4 * data.draw(st.integers(-12, 12)))
    right = [d for d in range(-size, out_size + 4, 4) if rule.legal(d) or d in (-size, out_size)]
    assert rule.most(size, out_size) == max(min(d + size, out_size) - max(d, 0) for d in right)
