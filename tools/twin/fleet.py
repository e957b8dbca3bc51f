"""Many twins on one machine: forked from one warm process, so that they share what they have in common."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from cicada.tools.errors import UserError
from cicada.tools.twin import launcher
from cicada.tools.twin.twin import Twin

_STARTING_S = 30.0


@dataclass(frozen=True)
class Member:
    """How one twin of a fleet fared.

    Attributes:
        number: from 0 on.
        started_s: wall time from its birth to its program's first instruction.
        memory_mb: its share of memory (PSS: shared pages divided by their users) with its interpreter's, half
            way through its run.
        seconds: of virtual time it ran.
        events, resets: how many.
        error: why it ended early, or nothing.
    """

    number: int
    started_s: float
    memory_mb: float
    seconds: float
    events: int
    resets: int
    error: str = ""


def run_fleet(
    count: int,
    make: Callable[[int, Path], AbstractContextManager[Twin]],
    seconds: float,
    ready: Callable[[int], None] = lambda number: None,
) -> list[Member]:
    """Run ``count`` twins at once, each in a process of its own; all are gone when this returns.

    Args:
        count: how many.
        make: called in the process of each with its number and a folder of its own for ports.
        seconds: of virtual time.
        ready: called with the number of each twin whose program has begun.

    Raises:
        UserError: if a twin does not start.
    """
    if not 1 <= count <= 1000:
        raise UserError(f"a fleet of {count} twins cannot be run: choose 1 to 1000")
    launcher.ready()  # which all of them share
    context = multiprocessing.get_context("fork")
    folder = Path(tempfile.mkdtemp(prefix="cicada-fleet-"))
    processes = []
    try:
        for number in range(count):
            place = folder / str(number)
            place.mkdir()
            born = time.monotonic()
            process = context.Process(target=_live, args=(number, place, born, make, seconds), daemon=True)
            process.start()
            processes.append(process)
        waiting = set(range(count))
        end = time.monotonic() + _STARTING_S + count
        while waiting:
            for number in sorted(waiting):
                if (folder / str(number) / "started").exists() or not processes[number].is_alive():
                    waiting.discard(number)
                    ready(number)
            if time.monotonic() > end:
                raise UserError(f"{len(waiting)} of {count} twins did not start: is the machine too busy?")
            time.sleep(0.01)
        for process in processes:
            process.join()
        return [_result(folder / str(number), number) for number in range(count)]
    finally:
        for process in processes:
            if process.is_alive():
                os.kill(process.pid, signal.SIGTERM)
        for process in processes:
            process.join(10)
        shutil.rmtree(folder, ignore_errors=True)


def _live(
    number: int,
    place: Path,
    born: float,
    make: Callable[[int, Path], AbstractContextManager[Twin]],
    seconds: float,
) -> None:
    """The process of one twin."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent tells
    started = memory = 0.0
    error = ""
    try:
        with make(number, place) as twin:
            try:
                twin.power_on()
                twin.run_until(lambda: twin.hears, seconds)
                started = time.monotonic() - born
                (place / "started").touch()
                twin.run_until(lambda: False, (seconds - twin.now) / 2)
                memory = _memory_mb(twin.pid)  # while the others are there
                twin.run_until(lambda: False, seconds - twin.now)
            except UserError as fault:
                error = str(fault)
            finally:
                twin.power_off()
            member = Member(number, started, memory, twin.now, len(twin.events), len(twin.resets), error)
    except UserError as fault:
        member = Member(number, started, memory, 0.0, 0, 0, str(fault))
    except KeyboardInterrupt:
        os._exit(1)
    (place / "result").write_text(json.dumps(asdict(member)))


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _result(place: Path, number: int) -> Member:
    try:
        return Member(**json.loads((place / "result").read_text()))
    except OSError:
        return Member(number, 0.0, 0.0, 0.0, 0, 0, "it ended without a word")


def _memory_mb(interpreter: int | None) -> float:
    """PSS of this process and of its interpreter, MB."""
    total = 0
    for pid in (os.getpid(), interpreter):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):
            continue  # it sleeps deeply and has no interpreter, or this is no Linux
    return total / 1024
