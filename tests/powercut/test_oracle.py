"""The oracle refuses what must not be, and what it is shown is planted by hand."""

from pathlib import Path

import pytest

from cicada.tools.board import load_board
from cicada.tools.powercut.lives import Segment, Start
from cicada.tools.powercut.oracle import Oracle, Witness
from cicada.tools.powercut.scenario import FIRMWARE, MODEL, Made, Scenario
from cicada.tools.powercut.states import Base, State, Step, content
from cicada.tools.twin import appimage
from cicada.tools.twin.image import partition_table

SLOTS = 0x10000, 0x1B0000
BOARD = load_board("twin")
IMAGES = [appimage.build(bytes([n]) * 5000, str(n), BOARD) for n in range(3)]


def _digest(data):
    import hashlib

    return hashlib.sha256(data).hexdigest()


OLD = Made(FIRMWARE, "old", _digest(IMAGES[0]), 0, 1)
NEW = Made(FIRMWARE, "new", _digest(IMAGES[1]), 10, 2)
BAD = Made(FIRMWARE, "bad", _digest(IMAGES[2]), 11, 2, never=True)
BUILT_IN, MODEL_2 = Made(MODEL, "1.1", "a" * 64), Made(MODEL, "1.2", "b" * 64, 20)


@pytest.fixture(scope="module")
def flash():
    data = bytearray(b"\xff" * BOARD.FLASH_SIZE)
    raw = partition_table("twin")
    data[0x8000 : 0x8000 + len(raw)] = raw
    for at, image in zip(SLOTS, IMAGES, strict=False):
        data[at : at + len(image)] = image
    return bytes(data)


@pytest.fixture
def oracle(flash):
    made = [OLD, NEW, BAD, BUILT_IN, MODEL_2]
    return Oracle(Scenario("test", "test", flash, [Path()], made, {FIRMWARE: NEW, MODEL: BUILT_IN}))


def segment(*events, end="reset", writes=()):
    steps = [Step("erase", at, b"") for at in writes]
    effect = {step.sector: content(b"\xff" * 4096) for step in steps}
    return Segment(steps=steps, effect=effect, events=list(events), end=end, next=Start())


def ran(made, slot=0, done=0):
    return done, "ran", (SLOTS[slot], made.digest)


def test_a_good_run_is_good(oracle):
    seen, wrong = oracle.follow(
        Witness(), segment(ran(NEW, 1), (3, "valid", SLOTS[1]), (3, "invoked", BUILT_IN.digest))
    )
    assert wrong == "" and seen == Witness(floor=2)


def test_an_image_that_nobody_released_may_not_run(oracle):
    stranger = Made(FIRMWARE, "?", "c" * 64)
    assert "nobody released" in oracle.follow(Witness(), segment(ran(stranger)))[1]


def test_an_image_that_must_be_refused_may_not_run(oracle):
    assert "must be refused" in oracle.follow(Witness(), segment(ran(BAD)))[1]


def test_nothing_below_the_floor_runs(oracle):
    assert oracle.follow(Witness(floor=1), segment(ran(OLD)))[1] == ""
    assert "below 2" in oracle.follow(Witness(floor=2), segment(ran(OLD)))[1]


def test_the_floor_rises_only_when_otadata_says_valid(oracle):
    watched = segment(ran(NEW, 1), (0, "other", ""), (4, "valid", SLOTS[1]))
    assert oracle.follow(Witness(), watched, 3)[0].floor == 0
    assert oracle.follow(Witness(), watched, 4)[0].floor == 2


def test_what_was_claimed_to_be_confirmed_stays(oracle):
    told = {"schema": 1, "event": "update", "n": 10, "kind": "firmware", "result": "confirmed"}
    seen, wrong = oracle.follow(Witness(), segment(ran(NEW, 1), (5, "told", told)))
    assert (seen.firmware, wrong) == (10, "")
    assert "older than one that was confirmed" in oracle.follow(seen, segment(ran(OLD)))[1]
    model = Witness(model=20)
    assert oracle.follow(model, segment(ran(OLD), (0, "invoked", MODEL_2.digest)))[1] == ""
    assert "older than" in oracle.follow(model, segment(ran(OLD), (0, "invoked", BUILT_IN.digest)))[1]


def test_a_model_that_nobody_released_may_not_run(oracle):
    assert "nobody released" in oracle.follow(Witness(), segment(ran(OLD), (0, "invoked", "d" * 64)))[1]


@pytest.mark.parametrize(
    ("at", "wrong"),
    [(0x3E0000, "wrote to vfs"), (0x8000, "wrote to no partition"), (SLOTS[0] + 4096, "the slot that runs")],
)
def test_it_may_not_write_everywhere(oracle, at, wrong):
    assert wrong in oracle.follow(Witness(), segment(ran(OLD), writes=[at]))[1]
    assert oracle.follow(Witness(), segment(ran(OLD), writes=[SLOTS[1], 0x3DC000]))[1] == ""


@pytest.mark.parametrize("end", ["no end within 90 s", "nothing boots: no slot"])
def test_a_run_that_ends_badly_is_a_failure(oracle, end):
    assert oracle.follow(Witness(), segment(ran(OLD), end=end))[1] == end


def test_what_it_settled_for(oracle, flash):
    state = State(Base(flash))
    target = {FIRMWARE: NEW, MODEL: BUILT_IN}

    def verdict(*events):
        return oracle.settled(state, segment(*events, end="settled"), target).result

    good = ran(NEW, 1), (0, "valid", SLOTS[1]), (0, "invoked", BUILT_IN.digest)
    assert verdict(*good) == "completed"
    assert verdict(ran(OLD), (0, "valid", SLOTS[0]), (0, "invoked", BUILT_IN.digest)) == "refused"
    assert verdict(*good, (1, "invoked", MODEL_2.digest)) == "refused"
    assert verdict(good[0], good[1]) == "failed"  # no model
    assert verdict(*good, (2, "other", "")) == "failed"
    assert verdict(good[0], (0, "other", "unset"), good[2]) == "failed"  # only as it was made
    as_made = ran(OLD), (0, "other", "unset"), (0, "invoked", BUILT_IN.digest)
    assert verdict(*as_made) == "refused"


def test_whether_a_slot_holds_a_whole_image(oracle, flash):
    state = State(Base(flash))
    assert oracle.whole(state, [OLD]) and oracle.whole(state, [NEW]) and not oracle.whole(state, [BAD])
    sector = SLOTS[0] // 4096
    data = bytearray(state[sector][1])
    data[2000] ^= 1
    damaged = state.changed({sector: content(bytes(data))})
    assert not oracle.whole(damaged, [OLD]) and oracle.whole(damaged, [OLD, NEW])
