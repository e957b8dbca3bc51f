"""What tests of the lowering share: models written operator by operator, and what the oracle says of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np

from cicada.tools.packed import PackedModel
from cicada.tools.tflm import Interpreter
from cicada.training.pack import emit, lower, plan, reader, simplify
from cicada.training.pack.program import Program
from support.zoo import layers, moves, pointwise
from support.zoo.model import Model, Quant, Tensor

#: Of all activations here, so that they can be concatenated.
QUANT = Quant(0.05, -3)


class Net:
    """A model under construction; each method adds an operator and returns its output."""

    def __init__(self, *shape: int, seed: int = 1) -> None:
        self.rng = random.Random(seed)
        self.model = Model(tame=True)
        self.x = self.model.input(shape, QUANT)

    def conv(self, x: Tensor, n: int, kernel: tuple[int, int] = (1, 1), **options: object) -> Tensor:
        """CONV_2D without padding."""
        options = {"padding": "VALID", "out": QUANT, **options}
        return layers.conv(self.model, self.rng, x, n, kernel, **options)  # type: ignore[arg-type]

    def depthwise(self, x: Tensor, kernel: tuple[int, int], **options: object) -> Tensor:
        """DEPTHWISE_CONV_2D without padding."""
        options = {"padding": "VALID", "out": QUANT, **options}
        return layers.depthwise(self.model, self.rng, x, kernel, **options)  # type: ignore[arg-type]

    def dense(self, x: Tensor, n: int, **options: object) -> Tensor:
        """FULLY_CONNECTED."""
        return layers.dense(self.model, self.rng, x, n, out=QUANT, **options)  # type: ignore[arg-type]

    def binary(self, kind: str, a: Tensor, b: Tensor) -> Tensor:
        """ADD, SUB or MUL."""
        return pointwise.binary(self.model, self.rng, kind, a, b, out=QUANT)

    def constant(self, *shape: int) -> Tensor:
        """An int8 constant."""
        values = np.random.default_rng(3).integers(-100, 100, shape).astype(np.int8)
        return self.model.constant(values, QUANT)

    def concatenate(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        """CONCATENATION."""
        return moves.concatenate(self.model, parts, axis)

    def rows(self, x: Tensor, first: int, count: int, step: int = 1) -> Tensor:
        """STRIDED_SLICE of rows (axis 1), ``count`` of them from ``first`` on."""
        begin, end = [0] * len(x.shape), list(x.shape)
        begin[1], end[1] = first, first + (count - 1) * step + 1
        return moves.strided_slice(self.model, x, begin, end, [1, step] + [1] * (len(begin) - 2))

    def channels(self, x: Tensor, first: int, count: int) -> Tensor:
        """STRIDED_SLICE of channels (the last axis)."""
        begin, end = [0] * len(x.shape), list(x.shape)
        begin[-1], end[-1] = first, first + count
        return moves.strided_slice(self.model, x, begin, end, [1] * len(begin))

    def variable(self, *shape: int, quant: Quant = QUANT) -> Tensor:
        """Handle of a resource variable with initial values."""
        initial = np.random.default_rng(5).integers(-128, 128, shape).astype(np.int8)
        return self.model.variable(f"state_{len(self.model.variables)}", shape, quant, initial)

    def read(self, handle: Tensor, *shape: int, quant: Quant = QUANT) -> Tensor:
        """READ_VARIABLE."""
        held = self.model.tensor(shape, quant)
        self.model.operator("READ_VARIABLE", [handle], [held])
        return held

    def assign(self, handle: Tensor, value: Tensor) -> None:
        """ASSIGN_VARIABLE."""
        self.model.operator("ASSIGN_VARIABLE", [handle, value], [])

    def remember(self, x: Tensor, old: int) -> Tensor:
        """``x`` behind the last ``old`` rows of what came before: the streaming pattern."""
        shape = (1, old, *x.shape[2:])
        handle = self.variable(*shape)
        both = self.concatenate([self.read(handle, *shape), x], 1)
        self.assign(handle, self.rows(both, x.shape[1], old))
        return both

    def finish(self, y: Tensor) -> bytes:
        """The flatbuffer."""
        return self.model.finish(y)


def lowered(model: bytes) -> Program:
    """The program of a flatbuffer."""
    return lower.lower(simplify.simplify(reader.read(model)))


def kinds(program: Program) -> list[str]:
    """Names of a program's operators, in order."""
    return [type(op).__name__ for op in program.ops]


def counted(program: Program) -> Counter[str]:
    """How many operators of each kind a program has."""
    return Counter(kinds(program))


def assert_equals_oracle(model: bytes, steps: int = 30) -> Program:
    """Runs a model and the oracle over a stream with a reset in the middle; all bytes are equal."""
    program = lowered(model)
    ours = PackedModel(emit.emit(program, plan.plan(program)))
    values = np.random.default_rng(7)
    for _ in range(2):
        theirs = Interpreter(model)  # a fresh one, because its reset does not bring initial values back
        for step in range(steps // 2):
            x = values.integers(0, 256, theirs.input["shape"]).astype(np.uint8).view(theirs.input["dtype"])
            expected = theirs.invoke(x)
            assert expected.tobytes() == ours.invoke(x).tobytes(), f"step {step}"
        ours.reset()
    return program
