"""Weights and requantisation tables in the order in which the kernels read them.

The layouts are those of ``firmware/engine/runtime/format.h``, structure by structure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cicada.training.pack.errors import PackError
from cicada.training.pack.format import FAST, NONNEG, aligned
from cicada.training.pack.program import Column, Conv, Dense, Depthwise, Plain, Requant

#: Largest folded bias, so that a sum of products may be added to it without overflow.
BIAS_LIMIT = 1 << 30


def weights(op: Conv | Dense | Depthwise | Column) -> bytes:
    """The operator's weights as its record wants them, not filled up to a multiple of 4.

    Raises:
        ValueError: they have not the shape that the operator's views ask for.
    """
    if isinstance(op, Conv):
        taps, channels = op.window.kernel, op.input.c
        return _conv(_checked(op.weights, (op.output.c, *taps, channels)))
    if isinstance(op, Dense):
        values = op.input.h * op.input.w * op.input.c
        taps = _checked(op.weights, (op.output.c, values))
        return _blocks(np.pad(taps, ((0, 0), (0, -values % 4))).T, (4, 1))
    if isinstance(op, Depthwise):
        planes = _checked(op.weights, (*op.window.kernel, op.output.c))
        return np.ascontiguousarray(planes.transpose(2, 0, 1)).tobytes()
    return _blocks(_checked(op.weights, (op.window.kernel[0], op.output.c)), ())


def plain_tables(op: Plain) -> tuple[bytes, bytes]:
    """Weights of a plain record, and its biases, multipliers and shifts, all as TFLite has them.

    Raises:
        PackError, ValueError: as :func:`weights` and :func:`requant_tables`.
    """
    requant_tables(op)
    n, requant = op.output.c, op.requant
    shape = (*op.window.kernel, n) if op.multiplier else (n, *op.window.kernel, op.input.c)
    # A multiplier of 0 makes 0 with any shift.
    shifts = np.where(requant.multiplier == 0, 0, requant.shift)
    tables = b"".join(
        np.asarray(table).astype("<i4").tobytes() for table in (requant.bias, requant.multiplier, shifts)
    )
    return np.ascontiguousarray(_checked(op.weights, shape)).tobytes(), tables


def requant_tables(op: Conv | Dense | Depthwise | Column | Plain) -> tuple[bytes, int]:
    """The three tables of ``cpm_requant``, and the flags they allow.

    Returns:
        Tables as bytes (a multiple of 4), and :data:`FAST` and :data:`NONNEG` or-ed. FAST is given if every
        shift is 1 to 22, the zero point is a possible output and no sum that the weights can make reaches
        2^30. NONNEG is given with FAST if the lowest output is the zero point.

    Raises:
        PackError: a bias is too large once the input's zero point is folded in, or a scale is out of range.
        ValueError: the tables have not one number a channel.
    """
    requant = op.requant
    # Output channels come first in the weights of some, last in those of others.
    taps = op.weights.astype(np.int64)
    first = isinstance(op, Conv | Dense) or (isinstance(op, Plain) and not op.multiplier)
    taps = taps.reshape(len(taps), -1) if first else taps.reshape(-1, taps.shape[-1]).T
    sums, magnitudes = taps.sum(1), np.abs(taps).sum(1)
    bias, multiplier, shift = (
        np.asarray(table, np.int64) for table in (requant.bias, requant.multiplier, requant.shift)
    )
    if not bias.shape == multiplier.shape == shift.shape == sums.shape:
        raise ValueError(f"{op.name}: biases, multipliers and shifts are not {len(sums)} each")
    if not np.all((multiplier == 0) | ((multiplier >> 30) == 1)):
        raise ValueError(f"{op.name}: a multiplier is not 0 nor from 2^30 to 2^31")
    folded = bias - requant.in_zero * sums
    reach = np.abs(folded) + 128 * magnitudes
    if np.abs(folded).max() > BIAS_LIMIT or reach.max() >= 1 << 31:
        channel = int(reach.argmax())
        raise PackError(
            f"{op.name}: the sums of channel {channel} reach {int(reach[channel])}, more than 32 bits hold; "
            "quantise the model anew, with biases that fit its weights"
        )
    right = np.where(multiplier == 0, 1, -shift)
    if right.min() < -30 or right.max() > 31:
        raise PackError(
            f"{op.name}: a scale of 2^{int(-right.max())} to 2^{int(-right.min())} is out of range; "
            "2^-31 to 2^30 can be packed"
        )
    flags = _flags(requant, reach, right)
    tables = (
        folded.astype("<i4").tobytes()
        + (2 * multiplier).astype("<u4").tobytes()
        + right.astype(np.int8).tobytes()
    )
    return tables.ljust(aligned(len(tables)), b"\0"), flags


def _flags(requant: Requant, reach: NDArray[np.int64], right: NDArray[np.int64]) -> int:
    if right.min() < 1 or right.max() > 22 or reach.max() >= 1 << 30:
        return 0
    if not requant.low <= requant.out_zero <= requant.high:
        return 0
    return FAST | NONNEG if requant.low == requant.out_zero else FAST


def _checked(array: NDArray[np.int8], shape: tuple[int, ...]) -> NDArray[np.int8]:
    if array.shape != shape or array.dtype != np.int8:
        raise ValueError(f"weights are {array.dtype}{list(array.shape)}, not int8{list(shape)}")
    return array


def _conv(array: NDArray[np.int8]) -> bytes:
    """``[n, ...]`` as blocks of 4 output channels, channel innermost; zeros fill up blocks and odd taps."""
    n = len(array)
    taps = array.size // n
    flat = np.zeros((-(-n // 4) * 4, taps + taps % 2), np.int8)
    flat[:n, :taps] = array.reshape(n, -1)
    return np.ascontiguousarray(flat.reshape(-1, 4, flat.shape[1]).transpose(0, 2, 1)).tobytes()


def _blocks(array: NDArray[np.int8], smaller: tuple[int, ...]) -> bytes:
    """``[K, n]`` as blocks of ``CPM_BLOCK(n)`` columns, then of ``smaller`` ones, then what is left."""
    pieces, at, n = [], 0, array.shape[1]
    sizes = (15 if n % 16 and n % 15 == 0 else 16, *smaller)
    while at < n:
        width = next((size for size in sizes if size <= n - at), n - at)
        pieces.append(np.ascontiguousarray(array[:, at : at + width]).tobytes())
        at += width
    return b"".join(pieces)
