"""When an operator's output may lie over its own input.

``firmware/engine/runtime/format.h`` says of each operator in which order it reads and writes. Here that order
is two numbers a byte: the last step that reads a byte of an input, and the first that writes a byte of the
output (a step reads before it writes). An output byte may lie on an input byte if the one is not written
before the other's last read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd

import numpy as np
from numpy.typing import NDArray

from cicada.training.pack.format import ALIGNMENT
from cicada.training.pack.program import (
    Binary,
    Buffer,
    Column,
    Conv,
    Copy,
    Dense,
    Depthwise,
    Fill,
    Lut,
    Mean,
    Op,
    Pool,
    Ring,
    Softmax,
    View,
    Window,
)

#: Step of a byte that is never written.
NEVER = 1 << 62
Steps = NDArray[np.int64]


def offsets(view: View) -> NDArray[np.int64]:
    """``[h, w, c]``: bytes of a view's elements from the start of its memory; in a ring at position 0."""
    ring = isinstance(view.memory, Ring)
    rows = np.arange(view.h, dtype=np.int64) * (view.memory.row if ring else view.row)
    pixels = np.arange(view.w, dtype=np.int64) * view.pitch
    found = view.at + rows[:, None, None] + pixels[:, None] + np.arange(view.c, dtype=np.int64)
    return found % view.memory.size if ring else found


def sources(op: Op) -> list[View]:
    """The views that an operator reads; none for a Copy, whose input is no view, and a Fill."""
    if isinstance(op, Binary):
        return [op.a, op.b]
    return [] if isinstance(op, Copy | Fill) else [op.input]


def contiguous(op: Dense) -> bool:
    """Whether a dense layer reads its input where it lies, without scratch memory."""
    view = op.input
    row = view.w * view.c
    return not isinstance(view.memory, Ring) and (view.h == 1 or view.row == row) and view.h * row % 4 == 0


def memories(op: Op) -> tuple[list[Buffer | Ring], Buffer | Ring]:
    """What an operator reads from, each once, and what it writes to."""
    read = [op.input] if isinstance(op, Copy) else [view.memory for view in sources(op)]
    return list(dict.fromkeys(read)), op.output if isinstance(op, Copy) else op.output.memory


def last_reads(op: Op, memory: Buffer | Ring, strip: int = 0) -> Steps:
    """For each byte of a memory the last step of the operator that needs it, -1 for none.

    Args:
        strip: rows, of a depthwise convolution.
    """
    steps = np.full(memory.size, -1, np.int64)
    if isinstance(op, Copy):
        if op.input is memory:
            steps[_copied(op.input, op.dims, op.in_at, op.in_step)] = 1
        return steps
    for view in sources(op):
        if view.memory is memory:
            found = np.broadcast_to(_view_reads(op, view, strip), (view.h, view.w, view.c))
            np.maximum.at(steps, offsets(view), found)
    return steps


def first_writes(op: Op, strip: int = 0) -> Steps:
    """For each byte of the memory that the operator writes to the first step that writes it, or NEVER."""
    target = memories(op)[1]
    steps = np.full(target.size, NEVER, np.int64)
    if isinstance(op, Copy):
        steps[_copied(op.output, op.dims, op.out_at, op.out_step)] = 0
        return steps
    view = op.output
    values = np.arange(view.h * view.w * view.c).reshape(view.h, view.w, view.c)
    if isinstance(op, Conv):
        values = values // view.c // 4
    elif isinstance(op, Depthwise):
        strips = np.arange(view.h)[:, None, None] // strip
        values = strips * op.input.c + np.arange(view.c) // op.multiplier + 0 * values
    elif not isinstance(op, Column | Pool | Mean | Binary | Softmax | Lut):
        values = 0 * values
    np.minimum.at(steps, offsets(view), values)
    return steps


def _view_reads(op: Op, view: View, strip: int) -> Steps:
    """Last step that needs each element ``[h, w, c]`` of a view, or what broadcasts to that."""
    out = op.output
    channels = np.arange(view.c)
    pixels = np.arange(out.h * out.w).reshape(out.h, out.w)
    if isinstance(op, Conv):
        return _window_reads(view, op.window, pixels // 4)[:, :, None]
    if isinstance(op, Depthwise):
        strips = _window_reads(view, op.window, pixels // out.w // strip)[:, :, None]
        return np.where(strips < 0, -1, strips * view.c + channels)
    if isinstance(op, Column | Pool):
        last = _window_reads(view, op.window, pixels)[:, :, None]
        return np.where(last < 0, -1, last * out.c + channels)
    if isinstance(op, Mean):
        rows, columns = (np.arange(n) * (m > 1) for n, m in ((view.h, out.h), (view.w, out.w)))
        return (rows[:, None, None] * out.w + columns[:, None]) * out.c + channels
    if isinstance(op, Binary | Softmax | Lut):
        steps = np.arange(out.h * out.w * out.c).reshape(out.h, out.w, out.c)
        # A dimension of 1 repeats: its last use counts.
        for axis, n in enumerate((view.h, view.w, view.c)):
            if n == 1:
                steps = steps.max(axis, keepdims=True)
        return steps
    # Dense without scratch memory may read anything until its last write, and nobody knows in which order the
    # kernels go that run Plain.
    return np.full((1, 1, 1), 0 if isinstance(op, Dense) and not contiguous(op) else 1)


def _window_reads(view: View, window: Window, steps: Steps) -> Steps:
    """``[h, w]``: of an input pixel the last of the output pixels' ``steps`` that need it, or -1.

    Steps rise from pixel to pixel, so the last is that of the last output row and the last output column that
    have a tap there.
    """
    last = []
    for axis, limit in enumerate((view.h, view.w)):
        outputs = np.arange(steps.shape[axis])
        found = np.full(limit, -1, np.int64)
        for tap in range(window.kernel[axis]):
            at = outputs * window.stride[axis] - window.pad[axis] + tap * window.dilation[axis]
            inside = (at >= 0) & (at < limit)
            found[at[inside]] = np.maximum(found[at[inside]], outputs[inside])
        last.append(found)
    rows, columns = last
    return np.where((rows[:, None] < 0) | (columns < 0), -1, steps[rows[:, None], columns])


def _copied(
    memory: Buffer | Ring, dims: tuple[int, ...], at: int, step: tuple[int, ...]
) -> NDArray[np.int64]:
    """Offsets of the bytes that a Copy touches on one side."""
    found = np.full((), at, np.int64)
    for n, by in zip(dims, step, strict=True):
        found = found[..., None] + np.arange(n, dtype=np.int64) * by
    return found % memory.size if isinstance(memory, Ring) else found


@dataclass(frozen=True)
class Overlap:
    """Which distances ``d = input's place - output's place`` are right, beside those without any overlap.

    All ``d >= above``; and, if ``step`` is not 0, all ``d >= step_above`` with ``d % step == rest``.
    Distances between places are multiples of 4, and so is every number here.
    """

    above: int
    step: int = 0
    rest: int = 0
    step_above: int = 0

    def legal(self, distance: int) -> bool:
        """Whether an input may lie ``distance`` bytes above the output that it overlaps."""
        return distance >= self.above or (
            self.step > 0 and distance >= self.step_above and distance % self.step == self.rest
        )

    def coarse(self, unit: int) -> Overlap:
        """Of the right distances those that are multiples of ``unit``, or nearly all of them."""
        if self.step % unit or self.rest % unit:
            return Overlap(-(-self.above // unit) * unit)
        return replace(
            self, above=-(-self.above // unit) * unit, step_above=-(-self.step_above // unit) * unit
        )

    def distances(self, size: int, out_size: int) -> list[int]:
        """The right distances at which input and output share most, or nearly; sizes in bytes."""
        low, high = min(0, out_size - size), max(0, out_size - size)
        found = [max(self.above, low), max(self.above, high)]
        if self.step:
            first = max(self.step_above, low)
            found.append(first + (self.rest - first) % self.step)
            last = high - (high - self.rest) % self.step
            if last >= self.step_above:
                found.append(last)
        return sorted(set(found))

    def most(self, size: int, out_size: int) -> int:
        """Most bytes that an input of ``size`` bytes can share with the output."""
        return max(min(d + size, out_size) - max(d, 0) for d in self.distances(size, out_size) + [out_size])


def overlap(op: Op, memory: Buffer, strip: int = 0) -> Overlap:
    """How the operator's output may lie over ``memory``, which it reads and nobody needs afterwards.

    Args:
        strip: rows, of a depthwise convolution.
    """
    out_size = memories(op)[1].size
    above = _threshold(last_reads(op, memory, strip), first_writes(op, strip), memory.size, out_size)
    if not isinstance(op, Depthwise) or op.multiplier != 1:
        return Overlap(above)
    source, target = op.input, op.output
    pitch = source.pitch
    if target.pitch != pitch or source.row % pitch or target.row % pitch:
        return Overlap(above)
    # With channel upon channel the channels do not meet, so one of them tells when the strips do.
    step = pitch * ALIGNMENT // gcd(pitch, ALIGNMENT)
    rests = [rest for rest in range(0, step, ALIGNMENT) if (rest - (target.at - source.at)) % pitch == 0]
    if not rests:
        return Overlap(above)
    plane = View(source.memory, source.h, source.w, 1, source.at, pitch, source.row)
    reads = np.full(memory.size, -1, np.int64)
    strips = np.arange(target.h)[:, None] // strip
    steps = np.broadcast_to(strips, (target.h, target.w))
    np.maximum.at(reads, offsets(plane)[:, :, 0], _window_reads(plane, op.window, steps))
    writes = np.full(out_size, NEVER, np.int64)
    writes[offsets(target)[:, :, 0]] = strips
    return Overlap(above, step, rests[0], _threshold(reads, writes, memory.size, out_size))


def _threshold(reads: Steps, writes: Steps, size: int, out_size: int) -> int:
    """The multiple of 4 from which on every distance is right: no byte is written before its last read.

    Byte o of the output lies on byte i of the input if the distance is o - i, so it is one more than the
    largest o - i of a pair in which o is written in an earlier step than i is last read.
    """
    needed = np.flatnonzero(reads >= 0)
    written = np.flatnonzero(writes < NEVER)
    # Of all bytes read in some step or later, the lowest.
    lowest = np.full(int(reads.max()) + 1, size)
    np.minimum.at(lowest, reads[needed], needed)
    lowest = np.minimum.accumulate(lowest[::-1])[::-1]
    written = written[writes[written] + 1 < len(lowest)]
    found = np.max(written - lowest[writes[written] + 1] + 1, initial=-size)
    return min(-(-int(found) // ALIGNMENT) * ALIGNMENT, out_size + -out_size % ALIGNMENT)
