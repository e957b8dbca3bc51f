"""Networks for vibration and anomalies: what they compute, on which engines, and how large they are."""

from __future__ import annotations

import numpy as np
import pytest

from cicada.tools.packed import PackedModel
from cicada.tools.tflm import Interpreter
from cicada.training import backend, footprint, quantise
from cicada.training.architectures import autoencoder, one_class, vibration_cnn
from cicada.training.pack import pack

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
SHAPE = (3, 20)


def _normal(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Windows of a machine with two states and correlated features, and the state of each."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(9).normal(size=(12, SHAPE[0] * SHAPE[1])) * 4
    state = np.arange(count) % 2
    rows = rng.normal(size=(count, 12)) @ mixing + rng.normal(size=(count, mixing.shape[1])) * 2
    rows += np.where(state, 12, -6)[:, None]
    return np.clip(np.rint(rows), -128, 127).astype(np.int8).reshape(count, *SHAPE), state


def _distance(architecture, options, x: np.ndarray, states: np.ndarray):
    backend.tensorflow()
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    inputs = layers.Input((*SHAPE, 1), name="features")
    away = architecture.body(options, inputs)
    scores = layers.Dense(2, activation="softmax", name="scores")(away)
    model = keras.Model(inputs, scores)
    architecture.prepare(options, model, _as_input(x), states, 1)
    return keras.Model(inputs, away), model


def _as_input(x: np.ndarray) -> np.ndarray:
    return (x.astype(np.float32) / 128)[..., None]


def test_the_distance_is_that_of_mahalanobis_to_the_nearest_state():
    x, state = _normal(400)
    options = one_class.Options(centres=2, shrink=1e-6)
    away, _ = _distance(one_class, options, x, state)
    rows = x.reshape(len(x), -1).astype(np.float64)
    means = [rows[state == number].mean(axis=0) for number in (0, 1)]
    inverse = np.linalg.inv(np.cov((rows - np.array(means)[state]).T, bias=True))
    strange = np.random.default_rng(3).integers(-60, 60, (20, *SHAPE)).astype(np.int8)
    found = away.predict(_as_input(np.concatenate([x, strange])), verbose=0)[:, 0] * one_class.FAR**2
    flat = rows[:, None] - means
    wanted = np.min(np.einsum("nsi,ij,nsj->ns", flat, inverse, flat), axis=1) / rows.shape[1]
    # The hyperbolic tangent takes some per cent off at two or three standard deviations.
    np.testing.assert_allclose(found[: len(x)], wanted, rtol=0.06)
    assert np.corrcoef(found[: len(x)], wanted)[0, 1] > 0.999
    assert found[len(x) :].min() > 2 * found[: len(x)].max()


def test_without_a_recording_for_each_state_the_states_are_found():
    x, state = _normal(400)
    options = one_class.Options(centres=2)
    by_recording, _ = _distance(one_class, options, x, state)
    found, _ = _distance(one_class, options, x, np.arange(len(x)))
    one = [model.predict(_as_input(x), verbose=0)[:, 0] for model in (by_recording, found)]
    np.testing.assert_allclose(one[0], one[1], rtol=1e-3)


def test_more_centres_than_states_change_nothing():
    x, state = _normal(300)
    answers = [
        _distance(one_class, one_class.Options(centres=count), x, state)[0].predict(_as_input(x), verbose=0)
        for count in (2, 7)
    ]
    np.testing.assert_allclose(*answers, rtol=1e-4)


def test_features_that_never_change_do_not_make_everything_strange():
    x, state = _normal(300)
    x[:, 1, 4] = 17
    away, _ = _distance(one_class, one_class.Options(), x, state)
    odd = x[:40].copy()
    odd[:, 1, 4] += 1
    near, far = (away.predict(_as_input(windows), verbose=0).mean() for windows in (x[:40], odd))
    assert far < 1.5 * near


def test_an_autoencoder_measures_what_it_cannot_rebuild():
    x, state = _normal(200)
    away, model = _distance(autoencoder, autoencoder.Options(), x, state)
    import keras

    whole = keras.Model(model.inputs[0], model.get_layer("standard").output).predict(_as_input(x), verbose=0)
    again = keras.Model(model.inputs[0], model.get_layer("again").output).predict(_as_input(x), verbose=0)
    whole = whole.reshape(len(x), -1)
    assert abs(whole.mean()) < 1e-3 and abs(whole.std() - 1) < 0.05
    np.testing.assert_allclose(
        away.predict(_as_input(x), verbose=0)[:, 0], ((again - whole) ** 2).mean(axis=1), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        (one_class, one_class.Options(centres=1)),
        (one_class, one_class.Options(centres=4)),
        (autoencoder, autoencoder.Options(hidden=(24, 12), code=4)),
    ],
)
def test_detectors_are_bit_equal_on_both_engines_and_near_float(architecture, options):
    x, state = _normal(300)
    away, model = _distance(architecture, options, x, state)
    normal = np.quantile(away.predict(_as_input(x), verbose=0), 0.99)
    weights = np.array([[-2 / normal, 2 / normal]]), np.array([2.0, -2.0])
    model.get_layer("scores").set_weights(list(weights))
    middle = np.stack([x[state == number].mean(axis=0) for number in (0, 1)])[state[:100]]
    stretched = np.clip(np.rint(middle + 2 * (x[:100] - middle)), -128, 127).astype(np.int8)
    blob = quantise.convert(model, np.concatenate([x[:100], stretched]))
    packed = pack(blob).blob
    assert len(packed) < 20 * 1024
    engines = Interpreter(blob), PackedModel(packed)
    windows = np.concatenate([x[:60], np.random.default_rng(1).integers(-128, 128, (40, *SHAPE))]).astype(
        np.int8
    )
    answers = [np.stack([np.asarray(engine.invoke(one)).ravel() for one in windows]) for engine in engines]
    np.testing.assert_array_equal(*answers)
    floating = model.predict(_as_input(windows), verbose=0)[:, 1]
    share = (answers[0][:, 1].astype(float) + 128) / 256
    assert np.abs(share - floating)[:60].mean() < 0.05
    assert share[60:].min() > max(0.8, share[:60].max() - 0.01)


@pytest.mark.parametrize(("axes", "features", "skip", "most"), [(1, 51, 0, 6500), (3, 67, 35, 13500)])
def test_the_cnn_is_bit_equal_on_both_engines_and_small(axes, features, skip, most):
    options = vibration_cnn.Options(skip=skip)
    model = footprint.network(vibration_cnn, options, (axes, features), 4, 1)
    blob = footprint.untrained(model, 1)
    packed = pack(blob).blob
    assert len(packed) < most
    engines = Interpreter(blob), PackedModel(packed)
    rng = np.random.default_rng(0)
    for _ in range(20):
        window = rng.integers(-128, 128, (axes, features)).astype(np.int8)
        one, other = (np.asarray(engine.invoke(window)).ravel() for engine in engines)
        np.testing.assert_array_equal(one, other)


def test_features_that_are_skipped_do_not_matter():
    model = footprint.network(vibration_cnn, vibration_cnn.Options(skip=19), (1, 51), 4, 1)
    x = np.random.default_rng(0).integers(-128, 128, (8, 1, 51)).astype(np.int8)
    y = x.copy()
    y[:, :, :19] = 5
    np.testing.assert_array_equal(
        model.predict(_as_input(x), verbose=0), model.predict(_as_input(y), verbose=0)
    )
    y[:, :, 19] += 50
    assert (
        np.abs(model.predict(_as_input(x), verbose=0) - model.predict(_as_input(y), verbose=0)).max() > 1e-4
    )
