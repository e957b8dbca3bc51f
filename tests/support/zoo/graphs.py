"""Whole networks: chains and small graphs with branches, then a head."""

from __future__ import annotations

import random
from collections.abc import Callable

from support.zoo import draws, layers, moves, pointwise, shapes
from support.zoo.model import Model, Tensor


def network(rng: random.Random) -> bytes:
    """A network of one to six blocks over an image, and a head."""
    model = Model(tame=rng.random() < 0.8)
    x = shapes.image(model, rng, 10)
    for _ in range(rng.randint(1, 6)):
        x = rng.choice(BLOCKS)(model, rng, x)
    return model.finish(_head(model, rng, x))


def _layer(model: Model, rng: random.Random, x: Tensor) -> Tensor:
    """A convolution of either kind, or a pointwise one on every pixel."""
    fitting = shapes.window(rng, x.shape[1:3])
    activation = draws.activation(rng)
    if rng.random() < 0.4:
        return layers.depthwise(model, rng, x, **fitting, activation=activation)
    if rng.random() < 0.4:
        return layers.conv(model, rng, x, shapes.channels(rng), activation=activation)
    return layers.conv(model, rng, x, shapes.channels(rng), **fitting, activation=activation)


def _separable(model: Model, rng: random.Random, x: Tensor) -> Tensor:
    """Depthwise and pointwise convolution, as in keyword networks."""
    x = layers.depthwise(model, rng, x, (3, 3), activation="RELU")
    return layers.conv(model, rng, x, rng.choice([x.shape[3], shapes.channels(rng)]), activation="RELU")


def _residual(model: Model, rng: random.Random, x: Tensor) -> Tensor:
    """Two convolutions beside nothing or one convolution, added."""
    channels = rng.choice([x.shape[3], shapes.channels(rng)])
    stride = rng.choice([(1, 1), (1, 1), (2, 2)])
    y = layers.conv(model, rng, x, channels, (3, 3), stride, activation="RELU")
    y = layers.conv(model, rng, y, channels, (3, 3))
    if channels != x.shape[3] or stride != (1, 1):
        x = layers.conv(model, rng, x, channels, (1, 1), stride)
    a, b = (x, y) if rng.random() < 0.5 else (y, x)
    return pointwise.binary(model, rng, rng.choice(["ADD", "ADD", "SUB", "MUL"]), a, b, draws.activation(rng))


def _inception(model: Model, rng: random.Random, x: Tensor) -> Tensor:
    """Branches of convolutions and pools with one quantisation, put side by side."""
    assert x.quant is not None
    out = rng.choice([x.quant, draws.quant(rng, model.tame)])
    parts = []
    for _ in range(rng.randint(2, 3)):
        how = rng.choice(["conv", "conv", "depthwise", "pool", "x"])
        if how == "depthwise":
            parts.append(layers.depthwise(model, rng, x, out=out))
        elif how == "pool" and out == x.quant:
            parts.append(layers.pool(model, x, rng.random() < 0.5, (3, 3), (1, 1), "SAME"))
        elif how == "x" and out == x.quant:
            parts.append(x)
        else:
            kernel = rng.choice([(1, 1), (3, 3), (1, 3)])
            parts.append(layers.conv(model, rng, x, shapes.channels(rng), kernel, out=out))
    return moves.concatenate(model, parts, rng.choice([3, -1]))


def _halves(model: Model, rng: random.Random, x: Tensor) -> Tensor:
    """Parts of the channels (or rows), each through a layer of its own, put together again."""
    axis = rng.choice([3, 3, 1])
    size = x.shape[axis]
    if size < 2:
        return _table(model, rng, x)
    if size % 2 == 0 and rng.random() < 0.5:
        parts = moves.split(model, x, axis, 2)
    else:
        first = rng.randint(1, size - 1)
        parts = moves.split_v(model, x, axis, [first, size - first])
    out, done = draws.quant(rng, model.tame), []
    for part in parts:
        kernel = (rng.choice([1, 3, 5]), rng.choice([1, 3]))
        if rng.random() < 0.6:
            done.append(layers.depthwise(model, rng, part, kernel, out=out))
        else:
            done.append(layers.conv(model, rng, part, x.shape[3] if axis == 1 else 3, kernel, out=out))
    return moves.concatenate(model, done, axis)


def _shuffle(model: Model, rng: random.Random, x: Tensor) -> Tensor:
    """Channels in another order: RESHAPE, TRANSPOSE, RESHAPE, as ShuffleNet does."""
    _, h, w, c = x.shape
    groups = next((n for n in (2, 3, 4) if c % n == 0), 1)
    y = moves.reshape(model, x, (1, h * w, groups, c // groups))
    y = moves.transpose(model, y, (0, 1, 3, 2))
    return moves.reshape(model, y, x.shape)


def _regrouped(model: Model, rng: random.Random, x: Tensor) -> Tensor:
    """Five dimensions in another order, as space to depth and its like are made of."""
    _, h, w, c = x.shape
    rows = 2 if h % 2 == 0 else 1
    columns = 2 if w % 2 == 0 and rows == 1 else 1
    parts = (h // rows, rows, w, c) if columns == 1 else (h, w // 2, 2, c)
    order = [1, 2, 3, 4]
    rng.shuffle(order)
    y = moves.transpose(model, moves.reshape(model, x, (1, *parts)), (0, *order))
    a, b, *rest = y.shape[1:]
    return moves.reshape(model, y, (1, a, b * rest[0], rest[1]))


def _turned(model: Model, rng: random.Random, x: Tensor) -> Tensor:
    """Rows, columns and channels in another order."""
    order = [1, 2, 3]
    rng.shuffle(order)
    return moves.transpose(model, x, (0, *order))


def _reshaped(model: Model, rng: random.Random, x: Tensor) -> Tensor:
    """The same bytes as another image."""
    _, h, w, c = x.shape
    return moves.reshape(
        model, x, rng.choice([(1, w, h, c), (1, h * w, 1, c), (1, h, 1, w * c), (1, h, w, c)])
    )


def _padded(model: Model, rng: random.Random, x: Tensor) -> Tensor:
    """PAD before a convolution, as Keras makes it of ZeroPadding2D; sometimes before two."""
    y = moves.pad(model, x, [(0, 0), (rng.randint(0, 2), rng.randint(0, 2)), (rng.randint(0, 2), 1), (0, 0)])
    fitting = shapes.window(rng, y.shape[1:3])
    out = draws.quant(rng, model.tame)
    a = layers.conv(model, rng, y, 4, **fitting, out=out)
    if rng.random() < 0.7:
        return a
    b = layers.conv(model, rng, y, 3, **fitting, out=out)
    return moves.concatenate(model, [a, b], 3)


def _pooled(model: Model, rng: random.Random, x: Tensor) -> Tensor:
    """A pool of 2 x 2 or 3 x 3."""
    size = rng.choice([2, 3])
    window = (min(size, x.shape[1]), min(size, x.shape[2]))
    return layers.pool(
        model, x, rng.random() < 0.5, window, (2, rng.choice([1, 2])), rng.choice(["SAME", "VALID"])
    )


def _sliced(model: Model, rng: random.Random, x: Tensor) -> Tensor:
    """A slice, or two that overlap and are added."""
    if rng.random() < 0.5 or x.shape[1] < 2:
        return moves.random_slice(model, rng, x, shrink=False)
    h = x.shape[1]
    a = moves.strided_slice(model, x, (0, 0, 0, 0), (0, h - 1, 0, 0), (1, 1, 1, 1), 0b1111, 0b1101)
    b = moves.strided_slice(model, x, (0, 1, 0, 0), (0, h, 0, 0), (1, 1, 1, 1), 0b1101, 0b1111)
    return pointwise.binary(model, rng, "ADD", a, b)


def _table(model: Model, rng: random.Random, x: Tensor) -> Tensor:
    """One to three operators that work value by value."""
    for _ in range(rng.randint(1, 3)):
        x = pointwise.random_unary(model, rng, x)
    return x


def shifted(model: Model, rng: random.Random, x: Tensor) -> Tensor:
    """Plus, minus or times a constant, as batch normalisation that was not folded."""
    assert x.quant is not None
    for _ in range(rng.randint(1, 2)):
        shape = rng.choice(
            [(x.shape[3],), (1, 1, 1, x.shape[3]), (), pointwise.broadcast_shape(rng, x.shape)]
        )
        other = pointwise.constant_like(model, rng, shape, x.quant.scale)
        if rng.random() < 0.2:  # of constants alone: the converter leaves such operators now and then
            other = pointwise.random_unary(
                model, rng, moves.reshape(model, other, (1,) * (4 - len(shape)) + tuple(shape))
            )
        x = pointwise.binary(model, rng, rng.choice(["ADD", "SUB", "MUL"]), x, other, draws.activation(rng))
    return x


def _squeeze(model: Model, rng: random.Random, x: Tensor) -> Tensor:
    """Channels weighted by what the whole image says about them (squeeze and excitation)."""
    y = pointwise.mean(model, rng, x, rng.choice([[1, 2], [2, 1]]), True)
    y = layers.conv(model, rng, y, max(1, x.shape[3] // 2), activation="RELU")
    y = layers.conv(model, rng, y, x.shape[3])
    return pointwise.binary(model, rng, "MUL", x, pointwise.unary(model, "LOGISTIC", y))


BLOCKS: list[Callable[[Model, random.Random, Tensor], Tensor]] = [
    _layer,
    _layer,
    _layer,
    _separable,
    _separable,
    _residual,
    _residual,
    _inception,
    _halves,
    _shuffle,
    _regrouped,
    _turned,
    _reshaped,
    _padded,
    _pooled,
    _sliced,
    _table,
    shifted,
    _squeeze,
]


def _head(model: Model, rng: random.Random, x: Tensor) -> Tensor:
    """Nothing, or classes: a pool or mean or none, FULLY_CONNECTED, SOFTMAX or LOGISTIC, another type."""
    if rng.random() < 0.2:
        return x
    how = rng.choice(["pool", "mean", "flat", "rows"])
    if how == "pool":
        x = layers.pool(model, x, rng.random() < 0.3, x.shape[1:3], (1, 1))
    elif how == "mean":
        x = pointwise.mean(model, rng, x, [1, 2], rng.random() < 0.5)
    if how == "rows" or x.elements > 3000:
        x = layers.dense(model, rng, x, rng.randint(1, 12), keep=rng.random() < 0.5, features=x.shape[-1])
    else:
        x = moves.reshape(model, x, (1, x.elements), rng.random() < 0.5)
        x = layers.dense(model, rng, x, rng.randint(1, 20), per_channel=rng.random() < 0.3)
    return edge(model, rng, x)


def edge(model: Model, rng: random.Random, x: Tensor) -> Tensor:
    """What ends a classifier: SOFTMAX, LOGISTIC or nothing, then perhaps uint8 or float32."""
    last = rng.choice(["SOFTMAX", "LOGISTIC", "TANH", None])
    if last:
        x = pointwise.unary(model, last, x, **({"beta": 1.0} if last == "SOFTMAX" else {}))
    assert x.quant is not None
    after = rng.choice(["uint8", "float", None, None])
    if after == "uint8":
        x = pointwise.unary(model, "QUANTIZE", x, x.quant._replace(zero=x.quant.zero + 128), "UINT8")
        return moves.reshape(model, x, (1, x.elements)) if rng.random() < 0.3 else x
    if after == "float":
        x = pointwise.unary(model, "DEQUANTIZE", x)
        return moves.reshape(model, x, (1, x.elements)) if rng.random() < 0.3 else x
    return x
