"""Small programs made by hand, for what must be tested without the compiler's front."""

from __future__ import annotations

import numpy as np

from cicada.training.pack import emit, plan
from cicada.training.pack.program import Buffer, Conv, Dense, Depthwise, Program, Requant, View, Window


def requant(rng: np.random.Generator, n: int) -> Requant:
    """Scaling of ``n`` channels that spreads sums of some hundred products over the output's range."""
    bias = rng.integers(-500, 500, n).astype(np.int32)
    multiplier = rng.integers(1 << 30, (1 << 31) - 1, n).astype(np.int32)
    return Requant(bias, multiplier, np.full(n, -8, np.int32), 3, 3, -128, 127)


def separable(size: int = 10, channels: int = 16, classes: int = 6, seed: int = 1) -> Program:
    """A convolution, a depthwise and a pointwise one, and a dense layer, with weights of chance."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-127, 128, shape).astype(np.int8)

    half = size // 2
    buffers = [
        Buffer("input", size * size),
        *(Buffer(name, half * half * channels) for name in ("first", "depthwise", "pointwise")),
        Buffer("output", classes),
    ]
    planes = [View(buffer, half, half, channels) for buffer in buffers[1:4]]
    taps = half * half * channels
    ops = [
        Conv(
            "first",
            taps * 9,
            input=View(buffers[0], size, size, 1),
            output=planes[0],
            window=Window((3, 3), (2, 2), pad=(0, 0)),
            weights=weights(channels, 3, 3, 1),
            requant=requant(rng, channels),
        ),
        Depthwise(
            "depthwise",
            taps * 9,
            input=planes[0],
            output=planes[1],
            window=Window((3, 3), pad=(1, 1)),
            weights=weights(3, 3, channels),
            requant=requant(rng, channels),
        ),
        Conv(
            "pointwise",
            taps * channels,
            input=planes[1],
            output=planes[2],
            window=Window((1, 1)),
            weights=weights(channels, 1, 1, channels),
            requant=requant(rng, channels),
        ),
        Dense(
            "dense",
            taps * classes,
            input=View(buffers[3], 1, 1, taps),
            output=View(buffers[4], 1, 1, classes),
            weights=weights(classes, taps),
            requant=requant(rng, classes),
        ),
    ]
    shapes = (1, size, size, 1), (1, classes)
    numbers = (1.0, 0, "int8", 1.0, 0, "int8")
    return Program(ops, buffers[0], buffers[-1], *shapes, *numbers, buffers, [], sum(op.macs for op in ops))


def blob(program: Program) -> bytes:
    """The packed model of a program, without a self-test."""
    return emit.emit(program, plan.plan(program))
