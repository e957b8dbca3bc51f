"""Forms of one model compared: float, INT8 under TFLite and TFLM, packed."""

from __future__ import annotations

import numpy as np
import pytest

from cicada.training.evaluation import compare
from cicada.training.pack import pack


def test_forms_of_a_real_model_are_compared_on_real_features(shared_data):
    blob = (shared_data / "models" / "kws_ref_model.tflite").read_bytes()
    with np.load(shared_data / "models" / "kws01_first200.npz") as arrays:
        x, y = arrays["inputs"][:100, :, :, 0], arrays["labels"][:100]
    outputs = compare.forms(x, blob, pack(blob).blob)
    outputs["wrong"] = np.roll(outputs["tflm"], 1, axis=1)
    pairs = {(p["one"], p["other"]): p for p in compare.compare(outputs, y, [""] * 100)}
    assert len(pairs) == 6
    same = pairs["tflm", "packed"]
    assert same["equal"] and same["agreement"] == 1 and same["largest"] == 0
    assert (same["difference"]["estimate"], same["difference"]["low"]) == (0, 0)
    assert pairs["tflite", "tflm"]["agreement"] >= 0.98 and pairs["tflite", "tflm"]["largest"] < 0.1
    far = pairs["tflm", "wrong"]
    assert far["difference"]["low"] > 0.7 and far["agreement"] == 0 and not far["equal"]


def test_a_float_model_is_compared_with_its_own_int8_forms():
    from cicada.training import backend, quantise

    keras = backend.tensorflow().keras
    keras.utils.set_random_seed(1)
    inputs = keras.Input((49, 40, 1))
    pooled = keras.layers.Conv2D(6, (5, 8), (3, 4), activation="relu")(inputs)
    scores = keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(pooled))
    model = keras.Model(inputs, scores)
    x = np.random.default_rng(1).integers(-128, 128, (40, 49, 40)).astype(np.int8)
    blob = quantise.convert(model, x)
    outputs = compare.forms(x, blob, pack(blob).blob, model)
    assert list(outputs) == ["float", "tflite", "tflm", "packed"]
    y = outputs["float"].argmax(axis=1)
    for pair in compare.compare(outputs, y, [""] * 40)[:3]:
        assert pair["one"] == "float" and pair["agreement"] >= 0.9 and 0 < pair["largest"] < 0.1
        assert pair["difference"]["estimate"] == pytest.approx(1 - pair["agreement"])


def test_float_probabilities_and_int8_scores_have_one_unit():
    share = np.array([[0.25, 0.75], [1.0, 0.0]], np.float32)
    int8 = np.array([[-64, 64], [127, -128]], np.int8)
    (pair,) = compare.compare({"float": share, "tflm": int8}, np.array([1, 0]), "ab")
    assert pair["largest"] == pytest.approx(1 / 256) and pair["agreement"] == 1
    assert pair["difference"]["estimate"] == 0
