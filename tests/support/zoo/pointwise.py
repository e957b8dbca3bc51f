"""Operators that work value by value, and MEAN and SOFTMAX."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from support.zoo import draws
from support.zoo.draws import ACTIVATIONS
from support.zoo.model import Model, Quant, Tensor

#: What TFLM asks of the outputs of LOGISTIC, SOFTMAX and TANH.
_UNIT, _SIGNED_UNIT = Quant(1 / 256, -128), Quant(1 / 128, 0)


def unary(
    model: Model, kind: str, x: Tensor, out: Quant | None = None, dtype: str = "INT8", **options: Any
) -> Tensor:
    """RELU, RELU6, LEAKY_RELU, HARD_SWISH, LOGISTIC, TANH, SOFTMAX, QUANTIZE or DEQUANTIZE.

    ``out`` is for those that can rescale: RELU, LEAKY_RELU, HARD_SWISH, QUANTIZE; x's by default.
    """
    given = {"LOGISTIC": _UNIT, "SOFTMAX": _UNIT, "TANH": _SIGNED_UNIT, "RELU6": x.quant}
    quant = given.get(kind, out or x.quant)
    if kind == "DEQUANTIZE":
        quant, dtype = None, "FLOAT32"
    y = model.tensor(x.shape, quant, dtype)
    model.operator(kind, [x], [y], **options)
    return y


def random_unary(model: Model, rng: random.Random, x: Tensor) -> Tensor:
    """One of the unary operators but DEQUANTIZE; those that can rescale do or do not."""
    assert x.quant is not None
    kind = rng.choice(
        ["RELU", "RELU6", "LEAKY_RELU", "HARD_SWISH", "LOGISTIC", "TANH", "SOFTMAX", "QUANTIZE"]
    )
    out = rescaled(rng, x.quant, model.tame) if kind == "QUANTIZE" or rng.random() < 0.5 else None
    options = {}
    if kind == "LEAKY_RELU":
        options["alpha"] = rng.choice([0.0, 0.01, 0.1, 0.2, 0.3, 0.5, 1.0, 1.5])
    if kind == "SOFTMAX":
        options["beta"] = rng.choice([1.0, 1.0, 0.5, 2.0])
    return unary(model, kind, x, out, **options)


def rescaled(rng: random.Random, quant: Quant, tame: bool = False, clipped: bool = False) -> Quant:
    """Another quantisation of values as large: an eighth to eight times the scale, 1e-4 to 2."""
    factor = rng.choice([1.0, 0.5, 2.0, rng.uniform(0.125, 8), rng.uniform(0.7, 1.4)])
    return Quant(
        float(np.float32(min(max(quant.scale * factor, 1e-4), 2.0))), draws.zero_point(rng, tame, clipped)
    )


def binary(
    model: Model,
    rng: random.Random,
    kind: str,
    a: Tensor,
    b: Tensor,
    activation: str = "NONE",
    out: Quant | None = None,
) -> Tensor:
    """ADD, SUB or MUL with broadcasting."""
    assert a.quant is not None and b.quant is not None
    if out is None:
        natural = a.quant.scale * b.quant.scale * 74 if kind == "MUL" else max(a.quant.scale, b.quant.scale)
        out = rescaled(rng, Quant(natural, 0), model.tame, activation != "NONE")
    y = model.tensor(np.broadcast_shapes(a.shape, b.shape), out)
    model.operator(kind, [a, b], [y], fusedActivationFunction=ACTIVATIONS[activation])
    return y


def constant_like(model: Model, rng: random.Random, shape: Sequence[int], scale: float) -> Tensor:
    """An int8 constant with a scale near ``scale``."""
    values = draws.generator(rng).integers(-128, 128, tuple(shape)).astype(np.int8)
    return model.constant(values, rescaled(rng, Quant(scale, 0), model.tame))


def broadcast_shape(rng: random.Random, shape: Sequence[int]) -> tuple[int, ...]:
    """A shape that broadcasts to ``shape``: dimensions of 1, or fewer dimensions."""
    whole = [1 if rng.random() < 0.4 else n for n in shape]
    return tuple(whole[rng.choice([0, 0, rng.randint(0, len(whole) - 1)]) :])


def mean(
    model: Model, rng: random.Random, x: Tensor, axes: Sequence[int], keep: bool, out: Quant | None = None
) -> Tensor:
    """MEAN over ``axes`` (negative ones count from the end)."""
    assert x.quant is not None
    rank = len(x.shape)
    gone = {axis % rank for axis in axes}
    shape = [1 if i in gone else n for i, n in enumerate(x.shape) if keep or i not in gone]
    y = model.tensor(shape, out or rng.choice([x.quant, rescaled(rng, x.quant, model.tame)]))
    model.operator("MEAN", [x, model.constant(np.array(axes, np.int32))], [y], keepDims=keep)
    return y
