"""States against the flash they stand for."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.powercut.futures import Futures
from cicada.tools.powercut.lives import Segment, Start
from cicada.tools.powercut.states import Base, State, Step, content
from cicada.tools.twin.flash import SECTOR, SHAPES, SIZES, Cut, NorFlash, PowerCut

SIZE = SIZES[0]
_STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 3 * SECTOR - 600), st.binary(min_size=1, max_size=600)),
    max_size=8,
)
IMAGE = bytes(random.Random(1).randbytes(2 * SECTOR)) + b"\xff" * (SIZE - 2 * SECTOR)


def _do(flash, erase, at, data):
    if erase:
        flash.erase(at // SECTOR * SECTOR)
    else:
        old = flash.read(at, len(data))
        flash.program(at, bytes(a & b for a, b in zip(old, data, strict=True)))


@settings(max_examples=15, deadline=None)
@given(_STEPS, st.sampled_from(SHAPES), st.integers(0, 99))
def test_a_log_makes_every_state_a_cut_leaves(steps, shape, seed):
    base = Base(IMAGE)
    flash = NorFlash(SIZE, IMAGE)
    flash.log = []
    for step in steps:
        _do(flash, *step)
    state = State(base)
    for number, operation in enumerate(flash.log):
        cut = NorFlash(SIZE, state.image())
        cut.cut = Cut(0, "inside", shape, seed)
        try:
            if operation.kind == "erase":
                cut.erase(operation.at)
            else:
                cut.program(operation.at, operation.new)
        except PowerCut:
            pass
        torn = state.after(Step.of(operation), (shape, seed))
        assert torn.image() == bytes(cut.view(0, SIZE)), number
        assert torn.digest == State.of(base, cut.view(0, SIZE)).digest
        state = state.after(Step.of(operation))
    assert state.image() == bytes(flash.view(0, SIZE)) and state.read(100, 5000) == flash.read(100, 5000)
    assert state.digest == State.of(base, flash.view(0, SIZE)).digest


def test_what_is_as_before_leaves_no_trace():
    base = Base(IMAGE)
    changed = State(base).changed({1: content(bytes(SECTOR)), 9: content(bytes(SECTOR))})
    back = changed.changed({1: base[1], 9: base[9]})
    assert back.digest == State(base).digest == 0 and not back.sectors
    assert changed.digest != changed.changed({9: base[9]}).digest != 0


def _segment(looks):
    return Segment(looks=looks, end="settled")


def test_sectors_nobody_looks_at_do_not_matter():
    base = Base(IMAGE)
    state, futures = State(base), Futures()
    segment = _segment([(0, base[0][0]), (5, base[5][0])])
    futures.add(Start(), segment)
    other = content(bytes(SECTOR))
    assert futures.find(state.changed({1: other}), Start()) is segment
    assert futures.find(state.changed({5: other}), Start()) is None
    assert futures.find(state, Start(cause=3)) is None and futures.find(state, Start(phase=1)) is None
    assert futures.find(state, Start(slot=7)) is segment  # where it ran before a power cut is of no account


def test_futures_that_disagree_are_told():
    base, futures = Base(IMAGE), Futures()
    futures.add(Start(), _segment([(0, base[0][0]), (5, base[5][0])]))
    futures.add(Start(), _segment([(0, base[0][0]), (6, base[6][0])]))
    assert len(futures.disagreements) == 1 and "0x6" in futures.disagreements[0]
    futures.add(Start(), _segment([(0, base[0][0])]))
    assert len(futures.disagreements) == 2
    assert futures.known == 1
