"""Streaming models: each inference gets a few new rows and remembers earlier ones in resource variables.

In the style of microWakeWord (https://github.com/kahrendt/microWakeWord; okay_nabu is one of its models):
READ_VARIABLE, CONCATENATION along the rows, convolution; STRIDED_SLICE of the last rows, ASSIGN_VARIABLE.
Beside them, what the same pattern may look like in other models, and states that are used in other ways.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from support.zoo import draws, graphs, layers, moves, pointwise
from support.zoo.model import Model, Quant, Tensor


@dataclass
class _State:
    """A resource variable of rows; ``held`` is what was read of it."""

    handle: Tensor
    held: Tensor


@dataclass
class Stream:
    """A streaming model under construction.

    Attributes:
        rng: makes the choices.
        model: what it goes into.
        foreign: makes initial values that are not the zero point, which no ``reset`` of TFLM brings back.
        initialised: whether variables have initial values at all.
        late: assignments that wait for the end of the model.
    """

    rng: random.Random
    model: Model
    foreign: bool = False
    initialised: bool = True
    late: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def state(self, shape: tuple[int, ...], quant: Quant) -> _State:
        """A new variable and an operator that reads it."""
        initial = None
        if self.initialised:
            initial = np.full(shape, quant.zero, np.int8)
            if self.foreign:
                initial = draws.generator(self.rng).integers(-128, 128, shape).astype(np.int8)
        name = f"stream_{len(self.model.variables)}/states"
        handle = self.model.variable(name, shape, quant, initial)
        return _State(handle, self.read(handle, shape, quant))

    def read(self, handle: Tensor, shape: tuple[int, ...], quant: Quant) -> Tensor:
        """What a variable holds just now."""
        held = self.model.tensor(shape, quant)
        self.model.operator("READ_VARIABLE", [handle], [held])
        return held

    def assign(self, state: _State, value: Tensor) -> None:
        """Write a variable, now or at the end of the model."""
        if self.rng.random() < 0.2:
            self.late.append((state.handle, value))
        else:
            self.model.operator("ASSIGN_VARIABLE", [state.handle, value], [])

    def remember(self, x: Tensor, rows: int, axis: int = 1) -> Tensor:
        """``x`` behind the last ``rows`` rows (or columns) of what ``x`` was before."""
        assert x.quant is not None
        shape = list(x.shape)
        shape[axis] = rows
        state = self.state(tuple(shape), x.quant)
        both = moves.concatenate(
            self.model, [state.held, x], self.rng.choice([axis, axis, axis - len(shape)])
        )
        self.assign(state, last_rows(self.model, self.rng, both, rows, axis))
        return both

    def finish(self, x: Tensor) -> bytes:
        """The model with output ``x``."""
        for handle, value in self.late:
            self.model.operator("ASSIGN_VARIABLE", [handle, value], [])
        # TensorFlow's converter reads all variables at the start.
        early = self.rng.random() < 0.5
        return self.model.finish(x, ("VAR_HANDLE", "READ_VARIABLE") if early else ())


def last_rows(model: Model, rng: random.Random, x: Tensor, rows: int, axis: int = 1) -> Tensor:
    """STRIDED_SLICE of the last rows (or columns), said in one of the ways in which it can be said."""
    rank, size = len(x.shape), x.shape[axis]
    begin, end = [0] * rank, list(x.shape)
    begin[axis] = rng.choice([size - rows, -rows])
    others = (1 << rank) - 1 - (1 << axis)
    masks = rng.choice([(others, others | 1 << axis), (others, others), (0, 0)])
    if masks[1] & 1 << axis:
        end = [0] * rank
    return moves.strided_slice(model, x, begin, end, [1] * rank, *masks)


def start(rng: random.Random) -> tuple[Stream, Tensor, int]:
    """A stream, its input of 1 to 4 rows as an image of one or a few columns, and the number of rows."""
    model = Model(tame=rng.random() < 0.8)
    stream = Stream(rng, model, foreign=rng.random() < 0.5, initialised=rng.random() < 0.9)
    rows, features = rng.randint(1, 4), rng.choice([4, 5, 8, 10, 16, 40])
    width = rng.choice([1, 1, 1, 1, 2, 5])
    quant = Quant(draws.scale(rng), rng.choice([-128, draws.zero_point(rng)]))
    if width > 1 or rng.random() < 0.3:
        return stream, model.input((1, rows, width, features), quant), rows
    x = model.input((1, rows, features), quant)
    return stream, moves.reshape(model, x, (1, rows, 1, features)), rows


def wake_word(rng: random.Random) -> bytes:
    """Like okay_nabu: a strided first convolution, stages of depthwise and pointwise ones, a dense end."""
    stream, x, rows = start(rng)
    model = stream.model
    kernel = rng.choice([rows, rows + 1, rows + 2, 5])
    kernel = max(kernel, rows)
    if kernel > rows:
        x = stream.remember(x, rng.choice([kernel - rows, kernel - rows, kernel - rows + 1]))
    stride = rng.choice([rows, rows, 1])
    columns = rng.choice([x.shape[2], 1])
    x = layers.conv(
        model, rng, x, channels(rng), (kernel, columns), (stride, 1), padding="VALID", activation="RELU"
    )
    for _ in range(rng.randint(0, 3)):
        x = rng.choice([_stage, _stage, _mixed, _residual])(stream, x)
    return stream.finish(_end(stream, x))


def _stage(stream: Stream, x: Tensor) -> Tensor:
    """Remember, depthwise over rows, pointwise."""
    rng = stream.rng
    kernel = rng.randint(2, 12)
    both = stream.remember(x, kernel - 1 + rng.choice([0, 0, 0, 2]))
    dilation = rng.choice([1, 1, 1, 2]) if both.shape[1] > 2 * (kernel - 1) else 1
    y = layers.depthwise(
        stream.model, rng, both, (kernel, 1), 1, (1, 1), (dilation, 1), "VALID", rng.choice(["NONE", "RELU"])
    )
    if rng.random() < 0.2:
        return y
    return layers.conv(stream.model, rng, y, channels(rng), activation="RELU")


def _mixed(stream: Stream, x: Tensor) -> Tensor:
    """MixConv: groups of channels with kernels of different lengths over one state."""
    rng, model = stream.rng, stream.model
    groups = rng.choice([2, 2, 3])
    if x.shape[3] < groups or x.shape[2] > 1:
        return _stage(stream, x)
    kernels = [rng.randint(2, 9) for _ in range(groups)]
    rows = x.shape[1] + max(kernels) - 1
    both = stream.remember(x, max(kernels) - 1)
    sizes = [x.shape[3] // groups] * groups
    sizes[-1] += x.shape[3] - sum(sizes)
    if len(set(sizes)) == 1 and rng.random() < 0.5:
        parts = moves.split(model, both, 3, groups)
    else:
        parts = moves.split_v(model, both, 3, sizes)
    out, done = draws.quant(rng, model.tame), []
    for part, kernel in zip(parts, kernels, strict=True):
        seen = last_rows(model, rng, part, kernel - 1 + x.shape[1])
        assert seen.shape[1] <= rows
        done.append(layers.depthwise(model, rng, seen, (kernel, 1), padding="VALID", out=out))
    y = moves.concatenate(model, done, rng.choice([3, -1]))
    return layers.conv(model, rng, y, channels(rng), activation="RELU")


def _residual(stream: Stream, x: Tensor) -> Tensor:
    """A stage with a way around it: what went in is added to what came out."""
    rng, model = stream.rng, stream.model
    kernel = rng.randint(2, 6)
    both = stream.remember(x, kernel - 1)
    y = layers.depthwise(model, rng, both, (kernel, 1), padding="VALID")
    y = layers.conv(model, rng, y, x.shape[3])
    if rng.random() < 0.5:
        x = last_rows(model, rng, both, x.shape[1])
    return pointwise.binary(model, rng, "ADD", x, y, "RELU")


def _end(stream: Stream, x: Tensor) -> Tensor:
    """Scores of the last rows: FULLY_CONNECTED over them, or over their mean or maximum."""
    rng, model = stream.rng, stream.model
    if rng.random() < 0.8:
        x = stream.remember(x, rng.randint(1, 6))
    how = rng.choice(["flat", "flat", "mean", "pool"])
    if how == "mean":
        x = pointwise.mean(model, rng, x, [1, 2], rng.random() < 0.5)
    elif how == "pool":
        x = layers.pool(model, x, rng.random() < 0.7, x.shape[1:3], (1, 1))
    x = moves.reshape(model, x, (1, x.elements))
    return graphs.edge(model, rng, layers.dense(model, rng, x, rng.choice([1, 1, 3])))


def channels(rng: random.Random) -> int:
    """Channels of a stage."""
    return rng.choice([1, 3, 4, 6, 8, 12, 16, 24])


def window(rng: random.Random) -> bytes:
    """A rolling window of input rows before an ordinary network."""
    stream, x, _ = start(rng)
    x = stream.remember(x, rng.randint(1, 8))
    y = layers.conv(stream.model, rng, x, channels(rng), (rng.randint(1, 3), 1), (rng.randint(1, 2), 1))
    if rng.random() < 0.5:
        y = layers.depthwise(stream.model, rng, y, (3, 1), activation="RELU")
    return stream.finish(_end(stream, y))


def columns(rng: random.Random) -> bytes:
    """One-dimensional convolutions: states of rank 3, or along the columns; two stages."""
    stream, x, _ = start(rng)
    model = stream.model
    for _ in range(rng.randint(1, 2)):
        kernel = rng.randint(1, 5)
        kept = max(kernel - 1, 1) + rng.choice([0, 0, 1])
        if rng.random() < 0.5:
            x = moves.reshape(model, x, (1, x.elements // x.shape[-1], x.shape[-1]))
            x = stream.remember(x, kept, rng.choice([1, 1, 2]))
            x = rng.choice([moves.expand(model, x, 1), moves.expand(model, x, 2)])
        else:
            x = moves.reshape(model, x, (1, 1, x.elements // x.shape[-1], x.shape[-1]))
            x = stream.remember(x, kept, 2)
        window = (kernel, 1) if x.shape[2] == 1 else (1, kernel)
        window = (min(window[0], x.shape[1]), min(window[1], x.shape[2]))
        if rng.random() < 0.5:
            x = layers.conv(model, rng, x, channels(rng), window, padding="VALID", activation="RELU")
        else:
            x = layers.depthwise(model, rng, x, window, padding="VALID")
    return stream.finish(_end(stream, x) if rng.random() < 0.7 else x)


def looked_at(rng: random.Random) -> bytes:
    """A window of rows that is looked at in other ways: backwards, every other row, turned, pooled."""
    stream, x, _ = start(rng)
    model = stream.model
    x = stream.remember(x, rng.randint(1, 6))
    parts = []
    for _ in range(rng.randint(1, 3)):
        how = rng.choice(["slice", "turned", "table", "binary", "mean", "pool", "pad", "softmax", "rows"])
        if how == "slice":
            y = moves.random_slice(model, rng, x, shrink=False)
        elif how == "turned":
            y = moves.transpose(
                model, x, rng.choice([(0, 2, 1, 3), (0, 3, 2, 1), (0, 1, 3, 2), (0, 2, 3, 1)])
            )
        elif how == "table":
            y = pointwise.random_unary(model, rng, x)
        elif how == "binary":
            y = graphs.shifted(model, rng, x)
        elif how == "mean":
            y = pointwise.mean(model, rng, x, rng.choice([[1], [2], [3], [1, 2], [2, 3]]), rng.random() < 0.5)
        elif how == "pool":
            y = layers.pool(model, x, rng.random() < 0.5, (min(2, x.shape[1]), 1), (rng.randint(1, 2), 1))
        elif how == "pad":
            y = moves.pad(model, x, [(0, 0), (rng.randint(0, 2), 1), (0, rng.randint(0, 1)), (0, 0)])
        elif how == "softmax":
            y = pointwise.unary(model, "SOFTMAX", x, beta=1.0)
        else:
            y = layers.dense(model, rng, x, 3, x.shape[-1])
        parts.append(layers.dense(model, rng, y, rng.randint(1, 4), y.elements, out=Quant(0.1, 0)))
    return stream.finish(moves.concatenate(model, parts, 1) if len(parts) > 1 else parts[0])


def recurrent(rng: random.Random) -> bytes:
    """A state that is not a window: the next is computed from the last and the input."""
    stream, x, _ = start(rng)
    model = stream.model
    x = layers.dense(model, rng, x, 6, x.elements, activation=rng.choice(["NONE", "RELU"]))
    x = pointwise.unary(model, "TANH", x)
    assert x.quant is not None
    state = stream.state(x.shape, x.quant)
    if rng.random() < 0.5:
        mixed = layers.dense(model, rng, moves.concatenate(model, [state.held, x], 1), 6)
        new = pointwise.unary(model, "TANH", mixed)
    else:
        new = pointwise.binary(model, rng, "ADD", state.held, x, out=x.quant)
    stream.assign(state, new)
    # The state as it was, read before it was written, is used after that.
    y = pointwise.binary(model, rng, "SUB", new, state.held) if rng.random() < 0.5 else new
    return stream.finish(graphs.edge(model, rng, layers.dense(model, rng, y, 2)))


def delay(rng: random.Random) -> bytes:
    """States that only delay: replaced as a whole, shorter than what is new, or put behind it."""
    stream, x, rows = start(rng)
    model = stream.model
    assert x.quant is not None
    how = rng.choice(["swap", "short", "behind", "twice", "output"])
    _, _, w, c = x.shape
    if how == "swap":
        state = stream.state(x.shape, x.quant)
        stream.assign(state, x)
        y = pointwise.binary(model, rng, "SUB", x, state.held)
    elif how == "short":
        y = stream.remember(x, rng.randint(1, rows))
    elif how == "behind":
        kept = rng.randint(1, 4)
        state = stream.state((1, kept, w, c), x.quant)
        y = moves.concatenate(model, [x, state.held], 1)
        stream.assign(
            state, moves.strided_slice(model, y, (0, 0, 0, 0), (1, kept, w, c), (1, 1, 1, 1), 0b1101, 0b1101)
        )
    elif how == "twice":
        y = stream.remember(stream.remember(x, rng.randint(1, 3)), rng.randint(1, 3))
    else:  # the model's output is what the state becomes
        y = stream.remember(x, rng.randint(1, 5))
        return stream.finish(last_rows(model, rng, y, rng.randint(1, y.shape[1])))
    return stream.finish(_end(stream, y) if rng.random() < 0.7 else y)


def restated(rng: random.Random) -> bytes:
    """States that are read and written in any order, more than once or never."""
    stream, x, _ = start(rng)
    model = stream.model
    x = layers.dense(model, rng, x, 5, x.elements)
    assert x.quant is not None
    states = [stream.state(x.shape, x.quant) for _ in range(rng.randint(1, 2))]
    known = [x, *(state.held for state in states)]
    for _ in range(rng.randint(2, 6)):
        state = rng.choice(states)
        how = rng.choice(["write", "write", "read", "add", "table"])
        if how == "write":
            model.operator("ASSIGN_VARIABLE", [state.handle, rng.choice(known)], [])
        elif how == "read":
            known.append(stream.read(state.handle, x.shape, x.quant))
        elif how == "add":
            known.append(
                pointwise.binary(model, rng, "ADD", rng.choice(known), rng.choice(known), out=x.quant)
            )
        else:
            known.append(pointwise.unary(model, "LEAKY_RELU", rng.choice(known), x.quant, alpha=0.3))
    for state in states:  # TFLM gives a variable memory where it is written
        model.operator("ASSIGN_VARIABLE", [state.handle, rng.choice(known)], [])
    parts = [layers.dense(model, rng, one, 2, out=Quant(0.1, 0)) for one in known]
    return model.finish(moves.concatenate(model, parts[-8:], 1))


#: A maker for every kind of streaming model.
STREAMS: dict[str, Callable[[random.Random], bytes]] = {
    "wake_word": wake_word,
    "window": window,
    "columns": columns,
    "looked_at": looked_at,
    "recurrent": recurrent,
    "delay": delay,
    "restated": restated,
}
