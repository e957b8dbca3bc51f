"""MACs and quantisation of published reference models."""

from __future__ import annotations

import pytest

from cicada.tools.tflm import Interpreter
from cicada.training.flatbuffer import describe, macs


# kws_ref_model by hand: first convolution 25*5*64*(10*4), four times depthwise 25*5*64*(3*3) and pointwise
# 25*5*64*64, fully connected 12*64. The published 2.7 M MACs of MLPerf Tiny's keyword model are these.
# The others likewise, from their layer lists.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kws_ref_model", 320_000 + 4 * (72_000 + 512_000) + 768),
        ("ad01_int8", 640 * 128 + 3 * 128 * 128 + 128 * 8 + 8 * 128 + 3 * 128 * 128 + 128 * 640),
        (
            "pretrainedResnet_quant",
            1024 * 16 * 27
            + 2 * 1024 * 16 * 144
            + 256 * 32 * (144 + 288 + 16)
            + 64 * 64 * (288 + 576 + 32)
            + 64 * 10,
        ),
        ("micro_speech_quantized", 25 * 20 * 8 * 80 + 4 * 4000),
    ],
)
def test_macs_of_reference_models(shared_data, name, expected):
    assert macs((shared_data / "models" / f"{name}.tflite").read_bytes()) == expected


def test_description_agrees_with_tflm(shared_data):
    blob = (shared_data / "models" / "kws_ref_model.tflite").read_bytes()
    found, interpreter = describe(blob), Interpreter(blob)
    for tensor, other in ((found.input, interpreter.input), (found.output, interpreter.output)):
        assert list(tensor.shape) == other["shape"] and tensor.dtype == str(other["dtype"])
        assert (tensor.scale, tensor.zero_point) == (other["scale"], other["zero_point"])
    assert found.operators[:2] == ("CONV_2D", "DEPTHWISE_CONV_2D") and found.operators[-1] == "SOFTMAX"


@pytest.mark.parametrize("blob", [b"", b"TFL3", bytes(64), b"\x1c\0\0\0TFL3" + b"\xff" * 60])
def test_what_is_no_model_is_refused(blob):
    with pytest.raises(ValueError):
        describe(blob)
