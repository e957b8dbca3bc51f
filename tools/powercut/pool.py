"""Worker processes that play segments, each with servers of its own for what its twins ask."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait

from cicada.tools.errors import UserError
from cicada.tools.powercut.lives import Segment, Setting, Start, play
from cicada.tools.powercut.states import Base, Content, State

#: Makes the setting of a scenario by name, and its flash: called once in each process.
Opener = Callable[[str], tuple[Setting, bytes]]


class Here:
    """Plays in this process, one segment after the other.

    Args:
        opener: of scenarios.
    """

    most = 1

    def __init__(self, opener: Opener) -> None:
        self._opened = _Opened(opener)
        self._done: list[tuple[int, Segment]] = []
        self._tickets = 0

    def submit(self, name: str, state: State, start: Start) -> int:
        """Play a segment of scenario ``name`` now; :meth:`finish` gives it back."""
        self._tickets += 1
        self._done.append((self._tickets, self._opened.play(name, state.sectors, start)))
        return self._tickets

    def ready(self) -> bool:
        """Whether :meth:`finish` would not wait."""
        return bool(self._done)

    def finish(self) -> tuple[int, Segment]:
        """The segment that was played, with its ticket."""
        return self._done.pop(0)

    def close(self) -> None:
        """Nothing is left to close."""


class Pool:
    """Plays in processes of their own.

    Args:
        opener: of scenarios; a function of a module, so that another process can import it.
        jobs: how many processes.
    """

    def __init__(self, opener: Opener, jobs: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.most = jobs + 1  # one waits in a pipe while the others are played
        self._tickets = 0
        self._lines: list[Connection] = []
        self._waiting: dict[Connection, int] = {}
        self._processes = []
        for _ in range(jobs):
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(opener, there), daemon=True)
            process.start()
            there.close()
            self._lines.append(here)
            self._waiting[here] = 0
            self._processes.append(process)

    def submit(self, name: str, state: State, start: Start) -> int:
        """Have a segment of scenario ``name`` played; returns a ticket."""
        self._tickets += 1
        line = min(self._lines, key=self._waiting.__getitem__)
        self._waiting[line] += 1
        line.send((self._tickets, name, state.sectors, start))
        return self._tickets

    def ready(self) -> bool:
        """Whether :meth:`finish` would not wait."""
        return bool(wait(self._lines, 0))

    def finish(self) -> tuple[int, Segment]:
        """The next segment that was played, with its ticket.

        Raises:
            UserError: a process died.
        """
        for line in wait(self._lines):
            try:
                ticket, segment, fault = line.recv()
            except EOFError as error:
                raise UserError("a process of the campaign died; is there enough memory?") from error
            self._waiting[line] -= 1
            if fault:
                raise RuntimeError(fault)
            return ticket, segment
        raise AssertionError("wait() without a timeout returned nothing")

    def close(self) -> None:
        """End all processes."""
        for line in self._lines:
            line.close()
        for process in self._processes:
            process.terminate()
            process.join()


class _Opened:
    """Scenarios that were opened in this process."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._known: dict[str, tuple[Setting, Base]] = {}

    def play(self, name: str, sectors: dict[int, Content], start: Start) -> Segment:
        if name not in self._known:
            setting, flash = self._opener(name)
            self._known[name] = setting, Base(flash)
        setting, base = self._known[name]
        return play(setting, State(base, sectors), start)


def _work(opener: Opener, line: Connection) -> None:
    """What a worker does until its line is closed."""
    opened = _Opened(opener)
    while True:
        try:
            ticket, name, sectors, start = line.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            line.send((ticket, opened.play(name, sectors, start), ""))
        except KeyboardInterrupt:
            return
        except Exception:
            line.send((ticket, None, traceback.format_exc()))
