"""Drives many cases at once: what they ask for is played, what is known by then is not."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator

from cicada.tools.powercut.explore import Asking, Case, Explorer, Result
from cicada.tools.powercut.lives import Segment, Start
from cicada.tools.powercut.pool import Here, Pool
from cicada.tools.powercut.states import State

_MOST_WAITING = 400  # cases that wait for a segment at a time
_MIXED = 30  # so many are waited for before one is chosen: neighbours ask for much the same


class Scheduler:
    """Drives the cases of one scenario until all are judged.

    Args:
        explorer: judges them.
        pool: plays segments.
        seed: of the order in which segments are played; no result depends on it.
    """

    def __init__(self, explorer: Explorer, pool: Pool | Here, seed: int = 1) -> None:
        self._explorer, self._pool = explorer, pool
        self._random = random.Random(seed)
        self._waiting: list[tuple[Asking, State, Start]] = []
        self._playing: dict[int, tuple[Asking, Start]] = {}
        self._sources: deque[Iterator[Case]] = deque()
        self._results: deque[Result] = deque()

    def add(self, cases: Iterable[Case]) -> None:
        """Have these cases judged, too, before those that were added earlier; they are taken one by one."""
        self._sources.append(iter(cases))

    def results(self) -> Iterator[Result]:
        """Results as they come, until no case is left; :meth:`add` may be called in between."""
        while True:
            while self._results:
                yield self._results.popleft()
            if not (self._received() or self._play(_MIXED) or self._take() or self._play(1)):
                if not self._playing:
                    return
                self._receive()

    def _received(self) -> bool:
        """Take a segment that was played in the meantime."""
        if not self._playing or not self._pool.ready():
            return False
        self._receive()
        return True

    def _receive(self) -> None:
        ticket, segment = self._pool.finish()
        asking, start = self._playing.pop(ticket)
        self._explorer.futures.add(start, segment)
        self._explorer.count.runs += 1
        self._go_on(asking, segment)

    def _take(self) -> bool:
        """Begin one more case, unless too many wait."""
        while self._sources and len(self._waiting) < _MOST_WAITING:
            case = next(self._sources[-1], None)
            if case is not None:
                self._go_on(self._explorer.judge(case), None)
                return True
            self._sources.pop()
        return False

    def _play(self, least: int) -> bool:
        """Go on with one of at least so many waiting cases: with a segment that is known by now, or by having
        one played."""
        if len(self._waiting) < least or len(self._playing) >= self._pool.most:
            return False
        index = self._random.randrange(len(self._waiting))
        self._waiting[index], self._waiting[-1] = self._waiting[-1], self._waiting[index]
        asking, state, start = self._waiting.pop()
        segment = self._explorer.futures.find(state, start)
        if segment is not None:
            self._explorer.count.hits += 1
            self._go_on(asking, segment)
        else:
            ticket = self._pool.submit(self._explorer.scenario.name, state, start)
            self._playing[ticket] = asking, start
        return True

    def _go_on(self, asking: Asking, segment: Segment | None) -> None:
        try:
            state, start = asking.send(segment) if segment else next(asking)
        except StopIteration as end:
            self._results.append(end.value)
        else:
            self._waiting.append((asking, state, start))
