"""The numbers that TFLite Micro's Prepare functions compute, as the machine operators want them.

In double, bounds of activations in float32. Some of the sources multiply or divide two scales as float32 and
make a double of the result; the library that PyPI's ``tflite-micro`` brings computes those in double
throughout (tests/engine/test_packed_scales.py shows it), and it is what packed models equal. Functions that
take an operator take one that :mod:`cicada.training.pack.reader` has read, and raise ``ValueError``
where the source's own checks would stop.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cicada.training.pack.graph import Operator, Tensor
from cicada.training.pack.program import Requant

_LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}
_TOO_FAR = "the scales of inputs and output are too far apart"


def multiplier(real: float) -> tuple[int, int]:
    """QuantizeMultiplier of tensorflow/lite/kernels/internal/quantization_util.cc.

    Returns:
        Q31 multiplier and shift, positive to the left: ``real`` is about ``multiplier / 2**31 * 2**shift``.

    Raises:
        ValueError: if ``real`` is no number, or so large that the shift exceeds 30.
    """
    if not math.isfinite(real):
        raise ValueError(_TOO_FAR)
    if real == 0:
        return 0, 0
    fraction, shift = math.frexp(real)
    fixed = int(_round(fraction * (1 << 31)))
    if abs(fixed) == 1 << 31:
        fixed //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        raise ValueError(_TOO_FAR)
    return fixed, shift


def scaled(x: NDArray[np.int64], fixed: int, shift: int) -> NDArray[np.int64]:
    """MultiplyByQuantizedMultiplier of tensorflow/lite/kernels/internal/common.cc, with its two roundings.

    Raises:
        ValueError: if ``x`` shifted left does not fit into 32 bits, where the source overflows.
    """
    x = np.asarray(x, np.int64) << max(shift, 0)
    if (np.abs(x) >= 1 << 31).any():
        raise ValueError(_TOO_FAR)
    return divided(high_product(x, np.int64(fixed)), max(-shift, 0))


def high_product(a: NDArray[np.int64], b: NDArray[np.int64] | np.int64) -> NDArray[np.int64]:
    """SaturatingRoundingDoublingHighMul of gemmlowp's fixedpoint.h for 32 bits."""
    return np.minimum((a * b + (1 << 30)) >> 31, (1 << 31) - 1)


def divided(x: NDArray[np.int64], exponent: int) -> NDArray[np.int64]:
    """RoundingDivideByPOT of gemmlowp's fixedpoint.h: by 2**exponent, halves away from zero."""
    if exponent == 0:
        return x
    return (x + (1 << (exponent - 1)) - (x < 0)) >> exponent


def activation_range(activation: str, scale: float, zero: int, dtype: str) -> tuple[int, int]:
    """CalculateActivationRangeQuantized of tensorflow/lite/kernels/kernel_util.cc: lowest and highest output.

    Args:
        activation: "NONE", "RELU", "RELU_N1_TO_1" or "RELU6".
        scale, zero: of the output.
        dtype: "int8" or "uint8".

    Raises:
        ValueError: if the scale is so small that 6 or 1 does not fit into 32 bits.
    """
    low, high = _LIMITS[dtype]
    if activation == "NONE":
        return low, high
    bounds = {"RELU": (0, None), "RELU6": (0, 6), "RELU_N1_TO_1": (-1, 1)}[activation]
    low = max(low, zero + quantised_bound(bounds[0], scale))
    if bounds[1] is not None:
        high = min(high, zero + quantised_bound(bounds[1], scale))
    return low, high


def quantised_bound(value: float, scale: float) -> int:
    """``value / scale`` rounded, halves away from zero, divided as float32.

    Raises:
        ValueError: if it does not fit into 32 bits.
    """
    with np.errstate(over="ignore"):
        steps = float(np.float32(value) / np.float32(scale))
    if not abs(steps) < 1 << 31:
        raise ValueError(f"the scale {scale} is too small for the activation")
    return int(_round(steps))


def conv_requant(operator: Operator) -> Requant:
    """From sums to outputs of CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED.

    PopulateConvolutionQuantizationParams and GetQuantizedConvolutionMultipler of
    tensorflow/lite/kernels/kernel_util.cc, as conv_common.cc, depthwise_conv_common.cc and
    fully_connected_common.cc of tensorflow/lite/micro/kernels call them.
    """
    x, weights, bias = operator.inputs
    y = operator.outputs[0]
    assert x is not None and weights is not None
    n = weights.shape[-1] if operator.kind == "DEPTHWISE_CONV_2D" else weights.shape[0]
    out = _scale(y)
    if operator.kind == "FULLY_CONNECTED" and weights.scale.size == 1:
        if bias is not None:
            exact = _scale(x) * float(weights.scale[0])
            if not abs(exact - (_scale(bias) if bias.scale.size else 0.0)) / out <= 0.02:
                raise ValueError("the bias does not have the input's scale times the weights'")
    reals = [_scale(x) * float(one) / out for one in weights.scale]
    fixed = np.array([multiplier(real) for real in reals], np.int32)
    fixed = np.broadcast_to(fixed, (n, 2))
    low, high = activation_range(operator.attributes["activation"], out, y.zero, y.dtype)
    given = np.zeros(n, np.int32) if bias is None or bias.data is None else bias.data.reshape(-1)
    return Requant(
        bias=given.astype(np.int32),
        multiplier=fixed[:, 0].copy(),
        shift=fixed[:, 1].copy(),
        in_zero=x.zero,
        out_zero=y.zero,
        low=low,
        high=high,
    )


def pool_range(operator: Operator) -> tuple[int, int]:
    """Lowest and highest output of a pool (pooling_common.cc)."""
    y = operator.outputs[0]
    return activation_range(operator.attributes["activation"], _scale(y), y.zero, y.dtype)


def binary_numbers(operator: Operator) -> dict[str, int]:
    """Of ADD, SUB and MUL: all fields of :class:`~cicada.training.pack.program.Binary` that are numbers.

    add_common.cc, sub_common.cc, mul_common.cc of tensorflow/lite/micro/kernels.
    """
    a, b = operator.inputs
    y = operator.outputs[0]
    assert a is not None and b is not None
    low, high = activation_range(operator.attributes["activation"], _scale(y), y.zero, y.dtype)
    found = {"a_offset": -a.zero, "b_offset": -b.zero, "out_zero": y.zero, "low": low, "high": high}
    if operator.kind == "MUL":
        fixed, shift = multiplier(_scale(a) * _scale(b) / _scale(y))
        return found | {"out_multiplier": fixed, "out_shift": shift}
    left = 20
    twice = 2 * max(_scale(a), _scale(b))
    reals = [_scale(a) / twice, _scale(b) / twice, twice / ((1 << left) * _scale(y))]
    for name, real in zip(("a", "b", "out"), reals, strict=True):
        if not 0 < real < 1 or multiplier(real)[1] > 0:
            raise ValueError(_TOO_FAR)
        found[f"{name}_multiplier"], found[f"{name}_shift"] = multiplier(real)
    return found | {"left": left}


def mean_numbers(operator: Operator) -> dict[str, int]:
    """Of MEAN: multiplier, shift, correction and out_zero of :class:`~cicada.training.pack.program.Mean`.

    QuantizedMeanOrSum of tensorflow/lite/kernels/internal/reference/reduce.h, which puts the division by the
    number of values into the multiplier.
    """
    x, y = operator.inputs[0], operator.outputs[0]
    assert x is not None
    fixed, out_shift = multiplier(_scale(x) / _scale(y))
    count = math.prod(x.shape[axis] for axis in operator.attributes["axes"])
    shift = min(count.bit_length() - 1, 32, 31 + out_shift)
    return {
        "multiplier": (fixed << shift) // count,
        "shift": out_shift - shift,
        "correction": -x.zero * count,
        "out_zero": y.zero,
    }


def softmax_numbers(operator: Operator) -> dict[str, int]:
    """Of SOFTMAX: multiplier, left_shift and diff_min of :class:`~cicada.training.pack.program.Softmax`.

    CalculateSoftmaxParams of tensorflow/lite/micro/kernels/softmax_common.cc, 5 integer bits.
    """
    x = operator.inputs[0]
    assert x is not None
    fixed, left = preprocess_softmax(float(operator.attributes["beta"]), _scale(x), 5)
    return {"multiplier": fixed, "left_shift": left, "diff_min": -input_radius(5, left)}


def preprocess_softmax(beta: float, scale: float, integer_bits: int) -> tuple[int, int]:
    """PreprocessSoftmaxScaling of quantization_util.cc: multiplier and left shift.

    Raises:
        ValueError: if the product is not above 1 in the fixed-point format, where the source stops.
    """
    real = min(beta * scale * (1 << (31 - integer_bits)), (1 << 31) - 1.0)
    if not real > 1:
        raise ValueError(f"a beta of {beta} with input scale {scale} is too small")
    return multiplier(real)


def input_radius(integer_bits: int, left_shift: int, total_bits: int = 31) -> int:
    """CalculateInputRadius of quantization_util.cc: inputs beyond it leave the fixed-point format."""
    most = ((1 << integer_bits) - 1) * (1 << (total_bits - integer_bits))
    return math.floor(most / (1 << left_shift))


def _scale(tensor: Tensor) -> float:
    return float(tensor.scale[0])


def _round(value: float) -> float:
    """TfLiteRound: halves away from zero."""
    return math.copysign(math.floor(abs(value) + 0.5), value)
