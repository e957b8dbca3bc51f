"""Checks of operators that compute: convolutions, pools, sums, functions of one value.

Padding: tensorflow/lite/kernels/padding.h.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cicada.training.pack import quantise, tables
from cicada.training.pack.checks import (
    activation,
    axis_of,
    numbers,
    operands,
    quantised,
    rank,
    scales,
    shaped,
    tensor,
)
from cicada.training.pack.errors import PackError
from cicada.training.pack.graph import Operator, Tensor

_MOST_TAPS = 65535  # of a sum: 65535 * 128 * 255 is the largest that fits into 32 bits
_MOST_STEP = 255  # stride and dilation, a byte each in the packed model


def convolution(operator: Operator) -> None:
    """CONV_2D and DEPTHWISE_CONV_2D (conv_common.cc, depthwise_conv_common.cc)."""
    operands(operator, 2, 3)
    depthwise = operator.kind == "DEPTHWISE_CONV_2D"
    x, weights, y = tensor(operator, 0), tensor(operator, 1), operator.outputs[0]
    _image(operator, x)
    rank(operator, weights, 4)
    activation(operator)
    options = operator.attributes
    kernel = weights.shape[1:3]
    channels = x.shape[3]
    if depthwise:
        multiplier = options["multiplier"]
        if weights.shape[0] != 1 or weights.shape[3] != channels * multiplier:
            raise PackError(
                f"it has shape {list(weights.shape)}, which is not that of {channels} channels "
                f"times {multiplier}",
                operator,
                weights,
            )
        n, axis, taps = weights.shape[3], 3, kernel[0] * kernel[1]
    else:
        if weights.shape[3] != channels:
            raise PackError(
                f"its kernels have {weights.shape[3]} channels and the input has {channels}; "
                "groups are not supported",
                operator,
                weights,
            )
        n, axis, taps = weights.shape[0], 0, kernel[0] * kernel[1] * channels
    _weighted(operator, n, axis, taps)
    stride, dilation = _pair(operator, "stride"), _pair(operator, "dilation")
    out, pad = _window(operator, x.shape[1:3], kernel, stride, dilation)
    shaped(operator, y, (1, *out, n))
    attributes = {"kernel": kernel, "stride": stride, "dilation": dilation, "pad": pad}
    attributes["activation"] = options["activation"]
    if depthwise:
        attributes["multiplier"] = options["multiplier"]
    operator.attributes = attributes
    _sums(operator)


def fully_connected(operator: Operator) -> None:
    """FULLY_CONNECTED (fully_connected_common.cc): rows of k values, whatever the input's shape."""
    operands(operator, 2, 3)
    x, weights, y = tensor(operator, 0), tensor(operator, 1), operator.outputs[0]
    activation(operator)
    quantised(operator, x)
    rank(operator, weights, 2)
    n, k = weights.shape
    if operator.attributes["weights_format"] != 0:
        raise PackError("shuffled weights are not supported", operator, weights)
    if x.elements % k:
        raise PackError(f"{x.elements} values are no rows of {k}", operator, x)
    _weighted(operator, n, 0, k)
    rows = x.elements // k
    if y.shape[-1:] != (n,) or y.elements != rows * n:
        raise PackError(f"it has shape {list(y.shape)}, and its inputs give {rows} rows of {n}", operator, y)
    keep = bool(operator.attributes["keep_num_dims"])
    operator.attributes = {"activation": operator.attributes["activation"], "keep_num_dims": keep}
    _sums(operator)


def pool(operator: Operator) -> None:
    """AVERAGE_POOL_2D and MAX_POOL_2D (pooling_common.cc): scale and zero point stay."""
    operands(operator, 1)
    x, y = tensor(operator, 0), operator.outputs[0]
    _image(operator, x)
    activation(operator)
    quantised(operator, y)
    if abs(float(x.scale[0]) - float(y.scale[0])) > 1e-6 or x.zero != y.zero:
        raise PackError("a pool's output has the input's scale and zero point", operator, y)
    kernel, stride = _pair(operator, "kernel", _MOST_TAPS), _pair(operator, "stride")
    if kernel[0] * kernel[1] > _MOST_TAPS:
        raise PackError(f"a kernel of {kernel[0]} x {kernel[1]} has more than {_MOST_TAPS} taps", operator)
    out, pad = _window(operator, x.shape[1:3], kernel, stride, (1, 1))
    shaped(operator, y, (1, *out, x.shape[3]))
    function = operator.attributes["activation"]
    operator.attributes = {"kernel": kernel, "stride": stride, "pad": pad, "activation": function}


def binary(operator: Operator) -> None:
    """ADD, SUB, MUL (add_common.cc, sub_common.cc, mul_common.cc) of shapes that broadcast."""
    operands(operator, 2)
    activation(operator)
    a, b, y = tensor(operator, 0), tensor(operator, 1), operator.outputs[0]
    for one in (a, b, y):
        quantised(operator, one)
        rank(operator, one, 0, 6)
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError as error:
        raise PackError(f"shapes {list(a.shape)} and {list(b.shape)} do not broadcast", operator) from error
    if a.data is not None and b.data is not None:
        raise PackError("both inputs are constants", operator)
    shaped(operator, y, shape)
    _representable(operator, quantise.binary_numbers)


def mean(operator: Operator) -> None:
    """MEAN (reduce_common.cc)."""
    operands(operator, 2)
    x, y = tensor(operator, 0), operator.outputs[0]
    quantised(operator, x)
    quantised(operator, y)
    axes = sorted(
        {axis_of(operator, int(n), len(x.shape)) for n in numbers(operator, tensor(operator, 1), 8)}
    )
    keep = bool(operator.attributes["keep_dims"])
    lengths = [1 if axis in axes else n for axis, n in enumerate(x.shape)]
    shaped(operator, y, tuple(n for axis, n in enumerate(lengths) if keep or axis not in axes))
    if np.prod([x.shape[axis] for axis in axes], dtype=np.int64) > _MOST_TAPS:
        raise PackError(f"a mean over more than {_MOST_TAPS} values is not supported", operator, x)
    operator.inputs = [x]
    operator.attributes = {"axes": tuple(axes), "keep_dims": keep}
    _representable(operator, quantise.mean_numbers)


def softmax(operator: Operator) -> None:
    """SOFTMAX over the last axis (softmax_common.cc)."""
    operands(operator, 1)
    x, y = tensor(operator, 0), operator.outputs[0]
    quantised(operator, x)
    quantised(operator, y)
    rank(operator, x, 1, 8)
    shaped(operator, y, x.shape)
    if y.zero != -128 or float(y.scale[0]) != 1 / 256:
        raise PackError("a softmax's output has scale 1/256 and zero point -128", operator, y)
    _representable(operator, quantise.softmax_numbers)


def unary(operator: Operator) -> None:
    """Functions of one value: activations.cc, logistic.cc, tanh.cc, leaky_relu.cc, hard_swish.cc."""
    operands(operator, 1)
    x, y = tensor(operator, 0), operator.outputs[0]
    quantised(operator, x)
    quantised(operator, y)
    shaped(operator, y, x.shape)
    if operator.kind == "LOGISTIC" and y.zero != -128:
        raise PackError("a logistic's output has zero point -128", operator, y)
    if operator.kind == "LEAKY_RELU" and not np.isfinite(operator.attributes["alpha"]):
        raise PackError("its slope is not a number", operator)
    _representable(operator, tables.unary)


def quantize(operator: Operator) -> None:
    """QUANTIZE (quantize_common.cc): int8 to int8 or uint8, uint8 to int8, float32 to int8."""
    operands(operator, 1)
    x, y = tensor(operator, 0), operator.outputs[0]
    if x.dtype != "float32":
        quantised(operator, x, "int8", "uint8")
    quantised(operator, y, "int8", "uint8")
    if y.dtype == "uint8" and x.dtype != "int8":
        raise PackError(f"it is uint8, which {x.dtype} is not quantised to", operator, y)
    shaped(operator, y, x.shape)
    _representable(operator, tables.unary)


def dequantize(operator: Operator) -> None:
    """DEQUANTIZE (dequantize_common.cc) to float32."""
    operands(operator, 1)
    x, y = tensor(operator, 0), operator.outputs[0]
    quantised(operator, x, "int8", "uint8")
    if y.dtype != "float32":
        raise PackError(f"it is {y.dtype}, not float32", operator, y)
    shaped(operator, y, x.shape)


def _image(operator: Operator, x: Tensor) -> None:
    quantised(operator, x)
    rank(operator, x, 4)
    if x.shape[0] != 1:
        raise PackError(f"a batch of {x.shape[0]} is not supported, only of 1", operator, x)


def _pair(operator: Operator, name: str, most: int = _MOST_STEP) -> tuple[int, int]:
    pair = int(operator.attributes[f"{name}_h"]), int(operator.attributes[f"{name}_w"])
    if not all(1 <= n <= most for n in pair):
        raise PackError(f"{name} {pair[0]} x {pair[1]} is not within 1 to {most}", operator)
    return pair


def _window(
    operator: Operator,
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Output rows and columns, and padding above and left."""
    same = operator.attributes["padding"]
    if same not in ("SAME", "VALID"):
        raise PackError(f"padding is {same}, not SAME or VALID", operator)
    outs, pads = [], []
    for length, taps, step, spread in zip(size, kernel, stride, dilation, strict=True):
        extent = (taps - 1) * spread + 1
        out = -(-length // step) if same == "SAME" else (length - extent) // step + 1
        if out < 1:
            raise PackError(f"a kernel that reaches over {extent} does not fit into {length}", operator)
        outs.append(out)
        pads.append(max(0, (out - 1) * step + extent - length) // 2)
    return tuple(outs), tuple(pads)


def _weighted(operator: Operator, n: int, axis: int, taps: int) -> None:
    """Weights and bias of a layer with ``n`` outputs, each a sum of ``taps`` products."""
    weights, y = tensor(operator, 1), operator.outputs[0]
    quantised(operator, y)
    if weights.dtype != "int8":
        raise PackError(f"weights are {weights.dtype}, not int8", operator, weights)
    if weights.data is None:
        raise PackError("weights are not a constant", operator, weights)
    if weights.scale.size not in (1, n):
        raise PackError(f"it has {weights.scale.size} scales for {n} channels", operator, weights)
    scales(operator, weights)
    if weights.scale.size > 1 and weights.axis != axis:
        raise PackError(f"its scales belong to axis {weights.axis}, not {axis}", operator, weights)
    if weights.zero_point.any():
        raise PackError("weights have a zero point that is not 0", operator, weights)
    if taps > _MOST_TAPS:
        raise PackError(f"a sum of {taps} products is too long, {_MOST_TAPS} is the most", operator)
    if len(operator.inputs) < 3:
        operator.inputs.append(None)
    bias = operator.inputs[2]
    if bias is None:
        return
    if bias.dtype != "int32" or bias.data is None:
        raise PackError(f"the bias is {bias.dtype}, not a constant of int32", operator, bias)
    if bias.elements != n:
        raise PackError(f"the bias has {bias.elements} values for {n} channels", operator, bias)


def _sums(operator: Operator) -> None:
    """See that no sum of a layer leaves 32 bits, and that its scales fit TFLite's multipliers."""
    weights = tensor(operator, 1)
    assert weights.data is not None
    axis = -1 if operator.kind == "DEPTHWISE_CONV_2D" else 0
    by_channel = np.moveaxis(weights.data.astype(np.int64), axis, 0)
    by_channel = by_channel.reshape(by_channel.shape[0], -1)
    bias = np.zeros(len(by_channel), np.int64)
    if operator.inputs[2] is not None:
        bias += tensor(operator, 2).data.reshape(-1)  # type: ignore[union-attr]
    folded = np.abs(bias - tensor(operator, 0).zero * by_channel.sum(axis=1))
    largest = np.abs(bias) + 255 * np.abs(by_channel).sum(axis=1)
    if (folded > 1 << 30).any() or (largest >= 1 << 31).any():
        raise PackError("with this bias the sums do not fit into 32 bits", operator, operator.inputs[2])
    _representable(operator, quantise.conv_requant)


def _representable(operator: Operator, prepare: Callable[[Operator], object]) -> None:
    """See that the numbers TFLM's Prepare computes exist."""
    try:
        prepare(operator)
    except ValueError as error:
        raise PackError(str(error), operator, operator.outputs[0]) from error
