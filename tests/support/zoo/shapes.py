"""Random shapes: channels, images, inputs of any rank, windows that fit."""

from __future__ import annotations

import random

from support.zoo import draws
from support.zoo.model import Model, Tensor

Pair = tuple[int, int]


def channels(rng: random.Random) -> int:
    """Channels: mostly few, multiples of four and others; now and then a real layer's."""
    return rng.choice([1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 20, rng.randint(1, 40)])


def image(model: Model, rng: random.Random, largest: int = 11) -> Tensor:
    """An input of rank 4."""
    shape = (1, rng.randint(1, largest), rng.choice([1, rng.randint(1, largest)]), channels(rng))
    return model.input(shape, draws.quant(rng), dynamic=rng.random() < 0.3)


def anything(model: Model, rng: random.Random, ranks: Pair = (2, 4), least: int = 1) -> Tensor:
    """An input of any rank with a batch of one."""
    rank = rng.randint(*ranks)
    shape = [1, *(rng.randint(least, 8) for _ in range(rank - 2)), rng.choice([1, channels(rng), 31])]
    shape[-1] = max(shape[-1], least)
    return model.input(shape, draws.quant(rng), dynamic=rng.random() < 0.3)


def window(rng: random.Random, size: Pair, dilated: bool = True) -> dict[str, Pair | str]:
    """Kernel, stride, dilation and padding that fit an image of ``size``."""
    kernel = rng.choice(
        [(1, 1), (3, 3), (3, 3), (rng.randint(1, 5), rng.randint(1, 5)), (rng.randint(1, 11), 1)]
    )
    stride = rng.choice([(1, 1), (1, 1), (2, 2), (rng.randint(1, 3), rng.randint(1, 3))])
    # TFLite's converter allows no stride beside a dilation; the file format does.
    dilation = (
        rng.choice([(1, 1), (1, 1), (2, 2), (rng.randint(1, 3), rng.randint(1, 3))]) if dilated else (1, 1)
    )
    padding = rng.choice(["SAME", "VALID"])
    if padding == "VALID":
        fits = [min(k, (n - 1) // d + 1) for k, n, d in zip(kernel, size, dilation, strict=True)]
        kernel = (fits[0], fits[1])
    return {"kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding}
