"""Layers with weights, and pooling.

Each function appends one operator and returns its output; weights and scales are drawn.
Weights are symmetric, per channel or per tensor, and a bias counts in steps of input scale times weight
scale:
https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec
"""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from support.zoo import draws
from support.zoo.draws import ACTIVATIONS, PADDINGS
from support.zoo.model import Model, Quant, Tensor

Pair = tuple[int, int]


def extent(size: int, kernel: int, stride: int, dilation: int, padding: str) -> int:
    """Output rows or columns of a window, as TFLite's ComputeOutSize; below 1 if it does not fit."""
    if padding == "SAME":
        return -(-size // stride)
    return -(-(size - (kernel - 1) * dilation) // stride)


def conv(
    model: Model,
    rng: random.Random,
    x: Tensor,
    channels: int,
    kernel: Pair = (1, 1),
    stride: Pair = (1, 1),
    dilation: Pair = (1, 1),
    padding: str = "SAME",
    activation: str = "NONE",
    bias: bool = True,
    per_channel: bool = True,
    out: Quant | None = None,
) -> Tensor:
    """CONV_2D of a tensor of rank 4."""
    _, h, w, c = x.shape
    values = draws.weights(rng, (channels, *kernel, c), tame=model.tame)
    shape = [extent(n, k, s, d, padding) for n, k, s, d in zip((h, w), kernel, stride, dilation, strict=True)]
    layer = _Layer(model, rng, x, values, 0, bias, per_channel, out, activation)
    return layer.append(
        "CONV_2D",
        (1, *shape, channels),
        padding=PADDINGS[padding],
        strideH=stride[0],
        strideW=stride[1],
        dilationHFactor=dilation[0],
        dilationWFactor=dilation[1],
        fusedActivationFunction=ACTIVATIONS[activation],
    )


def depthwise(
    model: Model,
    rng: random.Random,
    x: Tensor,
    kernel: Pair = (3, 3),
    multiplier: int = 1,
    stride: Pair = (1, 1),
    dilation: Pair = (1, 1),
    padding: str = "SAME",
    activation: str = "NONE",
    bias: bool = True,
    per_channel: bool = True,
    out: Quant | None = None,
) -> Tensor:
    """DEPTHWISE_CONV_2D of a tensor of rank 4."""
    _, h, w, c = x.shape
    values = draws.weights(rng, (1, *kernel, c * multiplier), tame=model.tame)
    shape = [extent(n, k, s, d, padding) for n, k, s, d in zip((h, w), kernel, stride, dilation, strict=True)]
    layer = _Layer(model, rng, x, values, 3, bias, per_channel, out, activation)
    return layer.append(
        "DEPTHWISE_CONV_2D",
        (1, *shape, c * multiplier),
        padding=PADDINGS[padding],
        strideH=stride[0],
        strideW=stride[1],
        dilationHFactor=dilation[0],
        dilationWFactor=dilation[1],
        depthMultiplier=multiplier,
        fusedActivationFunction=ACTIVATIONS[activation],
    )


def dense(
    model: Model,
    rng: random.Random,
    x: Tensor,
    units: int,
    features: int | None = None,
    keep: bool = False,
    activation: str = "NONE",
    bias: bool = True,
    per_channel: bool = False,
    out: Quant | None = None,
) -> Tensor:
    """FULLY_CONNECTED over ``features`` values at a time (the last dimension; all of them by default)."""
    features = features or (x.shape[-1] if keep else x.elements)
    values = draws.weights(rng, (units, features), not per_channel, model.tame)
    shape = (*x.shape[:-1], units) if keep else (x.elements // features, units)
    layer = _Layer(model, rng, x, values, 0, bias, per_channel, out, activation)
    return layer.append(
        "FULLY_CONNECTED", shape, keepNumDims=keep, fusedActivationFunction=ACTIVATIONS[activation]
    )


def pool(
    model: Model,
    x: Tensor,
    largest: bool,
    window: Pair,
    stride: Pair,
    padding: str = "VALID",
    activation: str = "NONE",
) -> Tensor:
    """MAX_POOL_2D or AVERAGE_POOL_2D of a tensor of rank 4."""
    _, h, w, c = x.shape
    shape = [extent(n, k, s, 1, padding) for n, k, s in zip((h, w), window, stride, strict=True)]
    y = model.tensor((1, *shape, c), x.quant)
    model.operator(
        "MAX_POOL_2D" if largest else "AVERAGE_POOL_2D",
        [x],
        [y],
        padding=PADDINGS[padding],
        filterHeight=window[0],
        filterWidth=window[1],
        strideH=stride[0],
        strideW=stride[1],
        fusedActivationFunction=ACTIVATIONS[activation],
    )
    return y


class _Layer:
    """Weights and bias as tensors, and the output's scale that suits them."""

    def __init__(
        self,
        model: Model,
        rng: random.Random,
        x: Tensor,
        values: NDArray[np.int8],
        axis: int,
        bias: bool,
        per_channel: bool,
        out: Quant | None,
        activation: str,
    ) -> None:
        assert x.quant is not None
        count, tame = values.shape[axis], model.tame
        rows = np.moveaxis(values, axis, 0).reshape(count, -1).astype(np.float64)
        spread = max(draws.SPREAD * float(np.median(np.sqrt((rows**2).sum(axis=1)))), 1.0)
        constant = draws.biases(rng, count, rows.shape[1])
        if tame:  # as if trained: inputs in the middle of their range give outputs there
            noise = draws.generator(rng).normal(0, spread / 4, count)
            constant = np.round(rows.sum(axis=1) * x.quant.zero + noise).astype(np.int32)
        largest = float(np.abs(rows).sum(axis=1).max()) * 255 + float(np.abs(constant).max()) + 1
        if out is None:
            out = Quant(draws.scale(rng), draws.zero_point(rng, tame, activation != "NONE"))
        # Scales of activations stay as they are in real networks; those of the weights make the multiplier.
        step = draws.multiplier(rng, spread, largest, tame) * out.scale / x.quant.scale
        scales = (step * draws.proportions(rng, count if per_channel else 1, tame)).astype(np.float32)
        self.model, self.out = model, out
        quant = None if per_channel else Quant(float(scales[0]), 0)
        filters = model.constant(values, quant, scales if per_channel else None, axis)
        self.inputs: list[Tensor | None] = [x, filters]
        steps = (np.float32(x.quant.scale) * scales).astype(np.float32)
        if bias and per_channel:
            self.inputs.append(model.constant(constant, scales=steps))
        elif bias:
            self.inputs.append(model.constant(constant, Quant(float(steps[0]), 0)))
        elif axis == 0 and rng.random() < 0.5:  # TFLM's depthwise convolution takes no input of -1
            self.inputs.append(None)

    def append(self, kind: str, shape: tuple[int, ...], **options: Any) -> Tensor:
        assert math.prod(shape) > 0, f"{kind} with output {shape}"
        y = self.model.tensor(shape, self.out)
        self.model.operator(kind, self.inputs, [y], **options)
        return y
