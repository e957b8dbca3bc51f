"""Random numbers as models need them: weights, biases, scales, zero points."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from support.zoo.model import Quant

#: Standard deviation of activations: less than that of bytes which are all equally likely, 74.
SPREAD = 40.0
ACTIVATIONS = {"NONE": 0, "RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}
PADDINGS = {"SAME": 0, "VALID": 1}


def generator(rng: random.Random) -> np.random.Generator:
    """numpy's generator, for what has many numbers."""
    return np.random.default_rng(rng.getrandbits(32))


def scale(rng: random.Random, low: float = 2e-3, high: float = 0.2) -> float:
    """A scale as a float32 holds it, logarithmically uniform."""
    return float(np.float32(math.exp(rng.uniform(math.log(low), math.log(high)))))


def zero_point(rng: random.Random, tame: bool = False, clipped: bool = False) -> int:
    """A zero point: often an end of the range, or 0. A ``tame`` one leaves room for what is not clipped."""
    if tame:
        return rng.choice([-128, -128, rng.randint(-128, -20)]) if clipped else rng.randint(-60, 60)
    return rng.choice([-128, 0, 127, rng.randint(-128, 127), rng.randint(-128, 127)])


def quant(rng: random.Random, tame: bool = False) -> Quant:
    """Scale and zero point of an activation."""
    return Quant(scale(rng), zero_point(rng, tame))


def activation(rng: random.Random) -> str:
    """Name of a fused activation; none and RELU are most likely."""
    return rng.choice(["NONE", "RELU", "NONE", "RELU", "RELU6", "RELU_N1_TO_1"])


def weights(
    rng: random.Random, shape: Sequence[int], lowest: bool = False, tame: bool = False
) -> NDArray[np.int8]:
    """Weights of several characters, extreme ones among them if not ``tame``; ``lowest`` allows -128."""
    numbers = generator(rng)
    characters = ["any", "any", "any", "bell", "sparse", "ends", "high", "low", "zero"]
    character = rng.choice(characters[:5] if tame else characters)
    least = -128 if lowest else -127
    if character == "bell":
        values = np.clip(np.round(numbers.normal(0, 30, shape)), least, 127)
    elif character == "ends":
        values = numbers.choice([least, 127], shape)
    elif character in ("high", "low", "zero"):
        values = np.full(shape, {"high": 127, "low": least, "zero": 0}[character])
    else:
        values = numbers.integers(least, 128, shape)
        if character == "sparse":
            values = values * (numbers.random(shape) < 0.2)
    return np.asarray(values, np.int8)


def biases(rng: random.Random, count: int, taps: int) -> NDArray[np.int32]:
    """Biases: none, of the size of the sums, or so large that they alone decide."""
    size = rng.choice([0, 1 << 8, taps << 6, taps << 10, taps << 11, 1 << 22])
    return generator(rng).integers(-size, size + 1, count).astype(np.int32)


def proportions(rng: random.Random, count: int, tame: bool = False) -> NDArray[np.float64]:
    """How the scales of ``count`` channels compare, the largest at 1; now and then one is far smaller."""
    width = rng.choice([0.0, 0.5, 1.0] if tame else [0.0, 1.0, 3.4])
    values = np.exp(-generator(rng).uniform(0, width, count))
    if count > 2 and rng.random() < 0.1:
        values[0] *= 1e-9  # a channel that training has left at zero: its multiplier becomes 0
    return np.asarray(values / values.max())


def multiplier(rng: random.Random, spread: float, largest: float, tame: bool = False) -> float:
    """By what a layer's sums are multiplied.

    Mostly such that the outputs fill their range; if not ``tame`` sometimes tiny or more than one.

    Args:
        rng: makes the choice.
        spread: standard deviation of the sums.
        largest: magnitude that a sum may reach; a multiplier above one must not carry it beyond 31 bits.
    """
    character = "usual" if tame else rng.choice(["usual"] * 7 + ["tiny", "large", "large"])
    if character == "tiny":
        return float(2.0 ** -rng.uniform(12, 34))
    most = 2.0**30 / largest
    if character == "large":
        return float(min(2.0 ** rng.uniform(0, 8), most))
    return min(rng.uniform(0.3, 2) * 60 / spread, most)
