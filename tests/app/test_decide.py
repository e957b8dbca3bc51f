"""Decisions over time: hysteresis, classes, the one word of a wake-word model."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.devices import device_module

decide = device_module("pipelines/decide.py")
Hysteresis, Classes, Words = decide.Hysteresis, decide.Classes, decide.Words


def changes(made, scores, step_s=10, start=1000):
    found = []
    for i, score in enumerate(scores):
        change = made.update(score, start + i * step_s)
        if change:
            found.append((i, change))
    return found


def test_it_takes_some_in_a_row_to_come_on_and_to_go_off():
    scores = [5, 1, 5, 5, 5, 2.5, 1, 5, 1, 1, 1]
    assert changes(Hysteresis(3, 2, 2, 0), scores) == [(3, 1), (9, -1)]


def test_between_the_thresholds_nothing_changes():
    assert changes(Hysteresis(3, 2, 1, 0), [2.9, 2.5, 3.0, 2.0, 2.9, 1.9, 2.9]) == [(2, 1), (5, -1)]


def test_it_does_not_come_on_again_too_soon_but_then_it_does():
    scores = [5, 0, 5, 5, 5, 5, 5, 5]
    assert changes(Hysteresis(3, 2, 1, 60), scores) == [(0, 1), (1, -1), (6, 1)]


def test_a_clock_that_goes_back_neither_raises_nor_blocks_for_ever():
    made = Hysteresis(3, 2, 1, 60)
    assert made.update(5, 10**9) == 1 and made.update(0, 10**9) == -1
    assert made.update(5, 100) == 0
    assert made.update(5, 161) == 1


@given(st.lists(st.tuples(st.floats(0, 6), st.integers(0, 100)), max_size=60), st.integers(1, 4),
       st.integers(0, 200), st.data())  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_hysteresis_goes_on_after_sleep_where_it_was(steps, hold, refractory_s, data):
    whole, made = Hysteresis(3, 2, hold, refractory_s), Hysteresis(3, 2, hold, refractory_s)
    cut, now = data.draw(st.integers(0, len(steps))), 1000
    for i, (score, step) in enumerate(steps):
        now += step
        if i == cut:
            kept = made.state()
            made = Hysteresis(3, 2, hold, refractory_s)
            made.restore(kept)
        assert made.update(score, now) == whole.update(score, now)
        assert made.on == whole.on


@given(st.binary(max_size=12))
@settings(max_examples=100, deadline=None)
def test_garbage_is_no_state(garbage):
    made = Hysteresis(3, 2, 2, 60)
    made.restore(garbage)
    assert made.update(5, 10) in (-1, 0, 1)
    classes = Classes(3, -128, 2, 0.8, 0.6, 1, 60)
    classes.restore(garbage)
    assert 0 <= classes.current < 3 and (classes.current > 0) == classes._on.on
    classes.update([0, 0, 0], 10)


REST, ONE, TWO = [127, -128, -128], [-128, 127, -128], [-128, -128, 127]


def story(made, outputs):
    found = []
    for i, output in enumerate(outputs):
        if made.update(output, 1000 + i):
            found.append((i, made.current, round(made.score, 2)))
    return found


def test_a_class_begins_by_its_average_and_ends_by_it():
    made = Classes(3, -128, 2, 0.9, 0.6, 1, 0)
    assert story(made, [REST, ONE, ONE, ONE, REST, REST, TWO, TWO]) == [(2, 1, 1.0), (4, 0, 0.5), (7, 2, 1.0)]


def test_a_mean_of_too_few_outputs_decides_nothing():
    made = Classes(3, -128, 3, 0.6, 0.4, 1, 0)
    for now in (1000, 1001):
        assert not made.update(ONE, now) and not made.quiet()
    assert made.update(ONE, 1002) and made.quiet()
    # After a sleep what was on goes on until there are outputs that say otherwise.
    woken = Classes(3, -128, 3, 0.6, 0.4, 1, 0)
    woken.restore(made.state())
    assert story(woken, [ONE, ONE, ONE]) == [] and woken.current == 1
    woken.restore(made.state())
    assert story(woken, [REST, REST, REST]) == [(1, 0, 0.67)]


def test_a_class_that_lasts_is_quiet_and_one_that_may_begin_is_not():
    made = Classes(3, -128, 1, 0.9, 0.6, 2, 0)
    made.update(ONE, 1000)
    assert not made.quiet()
    made.update(ONE, 1001)
    assert made.current == 1 and made.quiet()
    made.update(REST, 1002)
    assert not made.quiet()


def test_no_other_class_begins_while_one_is_on():
    made = Classes(3, -128, 1, 0.9, 0.6, 1, 0)
    assert story(made, [ONE, TWO, TWO]) == [(0, 1, 1.0), (1, 0, 0.0), (2, 2, 1.0)]


def test_scores_without_a_sign_count_the_same():
    made = Classes(2, 0, 1, 0.9, 0.6, 1, 0)
    assert story(made, [[255, 0], [0, 255], [255, 0]]) == [(1, 1, 1.0), (2, 0, 1.0)]


@given(st.lists(st.integers(0, 255), max_size=80), st.integers(1, 6), st.sampled_from([0.3, 0.5, 0.9, 1.0]),
       st.integers(0, 900))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_a_word_is_heard_by_the_mean_of_its_last_scores(scores, window, threshold, refractory_ms):
    made, hits, since, last = Words(0, window, threshold, refractory_ms), [], [], None
    for i, score in enumerate(scores):
        now = i * 100
        since.append(score)
        recent = since[-window:]
        free = last is None or now - last >= refractory_ms
        hit = made.update([score], now)
        wanted = len(recent) == window and free and sum(recent) >= threshold * window * 255
        assert hit == ((0, sum(recent) // window) if wanted else None)
        if wanted:
            hits.append(i)
            since, last = [], now


@pytest.mark.parametrize("bad", [(1, 0, 1), (2, 0, 0), (2, 0, 17)])
def test_classes_that_cannot_work_are_refused(bad):
    with pytest.raises(ValueError):
        Classes(*bad, 0.5, 0.4, 1, 0)
    with pytest.raises(ValueError):
        Hysteresis(2, 3, 1, 0)
