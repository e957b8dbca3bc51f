"""What an operator will take on a small CPU, before it has run: RV32IMC instructions, GCC -O2.

Each kind's instructions are a sum of terms: how often a part of its kernel runs, times what one run of the
part takes. The parts are those of the kernel's file in ``firmware/engine/runtime``. What they take was fitted
to what ``cicada bench`` counts for each operator of the reference models and of models of chance, by least
squares of the relative errors. A kernel that is written anew needs new numbers:
tests/engine/test_bench_figures.py tells when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cicada.training.pack.format import FAST, NONNEG, aligned
from cicada.training.pack.layout import requant_tables
from cicada.training.pack.plan import scratch_size
from cicada.training.pack.program import (
    Binary,
    Column,
    Conv,
    Copy,
    Dense,
    Depthwise,
    Fill,
    Lut,
    Mean,
    Op,
    Plain,
    Pool,
    Softmax,
    View,
)

Terms = dict[str, float]

#: Instructions of one run of each part, by kind of operator.
COSTS: Mapping[type[Op], Mapping[str, float]] = {
    Conv: {
        "operator": 1489,
        "quads": 627,
        "rows": 9.9,
        "pieces": 156,
        "taps woven": 12.3,
        "macs": 2.25,
        "outputs from zero": 15.7,
        "outputs of both signs": 19.3,
        "outputs scaled slowly": 70,
    },
    Dense: {
        "operator": 355,
        "bytes gathered": 0.41,
        "macs": 3.1,
        "macs by four": 3.57,
        "macs one by one": 5.1,
        "outputs of both signs": 12,
        "outputs from zero": 11.6,
        "outputs scaled slowly": 70,
    },
    Depthwise: {
        "operator": 1171,
        "channels": 168,
        "bytes gathered": 6.5,
        "rows of 3 x 3": 12.4,
        "outputs of 3 x 3": 29,
        "outputs from zero": 19.6,
        "kernel rows": 8,
        "macs": 6.7,
        "outputs of both signs": 25,
        "outputs scaled slowly": 70,
    },
    Column: {
        "operator": 31,
        "rows": 217,
        "macs": 4.19,
        "macs one by one": 12.6,
        "outputs of both signs": 19.7,
        "outputs from zero": 13.1,
        "outputs scaled slowly": 70,
    },
    Plain: {"operator": 150, "taps": 36, "macs": 7.7, "outputs": 110},
    Pool: {"operator": 234, "pixels": 116, "taps": 8.2, "averages": 45, "macs": 2.63, "largest": 60},
    Mean: {"operator": 212, "pixels": 9.8, "outputs": 84, "taps": 1.88},
    Binary: {"operator": 267, "outputs": 38},
    Softmax: {"operator": 0, "pixels": 300, "outputs": 300},
    Lut: {"operator": 50, "rows": 42, "outputs": 7},
    Copy: {"operator": 0, "runs": 17.8, "bytes": 3.44, "bytes one by one": 8.4},
    Fill: {"operator": 11.6, "rows": 48, "outputs": 0.44},
}


def instructions(op: Op) -> int:
    """RV32IMC instructions that the operator takes in one inference, as far as they can be foretold."""
    costs = COSTS[type(op)]
    return round(sum(costs[name] * count for name, count in terms(op).items()))


def terms(op: Op) -> Terms:
    """How often each part of the operator's kernel runs, by the names of :data:`COSTS`."""
    return {"operator": 1} | _TERMS[type(op)](op)


def _values(view: View) -> int:
    """Values of a view."""
    return view.h * view.w * view.c


def _scaled(op: Conv | Dense | Depthwise | Column, outputs: int) -> Terms:
    """Outputs by how they are scaled: where the lowest is the zero point, those below it cost little."""
    _, flags = requant_tables(op)
    if not flags & FAST:
        return {"outputs scaled slowly": outputs}
    return {"outputs from zero" if flags & NONNEG else "outputs of both signs": outputs}


def _block(n: int) -> int:
    """``CPM_BLOCK`` of format.h."""
    return 15 if n % 16 and n % 15 == 0 else 16


def _conv(op: Conv) -> Terms:
    (height, width), channels = op.window.kernel, op.input.c
    taps = height * width * channels
    quads = -(-op.output.h * op.output.w // 4)
    columns = -(-op.output.c // 4)
    rows, whole = (_inside(op, axis) for axis in (0, 1))
    # Of each output pixel the rows of the kernel that do not lie in the input in one piece.
    pieces = op.output.h * op.output.w * height - sum(rows) * sum(n == width for n in whole)
    return {
        "quads": quads,
        "rows": 4 * quads * height,
        "pieces": pieces,
        "taps woven": quads * taps,
        "macs": 16 * quads * columns * (taps + taps % 2),
    } | _scaled(op, 4 * quads * op.output.c)


def _inside(op: Conv, axis: int) -> list[int]:
    """For each output row (axis 0) or column (1) how many of the kernel's taps lie in the input."""
    window, n = op.window, (op.input.h, op.input.w)[axis]
    outputs = (op.output.h, op.output.w)[axis]
    starts = (y * window.stride[axis] - window.pad[axis] for y in range(outputs))
    taps = [i * window.dilation[axis] for i in range(window.kernel[axis])]
    return [sum(0 <= start + tap < n for tap in taps) for start in starts]


def _dense(op: Dense) -> Terms:
    size = op.input.h * op.input.w * op.input.c
    taps = aligned(size)  # those that fill up to a multiple of 4 are multiplied, too
    rest = op.output.c % _block(op.output.c)
    return {
        "bytes gathered": size if scratch_size(op) else 0,
        "macs": taps * (op.output.c - rest),
        "macs by four": taps * (rest - rest % 4),
        "macs one by one": taps * (rest % 4),
    } | _scaled(op, op.output.c)


def _depthwise(op: Depthwise) -> Terms:
    window, outputs = op.window, _values(op.output)
    height, width = window.kernel
    terms = {
        "channels": op.output.c,
        "bytes gathered": _values(op.input),
    }
    if (window.kernel, window.dilation) == ((3, 3), (1, 1)):
        terms |= {"rows of 3 x 3": op.output.c * op.output.h, "outputs of 3 x 3": outputs}
    else:
        terms |= {
            "kernel rows": outputs * height,
            "macs": outputs * height * width,
        }
    return terms | _scaled(op, outputs)


def _column(op: Column) -> Terms:
    rest = op.output.c % _block(op.output.c)
    taps = op.output.h * op.window.kernel[0]
    return {
        "rows": op.output.h,
        "macs": taps * (op.output.c - rest),
        "macs one by one": taps * rest,
    } | _scaled(op, _values(op.output))


def _plain(op: Plain) -> Terms:
    outputs = _values(op.output)
    taps = outputs * op.window.kernel[0] * op.window.kernel[1]
    return {"taps": taps, "macs": taps * (1 if op.multiplier else op.input.c), "outputs": outputs}


def _pool(op: Pool) -> Terms:
    pixels, taps = op.output.h * op.output.w, op.window.kernel[0] * op.window.kernel[1]
    kind = "largest" if op.largest else "averages"
    return {
        "pixels": pixels,
        "taps": pixels * taps,
        kind: pixels * op.output.c,
        "macs": pixels * taps * op.output.c,
    }


def _mean(op: Mean) -> Terms:
    return {"pixels": op.input.h * op.input.w, "outputs": _values(op.output), "taps": _values(op.input)}


def _elementwise(op: Binary) -> Terms:
    return {"outputs": _values(op.output)}


def _softmax(op: Softmax) -> Terms:
    return {"pixels": op.input.h * op.input.w, "outputs": _values(op.output)}


def _by_rows(op: Lut | Fill) -> Terms:
    return {"rows": op.output.h, "outputs": _values(op.output)}


def _copy(op: Copy) -> Terms:
    size = op.dims[0] * op.dims[1] * op.dims[2] * op.dims[3]
    together = op.in_step[3] == op.out_step[3] == 1
    return {"runs": size // op.dims[3], "bytes" if together else "bytes one by one": size}


_TERMS: Mapping[type[Op], Callable[..., Terms]] = {
    Conv: _conv,
    Dense: _dense,
    Depthwise: _depthwise,
    Column: _column,
    Plain: _plain,
    Pool: _pool,
    Mean: _mean,
    Binary: _elementwise,
    Softmax: _softmax,
    Lut: _by_rows,
    Copy: _copy,
    Fill: _by_rows,
}
