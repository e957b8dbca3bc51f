"""Figures of models that watch machines: against scikit-learn, and against sums by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from cicada.training.evaluation import faults

LABELS = ["normal", "inner", "outer"]


@given(st.integers(0, 10_000), st.integers(1, 60))
def test_macro_f1_is_that_of_scikit_learn(seed, count):
    rng = np.random.default_rng(seed)
    y, guess = rng.integers(0, 4, (2, count))
    wanted = f1_score(y, guess, labels=sorted(set(y)), average="macro", zero_division=0)
    assert faults.macro_f1(y, guess, 4) == pytest.approx(wanted)


def test_scores_are_averaged_within_recordings_alone():
    scores = np.arange(14, dtype=float).reshape(7, 2)
    recording = np.array([0, 0, 0, 0, 0, 1, 1])
    means, owner = faults.averaged(scores, recording, 2)
    assert means[:, 0].tolist() == [1, 5, 11] and owner.tolist() == [0, 0, 1]
    means, owner = faults.averaged(scores, recording, 100)
    assert means[:, 0].tolist() == [4, 11] and owner.tolist() == [0, 1]


def test_a_recording_is_right_where_most_of_its_windows_are_unsure():
    scores = np.array([[0.4, 0.6, 0.0], [0.55, 0.45, 0.0], [0.2, 0.8, 0.0], [0.9, 0.1, 0.0]])
    found = faults.classes(scores, np.array([1, 1, 1, 0]), np.array([0, 0, 0, 1]), ["a", "b"], LABELS)
    assert found["recordings"] == {"macro_f1": 1.0, "n": 2}
    assert found["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert found["recall"] == {"a": pytest.approx(2 / 3), "b": 1.0}
    assert found["auroc"] == 1.0
    assert found["f1"] == {"normal": pytest.approx(2 / 3), "inner": pytest.approx(0.8), "outer": 0.0}
    assert found["confusion"] == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]


def test_anomalies_are_counted_at_the_threshold():
    score = np.array([0.1, 0.9, 0.7, 0.85, 0.95])
    found = faults.anomalies(score, np.array([0, 0, 1, 1, 2]), ["ok", "bent", "worn"], ["ok"], 0.8)
    assert found["false_alarms"] == 0.5 and found["detected"] == pytest.approx(2 / 3)
    assert found["kinds"] == {"bent": 0.5, "worn": 1.0}
    assert found["auroc"] == pytest.approx(4 / 6)
    assert found["recordings"] == {"auroc": 1.0, "n": 3}


def _scores(*shares: float) -> np.ndarray:
    return np.array([[127 - round(255 * s), round(255 * s) - 128] for s in shares], np.int8)


def test_the_delay_is_that_of_the_devices_decision():
    slow = _scores(0, 0, 0.9, 0, 0.9, 0.9, 0.9)
    found = faults.delays([(slow, 4.0)], 2.0)
    # Two in a row: the sixth window, which ends at 12 s.
    assert (found["found"], found["early"], found["median_s"], found["worst_s"]) == (1, 0, 8.0, 8.0)
    assert faults.delays([(slow, 4.0)], 2.0, hold=1)["median_s"] == 2.0
    assert faults.delays([(slow, 4.0)], 2.0, threshold=0.95)["found"] == 0


def test_the_delay_is_longer_where_more_windows_are_averaged():
    scores = _scores(*[0] * 4, *[0.95] * 8)
    alone, mean = (faults.delays([(scores, 8.0)], 2.0, window=window)["median_s"] for window in (1, 4))
    # Two in a row, of windows and of means over four of them.
    assert (alone, mean) == (4.0, 10.0)


def test_the_threshold_is_the_best_on_validation_and_the_usual_one_where_it_does_not_tell():
    recording, y = np.repeat([0, 1, 2], 8), np.repeat([0, 1, 2], 8)
    sure = np.eye(3)[y]
    assert faults.settle(sure, y, recording, 4) == {"window": 4, "threshold": 0.8, "clear": 0.6}
    # Means of the first class reach 0.6 for another, those of the others fall to 0.75.
    mixed = np.where(y[:, None] == 0, [0.4, 0.6, 0.0], 0.25 * (1 - sure) + 0.75 * sure)
    mixed[:, 0] = np.where(y == 0, 0.4, 0.25)
    found = faults.settle(mixed, y, recording, 8)
    assert found == {"window": 8, "threshold": 0.75, "clear": 0.562}
    # Single windows that are wrong do not count for more than their share of a mean.
    one = sure.copy()
    one[[9, 13]] = [1, 0, 0]
    assert faults.settle(one, y, recording, 4)["threshold"] == 0.75


def test_an_alarm_before_the_onset_is_false():
    found = faults.delays([(_scores(0.9, 0.9, 0, 0), 6.0), (_scores(0, 0, 0, 0.9, 0.9), 6.0)], 2.0)
    assert (found["streams"], found["early"], found["found"], found["median_s"]) == (2, 1, 1, 4.0)
    assert faults.delays([(_scores(0, 0), 2.0)], 2.0)["median_s"] is None
