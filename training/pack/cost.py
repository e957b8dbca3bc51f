"""What an operator will take on a small CPU, before it has run: RV32IMC instructions, GCC -O2.

Each kind's instructions are a sum of terms: how often the parts of its kernel run, times what one run of that
part takes. The parts are those of the kernel's file in ``firmware/engine/runtime``; the instructions of each were
fitted to what ``cicada bench`` counts for each operator of the reference models, by least squares. A kernel that
is written anew needs new numbers: the test of this module tells when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
    Conv: {"operator": 300, "pixels": 12, "taps gathered": 2, "blocks": 30, "macs": 2.6, "outputs": 16},
    Dense: {"operator": 150, "blocks": 60, "macs": 3.1, "outputs": 16},
    Depthwise: {"operator": 300, "planes": 100, "taps gathered": 4, "macs": 4, "outputs": 20},
    Column: {"operator": 150, "blocks": 40, "macs": 4.4, "outputs": 16},
    Plain: {"operator": 200, "taps": 40, "macs": 6, "outputs": 60},
    Pool: {"operator": 150, "outputs": 40, "taps": 6},
    Mean: {"operator": 150, "outputs": 40, "taps": 6},
    Binary: {"operator": 150, "outputs": 50},
    Softmax: {"operator": 100, "pixels": 100, "outputs": 250},
    Lut: {"operator": 60, "rows": 20, "outputs": 6},
    Copy: {"operator": 100, "runs": 30, "bytes": 2},
    Fill: {"operator": 60, "rows": 20, "outputs": 1},
}


def instructions(op: Op) -> int:
    """RV32IMC instructions that the operator takes in one inference, as far as they can be foretold."""
    costs = COSTS[type(op)]
    return round(sum(costs[name] * count for name, count in terms(op).items()))


def terms(op: Op) -> Terms:
    """How often each part of the operator's kernel runs, by the names of :data:`COSTS`."""
    return {"operator": 1} | _TERMS[type(op)](op)


def _outputs(view: View) -> int:
    return view.h * view.w * view.c


def _blocks(n: int, largest: int) -> int:
    """Blocks of ``n`` channels: of the largest size, and one for each bit of the rest."""
    return n // largest + bin(n % largest).count("1")


def _conv(op: Conv) -> Terms:
    taps = op.window.kernel[0] * op.window.kernel[1] * op.input.c
    pixels = op.output.h * op.output.w
    quads = -(-pixels // 4)
    columns = -(-op.output.c // 4)
    return {
        "pixels": pixels,
        "taps gathered": 4 * quads * taps,
        "blocks": quads * columns,
        "macs": 16 * quads * columns * taps,
        "outputs": _outputs(op.output),
    }


def _dense(op: Dense) -> Terms:
    taps = op.input.h * op.input.w * op.input.c
    return {"blocks": _blocks(op.output.c, 16), "macs": taps * op.output.c, "outputs": op.output.c}


def _depthwise(op: Depthwise) -> Terms:
    outputs = _outputs(op.output)
    return {
        "planes": op.input.c,
        "taps gathered": op.input.c * op.output.h * op.window.stride[0] * op.output.w * op.window.stride[1],
        "macs": outputs * op.window.kernel[0] * op.window.kernel[1],
        "outputs": outputs,
    }


def _column(op: Column) -> Terms:
    outputs = _outputs(op.output)
    return {
        "blocks": op.output.h * _blocks(op.output.c, 8),
        "macs": outputs * op.window.kernel[0],
        "outputs": outputs,
    }


def _plain(op: Plain) -> Terms:
    outputs = _outputs(op.output)
    taps = outputs * op.window.kernel[0] * op.window.kernel[1]
    return {"taps": taps, "macs": taps * (1 if op.multiplier else op.input.c), "outputs": outputs}


def _pool(op: Pool) -> Terms:
    outputs = _outputs(op.output)
    return {"outputs": outputs, "taps": outputs * op.window.kernel[0] * op.window.kernel[1]}


def _mean(op: Mean) -> Terms:
    return {"outputs": _outputs(op.output), "taps": _outputs(op.input)}


def _elementwise(op: Binary) -> Terms:
    return {"outputs": _outputs(op.output)}


def _softmax(op: Softmax) -> Terms:
    return {"pixels": op.input.h * op.input.w, "outputs": _outputs(op.output)}


def _by_rows(op: Lut | Fill) -> Terms:
    return {"rows": op.output.h, "outputs": _outputs(op.output)}


def _copy(op: Copy) -> Terms:
    size = op.dims[0] * op.dims[1] * op.dims[2] * op.dims[3]
    return {"runs": size // op.dims[3], "bytes": size}


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
