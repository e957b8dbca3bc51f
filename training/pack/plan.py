"""Where everything lies in the arena."""

from __future__ import annotations

from dataclasses import dataclass

from cicada.training.pack.format import aligned, extent, plane
from cicada.training.pack.program import Buffer, Conv, Dense, Depthwise, Op, Program, Ring


@dataclass(frozen=True)
class Plan:
    """Places in the arena, bytes from its start.

    Attributes:
        places: of each buffer and ring.
        scratch: of each operator that needs scratch memory.
        strips: rows of a strip of each depthwise convolution.
        arena: bytes of the arena.
        bound: bytes below which no plan of this program can come.
    """

    places: dict[Buffer | Ring, int]
    scratch: dict[Op, int]
    strips: dict[Depthwise, int]
    arena: int
    bound: int


def scratch_size(op: Op, strip: int = 0) -> int:
    """Bytes of scratch memory of an operator; ``strip`` is that of a depthwise convolution, rows."""
    if isinstance(op, Conv):
        return 4 * op.window.kernel[0] * op.window.kernel[1] * op.input.c
    if isinstance(op, Dense):
        view = op.input
        whole = view.h == 1 or view.row == view.w * view.c
        contiguous = whole and (view.pitch == view.c or view.w == 1)
        return 0 if contiguous and not isinstance(view.memory, Ring) else view.h * view.w * view.c
    if isinstance(op, Depthwise):
        (height, width), (down, right), (deep, wide) = (
            op.window.kernel,
            op.window.stride,
            op.window.dilation,
        )
        return plane(extent(strip, down, height, deep), extent(op.output.w, right, width, wide))
    return 0


def plan(program: Program) -> Plan:
    """Place the memory of a program."""
    places: dict[Buffer | Ring, int] = {}
    top = 0
    for memory in (*program.buffers, *program.rings):
        places[memory] = top
        top += aligned(memory.size)
    strips = {op: op.strip or op.output.h for op in program.ops if isinstance(op, Depthwise)}
    sizes = {op: scratch_size(op, strips.get(op, 0)) for op in program.ops}
    scratch = {op: top for op, size in sizes.items() if size}
    return Plan(places, scratch, strips, top + aligned(max(sizes.values(), default=0)), 0)
