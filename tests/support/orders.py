"""The order in which kernels read and write, step by step, straight from the words of format.h.

Slow and plain on purpose: what the compiler computes about orders is checked against this.
"""

from __future__ import annotations

from collections.abc import Iterator

from cicada.training.pack.format import aligned
from cicada.training.pack.plan import Plan, scratch_size
from cicada.training.pack.program import (
    Binary,
    Buffer,
    Column,
    Conv,
    Copy,
    Dense,
    Depthwise,
    Fill,
    Mean,
    Op,
    Pool,
    Program,
    Ring,
    View,
)

Place = tuple[Buffer | Ring, int]
#: Bytes read, then bytes written.
Step = tuple[list[Place], list[Place]]


def at(view: View, y: int, x: int, k: int) -> Place:
    """The byte of an element; in a ring at position 0."""
    if isinstance(view.memory, Ring):
        return view.memory, (view.at + y * view.memory.row + x * view.pitch + k) % view.memory.size
    return view.memory, view.at + y * view.row + x * view.pitch + k


def every(view: View) -> list[Place]:
    """All bytes of a view."""
    return [at(view, y, x, k) for y in range(view.h) for x in range(view.w) for k in range(view.c)]


def taps(op: Conv | Depthwise | Column | Pool, y: int, x: int, channels: range) -> list[Place]:
    """What an output pixel sees."""
    view, window = op.input, op.window
    found = []
    for i in range(window.kernel[0]):
        for j in range(window.kernel[1]):
            row = y * window.stride[0] - window.pad[0] + i * window.dilation[0]
            column = x * window.stride[1] - window.pad[1] + j * window.dilation[1]
            if 0 <= row < view.h and 0 <= column < view.w:
                found += [at(view, row, column, k) for k in channels]
    return found


def steps(op: Op, strip: int = 0) -> Iterator[Step]:
    """What the operator reads and then writes, step by step."""
    if isinstance(op, Copy):
        yield from _copy_steps(op)
        return
    out = op.output
    pixels = [(y, x) for y in range(out.h) for x in range(out.w)]
    if isinstance(op, Conv):
        for first in range(0, len(pixels), 4):
            group = pixels[first : first + 4]
            reads = [place for y, x in group for place in taps(op, y, x, range(op.input.c))]
            yield reads, [at(out, y, x, k) for y, x in group for k in range(out.c)]
    elif isinstance(op, Depthwise):
        for first in range(0, out.h, strip):
            rows = range(first, min(first + strip, out.h))
            for c in range(op.input.c):
                reads = [p for y in rows for x in range(out.w) for p in taps(op, y, x, range(c, c + 1))]
                outputs = range(c * op.multiplier, (c + 1) * op.multiplier)
                yield reads, [at(out, y, x, k) for y in rows for x in range(out.w) for k in outputs]
    elif isinstance(op, Dense) and scratch_size(op):
        yield every(op.input), every(out)
    elif isinstance(op, Dense):
        # Nothing is said about the order: all may be written before all is read.
        yield [], every(out)
        yield every(op.input), []
    elif isinstance(op, Fill):
        yield [], every(out)
    else:
        for y, x in pixels:
            for k in range(out.c):
                yield _value(op, y, x, k), [at(out, y, x, k)]


def _value(op: Op, y: int, x: int, k: int) -> list[Place]:
    """What one output value of an operator is made of that works value by value."""
    if isinstance(op, Binary):
        return [at(v, y % v.h, x % v.w, k % v.c) for v in (op.a, op.b)]
    view, out = op.input, op.output
    if isinstance(op, Column | Pool):
        return taps(op, y, x, range(k, k + 1))
    if isinstance(op, Mean):
        rows = range(view.h) if out.h == 1 else [y]
        columns = range(view.w) if out.w == 1 else [x]
        return [at(view, row, column, k) for row in rows for column in columns]
    if k == 0 and type(op).__name__ == "Softmax":
        return [at(view, y, x, each) for each in range(view.c)]
    return [at(view, y, x, k)]


def _copy_steps(op: Copy) -> Iterator[Step]:
    def places(memory: Buffer | Ring, start: int, step: tuple[int, ...]) -> list[Place]:
        found = [start]
        for n, by in zip(op.dims, step, strict=True):
            found = [offset + i * by for offset in found for i in range(n)]
        return [(memory, o % memory.size if isinstance(memory, Ring) else o) for o in found]

    yield [], places(op.output, op.out_at, op.out_step)
    yield places(op.input, op.in_at, op.in_step), []


def play(program: Program, plan: Plan) -> str | None:
    """Runs an inference with names of bytes in place of values.

    Returns:
        None if every byte that is read is what was written for it, else what is not.
    """
    arena: list[Place | str | None] = [None] * plan.arena
    kept = [memory for memory in plan.places if memory.initial is not None]
    for memory in (*kept, program.input):
        for i in range(memory.size):
            arena[plan.places[memory] + i] = (memory, i)
    for op in program.ops:
        strip = plan.strips[op] if isinstance(op, Depthwise) else 0
        size = aligned(scratch_size(op, strip))
        for reads, writes in steps(op, strip):
            if size:
                start = plan.scratch[op]
                arena[start : start + size] = ["scratch"] * size
            for memory, offset in reads:
                if arena[plan.places[memory] + offset] != (memory, offset):
                    return f"{op.name} reads what is not byte {offset} of {memory.name}"
            for memory, offset in writes:
                arena[plan.places[memory] + offset] = (memory, offset)
            if size and any(arena[i] != "scratch" for i in range(start, start + size)):
                return f"{op.name} writes over its scratch memory"
    for memory in (*kept, program.output):
        for i in range(memory.size):
            if arena[plan.places[memory] + i] != (memory, i):
                return f"{memory.name} is not there at the end"
    return None
