"""Faults that are no interruptions: bits that rot, and servers that misbehave."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

from cicada.tools.errors import UserError
from cicada.tools.powercut.explore import Case, Explorer, Result
from cicada.tools.powercut.images import BOARD
from cicada.tools.powercut.lives import Start
from cicada.tools.powercut.oracle import Witness
from cicada.tools.powercut.states import State, content
from cicada.tools.twin.flash import SECTOR

#: Partitions in which bits rot. Without its partition table no board boots; the file system is not the
#: updater's.
ROTTING = ("otadata", "ota_0", "ota_1", "model_0", "model_1", "updates")
_RECORDS = ("otadata", "updates")  # every record of these
_RECORD = 64
_CHUNK = 512  # bytes of a payload between two places at which the link goes
#: What else a server does wrong, once, as often as the device tries, and when it is asked for the rest.
WRONG = (
    "200",
    "wrong-range",
    "stale-etag",
    "endless",
    "too-long",
    "chunked",
    "huge-header",
    "many-headers",
    "garbage",
    "404",
    "500",
)
_TIMES = (1, 4, 9)


def extra(explorer: Explorer, first: Result) -> Iterator[Case]:
    """All these cases of a scenario; of one whose release must be refused the rot before that, and none of
    one whose update is bad.

    Args:
        explorer: of the scenario.
        first: its run without an interruption.
    """
    if not explorer.scenario.fails:
        yield from rot(explorer, first)
        yield from network(explorer)
    elif any(made.never for made in explorer.scenario.made):
        yield from rot(explorer, first, ("before",))


def rot(explorer: Explorer, first: Result, moments: Sequence[str] = ("before", "after")) -> Iterator[Case]:
    """One bit is flipped, in turn in each sector in use and each record of the journal and of otadata; before
    the update and after it."""
    for moment in moments:
        held, witness = _moment(explorer, first, moment)
        for partition in explorer.oracle.table:
            if partition.label not in ROTTING:
                continue
            for sector in range(partition.offset // SECTOR, (partition.offset + partition.size) // SECTOR):
                for place in _places(held[sector][1], partition.label in _RECORDS):
                    chance = random.Random(f"{partition.label}:{sector}:{place}")
                    size = _RECORD if partition.label in _RECORDS else SECTOR
                    at = sector * SECTOR + place + chance.randrange(size)
                    yield rotten(explorer, held, witness, f"rot-{moment}:0x{at:x}:{chance.randrange(8)}")


def _moment(explorer: Explorer, first: Result, moment: str) -> tuple[State, Witness]:
    """What the flash holds before or after the update, and what was seen by then that no rot excuses: the
    floor. What runs may be older than it was."""
    state, witness = first.case.state, first.case.witness
    if moment == "after":
        for held, _, segment in first.chain:
            state = held.changed(segment.effect)
            witness, _ = explorer.oracle.follow(witness, segment)
    return state, Witness(witness.floor)


def _places(data: bytes, records: bool) -> Iterator[int]:
    """Where in a sector a bit rots: offsets of all records in use, or 0 for a sector in use."""
    if data.count(0xFF) == len(data):
        return
    if not records:
        yield 0
        return
    for at in range(0, SECTOR, _RECORD):
        if data.count(0xFF, at, at + _RECORD) != _RECORD:
            yield at


def rotten(explorer: Explorer, held: State, witness: Witness, name: str) -> Case:
    """The case in which a bit of ``held`` rots, as ``name`` says: ``rot-MOMENT:OFFSET:BIT``.

    The next release is offered then, or once more the one that must be refused.
    """
    _, at, bit = name.split(":")
    sector, offset = divmod(int(at, 16), SECTOR)
    data = bytearray(held[sector][1])
    data[offset] ^= 1 << int(bit)
    state = held.changed({sector: content(bytes(data))})
    phase = 0 if explorer.scenario.fails else len(explorer.scenario.roots) - 1
    return Case((name,), state, Start(phase=phase), witness, "rot")


def network(explorer: Explorer) -> Iterator[Case]:
    """The link goes at every chunk of every payload; the server does everything wrong that it can."""
    folder = explorer.scenario.roots[0] / BOARD
    longest = max(path.stat().st_size for path in folder.glob("*.payload"))
    for at in range(0, longest, _CHUNK):
        yield disturbed(explorer, f"truncate:{at}")
        yield disturbed(explorer, f"reset:{at},reset:{at // 2}")
    for wrong in WRONG:
        for times in _TIMES:
            yield disturbed(explorer, ",".join([wrong] * times))
        yield disturbed(explorer, f"truncate:{longest // 2},{wrong}")


def disturbed(explorer: Explorer, faults: str) -> Case:
    """The case in which the server has these faults while the first segment lasts."""
    begin = explorer.begin()
    return Case((f"net:{faults}",), begin.state, Start(faults=faults), begin.witness, "net")


def named(explorer: Explorer, first: Result, name: str) -> Case:
    """The case that ``name`` stands for.

    Raises:
        UserError: if it is none of these.
    """
    kind, _, rest = name.partition(":")
    if kind == "net":
        return disturbed(explorer, rest)
    if not re.fullmatch(r"rot-(before|after):0x[0-3]?[0-9a-f]{1,5}:[0-7]", name):
        raise UserError(f"no case is called '{name}': take a replay ID as the campaign prints it")
    return rotten(explorer, *_moment(explorer, first, kind.partition("-")[2]), name)
