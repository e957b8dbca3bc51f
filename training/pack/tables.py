"""Functions of one value as tables: what TFLite Micro computes for each of the 256 inputs, byte for byte.

Each function names the file of tensorflow/lite/micro/kernels whose Prepare and Eval it equals.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cicada.training.pack import fixedpoint, quantise
from cicada.training.pack.graph import Operator, Tensor

Values = NDArray[np.int64]
_BITS = 4  # integer bits of LOGISTIC's and TANH's fixed-point input


def unary(operator: Operator) -> NDArray[np.uint8] | None:
    """The table of an operator of one input that works value by value.

    Args:
        operator: as :mod:`cicada.training.pack.reader` gives it.

    Returns:
        ``uint8[256]``, indexed by the input byte taken as unsigned; None if it is no such operator.

    Raises:
        ValueError: if its scales are such that TFLite Micro stops or overflows.
    """
    function = _FUNCTIONS.get(operator.kind)
    x = operator.inputs[0] if operator.inputs else None
    if function is None or x is None or x.dtype not in ("int8", "uint8"):
        return None
    index = np.arange(256)
    inputs = index if x.dtype == "uint8" else index.astype(np.uint8).view(np.int8).astype(np.int64)
    outputs = function(operator, inputs, x, operator.outputs[0])
    return outputs.astype(np.uint8)


def composed(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The table that does what ``first`` and then ``second`` do."""
    return second[first]


def is_identity(table: NDArray[np.uint8]) -> bool:
    """Whether a table changes no byte."""
    return bool(np.array_equal(table, np.arange(256)))


def _logistic(operator: Operator, values: Values, x: Tensor, y: Tensor) -> Values:
    """logistic_common.cc, logistic.h of internal/reference/integer_ops."""
    raw, beyond = _fixed_input(values, x)
    outputs = quantise.divided(fixedpoint.logistic(raw, _BITS), 31 - 8) - 128
    return np.where(beyond, np.where(values <= x.zero, -128, 127), np.clip(outputs, -128, 127))


def _tanh(operator: Operator, values: Values, x: Tensor, y: Tensor) -> Values:
    """tanh.cc, tanh.h of internal/reference/integer_ops."""
    raw, beyond = _fixed_input(values, x)
    outputs = quantise.divided(fixedpoint.tanh(raw, _BITS), 31 - 7)
    return np.where(beyond, np.where(values <= x.zero, -128, 127), np.clip(outputs, -128, 127))


def _fixed_input(values: Values, x: Tensor) -> tuple[Values, NDArray[np.bool_]]:
    """Inputs with 4 integer bits, and which of them are so large that the function has reached its limit."""
    fraction, left = math.frexp(float(x.scale[0]) * (1 << (31 - _BITS)))
    if not 0 <= left <= 62:
        raise ValueError(f"the input scale {float(x.scale[0])} does not suit a fixed-point function")
    radius = quantise.input_radius(_BITS, left)
    centred = values - x.zero
    beyond = np.abs(centred) >= radius
    fixed = math.floor(fraction * (1 << 31) + 0.5)
    return quantise.scaled(np.where(beyond, 0, centred), fixed, left), beyond


def _relu(operator: Operator, values: Values, x: Tensor, y: Tensor) -> Values:
    """CalculateReluOpData and ReluQuantized of activations_common.cc and activations.h."""
    outputs = _rescaled(values - x.zero, _ratio(x.scale[0], y.scale[0])) + y.zero
    return np.clip(outputs, max(-128, y.zero), 127)


def _relu6(operator: Operator, values: Values, x: Tensor, y: Tensor) -> Values:
    """Relu6Prepare of activations_common.cc: it clamps and does not rescale."""
    six = np.clip(quantise.quantised_bound(6, float(x.scale[0])) + x.zero, -128, 127)
    return np.where(values > six, six, np.maximum(values, x.zero))


def _leaky_relu(operator: Operator, values: Values, x: Tensor, y: Tensor) -> Values:
    """leaky_relu_common.cc, leaky_relu.h of internal/reference."""
    alpha = float(np.float32(operator.attributes["alpha"]))
    slope = float(x.scale[0]) * alpha / float(y.scale[0])
    centred = values - x.zero
    positive = _rescaled(np.maximum(centred, 0), _ratio(x.scale[0], y.scale[0]))
    negative = _rescaled(np.minimum(centred, 0), abs(slope))
    outputs = np.where(centred >= 0, positive, negative if slope >= 0 else -negative)
    return np.clip(outputs + y.zero, -128, 127)


def _hard_swish(operator: Operator, values: Values, x: Tensor, y: Tensor) -> Values:
    """hard_swish_common.cc, hard_swish.h of internal/reference: in 16 bits."""
    fine = np.float32(1 / 128) * x.scale[0]
    out_fixed, out_shift = quantise.multiplier(_ratio(fine, y.scale[0]))
    relu_fixed, relu_shift = quantise.multiplier(_ratio(fine, np.float32(3) / np.float32(32768)))
    if not -15 <= out_shift <= 0 or not -15 <= relu_shift <= 15:
        raise ValueError("the scales of input and output do not suit a hard swish")
    large = (values - x.zero) * 128
    scaled = _high_product_16(large, _to_16_bits(out_fixed))
    relu = _shifted_16(large, relu_shift - 1) if relu_shift > 0 else large
    relu = _high_product_16(relu, _to_16_bits(relu_fixed))
    relu = _shifted_16(relu, 1) if relu_shift > 0 else quantise.divided(relu, -relu_shift)
    relu = (relu + (1 << 15)) >> 1
    product = relu * scaled
    truncated = np.sign(product) * (np.abs(product) >> 15)
    return np.clip(quantise.divided(truncated, -out_shift) + y.zero, -128, 127)


def _to_16_bits(fixed: int) -> int:
    return min((fixed + (1 << 15)) >> 16, 32767)


def _high_product_16(a: Values, b: int) -> Values:
    return (a * b + (1 << 14)) >> 15


def _shifted_16(values: Values, left: int) -> Values:
    return np.clip(values << left, -32768, 32767)


def _quantize(operator: Operator, values: Values, x: Tensor, y: Tensor) -> Values:
    """quantize_common.cc, requantize.h of internal/reference; the ratio of scales is a double."""
    outputs = _rescaled(values - x.zero, float(x.scale[0]) / float(y.scale[0])) + y.zero
    low, high = quantise.activation_range("NONE", 1.0, 0, y.dtype)
    return np.clip(outputs, low, high)


def _ratio(a: np.float32, b: np.float32) -> float:
    return float(a) / float(b)


def _rescaled(values: Values, real: float) -> Values:
    return quantise.scaled(values, *quantise.multiplier(real))


_FUNCTIONS: dict[str, Callable[[Operator, Values, Tensor, Tensor], Values]] = {
    "LOGISTIC": _logistic,
    "TANH": _tanh,
    "RELU": _relu,
    "RELU6": _relu6,
    "LEAKY_RELU": _leaky_relu,
    "HARD_SWISH": _hard_swish,
    "QUANTIZE": _quantize,
}
