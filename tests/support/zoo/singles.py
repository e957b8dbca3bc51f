"""Models of one operator (and what it cannot do without), one maker a kind."""

from __future__ import annotations

import random
from collections.abc import Callable

from support.zoo import draws, layers, moves, pointwise
from support.zoo.model import Model, Quant, Tensor
from support.zoo.shapes import anything, channels, image, window


def conv(rng: random.Random) -> bytes:
    """CONV_2D with every option."""
    model = Model(tame=rng.random() < 0.3)
    x = image(model, rng)
    fitting = window(rng, x.shape[1:3])
    y = layers.conv(
        model,
        rng,
        x,
        channels(rng),
        **fitting,
        activation=draws.activation(rng),
        bias=rng.random() < 0.8,
        per_channel=rng.random() < 0.8,
    )
    return model.finish(y)


def depthwise(rng: random.Random) -> bytes:
    """DEPTHWISE_CONV_2D with every option."""
    model = Model(tame=rng.random() < 0.3)
    x = image(model, rng)
    y = layers.depthwise(
        model,
        rng,
        x,
        **window(rng, x.shape[1:3]),
        multiplier=rng.choice([1, 1, 1, 2, 3, 8]),
        activation=draws.activation(rng),
        bias=rng.random() < 0.8,
        per_channel=rng.random() < 0.8,
    )
    return model.finish(y)


def dense(rng: random.Random) -> bytes:
    """FULLY_CONNECTED on one row or several, flattening or not."""
    model = Model()
    keep = rng.random() < 0.4
    x = anything(model, rng)
    features = x.shape[-1] if keep or rng.random() < 0.3 else x.elements
    y = layers.dense(
        model,
        rng,
        x,
        rng.choice([1, 3, 4, 8, 16, 17, 31, rng.randint(1, 40)]),
        features,
        keep,
        activation=draws.activation(rng),
        bias=rng.random() < 0.8,
        per_channel=rng.random() < 0.3,
    )
    return model.finish(y)


def average_pool(rng: random.Random) -> bytes:
    """AVERAGE_POOL_2D; every other one over the whole image."""
    return _pool(rng, largest=False)


def max_pool(rng: random.Random) -> bytes:
    """MAX_POOL_2D."""
    return _pool(rng, largest=True)


def _pool(rng: random.Random, largest: bool) -> bytes:
    model = Model(tame=rng.random() < 0.3)
    x = image(model, rng)
    fitting = window(rng, x.shape[1:3], dilated=False)
    if rng.random() < 0.4:
        fitting = {"kernel": x.shape[1:3], "stride": x.shape[1:3], "padding": "VALID"}
    y = layers.pool(
        model, x, largest, fitting["kernel"], fitting["stride"], fitting["padding"], draws.activation(rng)
    )
    return model.finish(y)


def add(rng: random.Random) -> bytes:
    """ADD."""
    return _binary(rng, "ADD")


def sub(rng: random.Random) -> bytes:
    """SUB."""
    return _binary(rng, "SUB")


def mul(rng: random.Random) -> bytes:
    """MUL."""
    return _binary(rng, "MUL")


def _binary(rng: random.Random, kind: str) -> bytes:
    """Of the input and a constant, itself, or something made of it; broadcast on either side."""
    model = Model()
    x = anything(model, rng)
    assert x.quant is not None
    how = rng.choice(["constant", "constant", "scalar", "itself", "table", "mean"])
    if how == "constant":
        other = pointwise.constant_like(model, rng, pointwise.broadcast_shape(rng, x.shape), x.quant.scale)
    elif how == "scalar":
        other = pointwise.constant_like(model, rng, rng.choice([(), (1,)]), x.quant.scale)
    elif how == "itself":
        other = x
    elif how == "table":
        other = pointwise.random_unary(model, rng, x)
    else:
        axes = [axis for axis in range(1, len(x.shape)) if rng.random() < 0.7] or [len(x.shape) - 1]
        other = pointwise.mean(model, rng, x, axes, True)
    a, b = (x, other) if rng.random() < 0.7 else (other, x)
    y = pointwise.binary(model, rng, kind, a, b, draws.activation(rng))
    return model.finish(y)


def reshape(rng: random.Random) -> bytes:
    """RESHAPE."""
    model = Model()
    x = anything(model, rng, (2, 5))
    return model.finish(moves.reshape(model, x, other_shape(rng, x), rng.random() < 0.4))


def other_shape(rng: random.Random, x: Tensor) -> tuple[int, ...]:
    """A shape with as many values, batch of one first."""
    rest, shape = x.elements, [1]
    for _ in range(rng.randint(0, 2)):
        divisors = [n for n in range(1, rest + 1) if rest % n == 0]
        shape.append(rng.choice(divisors))
        rest //= shape[-1]
    return (*shape, rest)


def unary(kind: str) -> Callable[[random.Random], bytes]:
    """The maker of an operator of one input that works value by value, or of SOFTMAX."""

    def make(rng: random.Random) -> bytes:
        model = Model()
        x = anything(model, rng)
        assert x.quant is not None
        free = kind in ("RELU", "LEAKY_RELU", "HARD_SWISH", "QUANTIZE")
        out = pointwise.rescaled(rng, x.quant) if free and rng.random() < 0.8 else None
        options = {}
        if kind == "LEAKY_RELU":
            options["alpha"] = rng.choice([0.0, 0.01, 0.1, 0.2, 0.3, 0.5, 1.0, 1.5])
        if kind == "SOFTMAX":
            options["beta"] = rng.choice([1.0, 1.0, 0.5, 2.0])
        return model.finish(pointwise.unary(model, kind, x, out, **options))

    make.__doc__ = f"{kind}."
    return make


def quantize(rng: random.Random) -> bytes:
    """QUANTIZE: to other scales, and at the edges from float32 and uint8 and to uint8."""
    how = rng.choice(["rescale", "to uint8", "from uint8", "from float"])
    if how == "rescale":
        return unary("QUANTIZE")(rng)
    model, shape = Model(), (1, rng.randint(1, 20))
    quant = draws.quant(rng)
    if how == "to uint8":
        x = model.input(shape, quant)
        out = rng.choice([Quant(quant.scale, quant.zero + 128), pointwise.rescaled(rng, quant)])
        out = Quant(out.scale, out.zero + 128 if out.zero < 0 else out.zero)
        return model.finish(pointwise.unary(model, "QUANTIZE", x, out, "UINT8"))
    if how == "from uint8":
        x = model.input(shape, Quant(quant.scale, quant.zero + 128), "UINT8")
        q = pointwise.unary(model, "QUANTIZE", x, quant)
    else:
        x = model.input(shape, None, "FLOAT32")
        if rng.random() < 0.4:
            x = moves.reshape(model, x, (1, 1, *shape))
        q = pointwise.unary(model, "QUANTIZE", x, quant)
    return model.finish(layers.dense(model, rng, q, rng.randint(1, 8)))


def dequantize(rng: random.Random) -> bytes:
    """DEQUANTIZE as the last operator."""
    model = Model()
    x = anything(model, rng)
    y = pointwise.unary(model, "DEQUANTIZE", pointwise.random_unary(model, rng, x))
    return model.finish(moves.reshape(model, y, other_shape(rng, y)) if rng.random() < 0.4 else y)


def concatenation(rng: random.Random) -> bytes:
    """CONCATENATION on any axis: of the input, parts of it, constants and what has been made of it."""
    model = Model()
    x = anything(model, rng)
    assert x.quant is not None
    axis = rng.randint(1, len(x.shape) - 1)
    parts = [x]
    for _ in range(rng.randint(1, 3)):
        how = rng.choice(["again", "constant", "slice", "table"])
        if how == "constant":
            shape = list(x.shape)
            shape[axis] = rng.randint(1, 3)
            values = draws.generator(rng).integers(-128, 128, shape).astype("int8")
            parts.append(model.constant(values, x.quant))
        elif how == "slice":
            size = x.shape[axis]
            begin = [0] * len(x.shape)
            begin[axis] = rng.randint(0, size - 1)
            parts.append(moves.strided_slice(model, x, begin, x.shape, [1] * len(x.shape)))
        elif how == "table":
            parts.append(pointwise.unary(model, "RELU", x, x.quant))
        else:
            parts.append(x)
    rng.shuffle(parts)
    return model.finish(moves.concatenate(model, parts, axis - rng.choice([0, len(x.shape)])))


def strided_slice(rng: random.Random) -> bytes:
    """STRIDED_SLICE."""
    model = Model()
    x = anything(model, rng)
    return model.finish(moves.random_slice(model, rng, x))


def split(rng: random.Random) -> bytes:
    """SPLIT; the parts are put together again in another order, on any axis."""
    model = Model()
    count = rng.randint(1, 4)
    rank = rng.randint(2, 4)
    shape = [1, *(rng.randint(1, 6) for _ in range(rank - 1))]
    axis = rng.randint(1, rank - 1)
    shape[axis] *= count
    x = model.input(shape, draws.quant(rng))
    parts = moves.split(model, x, axis, count)
    return _joined(model, rng, parts, rng.randint(1, rank - 1))


def split_v(rng: random.Random) -> bytes:
    """SPLIT_V; the parts are put together again in another order, or only one is used."""
    model = Model()
    sizes = [rng.randint(1, 5) for _ in range(rng.randint(1, 4))]
    rank = rng.randint(2, 4)
    shape = [1, *(rng.randint(1, 6) for _ in range(rank - 1))]
    axis = rng.randint(1, rank - 1)
    shape[axis] = sum(sizes)
    x = model.input(shape, draws.quant(rng))
    parts = moves.split_v(model, x, axis, sizes, rng.random() < 0.3)
    if rng.random() < 0.3:
        parts = [rng.choice(parts)]
    return _joined(model, rng, parts, axis)


def _joined(model: Model, rng: random.Random, parts: list[Tensor], axis: int) -> bytes:
    """Parts through RELU or not, in another order, in one tensor."""
    parts = [
        pointwise.unary(model, "RELU", part) if len(parts) == 1 or rng.random() < 0.4 else part
        for part in parts
    ]
    rng.shuffle(parts)
    return model.finish(moves.concatenate(model, parts, axis) if len(parts) > 1 else parts[0])


def pad(rng: random.Random) -> bytes:
    """PAD, alone or before a convolution without padding of its own."""
    model = Model(tame=rng.random() < 0.3)
    x = image(model, rng, 7)
    amounts = [(0, 0), *((rng.randint(0, 3), rng.randint(0, 3)) for _ in range(2)), (0, 0)]
    how = rng.choice(["alone", "conv", "depthwise", "pool"])
    if how == "alone":
        amounts[3] = (rng.randint(0, 2), rng.randint(0, 2))
    y = moves.pad(model, x, amounts)
    fitting = window(rng, y.shape[1:3])
    if how == "conv":
        y = layers.conv(model, rng, y, channels(rng), **fitting)
    elif how == "depthwise":
        y = layers.depthwise(model, rng, y, **fitting)
    elif how == "pool":
        y = layers.pool(model, y, rng.random() < 0.5, (1, 1), (1, 1))
    return model.finish(y)


def pad_with(rng: random.Random) -> bytes:
    """PADV2 with any value, alone or before a pool or a convolution."""
    model = Model()
    x = image(model, rng, 7)
    assert x.quant is not None
    amounts = [(0, 0), *((rng.randint(0, 2), rng.randint(0, 2)) for _ in range(2)), (0, rng.randint(0, 1))]
    y = moves.pad(model, x, amounts, rng.choice([-128, x.quant.zero, rng.randint(-128, 127)]))
    how = rng.choice(["alone", "pool", "conv"])
    if how == "pool":
        y = layers.pool(model, y, True, (min(2, y.shape[1]), 1), (1, 1))
    elif how == "conv":
        y = layers.conv(model, rng, y, channels(rng), **window(rng, y.shape[1:3]))
    return model.finish(y)


def expand_dims(rng: random.Random) -> bytes:
    """EXPAND_DIMS, and a convolution over what came of it where that is an image."""
    model = Model()
    x = anything(model, rng, (2, 4))
    y = moves.expand(model, x, rng.randint(1, len(x.shape)))
    if len(y.shape) == 4:
        y = layers.conv(model, rng, y, channels(rng), (rng.randint(1, 3), 1))
    return model.finish(y)


def squeeze(rng: random.Random) -> bytes:
    """SQUEEZE of some of the dimensions of 1."""
    model = Model()
    shape = [1, 1, *(rng.choice([1, rng.randint(2, 6)]) for _ in range(rng.randint(0, 2))), channels(rng)]
    x = model.input(shape, draws.quant(rng))
    ones = [axis for axis, n in enumerate(shape) if n == 1 and axis > 0 and rng.random() < 0.7]
    # An empty list would mean all of them.
    return model.finish(moves.squeeze(model, pointwise.unary(model, "RELU", x), ones or [1]))


def mean(rng: random.Random) -> bytes:
    """MEAN over any axes but the batch."""
    model = Model()
    x = anything(model, rng, (3, 4))
    rank = len(x.shape)
    axes = rng.choice([[1, 2], [2, 1], [1], [2], [rank - 1], [1, rank - 1], list(range(1, rank))])
    axes = [axis - rng.choice([0, 0, rank]) for axis in axes]
    return model.finish(pointwise.mean(model, rng, x, axes, rng.random() < 0.5))


def transpose(rng: random.Random) -> bytes:
    """TRANSPOSE; the batch stays first."""
    model = Model()
    x = anything(model, rng, (2, 5))
    order = list(range(1, len(x.shape)))
    rng.shuffle(order)
    return model.finish(moves.transpose(model, x, [0, *order]))


#: A maker for every operator that stands alone.
SINGLES: dict[str, Callable[[random.Random], bytes]] = {
    "CONV_2D": conv,
    "DEPTHWISE_CONV_2D": depthwise,
    "FULLY_CONNECTED": dense,
    "AVERAGE_POOL_2D": average_pool,
    "MAX_POOL_2D": max_pool,
    "ADD": add,
    "SUB": sub,
    "MUL": mul,
    "RESHAPE": reshape,
    "EXPAND_DIMS": expand_dims,
    "SQUEEZE": squeeze,
    "SOFTMAX": unary("SOFTMAX"),
    "LOGISTIC": unary("LOGISTIC"),
    "TANH": unary("TANH"),
    "RELU": unary("RELU"),
    "RELU6": unary("RELU6"),
    "LEAKY_RELU": unary("LEAKY_RELU"),
    "HARD_SWISH": unary("HARD_SWISH"),
    "CONCATENATION": concatenation,
    "STRIDED_SLICE": strided_slice,
    "SPLIT": split,
    "SPLIT_V": split_v,
    "PAD": pad,
    "PADV2": pad_with,
    "MEAN": mean,
    "QUANTIZE": quantize,
    "DEQUANTIZE": dequantize,
    "TRANSPOSE": transpose,
}
