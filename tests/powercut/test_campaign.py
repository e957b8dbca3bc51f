"""The campaign over a toy: complete, and it catches what is broken."""

import random

import pytest

from cicada.tools.errors import UserError
from cicada.tools.powercut.campaign import complete, golden, sample
from cicada.tools.powercut.cuts import RESETS, Break
from cicada.tools.powercut.explore import Explorer
from cicada.tools.powercut.futures import same
from cicada.tools.powercut.lives import play
from cicada.tools.powercut.pool import Here, Pool
from cicada.tools.powercut.replay import interrupted, replay
from support import toys


@pytest.fixture
def pool():
    return Here(toys.opener)


def explorer(sound):
    scenario = toys.scenario(sound)
    return Explorer(scenario, toys.ToyOracle(scenario))


def quiet(count):
    pass


def none(first):
    return iter(())


def test_a_sound_toy_passes_to_depth_two_and_every_state_is_judged(pool):
    one = explorer(True)
    complete(one, pool, 2, quiet, none)
    count = one.count
    assert count.failures == [] and one.futures.disagreements == []
    assert count.operations == 2 and count.states[1] > 12 and count.states[2] > 3
    assert count.judged == sum(count.states.values()) and count.checked == 12


def test_a_broken_toy_is_caught_and_the_failure_can_be_replayed(pool):
    one = explorer(False)
    complete(one, pool, 1, quiet, none)
    lost = [path for path, why in one.count.failures if why == "the record is lost"]
    assert len(lost) > 2 and len(lost) == len(one.count.failures)
    said = []
    result = replay(explorer(False), toys.setting(), lost[0], said.append)
    assert (result.verdict.result, result.verdict.why) == ("failed", "the record is lost")
    assert f"--- {lost[0][0]} ---" in "".join(said) and "record b'????" in "".join(said)


def test_a_made_up_state_is_the_one_that_really_cutting_leaves(pool):
    one = explorer(True)
    first = golden(one, pool)
    cases = list(one.cut(first, resets=True))
    again = explorer(True)
    assert len(cases) > 12
    for case in cases:
        cut = Break.parse(case.path[0])
        state, start, left = again.begin().state, again.begin().start, cut.number
        for _, _, segment in first.chain:
            if left < len(segment.steps):
                break
            state, start, left = state.changed(segment.effect), segment.next, left - len(segment.steps)
        _, found, came = interrupted(toys.setting(), state, start, Break(left, cut.how, cut.shape, cut.seed))
        assert came and found.digest == case.state.digest and found.image() == case.state.image()


def test_what_is_remembered_is_what_happens(pool):
    """A sample of states whose future was known is played all the same."""
    one = explorer(True)
    complete(one, pool, 1, quiet, none)
    first = golden(one, pool)
    again = explorer(True)
    checked = 0
    for case in random.Random(3).sample(list(again.cut(first, resets=True)), 8):
        for state, start, known in one.futures.chain(case.state, case.start):
            assert same(play(toys.setting(), state, start), known)
            checked += 1
    assert checked >= 8


def test_a_sample_is_the_same_for_the_same_seed():
    def judged(seed, pool):
        one = explorer(True)
        paths = []
        begin = one.judge
        one.judge = lambda case: paths.append(case.path) or begin(case)
        try:
            sample(one, pool, 16, seed, quiet, none)
        finally:
            pool.close()
        assert not one.count.failures
        return sorted(paths)

    here = judged(1, Here(toys.opener))
    assert here == judged(1, Pool(toys.opener, 2)) and here != judged(2, Here(toys.opener))
    assert {len(path) for path in here} == {0, 1, 2}


def test_interruptions_have_names():
    for text in ("0:before", "12:after", "3:inside:hole:6", *(f"7:{how}" for how in RESETS)):
        assert str(Break.parse(text)) == text
    for wrong in ("", "x:after", "3", "3:inside", "3:inside:halves:1", "3:inside:bits:x", "3:after:bits:1"):
        with pytest.raises(UserError, match="no interruption is called"):
            Break.parse(wrong)


def test_a_replay_that_never_comes_to_its_cut_says_so():
    with pytest.raises(UserError, match="the run is over before 999:after"):
        replay(explorer(True), toys.setting(), ("999:after",), lambda text: None)
