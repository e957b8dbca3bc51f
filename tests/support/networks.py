"""Programs of the shapes of known networks, as the compiler lowers them, with weights of noise."""

from __future__ import annotations

import numpy as np

from cicada.training.pack.program import (
    Binary,
    Buffer,
    Copy,
    Lut,
    Op,
    Pool,
    Program,
    Ring,
    Softmax,
    View,
    Window,
)
from support.programs import buffer, column, conv, dense, depthwise, program, whole

Shape = tuple[int, int, int]


class Network:
    """Operators one after the other, each on a buffer of its own."""

    def __init__(self, shape: Shape) -> None:
        self.ops: list[Op] = []
        self.buffers: list[Buffer] = []
        self.first = self.now = self.view(shape)

    def view(self, shape: Shape) -> View:
        """All of a new buffer."""
        self.buffers.append(buffer(shape, f"buffer {len(self.buffers)}"))
        return whole(self.buffers[-1], shape)

    def conv(self, shape: Shape, window: Window, source: View | None = None) -> View:
        """A convolution."""
        source, self.now = source or self.now, self.view(shape)
        self.ops.append(conv(source, self.now, window, f"conv {len(self.ops)}"))
        return self.now

    def depthwise(self, shape: Shape, window: Window) -> View:
        """A depthwise convolution."""
        source, self.now = self.now, self.view(shape)
        self.ops.append(depthwise(source, self.now, window, name=f"depthwise {len(self.ops)}"))
        return self.now

    def dense(self, channels: int) -> View:
        """A fully connected layer."""
        source, self.now = self.now, self.view((1, 1, channels))
        self.ops.append(dense(source, self.now, f"dense {len(self.ops)}"))
        return self.now

    def add(self, a: View, b: View) -> View:
        """A sum."""
        self.now = self.view((a.h, a.w, a.c))
        numbers = {"a_offset": 128, "b_offset": 128, "out_zero": -128, "low": -128, "high": 127}
        self.ops.append(Binary(f"add {len(self.ops)}", kind="add", a=a, b=b, output=self.now, **numbers))
        return self.now

    def lut(self) -> View:
        """A table."""
        source, self.now = self.now, self.view((self.now.h, self.now.w, self.now.c))
        table = np.arange(256, dtype=np.uint8)
        self.ops.append(Lut(f"lut {len(self.ops)}", input=source, output=self.now, table=table))
        return self.now

    def beside(self, a: View, b: View) -> View:
        """1x1 convolutions of two views into the channels of one buffer."""
        self.now = self.view((a.h, a.w, a.c + b.c))
        for view, start in ((a, 0), (b, a.c)):
            part = View(self.now.memory, a.h, a.w, view.c, start, self.now.c)
            self.ops.append(conv(view, part, Window((1, 1)), f"conv {len(self.ops)}"))
        return self.now

    def pool(self, shape: Shape, kernel: tuple[int, int]) -> View:
        """An average pool."""
        source, self.now = self.now, self.view(shape)
        window = Window(kernel, kernel)
        self.ops.append(
            Pool("pool", input=source, output=self.now, window=window, largest=False, low=-128, high=127)
        )
        return self.now

    def softmax(self) -> View:
        """A softmax."""
        source, self.now = self.now, self.view((1, 1, self.now.c))
        self.ops.append(
            Softmax("softmax", input=source, output=self.now, multiplier=1, left_shift=1, diff_min=-1)
        )
        return self.now

    def program(self) -> Program:
        """What has come together."""
        return program(self.ops, self.first.memory, self.now.memory, self.buffers[1:-1])


def keyword_spotter() -> Program:
    """MLPerf Tiny's DS-CNN."""
    net = Network((49, 10, 1))
    net.conv((25, 5, 64), Window((10, 4), (2, 2), pad=(4, 1)))
    for _ in range(4):
        net.depthwise((25, 5, 64), Window((3, 3), pad=(1, 1)))
        net.conv((25, 5, 64), Window((1, 1)))
    net.pool((1, 1, 64), (25, 5))
    net.dense(12)
    net.softmax()
    return net.program()


def resnet() -> Program:
    """MLPerf Tiny's ResNet for CIFAR-10."""
    net = Network((32, 32, 3))
    three = Window((3, 3), pad=(1, 1))
    block = net.conv((32, 32, 16), three)
    net.conv((32, 32, 16), three)
    block = net.add(block, net.conv((32, 32, 16), three))
    for shape in ((16, 16, 32), (8, 8, 64)):
        net.conv(shape, Window((3, 3), (2, 2)), block)
        inner = net.conv(shape, three)
        short = net.conv(shape, Window((1, 1), (2, 2)), block)
        block = net.add(short, inner)
    net.pool((1, 1, 64), (8, 8))
    net.dense(10)
    net.softmax()
    return net.program()


def wake_word() -> Program:
    """The streaming MixedNet of microWakeWord: a step of three rows."""
    ops: list[Op] = []
    rings: list[Ring] = []
    source, buffers = buffer((3, 1, 40), "input"), []

    def ring(rows: int, row: int) -> Ring:
        rings.append(Ring(f"ring {len(rings)}", rows, row, np.full((rows, row), -128, np.int8)))
        return rings[-1]

    def fresh(channels: int) -> Buffer:
        buffers.append(buffer((1, 1, channels), f"buffer {len(buffers)}"))
        return buffers[-1]

    head = ring(5, 40)
    steps = (40, 40, 40, 1)
    ops.append(
        Copy(
            *("copy", 0, head, 3),
            input=source,
            output=head,
            dims=(3, 1, 1, 40),
            in_at=0,
            out_at=0,
            in_step=steps,
            out_step=steps,
        )
    )
    before = View(head, 5, 1, 40)
    for rows, channels, kernels in ((5, 32, (5,)), (11, 64, (7, 11)), (15, 64, (9, 15)), (23, 64, (23,))):
        stream = ring(rows, channels)
        layer = dense(before, View(stream, 1, 1, channels), f"dense {len(ops)}")
        layer.advance, layer.advance_rows = stream, 1
        ops.append(layer)
        mixed, part = fresh(channels), channels // len(kernels)
        for number, kernel in enumerate(kernels):
            of = View(stream, kernel, 1, part, (rows - kernel) * channels + number * part, channels, channels)
            to = View(mixed, 1, 1, part, number * part, channels)
            ops.append(column(of, to, Window((kernel, 1)), f"column {len(ops)}"))
        before = whole(mixed, (1, 1, channels))
    last = ring(6, 64)
    layer = dense(before, View(last, 1, 1, 64))
    layer.advance, layer.advance_rows = last, 1
    ops.append(layer)
    logit, result = fresh(1), buffer((1, 1, 1), "output")
    ops.append(dense(View(last, 6, 1, 64), whole(logit, (1, 1, 1))))
    table = np.arange(256, dtype=np.uint8)
    ops.append(Lut("lut", input=whole(logit, (1, 1, 1)), output=whole(result, (1, 1, 1)), table=table))
    return program(ops, source, result, buffers, rings)
