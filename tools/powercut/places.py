"""Names for cases that last longer than numbers: they say what is interrupted, not which operation it is.

An updater that writes one record more moves the numbers of all operations after it. ``updates:TRIAL#2:after``
stays what it is: the power goes after the second record of a begun trial. Cases of bit rot are named alike:
``rot-after:updates:FLOOR#1``. Servers' faults keep their names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from cicada.tools.powercut import faults
from cicada.tools.powercut.cuts import Break
from cicada.tools.powercut.explore import Case, Explorer, Result
from cicada.tools.powercut.oracle import Oracle
from cicada.tools.powercut.states import Step
from cicada.tools.twin.flash import SECTOR

#: Types of the journal's records (``firmware/app/node/updates/journal.py``), from 1 on.
RECORDS = (
    "COMMIT FLOOR DECIDED REVOKED FETCH STAGED TRIAL CONFIRMING ACTIVE CLEANED START".split()  # fmt: skip
)
_RECORD = 64


def place(oracle: Oracle, step: Step) -> str:
    """What a flash operation does: its partition, and ``erase``, ``program`` or the type of a record."""
    where = oracle.partition_of(step.at)
    label = where.label if where else "?"
    if step.kind == "erase":
        return f"{label}:erase"
    return f"{label}:{_type(step.new[0]) if label == 'updates' else 'program'}"


def _type(number: int) -> str:
    return RECORDS[number - 1] if 1 <= number <= len(RECORDS) else "torn"


def places(explorer: Explorer, result: Result) -> Iterator[tuple[int, str]]:
    """Number and place of every flash operation of a result's chain; each place with ``#`` and how often it
    was there by then."""
    seen: Counter[str] = Counter()
    number = 0
    for _, _, segment in result.chain:
        for step in segment.steps:
            name = place(explorer.oracle, step)
            seen[name] += 1
            yield number, f"{name}#{seen[name]}"
            number += 1


def cut_at(explorer: Explorer, result: Result, name: str) -> Case | None:
    """The case that the named interruption of a result leads to; None if there is no such place."""
    where, _, how = name.partition("#")
    count, _, how = how.partition(":")
    numbers = {found: number for number, found in places(explorer, result)}
    number = numbers.get(f"{where}#{count}")
    if number is None:
        return None
    wanted = Break.parse(f"{number}:{how}")
    return next(explorer.cut(result, True, lambda cut: cut == wanted), None)


def name_of_cut(explorer: Explorer, result: Result, path: str) -> str:
    """The lasting name of an interruption of a result that is called ``path``."""
    number, _, how = path.partition(":")
    return f"{dict(places(explorer, result))[int(number)]}:{how}"


def rotten(explorer: Explorer, first: Result) -> Iterator[tuple[str, Case]]:
    """All cases of bit rot of a scenario with their lasting names."""
    seen: Counter[str] = Counter()
    for case in faults.rot(explorer, first):
        moment, at, bit = case.path[0].split(":")
        sector, offset = divmod(int(at, 16), SECTOR)
        where = explorer.oracle.partition_of(int(at, 16))
        name = f"{moment}:{where.label}"
        if where.label == "updates":
            begins = offset - offset % _RECORD
            flipped = 1 << int(bit) if begins == offset else 0
            name += ":" + _type(case.state[sector][1][begins] ^ flipped)
        seen[name] += 1
        yield f"{name}#{seen[name]}", case


def fault(explorer: Explorer, first: Result, name: str) -> Case | None:
    """The case of bit rot or of a faulty server that is called ``name``; None if there is none."""
    if name.startswith("net:"):
        return faults.disturbed(explorer, name[4:])
    return dict(rotten(explorer, first)).get(name)
