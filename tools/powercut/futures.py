"""What states lead to, remembered by what was looked at.

The twin is deterministic: what a segment does follows from how it begins and from the sectors it looks at, in
the order in which it looks at them. So segments with the same beginning form a tree: every node is a sector
that is looked at next, every branch the contents found there, every leaf what came of it. A state is walked
down this tree in microseconds; where it ends at a leaf, its future is known without running anything,
whatever the sectors hold that nobody looked at.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from cicada.tools.powercut.lives import RESET, Segment, Start
from cicada.tools.powercut.states import Content, State, Step

MOST_SEGMENTS = 40  # boots after which a board that still resets is in a reset loop


class _Node:
    __slots__ = ("branches", "sector", "segment")

    def __init__(self) -> None:
        self.sector: int | None = None
        self.branches: dict[bytes, _Node] = {}
        self.segment: Segment | None = None


class Futures:
    """Segments by what they look at.

    Args:
        kept: how many of the states whose future was known are kept, chosen by chance, to be played all the
            same.

    Attributes:
        checks: these states, how the chip starts, and what is to become of them.
        known: segments in memory.
        disagreements: descriptions of segments that looked elsewhere than one before them did, having seen
            the same; there must be none.
    """

    def __init__(self, kept: int = 12) -> None:
        self.checks: list[tuple[State, Start, Segment]] = []
        self._kept, self._found = kept, 0
        self._random = random.Random(kept)
        self._roots: dict[tuple, _Node] = {}
        self._steps: dict[Step, Step] = {}
        self._contents: dict[bytes, Content] = {}
        self.known = 0
        self.disagreements: list[str] = []

    def find(self, state: State, start: Start) -> Segment | None:
        """The segment that ``state`` leads to if the chip starts as ``start`` says; None if nobody knows."""
        node = self._roots.get(start.key)
        while node is not None and node.segment is None:
            node = node.branches.get(state[node.sector][0])
        if node is None:
            return None
        self._keep(state, start, node.segment)
        return node.segment

    def _keep(self, state: State, start: Start, segment: Segment) -> None:
        """Keep a fair sample of all that was found (reservoir sampling)."""
        self._found += 1
        place = len(self.checks) if len(self.checks) < self._kept else self._random.randrange(self._found)
        if place < self._kept:
            self.checks[place : place + 1] = [(state, start, segment)]

    def add(self, start: Start, segment: Segment) -> None:
        """Remember a segment that began as ``start`` says; what it has in common with others is kept once."""
        segment.steps = [self._steps.setdefault(step, step) for step in segment.steps]
        segment.effect = {
            sector: self._contents.setdefault(held[0], held) for sector, held in segment.effect.items()
        }
        node = self._roots.setdefault(start.key, _Node())
        for sector, name in segment.looks:
            if node.segment is not None or node.sector not in (None, sector):
                where = "ended" if node.segment else f"looked at sector 0x{node.sector:x}"
                self.disagreements.append(
                    f"after the same start one segment {where}, the other looked at 0x{sector:x}"
                )
                return
            node.sector = sector
            node = node.branches.setdefault(name, _Node())
        if node.sector is not None:
            self.disagreements.append(
                f"after the same start one segment looked at sector 0x{node.sector:x}, the other ended"
            )
        elif node.segment is None:
            node.segment = segment
            self.known += 1

    def chain(self, state: State, start: Start) -> Iterator[tuple[State, Start, Segment | None]]:
        """One segment after the other, each with the state and the start it begins with.

        The last one has no next segment, or is None: then it has to be played first.
        """
        for _ in range(MOST_SEGMENTS):
            segment = self.find(state, start)
            yield state, start, segment
            if segment is None or segment.end != RESET:
                return
            state, start = state.changed(segment.effect), segment.next


def same(one: Segment, other: Segment) -> bool:
    """Whether two segments did the same to the flash, let the same run, and ended the same way."""
    return _essence(one) == _essence(other)


def _essence(segment: Segment) -> tuple:
    seen = [event for event in segment.events if event[1] in ("ran", "valid", "other", "opened", "invoked")]
    return segment.steps, segment.end, segment.next and segment.next.key, seen
