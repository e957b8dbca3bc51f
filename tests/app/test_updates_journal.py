"""The journal of updates: nothing that was written down is lost, whatever happens to the flash."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.twin.flash import AFTER, BEFORE, INSIDE, SHAPES, Cut, NorFlash
from support.pretend import pretend, survives
from support.slots import SLOTS

WHERE = SLOTS["updates"]
FACTS = ("floor", "decided", "verdict", "decided_slot", "decided_image", "revoked", "cleaned")
LATEST = ("active", "active_serial", "previous_serial")


@pytest.fixture(scope="module")
def node():
    with pretend() as node:
        yield node


def load(node, flash):
    """A journal on ``flash``."""
    node.esp32.flash = flash
    return node.journal.Journal(node.esp32.Partition("updates"))


def staged(s):
    return s and (s.slot, s.serial, s.security, s.image, s.switches, s.attempts, s.confirming)


def progress(p):
    return p and (p.slot, p.digest, p.restarts, p.payload, p.offset, p.sectors, p.next)


def state(journal):
    """All that a journal knows, to be compared."""
    known = {name: getattr(journal, name) for name in (*FACTS, *LATEST)}
    known["revoked"] = sorted(journal.revoked)
    known["staged"] = [staged(s) for s in journal.staged]
    known["progress"] = [progress(p) for p in journal.progress]
    return {name: list(value) if isinstance(value, list) else value for name, value in known.items()}


def monotone(journal):
    """What must never fall."""
    decided = tuple(zip(journal.decided, journal.verdict, strict=True))
    return journal.floor, decided, set(journal.revoked), journal.cleaned


def not_lower(before, after):
    """Whether no monotone fact of ``before`` is gone."""
    return (
        all(a <= b for a, b in zip(before[0], after[0], strict=True))
        and all(a <= b for a, b in zip(before[1], after[1], strict=True))
        and before[2] <= after[2]
        and before[3] <= after[3]
    )


digests = st.binary(min_size=32, max_size=32)
small, kinds = st.integers(0, 9), st.integers(0, 1)


@st.composite
def records(draw):
    """Arguments of ``append``, as the updater calls it."""
    what = draw(st.integers(2, 11))
    found = {"kind": draw(kinds), "slot": draw(kinds), "serial": draw(small)}
    if what == 3:
        found["count"] = draw(st.integers(1, 2))
    elif what == 5:
        found |= {"a": draw(st.integers(0, 9999)), "b": draw(st.integers(0, 2)) << 16 | draw(small)}
    elif what == 6:
        found |= {"count": draw(small), "a": draw(small)}
    elif what == 9:
        found["kind"] = 1
        found["a"] = draw(small)
    else:
        found["count"] = draw(small)
    if what == 10:
        found["kind"] = 0
    return what, found | {"security": draw(small), "digest": draw(digests)}


cuts = st.none() | st.builds(
    Cut,
    st.integers(0, 40),
    st.sampled_from([BEFORE, INSIDE, INSIDE, INSIDE, AFTER]),
    st.sampled_from(SHAPES),
    st.integers(0, 99),
)


def legal(journal, what, about):
    """The same record as the updater could write it: nothing decided is staged again, and nothing is fetched
    while something is staged."""
    kind = about["kind"]
    known, next_one = journal.staged[kind], journal.decided[kind] + 1 + about["serial"]
    if known and what in (5, 11):
        what = 7
    serial = known.serial if known and what in (3, 7, 8) else next_one
    return {"what": what} | about | {"serial": serial}


def copied(flash):
    """Another chip with the same journal."""
    other = NorFlash(4 << 20)
    other.program(WHERE.offset, flash.read(WHERE.offset, WHERE.size))
    return other


def filled(node, count):
    """A journal that took ``count`` records before the test."""
    flash = NorFlash(4 << 20)
    journal = load(node, flash)
    for n in range(count):
        journal.append(node.journal.TRIAL, count=n & 255)
    return flash, journal


@given(st.integers(0, 130), st.lists(st.tuples(records(), cuts), max_size=30))
@settings(max_examples=60)
def test_what_was_written_down_is_there_whenever_the_power_went(node, count, steps):
    flash, journal = filled(node, count)
    for (what, about), cut in steps:
        record = legal(journal, what, about)
        if not cut:
            journal.append(**record)
            continue
        known, high = state(journal), monotone(journal)
        would = load(node, copied(flash))
        would.append(**record)
        flash.cut = Cut(flash.operations + cut.operation, cut.when, cut.shape, cut.seed)
        node.esp32.flash = flash
        returned = survives(partial(journal.append, **record))
        flash.cut = None
        journal = load(node, flash)
        assert not_lower(high, monotone(journal))
        assert state(journal) == state(would) or (not returned and state(journal) == known)
    assert state(load(node, flash)) == state(journal)


@given(st.integers(0, 130), st.lists(records(), min_size=1, max_size=20), st.data())
@settings(max_examples=60)
def test_a_flipped_bit_takes_no_fact_back(node, count, steps, data):
    flash, journal = filled(node, count)
    for what, about in steps:
        journal.append(**legal(journal, what, about))
    high = monotone(journal)
    at = data.draw(st.integers(0, WHERE.size - 1))
    raw = bytearray(flash.read(WHERE.offset, WHERE.size))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    rotten = NorFlash(4 << 20)
    rotten.program(WHERE.offset, raw)
    journal = load(node, rotten)
    assert monotone(journal) == high
    for what, about in steps:
        journal.append(**legal(journal, what, about))
    assert not_lower(high, monotone(load(node, rotten)))


@given(st.binary(max_size=300), st.integers(0, WHERE.size - 300), st.booleans())
@settings(max_examples=50)
def test_garbage_is_a_journal_of_nothing(node, noise, at, full):
    flash = NorFlash(4 << 20)
    flash.program(WHERE.offset + at, noise)
    if full:
        flash = NorFlash(4 << 20)
        flash.program(WHERE.offset, (noise or b"\0") * (WHERE.size // max(len(noise), 1)))
    journal = load(node, flash)
    assert state(journal) == state(load(node, NorFlash(4 << 20)))
    node.esp32.flash = flash
    journal.append(node.journal.FLOOR, security=3)
    assert load(node, flash).floor == [3, 0]


def test_many_turns_of_the_ring_wear_its_sectors_alike(node):
    flash = NorFlash(4 << 20)
    journal = load(node, flash)
    journal.append(node.journal.REVOKED, digest=b"k" * 8 + bytes(24))
    for n in range(5000):
        journal.append(node.journal.FETCH if n % 9 else node.journal.START, serial=n, a=n)
        if n % 500 == 0:
            journal.append(node.journal.DECIDED, 1, 0, node.journal.GOOD, n + 1)
            journal.append(node.journal.FLOOR, security=n)
    again = load(node, flash)
    assert state(again) == state(journal)
    assert again.floor == [4500, 0] and again.decided == [0, 4501] and again.revoked == [b"k" * 8]
    first = WHERE.offset // 4096
    worn = flash.wear[first : first + 4]
    assert max(worn) - min(worn) <= 1 and sum(worn) < 5000 / 40


def test_a_sector_turned_over_without_its_commits_does_not_count(node):
    flash, journal = filled(node, 0)
    journal.append(node.journal.FLOOR, security=7)
    for n in range(58):
        journal.append(node.journal.TRIAL, count=n)
    known = state(journal)
    turn = 2  # operations: an erase, then the records of the snapshot
    for number in range(turn, 12):
        torn = copied(flash)
        victim = load(node, torn)
        torn.cut = Cut(torn.operations + number, INSIDE)
        assert not survives(lambda v=victim: [v.append(node.journal.TRIAL, count=1) for _ in range(20)])
        assert state(load(node, torn))["floor"] == known["floor"]
