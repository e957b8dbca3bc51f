"""Runs the campaign over many scenarios, shows how far it is, and says what was found."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from cicada.tools.errors import UserError, from_os_error
from cicada.tools.powercut import faults
from cicada.tools.powercut.builder import Builder
from cicada.tools.powercut.campaign import complete, golden, sample
from cicada.tools.powercut.explore import Count, Explorer
from cicada.tools.powercut.pool import Here, Pool
from cicada.tools.powercut.replay import replay
from cicada.tools.powercut.scenario import open_scenario
from cicada.tools.powercut.scenarios import SCENARIOS
from cicada.tools.stages import write_atomic

_SHOWN = 20  # failures of a scenario


def campaign(
    names: Sequence[str] | None, depth: int, size: int | None, seed: int, jobs: int, out: Path | None
) -> int:
    """Run it; returns the exit code: 1 if anything failed.

    Args:
        names: of scenarios; None for all.
        depth: interruptions in a row.
        size: how many cases in all; None for every one there is.
        seed: of the choice among them.
        jobs: processes.
        out: where to write the result as JSON.
    """
    began, chosen = time.monotonic(), _chosen(names)
    with tempfile.TemporaryDirectory(prefix="cicada-powercut-") as folder:
        if size is None:
            counts = _completely(folder, chosen, depth, jobs)
        else:
            counts = _in_shares(folder, chosen, size, seed, jobs)
    _show({name: counts[name] for name in chosen}, time.monotonic() - began)
    if out:
        _write(out, counts)
    return int(any(count.failures for count in counts.values()))


def _completely(folder: str, names: Sequence[str], depth: int, jobs: int) -> dict[str, Count]:
    """One scenario after the other, each by all processes."""
    builder, pool = Builder(Path(folder), SCENARIOS), Pool(partial(open_scenario, folder), jobs)
    counts = {}
    try:
        for name in names:
            with _bar() as bar:
                task = bar.add_task(name, total=None)

                def tick(count: Count, bar: Progress = bar, task: TaskID = task) -> None:
                    total = max(sum(count.states.values()) + count.others, count.judged)
                    bar.update(task, completed=count.judged, total=total)

                explorer = Explorer(builder.build(name))
                complete(explorer, pool, depth, tick, partial(faults.extra, explorer))
            counts[name] = _told(name, explorer.count, explorer.futures.disagreements)
    finally:
        pool.close()
    return counts


def _in_shares(folder: str, names: Sequence[str], size: int, seed: int, jobs: int) -> dict[str, Count]:
    """Several scenarios at once, each by one process: so little of each that nothing else pays."""
    shares, counts = _shares(names, size), {}
    context = multiprocessing.get_context("spawn")
    with _bar() as bar, ProcessPoolExecutor(jobs, context) as executor:
        task = bar.add_task("cases", total=sum(shares))
        asked = {
            executor.submit(_share, folder, name, share, seed): share
            for name, share in zip(names, shares, strict=True)
        }
        try:
            for done in as_completed(asked):
                name, *found = done.result()
                counts[name] = _told(name, *found)
                bar.advance(task, asked[done])
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
    return counts


@lru_cache(1)
def _own_builder(folder: str) -> Builder:
    """The builder of one process, in a folder of its own."""
    return Builder(Path(folder) / str(os.getpid()), SCENARIOS)


def _share(folder: str, name: str, size: int, seed: int) -> tuple[str, Count, list[str]]:
    """A sample of one scenario, played in this process."""
    builder = _own_builder(folder)
    explorer = Explorer(builder.build(name))
    pool = Here(partial(open_scenario, str(builder.folder)))
    sample(explorer, pool, size, seed, lambda count: None, partial(faults.extra, explorer))
    return name, explorer.count, explorer.futures.disagreements


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, transient=True, disable=not sys.stdout.isatty())


def _chosen(names: Sequence[str] | None) -> list[str]:
    for name in names or ():
        if name not in SCENARIOS:
            raise UserError(f"no scenario '{name}': choose from {', '.join(SCENARIOS)}")
    return list(dict.fromkeys(names or SCENARIOS))


def _shares(names: Sequence[str], size: int) -> list[int]:
    """How many cases each scenario gets: refusals have few."""
    weights = [1 if name.startswith("refuse") else 20 for name in names]
    return [max(1, round(size * weight / sum(weights))) for weight in weights]


def _told(name: str, count: Count, disagreements: list[str]) -> Count:
    """The counts of a scenario, its failures told."""
    for text in disagreements:
        count.failures.append(((), f"the twin is not deterministic: {text}"))
    for path, why in count.failures[:_SHOWN]:
        print(f"FAILED {why}\n  cicada powercut --replay {'/'.join([name, *path])}", flush=True)
    if len(count.failures) > _SHOWN:
        print(f"FAILED {len(count.failures) - _SHOWN} more cases of {name}", flush=True)
    return count


def _show(counts: dict[str, Count], seconds: float) -> None:
    table = Table()
    table.add_column("scenario", no_wrap=True)
    titles = ("operations", "states", "after two", "faults", "cases", "played", "known", "refused", "failed")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    rows = {name: _row(count) for name, count in counts.items()}
    if len(rows) > 1:
        rows["all"] = [sum(row[i] for row in rows.values()) for i in range(len(titles))]
    for name, row in rows.items():
        table.add_row(name, *(f"{value:,}" for value in row))
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)
    states, others, judged, failed = (
        sum(value(count) for count in counts.values())
        for value in (
            lambda count: count.states[1] + count.states[2],
            lambda count: count.others,
            lambda count: count.judged,
            lambda count: len(count.failures),
        )
    )
    print(f"{states:,} distinct states and {others:,} faults: {judged:,} cases, {failed:,} failed")
    lost = sum(count.residual for count in counts.values())
    if lost:
        print(f"residual risk: {lost} cases in which nothing could have helped (docs/updates.md)")
    print(f"{seconds:.0f} s")


def _row(count: Count) -> list[int]:
    return [
        count.operations,
        count.states[1],
        count.states[2],
        count.others,
        count.judged,
        count.runs,
        count.hits,
        count.refused,
        len(count.failures),
    ]


def _write(out: Path, counts: dict[str, Count]) -> None:
    about = {}
    for name, count in counts.items():
        about[name] = asdict(count)
        about[name]["failures"] = [
            {"replay": "/".join([name, *path]), "why": why} for path, why in count.failures
        ]
    try:
        write_atomic(out, json.dumps(about, indent=1).encode())
    except OSError as error:
        raise from_os_error(error, f"writing {out}") from error


def show(name: str, on_text: Callable[[str], object]) -> int:
    """Play one case again and show its console; returns the exit code: 1 if it fails.

    Args:
        name: replay ID, ``SCENARIO/CUT[/CUT]``.
        on_text: called with every piece of console text.
    """
    scenario, *path = name.split("/")
    with tempfile.TemporaryDirectory(prefix="cicada-powercut-") as folder:
        explorer = Explorer(Builder(Path(folder), SCENARIOS).build(scenario))
        opener = partial(open_scenario, folder)
        setting, _ = opener(scenario)
        case = None
        if path and not path[0][:1].isdigit():
            case = faults.named(explorer, golden(explorer, Here(opener)), path[0])
        try:
            result = replay(explorer, setting, tuple(path), on_text, case)
        except ValueError as error:  # the faulty server's
            raise UserError(f"no case is called '{name}': {error}") from error
    verdict = result.verdict
    print(f"\n{verdict.result}{': ' + verdict.why if verdict.why else ''}")
    return int(verdict.result == "failed")
