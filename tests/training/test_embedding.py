"""A classifier cut before its last layer computes the same up to there."""

from __future__ import annotations

import numpy as np
import pytest

from cicada.tools.errors import UserError
from cicada.tools.packed import PackedModel
from cicada.tools.paths import FIRMWARE
from cicada.tools.tflm import Interpreter
from cicada.training import embedding, flatbuffer
from cicada.training.pack import pack, reader

MODEL = FIRMWARE / "models" / "kws.tflite"


def test_what_is_left_out_is_the_deciding_layer_alone() -> None:
    model = MODEL.read_bytes()
    cut = embedding.cut(model)
    before, after = flatbuffer.describe(model), flatbuffer.describe(cut)
    assert before.operators[:-2] == after.operators and before.operators[-2:] == (
        "FULLY_CONNECTED",
        "SOFTMAX",
    )
    assert before.input == after.input and after.output.shape == (1, 1, 1, 64)


def test_the_last_layer_over_the_embedding_gives_the_classifiers_answer() -> None:
    model = MODEL.read_bytes()
    graph = reader.read(model)
    x, weights, bias = graph.operators[-2].inputs
    whole, part = Interpreter(model), PackedModel(pack(embedding.cut(model)).blob)
    rng = np.random.default_rng(1)
    for _ in range(20):
        window = np.repeat(rng.integers(-128, 128, (49, 1)), 40, 1).astype(np.int8)
        values = part.invoke(window).astype(int) - part.output["zero_point"]
        assert part.output["scale"] == pytest.approx(float(x.scale[0])) and values.any()
        sums = weights.data.reshape(4, 64).astype(int) @ values + bias.data
        exact = np.exp((sums - sums.max()) * float(x.scale[0] * weights.scale[0]))
        given = (whole.invoke(window).astype(int) + 128) / 256
        np.testing.assert_allclose(given, exact / exact.sum(), atol=0.03)


def test_reference_models_are_cut(shared_data) -> None:
    model = (shared_data / "models" / "kws_ref_model.tflite").read_bytes()
    part = PackedModel(pack(embedding.cut(model)).blob)
    assert part.output["shape"][-1] == 64 and part.selftest_steps > 0 and part.selftest()


@pytest.mark.parametrize(
    ("model", "reason"), [(b"", "no TFLite file"), (b"TFL3" * 9, "no TFLite file")], ids=["empty", "garbage"]
)
def test_other_files_are_refused(model: bytes, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        embedding.cut(model)


def test_models_that_end_otherwise_are_refused() -> None:
    once = embedding.cut(MODEL.read_bytes())
    with pytest.raises(UserError, match="the model ends in DEPTHWISE_CONV_2D, CONV_2D, AVERAGE_POOL_2D"):
        embedding.cut(once)
