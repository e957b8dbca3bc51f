"""Numbers of the Prepare functions: operators computed with them in numpy give TFLite Micro's bytes."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools.tflm import Interpreter
from cicada.training.pack import quantise
from cicada.training.pack.reader import read
from support.zoo.model import Model, Quant
from support.zoo.singles import SINGLES

_SEEDS = range(200, 240)


@given(st.floats(2.0**-31, 2.0**29, allow_subnormal=False))
def test_a_multiplier_is_the_nearest_of_31_bits(real):
    fixed, shift = quantise.multiplier(real)
    assert 1 << 30 <= fixed < 1 << 31
    assert math.isclose(fixed * 2.0 ** (shift - 31), real, rel_tol=2.0**-31)


# From quantization_util_test.cc of TensorFlow Lite, and what follows from the function's text.
@pytest.mark.parametrize(
    ("real", "expected"),
    [
        (0.5, (1 << 30, 0)),
        (0.25, (1 << 30, -1)),
        (1.0, (1 << 30, 1)),
        (2.0, (1 << 30, 2)),
        (0.0, (0, 0)),
        (1 - 2.0**-40, (1 << 30, 1)),  # rounds up to 1
        (2.0**-33, (0, 0)),
        (-0.5, (-(1 << 30), 0)),
    ],
)
def test_known_multipliers(real, expected):
    assert quantise.multiplier(real) == expected


@pytest.mark.parametrize("real", [math.nan, math.inf, 2.0**31])
def test_impossible_multipliers_are_refused(real):
    with pytest.raises(ValueError, match="too far apart"):
        quantise.multiplier(real)


@given(st.integers(-(2**31) + 1, 2**31 - 1), st.integers(2**30, 2**31 - 1), st.integers(-31, 0))
def test_scaling_rounds_twice(x, fixed, shift):
    """As two roundings of rationals: to the nearest, halves up; then to the nearest, halves away from 0."""
    high = (x * fixed * 2 + (1 << 31)) >> 32
    size = abs(high) + ((1 << -shift) >> 1) >> -shift
    expected = size if high >= 0 else -size
    assert int(quantise.scaled(np.int64(x), fixed, shift)) == expected


@pytest.mark.parametrize(
    ("activation", "scale", "zero", "expected"),
    [
        ("NONE", 0.1, 5, (-128, 127)),
        ("RELU", 0.1, 5, (5, 127)),
        ("RELU6", 0.1, 5, (5, 65)),
        ("RELU6", 0.01, 5, (5, 127)),
        ("RELU_N1_TO_1", 0.1, 5, (-5, 15)),
        ("RELU_N1_TO_1", 0.4, 0, (-3, 3)),  # 2.5 rounds away from 0
    ],
)
def test_activation_ranges(activation, scale, zero, expected):
    assert quantise.activation_range(activation, scale, zero, "int8") == expected


def test_an_activation_range_beyond_32_bits_is_refused():
    with pytest.raises(ValueError, match="too small for the activation"):
        quantise.activation_range("RELU6", 1e-12, 0, "int8")


def _compared(kind, compute) -> None:
    """Models of one operator: ``compute(operator, input values)`` against TFLM."""
    for seed in _SEEDS:
        model = SINGLES[kind](random.Random(seed))
        graph = read(model)
        if len(graph.operators) != 1:
            continue
        x = graph.input
        values = np.random.default_rng(seed).integers(-128, 128, x.shape)
        expected = Interpreter(model).invoke(values.astype(np.int8))
        found = compute(graph.operators[0], values.astype(np.int64))
        assert np.array_equal(np.asarray(found).reshape(-1), expected)


def _requantised(sums, numbers):
    outputs = np.stack(
        [
            quantise.scaled(sums[..., n], int(numbers.multiplier[n]), int(numbers.shift[n]))
            for n in range(sums.shape[-1])
        ],
        axis=-1,
    )
    return np.clip(outputs + numbers.out_zero, numbers.low, numbers.high)


def test_fully_connected_layers():
    def compute(op, x):
        weights = op.inputs[1].data.astype(np.int64)
        numbers = quantise.conv_requant(op)
        rows = x.reshape(-1, weights.shape[1]) - numbers.in_zero
        return _requantised(rows @ weights.T + numbers.bias, numbers)

    _compared("FULLY_CONNECTED", compute)


def _windows(op, x, zero):
    """Of each output pixel, its taps: (rows, columns, kernel_h, kernel_w, channels)."""
    about, out = op.attributes, op.outputs[0].shape
    padded = np.full((1, 64, 64, x.shape[3]), zero, np.int64)
    top, left = about["pad"]
    padded[:, top : top + x.shape[1], left : left + x.shape[2]] = x
    steps = [np.arange(out[1 + a]) * about["stride"][a] for a in range(2)]
    taps = [np.arange(about["kernel"][a]) * about["dilation"][a] for a in range(2)]
    rows = steps[0][:, None, None, None] + taps[0][None, None, :, None]
    columns = steps[1][None, :, None, None] + taps[1][None, None, None, :]
    return padded[0, rows, columns]


def test_convolutions():
    def compute(op, x):
        numbers = quantise.conv_requant(op)
        taps = _windows(op, x, numbers.in_zero) - numbers.in_zero
        weights = op.inputs[1].data.astype(np.int64)
        return _requantised(np.einsum("yxijc,nijc->yxn", taps, weights) + numbers.bias, numbers)

    _compared("CONV_2D", compute)


def test_depthwise_convolutions():
    def compute(op, x):
        numbers = quantise.conv_requant(op)
        taps = np.repeat(_windows(op, x, numbers.in_zero), op.attributes["multiplier"], axis=4)
        weights = op.inputs[1].data[0].astype(np.int64)
        sums = np.einsum("yxijn,ijn->yxn", taps - numbers.in_zero, weights)
        return _requantised(sums + numbers.bias, numbers)

    _compared("DEPTHWISE_CONV_2D", compute)


def test_max_pools():
    def compute(op, x):
        low, high = quantise.pool_range(op)
        return np.clip(_windows(_undilated(op), x, -999).max(axis=(2, 3)), low, high)

    _compared("MAX_POOL_2D", compute)


def _undilated(op):
    op.attributes = op.attributes | {"dilation": (1, 1)}
    return op


def _binary(op, x):
    numbers = quantise.binary_numbers(op)
    values = [x if t.data is None else t.data.astype(np.int64) for t in op.inputs]
    a, b = values[0] + numbers["a_offset"], values[1] + numbers["b_offset"]
    if op.kind == "MUL":
        total = a * b
    else:
        a = quantise.scaled(a << numbers["left"], numbers["a_multiplier"], numbers["a_shift"])
        b = quantise.scaled(b << numbers["left"], numbers["b_multiplier"], numbers["b_shift"])
        total = a + b if op.kind == "ADD" else a - b
    outputs = quantise.scaled(total, numbers["out_multiplier"], numbers["out_shift"])
    return np.clip(outputs + numbers["out_zero"], numbers["low"], numbers["high"])


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
def test_sums_and_products(kind):
    _compared(kind, _binary)


def test_means():
    def compute(op, x):
        numbers = quantise.mean_numbers(op)
        sums = x.sum(axis=op.attributes["axes"]) + numbers["correction"]
        outputs = quantise.scaled(sums, numbers["multiplier"], numbers["shift"])
        return np.clip(outputs + numbers["out_zero"], -128, 127)

    _compared("MEAN", compute)


def test_a_softmax_has_the_numbers_of_its_scale():
    model = Model()
    x = model.input((1, 9), Quant(0.1, 4))
    y = model.tensor((1, 9), Quant(1 / 256, -128))
    model.operator("SOFTMAX", [x], [y], beta=1.0)
    numbers = quantise.softmax_numbers(read(model.finish(y)).operators[0])
    # 0.1 in steps of 2**-26 is 0.8 * 2**23; differences from 31 / 0.1 on are too far for 5 integer bits.
    assert numbers["left_shift"] == 23 and numbers["diff_min"] == -248
    assert numbers["multiplier"] == round(float(np.float32(0.1)) * 8 * 2**31)


@pytest.mark.parametrize("scale", [1e-9, 1000.0])
def test_a_softmax_beyond_the_fixed_point_format_is_refused(scale):
    with pytest.raises(ValueError, match="too"):
        quantise.preprocess_softmax(1.0, scale, 5)
