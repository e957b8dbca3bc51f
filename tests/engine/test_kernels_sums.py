"""Kernels of sums of products against their formulas, with guard bytes around all memory."""

from __future__ import annotations

import ctypes
import functools

import numpy as np
import pytest
from engine.kernel_cases import (
    COLUMN,
    CONV,
    DENSE,
    DEPTHWISE,
    FAST,
    NONNEG,
    Case,
    Laid,
    Scaling,
    Window,
    expected,
    lay_out,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cicada.tools import engine

NAMES = {CONV: "conv", DENSE: "dense", DEPTHWISE: "depthwise", COLUMN: "column"}


class _Kernel(ctypes.Structure):
    _fields_ = [("check", ctypes.c_void_p), ("run", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p))]


class _Model(ctypes.Structure):
    """``cpm_model``."""

    _fields_ = [
        ("blob", ctypes.c_void_p),
        ("arena", ctypes.c_void_p),
        ("accelerated", ctypes.c_void_p),
        ("position", ctypes.c_uint32 * 32),
    ]


@functools.cache
def library() -> ctypes.CDLL:
    return engine.load(engine.build())


def ran(case: Case, laid: Laid) -> NDArray[np.int8]:
    """The arena after the kernel has run."""
    # numpy's memory is aligned as the runtime needs it.
    blob, arena = np.array(laid.blob, np.uint8), np.array(laid.arena, np.uint8).view(np.int8)
    model = _Model(blob.ctypes.data, arena.ctypes.data)
    model.position[0] = laid.position
    kernel = _Kernel.in_dll(library(), f"cpm_kernel_{NAMES[case.kind]}")
    kernel.run(ctypes.addressof(model), blob.ctypes.data + laid.op)
    assert bytes(blob) == bytes(laid.blob)
    return arena


def check(case: Case) -> None:
    """The output is the formula's, and nothing else was written."""
    laid = lay_out(case)
    arena = ran(case, laid)
    assert np.array_equal(arena[laid.output], expected(case))
    changed = arena != np.frombuffer(laid.arena, np.int8)
    assert not np.any(changed & ~laid.mutable)


@st.composite
def scalings(draw: st.DrawFn, n: int, reach: int) -> tuple[Scaling, int]:
    """A requantisation whose outputs are not all clamped, and the flags it allows."""
    mode = draw(st.sampled_from(["nonneg", "fast", "general"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # So that sums up to `reach` become outputs of some hundreds.
    fit = int(np.log2(max(reach, 2))) - 8
    span = (1, 22) if mode != "general" else (-3, 31)
    shift = np.clip(fit + rng.integers(-2, 3, n), *span)
    multiplier = rng.integers(2**30, 2**31, n)
    if draw(st.booleans()):
        multiplier[rng.integers(n)] = draw(st.sampled_from([0, 2**30, 2**31 - 1]))
    bias = rng.integers(-reach, reach + 1, n)
    in_zero, out_zero = draw(st.integers(-128, 127)), draw(st.integers(-128, 127))
    low = out_zero if mode == "nonneg" else draw(st.integers(-128, out_zero if mode == "fast" else 127))
    high = draw(st.integers(max(low, out_zero) if mode == "fast" else low, 127))
    flags = {"nonneg": FAST | NONNEG, "fast": FAST, "general": 0}[mode]
    return Scaling(bias, multiplier, -shift, in_zero, out_zero, low, high), flags


def data(draw: st.DrawFn, shape: tuple[int, ...], lowest: int = -128) -> NDArray[np.int8]:
    """Random bytes; now and then all at the ends."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if draw(st.integers(0, 3)) == 0:
        return rng.choice(np.array([lowest, 127], np.int8), shape)
    return rng.integers(lowest, 128, shape).astype(np.int8)


@st.composite
def windows(draw: st.DrawFn, size: tuple[int, int]) -> tuple[Window, tuple[int, int]]:
    """A window over an input of that many rows and columns, and the output's size."""
    parts = []
    for length in size:
        kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 2))
        extent = (kernel - 1) * dilation + 1
        pad = draw(st.integers(0, extent - 1))
        stride = draw(st.integers(1, 3))
        # The last pixel may look beyond the input, but begins in it.
        out = draw(st.integers(1, -(-(length + pad) // stride)))
        parts.append((kernel, stride, dilation, pad, out))
    kernel, stride, dilation, pad, out = zip(*parts, strict=True)
    return Window(kernel, stride, dilation, pad), out


@st.composite
def convolutions(draw: st.DrawFn, kind: int) -> Case:
    size = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    c = draw(st.integers(1, 9))
    window, out = draw(windows(size))
    if kind == DEPTHWISE and draw(st.booleans()):
        # The path for the most common kernel.
        size = draw(st.tuples(st.integers(1, 7), st.sampled_from([1, 2, 3, 4, 5, 6, 70])))
        pad = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
        window, out = Window((3, 3), pad=pad), (size[0] + pad[0], size[1] + pad[1])
    multiplier = draw(st.integers(1, 3)) if kind == DEPTHWISE else 1
    n = c * multiplier if kind == DEPTHWISE else draw(st.sampled_from([1, 2, 3, 4, 5, 8, 31, 33, 70]))
    weights = data(draw, (n, *window.kernel, 1 if kind == DEPTHWISE else c))
    scaling, flags = draw(scalings(n, int(np.abs(weights.astype(int)).sum((1, 2, 3)).max()) * 128))
    ring = draw(st.none() | st.integers(0, size[0] + 2))
    rows = size[0] + 3
    gap = draw(st.integers(0, 3))
    return Case(
        kind,
        data(draw, (*size, c)),
        weights,
        scaling,
        out,
        window,
        flags,
        in_gap=gap,
        out_gap=draw(st.integers(0, 3)),
        row_gap=draw(st.integers(0, 3)),
        ring=ring,
        ring_rows=rows,
        multiplier=multiplier,
        strip=draw(st.integers(1, out[0])),
    )


@given(convolutions(CONV))
def test_convolution_follows_its_formula(case: Case) -> None:
    check(case)


@given(convolutions(DEPTHWISE))
def test_depthwise_convolution_follows_its_formula(case: Case) -> None:
    check(case)


@st.composite
def columns(draw: st.DrawFn) -> Case:
    taps, dilation, stride, out = (draw(st.integers(1, most)) for most in (9, 3, 3, 4))
    n = draw(st.sampled_from([1, 3, 15, 16, 17, 30, 32, 60, 64, 75, 79, 130]))
    h = (out - 1) * stride + (taps - 1) * dilation + 1
    weights = data(draw, (n, taps, 1, 1))
    scaling, flags = draw(scalings(n, int(np.abs(weights.astype(int)).sum((1, 2, 3)).max()) * 128))
    rows = h + draw(st.integers(0, 3))
    return Case(
        COLUMN,
        data(draw, (h, 1, n)),
        weights,
        scaling,
        (out, 1),
        Window((taps, 1), (stride, 1), (dilation, 1)),
        flags,
        in_gap=draw(st.integers(0, 2)),
        row_gap=draw(st.integers(0, 2)),
        ring=draw(st.none() | st.integers(0, rows - 1)),
        ring_rows=rows,
    )


@given(columns())
def test_column_follows_its_formula(case: Case) -> None:
    check(case)


@st.composite
def dense_layers(draw: st.DrawFn) -> Case:
    h, w, c = draw(st.integers(1, 4)), draw(st.integers(1, 2)), draw(st.integers(1, 20))
    n = draw(st.sampled_from([1, 2, 3, 4, 7, 15, 16, 19, 30, 60, 64, 75, 80, 85, 131]))
    weights = data(draw, (n, h, w, c))
    scaling, flags = draw(scalings(n, int(np.abs(weights.astype(int)).sum((1, 2, 3)).max()) * 128))
    rows = h + draw(st.integers(0, 3))
    return Case(
        DENSE,
        data(draw, (h, w, c)),
        weights,
        scaling,
        window=Window((h, w)),
        flags=flags,
        row_gap=draw(st.integers(0, 2)),
        ring=draw(st.none() | st.integers(0, rows - 1)),
        ring_rows=rows,
    )


@given(dense_layers())
def test_dense_layer_follows_its_formula(case: Case) -> None:
    check(case)


def scaled(sums: NDArray[np.int64], multiplier: int, shift: int, zero: int, low: int, flags: int) -> None:
    """Requantise sums: those of a layer of zeros are its biases."""
    n = len(sums)
    case = Case(
        DENSE,
        np.zeros((1, 1, 4), np.int8),
        np.zeros((n, 1, 1, 4), np.int8),
        Scaling(sums, np.full(n, multiplier), np.full(n, shift), 0, zero, low),
        flags=flags,
    )
    check(case)


@settings(max_examples=300)
@given(st.data())
@example(None)
def test_any_sum_becomes_the_output_that_tflite_gives(draws: st.DataObject | None) -> None:
    if draws is None:
        for shift in (*range(-31, 31),):
            scaled(np.array([0, 1, -1, 2**30, -(2**30), 2**30 - 1, 12345]), 2**31 - 1, shift, -3, -128, 0)
        return
    draw = draws.draw
    mode = draw(st.sampled_from(["nonneg", "fast", "general"]))
    shift = draw(st.integers(1, 22) if mode != "general" else st.integers(-30, 31))
    multiplier = draw(st.integers(2**30, 2**31 - 1) | st.sampled_from([0, 2**30, 2**31 - 1]))
    zero = draw(st.integers(-128, 127))
    # Most of them around the sums where the output steps.
    reach = min(2**30 - 1, 2 ** (max(shift, 0) + 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = ((np.arange(-128, 128) - 0.5) * 2.0 ** (31 + shift) / max(multiplier, 2**30)).astype(np.int64)
    near = np.clip(steps + rng.integers(-1, 2, len(steps)), -reach, reach)
    sums = np.concatenate([near, rng.integers(-reach, reach + 1, 64), [0, 1, -1]])
    flags = {"nonneg": FAST | NONNEG, "fast": FAST, "general": 0}[mode]
    scaled(sums, multiplier, -shift, zero, zero if mode == "nonneg" else -128, flags)


@pytest.mark.parametrize("kind", [CONV, DENSE])
def test_the_largest_sums_are_right(kind: int) -> None:
    for value, weight in ((-128, -128), (127, 127), (-128, 127), (127, -128)):
        shape = (1, 5, 301) if kind == CONV else (1, 1, 4096)
        taps = shape[2]
        scaling = Scaling(np.array([7] * 16), np.array([2**30 + 5] * 16), np.array([-18] * 16), 3, -5)
        case = Case(
            kind,
            np.full(shape, value, np.int8),
            np.full((16, 1, 1, taps), weight, np.int8),
            scaling,
            (1, 5) if kind == CONV else (1, 1),
            flags=FAST,
        )
        check(case)
