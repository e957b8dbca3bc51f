"""The converted model takes the front end's int8 as it is and has only operators the device has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cicada.tools.errors import UserError
from cicada.tools.paths import FIRMWARE
from cicada.tools.tflm import Interpreter
from cicada.training import backend, lesson, quantise
from cicada.training.architectures import small_cnn
from cicada.training.flatbuffer import describe
from cicada.training.pack.errors import PackError
from cicada.training.pack.graph import Operator
from cicada.training.windows import CHANNELS, FRAMES, SECOND

CLASSES = 4


@pytest.fixture(scope="module")
def made():
    """An untrained model with random batch statistics, its .tflite, and windows."""
    model = lesson.build(small_cnn, small_cnn.Options(), SECOND, CLASSES, 7, 3).model
    rng = np.random.default_rng(3)
    model.set_weights([w + rng.uniform(0, 0.1, w.shape) for w in model.get_weights()])
    # Nowhere near the ends of the int8 range: the scale must be right all the same.
    windows = rng.integers(-90, 60, (40, FRAMES, CHANNELS)).astype(np.int8)
    return model, quantise.convert(model, windows), windows


def test_input_and_output_are_as_the_device_relies_on(made):
    found = describe(made[1])
    assert (found.input.scale, found.input.zero_point, found.input.dtype) == (1 / 128, 0, "int8")
    assert (found.output.scale, found.output.zero_point, found.output.dtype) == (1 / 256, -128, "int8")
    assert found.input.shape == (1, FRAMES, CHANNELS, 1) and found.output.shape == (1, CLASSES)


def test_model_keeps_its_limits(made):
    found, interpreter = describe(made[1]), Interpreter(made[1])
    assert set(found.operators) <= quantise.OPERATORS
    assert found.macs <= 1_500_000
    assert len(made[1]) <= 40 * 1024
    assert interpreter.arena <= 24 * 1024


def test_tflm_tflite_and_float_agree(made):
    model, blob, windows = made
    interpreter = Interpreter(blob)
    tflm = np.stack([interpreter.invoke(window) for window in windows]).astype(int)
    tflite = quantise.tflite_outputs(blob, windows).astype(int)
    real = model.predict(windows[..., None].astype(np.float32) / 128, verbose=0)
    assert tflm.shape == tflite.shape == real.shape == (40, CLASSES)
    # TFLite's optimised kernels may round sums differently by a step or two of 1/256.
    assert np.abs(tflm - tflite).max() <= 3
    assert np.abs((tflm + 128) / 256 - real).max() < 0.08


def test_a_model_that_broke_the_contract_is_not_let_through(made):
    found = describe(made[1])
    quantise.check(found)
    for wrong, reason in (
        (replace(found, input=replace(found.input, scale=1 / 127)), "input"),
        (replace(found, output=replace(found.output, zero_point=0)), "output"),
    ):
        with pytest.raises(RuntimeError, match=reason):
            quantise.check(wrong)


@pytest.mark.parametrize(("operation", "operator"), [("exp", "EXP"), ("erf", "Erf")])
def test_an_operator_that_the_device_lacks_is_named(operation, operator):
    keras = backend.tensorflow().keras
    inputs = keras.Input((6, 5, 1), name="features")
    x = keras.layers.Flatten()(getattr(keras.ops, operation)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    with pytest.raises(UserError, match=f"needs {operator}, which the device lacks"):
        quantise.convert(model, np.zeros((4, 6, 5), np.int8))


def test_both_engines_know_every_operator_that_is_allowed(monkeypatch):
    monkeypatch.syspath_prepend(FIRMWARE / "scripts")
    from tflm_operators import NAMES

    from cicada.training.pack.validate import check

    assert set(NAMES.values()) >= quantise.OPERATORS
    for kind in quantise.OPERATORS:
        # Not "this operator is not supported": it was looked at, and found to have no inputs.
        with pytest.raises(PackError, match="0 inputs"):
            check(Operator(kind, 0, [], []))
