"""Seeded bugs: is the campaign able to see what it is there for?

Each mutant (:mod:`cicada.tools.powercut.mutants`) is the real updater, or the twin's real boot loader, with
one fault. Its scenarios are played as in the campaign, the cheapest cases first, until the oracle objects. A
mutant that nothing catches is a hole in the campaign.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cicada.tools.errors import UserError
from cicada.tools.powercut import faults, places
from cicada.tools.powercut.builder import Broken, Builder
from cicada.tools.powercut.campaign import golden
from cicada.tools.powercut.explore import Case, Explorer, Result
from cicada.tools.powercut.mutants import MUTANTS, Mutant
from cicada.tools.powercut.pool import Here
from cicada.tools.powercut.scenario import open_scenario
from cicada.tools.powercut.scenarios import SCENARIOS
from cicada.tools.powercut.scheduler import Scheduler

_FAULTS, _SINGLE, _DOUBLE = 40, 100, 40  # most cases of each kind in a search
_FIRST, _AGAIN = 12, 5  # cases that are cut once more, and how often


@dataclass(frozen=True)
class Caught:
    """What became of a mutant.

    Args:
        name: of the mutant.
        kill: lasting name of the case that the oracle objected to (:mod:`cicada.tools.powercut.places`);
            empty if it objected to none.
        replay: the same case as a replay ID; for this mutant only.
        why: what the oracle said.
        cases: how many were judged.
        seconds: how long it took.
    """

    name: str
    kill: str = ""
    replay: str = ""
    why: str = ""
    cases: int = 0
    seconds: float = 0.0


class _Hunt:
    """The cases of one mutant in one scenario.

    Args:
        mutant: the mutant.
        builder: of its scenarios.
        name: of the scenario.
    """

    def __init__(self, builder: Builder, name: str) -> None:
        self._name, self.cases = name, 0
        self.explorer = Explorer(builder.build(name))
        self._pool = Here(partial(open_scenario, str(builder.folder)))
        self.first = golden(self.explorer, self._pool)
        self.cases += 1

    def broken(self) -> str:
        """What is wrong without any interruption."""
        return self.explorer.count.failures[0][1] if self.explorer.count.failures else ""

    def judge(self, case: Case) -> Result:
        """Play one case."""
        scheduler = Scheduler(self.explorer, self._pool)
        scheduler.add([case])
        (result,) = scheduler.results()
        self.cases += 1
        return result

    def named(self, names: Sequence[str]) -> tuple[Result, list[str]] | None:
        """The case with these lasting names, played; None if a place is not there any more."""
        result = self.first
        for name in names:
            if name.startswith(("net:", "rot-")):
                case = places.fault(self.explorer, self.first, name)
            else:
                case = places.cut_at(self.explorer, result, name)
            if case is None:
                return None
            result = self.judge(case)
        return result, list(names)

    def search(self) -> Iterator[tuple[Result, list[str]]]:
        """Play cases, the cheap and promising ones first."""
        chance = random.Random(self._name)
        others = list(places.rotten(self.explorer, self.first))
        if not self.explorer.scenario.fails:
            others += [(case.path[0], case) for case in faults.network(self.explorer)]
        for name, case in chance.sample(others, min(len(others), _FAULTS)):
            yield self.judge(case), [name]
        kept = []
        for name, case in self._cuts(self.first, chance)[:_SINGLE]:
            result = self.judge(case)
            yield result, [name]
            if len(kept) < _FIRST:
                kept.append((result, name))
        left = _DOUBLE
        for result, before in kept:
            for name, case in self._cuts(result, chance)[: min(_AGAIN, left)]:
                left -= 1
                yield self.judge(case), [before, name]

    def _cuts(self, result: Result, chance: random.Random) -> list[tuple[str, Case]]:
        """Interruptions of everything but programming pages, those that tear nothing first."""
        delicate = {
            number: name for number, name in places.places(self.explorer, result) if ":program#" not in name
        }
        delicate |= {n: p for n, p in places.places(self.explorer, result) if p.startswith("otadata")}
        found = []
        for case in self.explorer.cut(result, True, lambda cut: cut.number in delicate):
            number, _, how = case.path[-1].partition(":")
            found.append((f"{delicate[int(number)]}:{how}", case))
        chance.shuffle(found)
        return sorted(found, key=lambda one: ":inside:" in one[0])


def catch(mutant: Mutant) -> Caught:
    """Look for a case in which the oracle objects to a mutant: the one that did so before, then others."""
    began, cases = time.monotonic(), 0
    scenario, *path = mutant.first.split("/")

    def caught(name: str, names: Sequence[str], why: str, replay: Sequence[str] = ()) -> Caught:
        kill, replay = "/".join([name, *names]), "/".join([name, *replay])
        return Caught(mutant.name, kill, replay, why, cases, time.monotonic() - began)

    with tempfile.TemporaryDirectory(prefix="cicada-mutant-") as folder, mutant.planted():
        builder = Builder(Path(folder), SCENARIOS, mutant.changes)
        builder.files = _files()
        for name in dict.fromkeys([scenario, *mutant.scenarios] if scenario else mutant.scenarios):
            try:
                hunt = _Hunt(builder, name)
            except Broken as error:
                cases += 1
                return caught(name, (), str(error))
            if hunt.broken():
                cases += hunt.cases
                return caught(name, (), hunt.broken())
            known = hunt.named(path) if path and name == scenario else None
            for result, names in [known] if known else ():
                if result.verdict.result == "failed":
                    cases += hunt.cases
                    return caught(name, names, result.verdict.why, result.case.path)
            for result, names in hunt.search():
                if result.verdict.result == "failed":
                    cases += hunt.cases
                    return caught(name, names, result.verdict.why, result.case.path)
            cases += hunt.cases
    return Caught(mutant.name, cases=cases, seconds=time.monotonic() - began)


@cache
def _files() -> bytes:
    """The file system of all scenarios: no mutant writes it."""
    with tempfile.TemporaryDirectory(prefix="cicada-mutant-") as folder:
        return Builder(Path(folder), SCENARIOS).files


def _catch(name: str) -> Caught:
    return catch(MUTANTS[name])


def hunt(names: Sequence[str], jobs: int) -> Iterator[Caught]:
    """Catch mutants, as they come.

    Args:
        names: of the mutants.
        jobs: processes.
    """
    if jobs == 1:
        yield from map(_catch, names)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for done in as_completed([pool.submit(_catch, name) for name in names]):
            yield done.result()


def report(names: Sequence[str], jobs: int) -> int:
    """Catch mutants and say what caught them; returns the exit code: 1 if one was not.

    Args:
        names: of the mutants; none for all.
        jobs: processes.

    Raises:
        UserError: there is no mutant of a name.
    """
    for name in names:
        if name not in MUTANTS:
            raise UserError(f"no seeded bug '{name}': choose from {', '.join(MUTANTS)}")
    chosen, done, began = list(dict.fromkeys(names or MUTANTS)), {}, time.monotonic()
    for found in hunt(chosen, jobs):
        done[found.name] = found
        said = f"caught by {found.kill}" if found.kill else f"NOT CAUGHT: {MUTANTS[found.name].wrong}"
        about = f"{len(done)}/{len(chosen)} {found.name}: {said}"
        print(f"{about} ({found.cases} cases, {found.seconds:.1f} s)", flush=True)
        if found.kill and found.kill != MUTANTS[found.name].first:
            print(f"  its kill in tools/powercut/mutants*.py is out of date: {found.kill!r}", flush=True)
    _show([done[name] for name in chosen])
    caught = sum(bool(found.kill) for found in done.values())
    print(f"seeded bugs: {caught} of {len(chosen)} caught, {time.monotonic() - began:.0f} s")
    return int(caught < len(chosen))


def _show(found: Sequence[Caught]) -> None:
    table = Table()
    for title in ("seeded bug", "replay ID", "the oracle said"):
        table.add_column(title, overflow="fold")
    for one in found:
        table.add_row(one.name, one.replay or "-", one.why or "nothing")
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)
