"""Intervals against SciPy's own, and by how often they cover the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cicada.training.evaluation.intervals import Interval, bootstrap, over_seeds, people, rate, wilson


@given(st.integers(1, 5000), st.data())
def test_a_share_has_the_interval_of_scipy(n, data):
    k = data.draw(st.integers(0, n))
    found = wilson(k, n)
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert (found.estimate, found.n) == (k / n, n)
    assert found.low == pytest.approx(expected.low, abs=1e-12)
    assert found.high == pytest.approx(expected.high, abs=1e-12)
    assert 0 <= found.low <= found.estimate <= found.high <= 1


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_a_share_of_nothing_is_refused(k, n):
    with pytest.raises(ValueError, match="a share needs"):
        wilson(k, n)


@given(st.integers(0, 500), st.floats(0.01, 100))
def test_a_rate_has_the_ends_at_which_its_count_becomes_unlikely(events, hours):
    found = rate(events, hours)
    assert found.estimate == pytest.approx(events / hours)
    assert stats.poisson.cdf(events, found.high * hours) == pytest.approx(0.025, abs=1e-6)
    if events:
        assert stats.poisson.sf(events - 1, found.low * hours) == pytest.approx(0.025, abs=1e-6)
    else:
        assert found.low == 0


def test_no_false_accept_in_an_hour_is_not_none_ever():
    assert rate(0, 1.0).high == pytest.approx(3.689, abs=1e-3)
    with pytest.raises(ValueError, match="amount > 0"):
        rate(1, 0.0)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20).filter(lambda values: np.ptp(values) > 1e-6))
def test_seeds_have_the_interval_of_scipy(values):
    found = over_seeds(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found.estimate == pytest.approx(np.mean(values))
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_one_seed_has_no_interval():
    assert over_seeds([0.9]) == Interval(0.9, None, None, 1)
    for values in ([], [0.9, float("nan")]):
        with pytest.raises(ValueError, match="finite"):
            over_seeds(values)


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(100):
        # Speakers differ in how well they are understood: 0.8 on average.
        by_speaker = rng.beta(8, 2, 40)
        speakers = np.repeat(np.arange(40), 5)
        hits = rng.random(200) < by_speaker[speakers]
        found = bootstrap(speakers, lambda rows, hits=hits: hits[rows].mean(), trial, 150)
        covered += found.low <= 0.8 <= found.high
    assert 0.87 <= covered / 100 <= 1.0


def test_rows_of_one_speaker_count_for_less_than_as_many_speakers():
    hits = np.repeat([True, False] * 10, 10)
    together = bootstrap(np.repeat(np.arange(20), 10), lambda rows: hits[rows].mean())
    apart = bootstrap(np.arange(200), lambda rows: hits[rows].mean())
    assert (together.n, apart.n) == (20, 200)
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_the_bootstrap_is_the_same_for_the_same_seed_and_any_order_of_rows():
    rng = np.random.default_rng(2)
    speakers = np.array([f"s{n}" for n in rng.integers(9, size=50)])
    values = rng.random(50)
    one = bootstrap(speakers, lambda rows: values[rows].mean(), 3)
    assert one == bootstrap(speakers, lambda rows: values[rows].mean(), 3)
    shuffled = rng.permutation(50)
    other = bootstrap(speakers[shuffled], lambda rows: values[shuffled][rows].mean(), 3)
    assert (other.low, other.high) == (pytest.approx(one.low), pytest.approx(one.high))


def test_the_bootstrap_leaves_out_draws_without_a_figure():
    labels = np.array([0, 0, 0, 1])

    def recall(rows):
        return labels[rows].mean() if labels[rows].any() else float("nan")

    assert bootstrap("abcd", recall).low > 0
    assert bootstrap("aaaa", recall) == Interval(0.25, None, None, 1)
    assert bootstrap("abcd", lambda rows: 0.5 if len(rows) == 0 else float("nan")).low is None
    with pytest.raises(ValueError, match="at least one row"):
        bootstrap([], recall)


def test_examples_in_which_nobody_speaks_are_no_cluster():
    assert people(["ann", "", "bob", "", "ann"]) == ["ann", "nobody 1", "bob", "nobody 3", "ann"]


def test_text_for_people():
    assert Interval(0.912, 0.901, 0.923, 9).text(100) == "91.2 [90.1, 92.3]"
    assert Interval(0.912, None, None, 1).text(100, 2) == "91.20"
    assert wilson(1, 2).as_json()["n"] == 2
