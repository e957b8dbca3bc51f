"""Models of the engine for tests (nn_testing/engine.c has the format and the arithmetic)."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np

FAILS, WAITS, GUESSES, LIES, THIRSTY = 1, 2, 4, 8, 16


def model(
    inputs: Sequence[int] = (2, 3),
    outputs: Sequence[int] = (2,),
    *,
    flags: int = 0,
    scratch: int = 0,
    version: int = 1,
    weights: Sequence[int] | None = None,
) -> bytes:
    """A model; ``weights`` are one int8 for each input, all ones if not given."""
    shapes = [*inputs, *[0] * (4 - len(inputs)), *outputs, *[0] * (4 - len(outputs))]
    sizes = flags, scratch, len(inputs), len(outputs)
    head = struct.pack("<4s2HI2B2x8i2f2i", b"TEST", version, *sizes, *shapes, 0.5, 0.25, -3, 7)
    return head + np.array([1] * math.prod(inputs) if weights is None else weights, np.int8).tobytes()


def run(x: np.ndarray, weights: np.ndarray, outputs: int, before: int = 0) -> list[int]:
    """What the engine makes of ``x`` when it has run ``before`` times since its state was reset."""
    product = x.astype(np.int64) * weights
    sums = np.array([product[j::outputs].sum() + before for j in range(outputs)])
    return sums.astype(np.uint8).astype(np.int8).tolist()


def aligned(data: bytes) -> str:
    """A MicroPython expression for ``data`` in a heap block of its own, which the constant may not have."""
    return f"bytes(bytearray({data!r}))"
