"""Records for the runtime's kernels, made by hand, and what a kernel must answer, from the formulas alone."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

U8, U16, U32 = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32
FAST, NONNEG = 1, 2
CONV, DENSE, DEPTHWISE, COLUMN, PLAIN_CONV, PLAIN_DEPTHWISE = 1, 2, 3, 4, 14, 15


def _structure(name: str, **fields: type) -> type[ctypes.LittleEndianStructure]:
    return type(name, (ctypes.LittleEndianStructure,), {"_fields_": list(fields.items())})


_Head = _structure(
    "Head", kind=U8, flags=U8, length=U16, in_ring=U8, out_ring=U8, advance=U8, advance_rows=U8
)
_View = _structure("View", at=U32, row=U32, h=U16, w=U16, c=U16, pitch=U16)
_Window = _structure(
    "Window",
    kernel_h=U16,
    kernel_w=U16,
    pad_h=U16,
    pad_w=U16,
    stride_h=U8,
    stride_w=U8,
    dilation_h=U8,
    dilation_w=U8,
    pad_value=ctypes.c_int8,
    zero=U8 * 3,
)
_Requant = _structure("Requant", at=U32, out_zero=ctypes.c_int16, low=ctypes.c_int8, high=ctypes.c_int8)
_Conv = _structure(
    "Conv", op=_Head, input=_View, output=_View, window=_Window, requant=_Requant, weights=U32, scratch=U32
)
_Dense = _structure("Dense", op=_Head, input=_View, output=_View, requant=_Requant, weights=U32, scratch=U32)
_Depthwise = _structure("Depthwise", conv=_Conv, multiplier=U16, strip=U16)
_Column = _structure(
    "Column", op=_Head, input=_View, output=_View, window=_Window, requant=_Requant, weights=U32
)
RECORDS = {CONV: _Conv, DENSE: _Dense, DEPTHWISE: _Depthwise, COLUMN: _Column}


@dataclass(frozen=True)
class Window:
    """Pairs are (rows, columns)."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Scaling:
    """Requantisation of n channels in TFLite's numbers, shifts positive to the left."""

    bias: NDArray[np.int64]
    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]
    in_zero: int
    out_zero: int
    low: int = -128
    high: int = 127


@dataclass
class Case:
    """One operator of one kind.

    Attributes:
        values: input ``int8[h, w, c]``.
        weights: ``int8[n, kernel_h, kernel_w, c]``, for DEPTHWISE and COLUMN with c of 1.
        out_size: output rows and columns.
        flags: of the record.
        in_gap, out_gap: bytes by which the pitch exceeds the channels.
        ring: None, or the position in rows of a ring of ``ring_rows`` rows that holds the input.
        strip: of DEPTHWISE.
    """

    kind: int
    values: NDArray[np.int8]
    weights: NDArray[np.int8]
    scaling: Scaling
    out_size: tuple[int, int] = (1, 1)
    window: Window = field(default_factory=Window)
    flags: int = 0
    in_gap: int = 0
    out_gap: int = 0
    row_gap: int = 0
    ring: int | None = None
    ring_rows: int = 0
    multiplier: int = 1
    strip: int = 1

    @property
    def n(self) -> int:
        """Output channels."""
        return len(self.weights)


def scale(
    sums: NDArray[np.int64], multiplier: NDArray[np.int64], shift: NDArray[np.int64]
) -> NDArray[np.int64]:
    """MultiplyByQuantizedMultiplier of TFLite's common.cc with two roundings, as written there.

    Args:
        sums: ``int64[..., n]``, values of 32 bits.
        multiplier, shift: ``int64[n]``.
    """
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    wrapped = (sums << left) + 2**31 & 2**32 - 1
    product = (wrapped - 2**31) * multiplier
    # Division that cuts towards zero, as C's.
    nudged = product + np.where(product >= 0, 2**30, 1 - 2**30)
    high = np.sign(nudged) * (np.abs(nudged) >> 31)
    mask = (1 << right) - 1
    threshold = (mask >> 1) + (high < 0)
    return (high >> right) + ((high & mask) > threshold)


def expected(case: Case) -> NDArray[np.int8]:
    """Output ``int8[out_h, out_w, n]`` by the formulas of the kernels, in 64 bits."""
    s, w = case.scaling, case.window
    h, width, c = case.values.shape
    (rows, columns), (kernel_h, kernel_w) = case.out_size, w.kernel
    below = (rows - 1) * w.stride[0] + (kernel_h - 1) * w.dilation[0] + 1
    right = (columns - 1) * w.stride[1] + (kernel_w - 1) * w.dilation[1] + 1
    padded = np.zeros((max(below, h + w.pad[0]), max(right, width + w.pad[1]), c), np.int64)
    padded[w.pad[0] : w.pad[0] + h, w.pad[1] : w.pad[1] + width] = case.values.astype(np.int64) - s.in_zero
    sums = np.zeros((rows, columns, case.n), np.int64)
    for i in range(kernel_h):
        for j in range(kernel_w):
            y, x = i * w.dilation[0], j * w.dilation[1]
            seen = padded[
                y : y + rows * w.stride[0] : w.stride[0], x : x + columns * w.stride[1] : w.stride[1]
            ]
            taps = case.weights[:, i, j].astype(np.int64)
            if case.kind in (DEPTHWISE, COLUMN, PLAIN_DEPTHWISE):
                sums += np.repeat(seen[:rows, :columns], case.multiplier, 2) * taps[:, 0]
            else:
                sums += seen[:rows, :columns] @ taps.T
    return np.clip(scale(sums + s.bias, s.multiplier, s.shift) + s.out_zero, s.low, s.high).astype(np.int8)


class Memory:
    """A blob and an arena being filled; each block has guard bytes before and after."""

    GUARD = 16

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.blob, self.arena = bytearray(256), bytearray(64)
        self.written: list[tuple[int, int]] = []

    def constant(self, *parts: NDArray) -> int:
        """Put arrays one after the other into the blob; returns where."""
        at = len(self.blob)
        for part in parts:
            self.blob += part.tobytes()
        self.blob += bytes(-len(self.blob) % 4)
        return at

    def take(self, size: int, align: int = 4, write: bool = False) -> int:
        """Reserve arena bytes filled with noise; ``write`` marks those an operator may write."""
        self.arena += self._rng.bytes(self.GUARD)
        self.arena += bytes(-len(self.arena) % align)
        at = len(self.arena)
        self.arena += self._rng.bytes(size)
        if write:
            self.written.append((at, size))
        return at

    def close(self) -> None:
        """Guard the last block too."""
        self.arena += self._rng.bytes(self.GUARD + 4)


def conv_taps(taps: int) -> int:
    """``CPM_CONV_TAPS``."""
    return (taps + 1) // 2 * 2


def _conv_weights(case: Case) -> NDArray[np.int8]:
    flat = case.weights.reshape(case.n, -1)
    padded = np.zeros(((case.n + 3) // 4 * 4, conv_taps(flat.shape[1])), np.int8)
    padded[: case.n, : flat.shape[1]] = flat
    return padded.reshape(-1, 4, padded.shape[1]).transpose(0, 2, 1)


def _blocks(case: Case) -> NDArray[np.int8]:
    """Weights of DENSE and COLUMN: blocks of 15 or 16 channels; the rest in blocks of 4 and 1, or in one."""
    flat = case.weights.reshape(case.n, -1)
    if case.kind == DENSE:
        flat = np.pad(flat, ((0, 0), (0, -flat.shape[1] % 4)))
    width = 15 if case.n % 16 and case.n % 15 == 0 else 16
    parts, at = [], 0
    while at < len(flat):
        left = len(flat) - at
        rest = left if case.kind == COLUMN else 4 if left >= 4 else 1
        size = width if left >= width else rest
        parts.append(flat[at : at + size].T.ravel())
        at += size
    return np.concatenate(parts)


WEIGHTS: dict[int, Callable[[Case], NDArray[np.int8]]] = {
    CONV: _conv_weights,
    DENSE: _blocks,
    DEPTHWISE: lambda case: case.weights.reshape(case.n, -1),
    COLUMN: _blocks,
}


def _scratch(case: Case) -> int:
    h, w, c = case.values.shape
    k = case.window
    if case.kind == CONV:
        return 8 * conv_taps(k.kernel[0] * k.kernel[1] * c) + (
            0 if k.kernel == (1, 1) else 4 * k.kernel[1] * c
        )
    if case.kind == DENSE:
        return (h * w * c + 3) // 4 * 4
    rows = (min(case.strip, case.out_size[0]) - 1) * k.stride[0] + (k.kernel[0] - 1) * k.dilation[0] + 1
    columns = (case.out_size[1] - 1) * k.stride[1] + (k.kernel[1] - 1) * k.dilation[1] + 1
    return (rows * columns + 3) // 4 * 4 + 16


@dataclass
class Laid:
    """A case in memory: record at ``op`` of the blob, rings at ``rings``; ``output`` are the indices in the
    arena of the output's values, ``int64[out_h, out_w, n]``; ``mutable`` marks what the kernel may write."""

    blob: bytearray
    arena: bytearray
    op: int
    rings: int
    position: int
    output: NDArray[np.int64]
    mutable: NDArray[np.bool_]


def lay_out(case: Case, seed: int = 0) -> Laid:
    """Put a case into a blob and an arena as format.h says."""
    memory, s, w = Memory(seed), case.scaling, case.window
    h, width, c = case.values.shape
    pitch = c + case.in_gap
    row = width * pitch + case.row_gap
    rows = case.ring_rows if case.ring is not None else h
    at = memory.take(row * rows)
    base = np.arange(h)[:, None, None] * row + np.arange(width)[:, None] * pitch + np.arange(c)
    if case.ring is not None:
        base = (base + case.ring * row) % (row * rows)
    np.frombuffer(memory.arena, np.int8)[at + base] = case.values
    out_pitch = case.n + case.out_gap
    out_row = case.out_size[1] * out_pitch + case.row_gap
    out = memory.take(out_row * case.out_size[0], align=1)
    out_index = (
        out
        + np.arange(case.out_size[0])[:, None, None] * out_row
        + np.arange(case.out_size[1])[:, None] * out_pitch
        + np.arange(case.n)
    )
    scratch = memory.take(_scratch(case), write=True) if case.kind != COLUMN else 0
    memory.close()
    summed = case.weights.astype(np.int64).sum((1, 2, 3))
    tables = memory.constant(
        (s.bias - s.in_zero * summed).astype("<i4"),
        (s.multiplier * 2).astype("<u4"),
        (-s.shift).astype(np.int8),
    )
    record = RECORDS[case.kind]()
    body = record.conv if case.kind == DEPTHWISE else record
    body.op = _Head(case.kind, case.flags, ctypes.sizeof(record), int(case.ring is not None))
    body.input = _View(0 if case.ring is not None else at, row, h, width, c, pitch)
    body.output = _View(out, out_row, *case.out_size, case.n, out_pitch)
    body.requant = _Requant(tables, s.out_zero, s.low, s.high)
    body.weights = memory.constant(WEIGHTS[case.kind](case))
    if case.kind != DENSE:
        strides, dilations = w.stride, w.dilation
        body.window = _Window(*w.kernel, *w.pad, *strides, *dilations, s.in_zero)
    if case.kind != COLUMN:
        body.scratch = scratch
    if case.kind == DEPTHWISE:
        record.multiplier, record.strip = case.multiplier, case.strip
    op = memory.constant(np.frombuffer(bytes(record), np.uint8))
    rings = memory.constant(np.array([at, row, rows], "<u4"))
    memory.blob[20:24] = rings.to_bytes(4, "little")
    mutable = np.zeros(len(memory.arena), bool)
    mutable[out_index] = True
    for start, size in memory.written:
        mutable[start : start + size] = True
    position = (case.ring or 0) * row
    return Laid(memory.blob, memory.arena, op, rings, position, out_index, mutable)
