"""The rows that calibrate: as many as asked for, of the classes and of the size that was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.training import backend
from cicada.training.compress import calibrate

Y = np.repeat([0, 1, 2], [200, 60, 5])
X = np.random.default_rng(2).integers(-20, 20, (len(Y), 6, 5)).astype(np.int8)


@pytest.fixture(scope="module")
def model():
    keras = backend.tensorflow().keras
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 5, 1))
    x = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))


@given(how=st.sampled_from(["random", "balanced"]), count=st.integers(1, 400), seed=st.integers(0, 99))
def test_rows_are_different_as_many_as_there_can_be_and_the_same_again(how, count, seed):
    rows = calibrate.choose(X, Y, how, count, seed)
    assert len(rows) == min(count, len(Y)) == len(set(rows.tolist()))
    np.testing.assert_array_equal(rows, calibrate.choose(X, Y, how, count, seed))


@given(count=st.integers(1, 265), seed=st.integers(0, 99))
def test_balanced_takes_of_each_class_alike_until_one_is_used_up(count, seed):
    found = np.bincount(Y[calibrate.choose(X, Y, "balanced", count, seed)], minlength=3)
    most = found.max()
    for has, there_are in zip(found, np.bincount(Y), strict=True):
        assert has >= min(there_are, most - 1)


def test_seeds_differ():
    one, other = (calibrate.choose(X, Y, "random", 30, seed) for seed in (1, 2))
    assert set(one.tolist()) != set(other.tolist())


def test_trimmed_leaves_out_what_reaches_furthest(model):
    x = X.copy()
    loud = np.arange(7, len(x), 40)
    x[loud] = np.random.default_rng(3).integers(-128, 128, (len(loud), 6, 5))
    assert set(calibrate.choose(x, Y, "random", 240, 1)) & set(loud)
    rows = calibrate.choose(x, Y, "trimmed", 240, 1, model)
    assert len(rows) == 240 and len(set(rows.tolist())) == 240
    assert not set(rows.tolist()) & set(loud.tolist())


def test_trimmed_gives_something_even_of_one_example(model):
    assert len(calibrate.choose(X[:1], Y[:1], "trimmed", 10, 1, model)) == 1


def test_wrong_ways_are_refused():
    with pytest.raises(ValueError, match="'best'"):
        calibrate.choose(X, Y, "best", 3, 1)
    with pytest.raises(ValueError, match="needs the model"):
        calibrate.choose(X, Y, "trimmed", 3, 1)
