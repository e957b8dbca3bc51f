"""TFLM on the host: what it says of models, and models it must refuse."""

import numpy as np
import pytest

from cicada.tools.tflm import Interpreter
from support.twins import model


def test_reports_shapes_scales_arena_and_macs():
    interpreter = Interpreter(model())
    assert interpreter.input["shape"] == [1, 49, 40, 1] and interpreter.input["dtype"] == np.int8
    assert interpreter.input["scale"] == pytest.approx(1 / 128, rel=0.01)
    assert interpreter.output["scale"] == 1 / 256 and interpreter.output["zero_point"] == -128
    assert 1960 < interpreter.arena < 10_000
    assert interpreter.macs > 0


def test_agrees_with_tensorflow_lite():
    import tensorflow as tf

    lite = tf.lite.Interpreter(model_content=model())
    lite.allocate_tensors()
    tflm = Interpreter(model())
    for value in (-128, -90, -64, -60, 0, 127):
        features = np.full((1, 49, 40, 1), value, np.int8)
        lite.set_tensor(lite.get_input_details()[0]["index"], features)
        lite.invoke()
        expected = lite.get_tensor(lite.get_output_details()[0]["index"]).reshape(-1)
        assert np.abs(tflm.invoke(features).astype(int) - expected).max() <= 1


def test_reference_models_load(shared_data):
    for name in ("kws_ref_model", "okay_nabu", "micro_speech_quantized"):
        interpreter = Interpreter((shared_data / "models" / f"{name}.tflite").read_bytes())
        assert interpreter.arena > 1000


def test_reference_keyword_model_is_as_accurate_as_published(shared_data):
    """MLPerf Tiny's accuracy set, first 200 inputs: 183 right under TFLM (data README)."""
    interpreter = Interpreter((shared_data / "models" / "kws_ref_model.tflite").read_bytes())
    data = np.load(shared_data / "models" / "kws01_first200.npz")
    right = sum(
        int(interpreter.invoke(x).argmax() == y) for x, y in zip(data["inputs"], data["labels"], strict=True)
    )
    assert right == 183


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"TFL3" * 30])
def test_refuses_what_is_no_model(data):
    with pytest.raises(ValueError, match="TFL3|cannot load"):
        Interpreter(data)
