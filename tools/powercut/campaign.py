"""The campaign over one scenario: complete to a depth, or a sample."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from cicada.tools.powercut.cuts import breaks, runs
from cicada.tools.powercut.explore import Case, Count, Explorer, Result
from cicada.tools.powercut.futures import same
from cicada.tools.powercut.lives import Segment
from cicada.tools.powercut.pool import Here, Pool
from cicada.tools.powercut.scheduler import Scheduler

_CHECKED, _CHECKED_OF_SAMPLE = 12, 2  # segments of a scenario that are played although they were known
#: Called with the number of cases judged so far.
Tick = Callable[[Count], None]
#: Makes more cases of the run without an interruption, see :mod:`cicada.tools.powercut.faults`.
Extra = Callable[[Result], Iterator[Case]]


def golden(explorer: Explorer, pool: Pool | Here) -> Result:
    """Play a scenario without an interruption; it must end as it is meant to.

    Args:
        explorer: of the scenario.
        pool: plays.
    """
    scheduler = Scheduler(explorer, pool)
    scheduler.add([explorer.begin()])
    (result,) = scheduler.results()
    count = explorer.count
    count.operations = sum(len(segment.steps) for _, _, segment in result.chain)
    if result.verdict.result != "completed":
        why = result.verdict.why or "without an interruption it does not end as it should"
        count.failures.append(((), why))
    return result


def complete(
    explorer: Explorer, pool: Pool | Here, depth: int, tick: Tick, extra: Callable[[Result], Iterator[Case]]
) -> None:
    """Judge every state that one interruption leads to, and with ``depth`` 2 every state that a power cut
    in what follows leads to.

    Args:
        explorer: of the scenario; counts.
        pool: plays.
        depth: 1 or 2.
        tick: called after every case.
        extra: makes more cases.
    """
    first = golden(explorer, pool)
    if explorer.count.failures:
        return
    scheduler = Scheduler(explorer, pool)
    scheduler.add(extra(first))
    scheduler.add(explorer.cut(first, resets=True))
    for result in scheduler.results():
        _count(explorer, result)
        tick(explorer.count)
        case = result.case
        if depth == 2 and case.kind == "cut" and len(case.path) == 1 and result.verdict.result != "failed":
            scheduler.add(explorer.cut(result, resets=False))
    check(explorer, pool, _CHECKED)


def sample(
    explorer: Explorer,
    pool: Pool | Here,
    size: int,
    seed: int,
    tick: Tick,
    extra: Callable[[Result], Iterator[Case]],
) -> None:
    """Judge about ``size`` cases of all kinds and both depths, chosen by ``seed``.

    Args:
        explorer: of the scenario; counts.
        pool: plays.
        size: how many cases: half of them one interruption, two fifths two, the rest of ``extra``.
        seed: of the choice.
        tick: called after every case.
        extra: makes more cases.
    """
    first = golden(explorer, pool)
    if explorer.count.failures:
        return
    rng = random.Random(f"{seed}:{explorer.scenario.name}")
    others = list(extra(first))
    others = rng.sample(others, min(len(others), size // 10))
    single = (size - len(others)) // 2
    again = size - len(others) - single
    scheduler = Scheduler(explorer, pool)
    scheduler.add(others)
    scheduler.add(_drawn(explorer, first, single, True, rng))
    for result in scheduler.results():
        _count(explorer, result)
        tick(explorer.count)
        path, kind = result.case.path, result.case.kind
        if len(path) == 1 and kind == "cut" and again > 0 and result.verdict.result != "failed":
            # The order of results depends on how fast they were played, so the choice must not.
            own = random.Random(f"{seed}:{explorer.scenario.name}:{path[0]}")
            share = -(-again // max(single, 1))
            single, again = single - 1, again - share
            scheduler.add(_drawn(explorer, result, share, False, own))
    check(explorer, pool, _CHECKED_OF_SAMPLE)


def check(explorer: Explorer, pool: Pool | Here, most: int) -> None:
    """Play some segments that were known; one that comes to something else is a failure of the campaign."""
    count, playing = explorer.count, {}
    for state, start, known in explorer.futures.checks[:most]:
        while len(playing) >= pool.most:
            _compare(count, playing, *pool.finish())
        playing[pool.submit(explorer.scenario.name, state, start)] = known
    while playing:
        _compare(count, playing, *pool.finish())


def _compare(count: Count, playing: dict[int, Segment], ticket: int, segment: Segment) -> None:
    count.checked += 1
    if not same(segment, playing.pop(ticket)):
        count.failures.append(((), "a state whose future was known came to something else"))


def _drawn(explorer: Explorer, result: Result, size: int, resets: bool, rng: random.Random) -> Iterator[Case]:
    """Cases that one more interruption of a result leads to, ``size`` of them by chance: half of them
    anywhere, half outside the firmware slots, where nearly all operations but not the delicate ones are."""
    table, everywhere, delicate = explorer.oracle.table, [], []
    slots = [(p.offset, p.offset + p.size) for p in table if p.label.startswith("ota_")]
    number = 0
    for _, _, segment in result.chain:
        for index, step in enumerate(segment.steps):
            names = [str(cut) for cut in breaks(step, number, resets, runs(segment, index + 1))]
            everywhere += names
            if not any(low <= step.at < high for low, high in slots):
                delicate += names
            number += 1
    half = min(len(delicate), size // 2)
    chosen = set(rng.sample(delicate, half))
    rest = [name for name in everywhere if name not in chosen]
    chosen |= set(rng.sample(rest, min(len(rest), size - half)))
    yield from explorer.cut(result, resets, lambda cut: str(cut) in chosen)


def _count(explorer: Explorer, result: Result) -> None:
    count, verdict = explorer.count, result.verdict
    count.judged += 1
    count.others += result.case.kind != "cut"
    if verdict.result == "refused":
        count.refused += 1
    elif verdict.result == "residual":
        count.residual += 1
    elif verdict.result == "failed":
        count.failures.append((result.case.path, verdict.why))
