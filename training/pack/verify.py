"""A check of a plan that knows nothing of how it was made: it plays an inference, byte by byte."""

from __future__ import annotations

import numpy as np

from cicada.training.pack.overlap import NEVER, first_writes, last_reads, memories
from cicada.training.pack.plan import Plan, scratch_size
from cicada.training.pack.program import Buffer, Depthwise, Op, Program, Ring


def verify(program: Program, plan: Plan) -> None:
    """Check that no operator reads a byte that is not what was written for it.

    Each byte of the arena carries which byte of which buffer, ring or scratch memory was last written there.
    What an operator reads must carry that of its input, unless nothing has been written there at all, and no
    step of an operator may overwrite what one of its later steps reads. At the end the output and all state
    must still be there.

    Raises:
        ValueError: they are not; the message says which operator loses what.
    """
    arena = np.zeros(plan.arena, np.int64)
    known: dict[Buffer | Ring, int] = {}
    names = ["nothing"]
    size = 1
    for memory in plan.places:
        known[memory] = size
        names.append(memory.name)
        size += memory.size
    starts = np.array([0, *known.values()])

    def marks(memory: Buffer | Ring) -> np.ndarray:
        return known[memory] + np.arange(memory.size)

    def place(memory: Buffer | Ring) -> slice:
        at = plan.places[memory]
        if at < 0 or at + memory.size > plan.arena:
            raise ValueError(f"{memory.name} at {at} does not lie in the arena")
        return slice(at, at + memory.size)

    def holds(memory: Buffer | Ring, which: np.ndarray, reader: str) -> None:
        found = arena[place(memory)]
        wrong = np.flatnonzero(which & (found != marks(memory)))
        if len(wrong):
            mark = found[wrong[0]]
            owner = (
                "scratch memory" if mark < 0 else names[int(np.searchsorted(starts, mark, side="right")) - 1]
            )
            raise ValueError(f"{reader} finds {owner} where byte {wrong[0]} of {memory.name} should be")

    for memory in plan.places:
        place(memory)
    kept = [memory for memory in plan.places if memory.initial is not None]
    for memory in (*kept, program.input):
        arena[place(memory)] = marks(memory)
    for op in program.ops:
        strip = plan.strips[op] if isinstance(op, Depthwise) else 0
        _verify_steps(op, plan, strip, arena)
        needed = {memory: last_reads(op, memory, strip) >= 0 for memory in memories(op)[0]}
        for memory, which in needed.items():
            holds(memory, which, op.name)
        target = memories(op)[1]
        written = first_writes(op, strip) < NEVER
        arena[place(target)][written] = marks(target)[written]
    for memory in dict.fromkeys((*kept, program.output)):
        holds(memory, np.ones(memory.size, bool), "whoever comes after the last operator")


def _verify_steps(op: Op, plan: Plan, strip: int, arena: np.ndarray) -> None:
    """Marks the scratch memory, and checks an operator's reads against its own writes."""
    reads, target = memories(op)
    last = np.full(len(arena), -1, np.int64)
    for memory in reads:
        at = plan.places[memory]
        part = last[at : at + memory.size]
        np.maximum(part, last_reads(op, memory, strip), out=part)
    first = np.full(len(arena), NEVER, np.int64)
    at = plan.places[target]
    first[at : at + target.size] = first_writes(op, strip)
    size = scratch_size(op, strip)
    if size:
        at = plan.scratch[op]
        if at < 0 or at + size > len(arena):
            raise ValueError(f"the scratch memory of {op.name} does not lie in the arena")
        if np.any(first[at : at + size] < NEVER):
            raise ValueError(f"{op.name} writes its output over its scratch memory")
        arena[at : at + size] = -1
    wrong = np.flatnonzero(last > first)
    if len(wrong):
        raise ValueError(f"{op.name} writes byte {wrong[0]} of the arena before it has read it")
