"""Multipliers that are made of scales are made in double precision, as in PyPI's tflite-micro.

Of TensorFlow Lite Micro's source some multiply or divide scales as float32 and turn the result into a double.
Compiled as it is in the wheel they give what double precision gives. The last bits of a multiplier show only
in outputs that lie between two bytes, so these models have such outputs.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cicada.training.pack.quantise import multiplier, scaled
from support.zoo import pointwise
from support.zoo.compare import Pair
from support.zoo.model import Model, Quant

f32 = np.float32


def scale(numbers: np.random.Generator, low: float = 1e-3, high: float = 0.3) -> float:
    """A scale as a float32 holds it."""
    return float(f32(np.exp(numbers.uniform(np.log(low), np.log(high)))))


def differing(sums: NDArray[np.int64], double: float, single: float) -> NDArray[np.int64]:
    """The sums that come out differently by two multipliers."""
    ways = [scaled(sums, *multiplier(real)) for real in (double, single)]
    return sums[ways[0] != ways[1]]


@pytest.mark.parametrize("keep", [False, True])
def test_a_fully_connected_layer_multiplies_its_scales_in_double(keep: bool):
    numbers, found = np.random.default_rng(1), 0
    while found < 10:
        x, w = scale(numbers), scale(numbers)
        y = float(f32(x * w * np.exp(numbers.uniform(4, 9))))
        single = float(f32(x) * f32(w)) / y
        most = int(120 / single)
        sums = differing(np.arange(-most, most), x * w / y, single)[:64]
        if not len(sums):
            continue
        found += 1
        model = Model()
        given = model.input((1, 1), Quant(x, 0))
        weights = model.constant(np.zeros((len(sums), 1), np.int8), Quant(w, 0))
        bias = model.constant(sums.astype(np.int32), Quant(float(f32(x * w)), 0))
        out = model.tensor((1, len(sums)), Quant(y, 0))
        model.operator("FULLY_CONNECTED", [given, weights, bias], [out], keepNumDims=keep)
        Pair(model.finish(out)).step(np.zeros((1, 1), np.int8))


@pytest.mark.parametrize("kind", ["RELU", "LEAKY_RELU", "HARD_SWISH"])
def test_a_function_of_one_value_divides_its_scales_in_double(kind: str):
    numbers = np.random.default_rng(2)
    every = np.arange(-128, 128, dtype=np.int8).reshape(1, 256)
    for _ in range(60):
        x = scale(numbers)
        # Ratios of small whole numbers: products with inputs end in a half, or as near as a float32 gets.
        odd, even = 2 * int(numbers.integers(0, 60)) + 1, 2 * int(numbers.integers(1, 60))
        options, y = {}, float(f32(x * even / odd))
        if kind == "LEAKY_RELU":
            options["alpha"] = float(numbers.choice([1.0, 0.5, 3.0]))
        model = Model()
        given = model.input((1, 256), Quant(x, int(numbers.integers(-128, 128))))
        out = Quant(y, int(numbers.integers(-128, 128)))
        if kind == "HARD_SWISH":
            out = out._replace(scale=float(f32(x * numbers.uniform(0.5, 2))))
        Pair(model.finish(pointwise.unary(model, kind, given, out, **options))).step(every)


@pytest.mark.parametrize("kind", ["ADD", "SUB"])
def test_a_sum_divides_its_scales_in_double(kind: str):
    numbers = np.random.default_rng(3)
    every = np.arange(-128, 128, dtype=np.int8)
    left, right = (side.reshape(1, -1) for side in np.meshgrid(every, every[::5]))
    for _ in range(20):
        a = scale(numbers)
        b = float(f32(a * numbers.choice([1.0, 0.5, 2.0, 1 / 3, 0.7])))
        y = float(f32(max(a, b) * int(numbers.integers(1, 40)) / int(numbers.integers(10, 40))))
        model = Model()
        given = model.input(left.shape, Quant(a, 0))
        other = model.constant(np.ascontiguousarray(right), Quant(b, 0))
        out = model.tensor(left.shape, Quant(y, int(numbers.integers(-60, 60))))
        model.operator(kind, [given, other], [out])
        Pair(model.finish(out)).step(left)
