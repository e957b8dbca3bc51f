"""Programs built by hand: shapes and places matter, weights are noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cicada.training.pack.program import (
    Buffer,
    Column,
    Conv,
    Dense,
    Depthwise,
    Op,
    Program,
    Requant,
    Ring,
    View,
    Window,
)

_rng = np.random.default_rng(6)


def buffer(shape: Sequence[int], name: str = "buffer") -> Buffer:
    """A buffer for dense h, w, c."""
    return Buffer(name, int(np.prod(shape)))


def whole(memory: Buffer, shape: Sequence[int]) -> View:
    """A dense view of all of a buffer."""
    return View(memory, *shape)


def requant(channels: int, low: int = -128, out_zero: int = -128, shift: int = -9) -> Requant:
    """Plausible scales for so many channels."""
    return Requant(
        bias=_rng.integers(-2000, 2000, channels).astype(np.int32),
        multiplier=_rng.integers(1 << 30, (1 << 31) - 1, channels).astype(np.int32),
        shift=np.full(channels, shift, np.int32),
        in_zero=-128,
        out_zero=out_zero,
        low=low,
        high=127,
    )


def noise(*shape: int) -> np.ndarray:
    """``int8`` weights."""
    return _rng.integers(-127, 128, shape).astype(np.int8)


def conv(source: View, target: View, window: Window, name: str = "conv") -> Conv:
    """A convolution of noise."""
    weights = noise(target.c, *window.kernel, source.c)
    return Conv(name, input=source, output=target, window=window, weights=weights, requant=requant(target.c))


def depthwise(
    source: View, target: View, window: Window, strip: int = 0, name: str = "depthwise"
) -> Depthwise:
    """A depthwise convolution of noise."""
    return Depthwise(
        name,
        input=source,
        output=target,
        window=window,
        weights=noise(*window.kernel, target.c),
        requant=requant(target.c),
        multiplier=target.c // source.c,
        strip=strip,
    )


def dense(source: View, target: View, name: str = "dense") -> Dense:
    """A fully connected layer of noise."""
    weights = noise(target.c, source.h * source.w * source.c)
    return Dense(name, input=source, output=target, weights=weights, requant=requant(target.c))


def column(source: View, target: View, window: Window, name: str = "column") -> Column:
    """A column convolution of noise."""
    return Column(
        name,
        input=source,
        output=target,
        window=window,
        weights=noise(window.kernel[0], target.c),
        requant=requant(target.c),
    )


def program(
    ops: Sequence[Op],
    source: Buffer,
    target: Buffer,
    buffers: Sequence[Buffer] = (),
    rings: Sequence[Ring] = (),
) -> Program:
    """A program from one buffer to another; ``buffers`` are those in between."""
    return Program(
        ops=list(ops),
        input=source,
        output=target,
        input_shape=(1, source.size),
        output_shape=(1, target.size),
        input_scale=0.5,
        input_zero=-128,
        input_dtype="int8",
        output_scale=0.00390625,
        output_zero=-128,
        output_dtype="uint8",
        buffers=[source, *buffers, target],
        rings=list(rings),
        macs=sum(op.macs for op in ops),
    )
