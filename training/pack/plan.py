"""Where everything lies in the arena.

Buffers that live from their first write to their last read share memory with others, an operator's output
also with its own inputs as far as :mod:`overlap` allows. State (rings, and buffers with content) keeps its
place for good, after all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from cicada.training.pack import esp_nn
from cicada.training.pack.errors import PackError
from cicada.training.pack.format import ALIGNMENT, extent, plane
from cicada.training.pack.overlap import Overlap, contiguous, memories, overlap
from cicada.training.pack.place import Item, place
from cicada.training.pack.program import Buffer, Conv, Dense, Depthwise, Op, Plain, Program, Ring

#: Bytes of an arena, at most: as much memory as a module with an ESP32 can have.
MOST = 1 << 25
#: Bytes that all strips together which are tried for one operator may look at.
_WORK = 1 << 24


@dataclass(frozen=True)
class Plan:
    """Places in the arena, bytes from its start.

    Attributes:
        places: of each buffer and ring.
        scratch: of each operator that needs scratch memory.
        strips: rows of a strip of each depthwise convolution.
        arena: bytes of the arena.
        bound: bytes below which no plan of this program can come: the most that lives at one time.
    """

    places: dict[Buffer | Ring, int]
    scratch: dict[Op, int]
    strips: dict[Depthwise, int]
    arena: int
    bound: int


def scratch_size(op: Op, strip: int = 0) -> int:
    """Bytes of scratch memory of an operator; ``strip`` is that of a depthwise convolution, rows."""
    if isinstance(op, Conv):
        run = op.window.kernel[1] * op.input.c
        taps = op.window.kernel[0] * run
        return 8 * (taps + taps % 2) + (0 if op.window.kernel == (1, 1) else 4 * run)
    if isinstance(op, Dense):
        return 0 if contiguous(op) else -(-op.input.h * op.input.w * op.input.c // 4) * 4
    if isinstance(op, Depthwise):
        window = op.window
        rows = extent(strip, window.stride[0], window.kernel[0], window.dilation[0])
        return plane(rows, extent(op.output.w, window.stride[1], window.kernel[1], window.dilation[1]))
    return esp_nn.scratch(op) if isinstance(op, Plain) else 0


def plan(program: Program) -> Plan:
    """Place the memory of a program.

    Depthwise convolutions work in as few strips as cost at most 1/64 of the arena, because each strip reads
    the rows that it shares with the next once more. Equal programs give equal plans.

    Raises:
        PackError: the model needs more memory than any device that this serves has.
    """
    lives = _Lives(program)
    for op, size in zip(program.ops, lives.apart, strict=True):
        if size > MOST:
            raise PackError(f"{op.name}: the model needs {size} bytes of memory there; {MOST} can be planned")
    options = {op: _strips(op) for op in program.ops if isinstance(op, Depthwise)}
    peaks = {op: {strip: lives.peak(op, strip) for strip in options[op]} for op in options}
    rest = max([*(lives.peak(op, 0) for op in program.ops if op not in options), lives.resting])
    bound = max([rest, *(min(found.values()) for found in peaks.values())])
    allowed = bound + bound // 64

    def placed(strips: dict[Depthwise, int]) -> _Placed:
        return lives.place(strips, max([rest, *(peaks[op][strip] for op, strip in strips.items())]))

    best = placed({op: max(s for s in options[op] if peaks[op][s] <= allowed) for op in options})
    sparing = {op: min(options[op], key=lambda s, op=op: (peaks[op][s], -s)) for op in options}
    if best.arena > allowed and sparing != best.strips:
        best = min(best, placed(sparing), key=lambda found: found.arena)
    return lives.finish(best, bound)


@dataclass(frozen=True)
class _Placed:
    """A try: bytes with all state, places of buffers without state and of scratch memory, and strips."""

    arena: int
    places: dict[Buffer | Ring, int]
    scratch: dict[Op, int]
    strips: dict[Depthwise, int]


def _strips(op: Depthwise) -> list[int]:
    """Strips worth a try: those that divide the rows into one more strip each, as evenly as can be.

    Of a large operator a few of them, because each takes time in proportion to the bytes.
    """
    if op.strip:
        return [op.strip]
    found = sorted({-(-op.output.h // count) for count in range(1, op.output.h + 1)}, reverse=True)
    most = max(2, _WORK // (op.input.memory.size + op.output.memory.size))
    every = -(-(len(found) - 1) // (most - 1)) or 1
    return [*found[:-1:every], found[-1]]


class _Lives:
    """Who lives when. Operators are numbered from 0; the host writes before and reads after all of them."""

    def __init__(self, program: Program) -> None:
        self._ops = program.ops
        plain = any(isinstance(op, Plain) for op in program.ops)
        #: What all places are multiples of.
        self._unit = esp_nn.ALIGNMENT if plain else ALIGNMENT
        self._rules: dict[tuple[Op, Buffer, int], Overlap] = {}
        every = [program.input, *program.buffers, *program.rings, program.output]
        self._first: dict[Buffer | Ring, int] = {program.input: -1}
        self._last: dict[Buffer | Ring, int] = {program.input: -1}
        for number, op in enumerate(program.ops):
            reads, target = memories(op)
            for memory in (*reads, target):
                every.append(memory)
                self._first.setdefault(memory, number)
                self._last[memory] = number
        self._first.setdefault(program.output, len(program.ops))
        self._last[program.output] = len(program.ops)
        self._number = {op: number for number, op in enumerate(program.ops)}
        every = list(dict.fromkeys(every))
        kept = [memory for memory in every if memory.initial is not None]
        # Memory with one value next to its like, so that one record of the model can set both.
        self._kept = sorted(kept, key=lambda m: (m.initial.min() != m.initial.max(), int(m.initial.min())))
        self._passing = [memory for memory in every if memory.initial is None and memory in self._first]
        #: Bytes of all state.
        self.state = sum(self._aligned(memory.size) for memory in kept)
        # Bytes that begin to live with each operator, less those that no longer do.
        change = [0] * (len(program.ops) + 2)
        for memory in self._passing:
            if self._last[memory] >= 0:
                change[max(self._first[memory], 0)] += self._aligned(memory.size)
                change[self._last[memory] + 1] -= self._aligned(memory.size)
        #: Bytes that live while each operator runs, with nothing over anything else and no scratch memory.
        self.apart = [self.state + size for size in accumulate(change)][: len(program.ops)]
        #: Bytes that the input, or the output, needs with all state.
        ends = [m for m in (program.input, program.output) if m.initial is None]
        self.resting = self.state + max((self._aligned(memory.size) for memory in ends), default=0)

    def _aligned(self, size: int) -> int:
        return -(-size // self._unit) * self._unit

    def rules(self, op: Op, strip: int) -> dict[Buffer, Overlap]:
        """How the operator's output may lie over those of its inputs that nobody needs afterwards."""
        number = self._number[op]
        reads, target = memories(op)
        if target.initial is not None or self._first[target] != number:
            return {}
        found = {}
        for memory in reads:
            if memory.initial is None and memory is not target and self._last[memory] == number:
                if (op, memory, strip) not in self._rules:
                    self._rules[op, memory, strip] = overlap(op, memory, strip).coarse(self._unit)
                found[memory] = self._rules[op, memory, strip]
        return found

    def peak(self, op: Op, strip: int) -> int:
        """Bytes that live while the operator runs, what its output shares with its inputs counted once."""
        target = self._aligned(memories(op)[1].size)
        shared = sum(
            rule.most(self._aligned(memory.size), target) for memory, rule in self.rules(op, strip).items()
        )
        return self.apart[self._number[op]] - min(shared, target) + self._aligned(scratch_size(op, strip))

    def place(self, strips: dict[Depthwise, int], target: int) -> _Placed:
        """Place all but state; a try that reaches ``target`` bytes, state included, is good enough."""
        numbers = {memory: i for i, memory in enumerate(self._passing)}
        items = [Item(self._aligned(m.size), self._first[m], self._last[m]) for m in self._passing]
        overlaps: dict[tuple[int, int], Overlap] = {}
        users = []
        for number, op in enumerate(self._ops):
            for memory, rule in self.rules(op, strips.get(op, 0)).items():
                overlaps[numbers[memory], numbers[memories(op)[1]]] = rule
            size = scratch_size(op, strips.get(op, 0))
            if size:
                users.append(op)
                items.append(Item(self._aligned(size), number, number))
        found = place(items, overlaps, target - self.state)
        span = max((at + item.size for at, item in zip(found, items, strict=True)), default=0)
        places = dict(zip(self._passing, found, strict=False))
        scratch = dict(zip(users, found[len(self._passing) :], strict=True))
        return _Placed(span + self.state, places, scratch, strips)

    def finish(self, best: _Placed, bound: int) -> Plan:
        """The plan, with state after all that passes."""
        places, top = dict(best.places), best.arena - self.state
        for memory in self._kept:
            places[memory] = top
            top += self._aligned(memory.size)
        return Plan(places, best.scratch, best.strips, top, bound)
