"""Models packed for accelerated kernels equal TensorFlow Lite Micro in every byte under the portable ones."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
from engine.test_packed_zoo import RANDOMS, times
from hypothesis import given

from cicada.tools import engine
from cicada.training.pack import esp_nn
from cicada.training.pack import format as cpm
from cicada.training.pack.program import Buffer, Plain, Requant, View, Window
from support.zoo import graphs, singles
from support.zoo.compare import Pair, inputs

PLAIN = ("plain_conv", "plain_depthwise")


def check(model: bytes, count: int = 4) -> list[dict]:
    """Compare ``count`` inferences; returns the plain records."""
    pair = Pair(model, plain=True)
    for values in inputs(pair.packed.input, 1, count):
        pair.step(values)
    return [members for kind, members in cpm.unpack(pair.blob).ops if kind in PLAIN]


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("name", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_a_convolution_alone_equals_tflm(name: str, everything: bool):
    found = []

    @given(rng=RANDOMS)
    @times(40)
    def each(rng: random.Random) -> None:
        with pytest.MonkeyPatch.context() as patch:
            if everything:  # dilations, rings and parts of wholes, which only the portable kernels take
                patch.setattr(esp_nn, "takes", lambda op: True)
            found.extend(check(singles.SINGLES[name](rng), 5))

    each()
    kinds = {members["op"]["kind"] for members in found}
    assert cpm.RECORDS["plain_conv"][0] in kinds
    assert (cpm.RECORDS["plain_depthwise"][0] in kinds) or name == "CONV_2D"
    if everything:
        assert any(one["window"]["dilation_h"] > 1 for one in found)


@given(rng=RANDOMS)
@times(40)
def test_a_network_equals_tflm(rng: random.Random):
    for members in check(graphs.network(rng)):
        places = members["in"]["at"], members["out"]["at"], members["scratch"], members["weights"]
        assert all(at % esp_nn.ALIGNMENT == 0 for at in places)


@pytest.mark.parametrize(
    ("name", "arena"),
    [("kws_ref_model", 29000), ("str_ww_ref_model", 25000), ("pretrainedResnet_quant", 104000)],
)
def test_a_reference_model_equals_tflm(shared_data: Path, name: str, arena: int):
    model = (shared_data / "models" / f"{name}.tflite").read_bytes()
    assert len(check(model, 6)) > 3
    assert Pair(model, plain=True).packed.arena < arena


def layer(kernel: int, stride: int, pad: int, size: int, out: int, c: int = 16, n: int = 16) -> Plain:
    """A square convolution; of depthwise kind if n is a multiple of c and ``multiplier`` is set later."""
    zeros = np.zeros(n, np.int32)
    return Plain(
        "layer",
        input=View(Buffer("in", size * size * c), size, size, c),
        output=View(Buffer("out", out * out * n), out, out, n),
        window=Window((kernel, kernel), (stride, stride), pad=(pad, pad)),
        weights=np.zeros((n, kernel, kernel, c), np.int8),
        requant=Requant(zeros, zeros, zeros, 0, 0, -128, 127),
    )


@pytest.mark.parametrize(
    ("op", "wanted"),
    [
        (layer(3, 1, 1, 8, 8), True),
        (layer(3, 2, 1, 9, 5), True),
        # An even size and a stride of 2: TFLite pads nothing before and 1 behind.
        (layer(3, 2, 0, 8, 4), False),
        (layer(3, 2, 0, 9, 4), True),
        (layer(1, 2, 0, 8, 4), True),
        (layer(1, 1, 0, 40000, 1), False),
    ],
)
def test_padding_that_esp_nn_does_not_know_is_not_left_to_it(op: Plain, wanted: bool):
    assert esp_nn.takes(op) == wanted


@pytest.mark.parametrize(
    ("op", "asked"),
    [
        # What ESP-NN 1.2.3 asks for, which is more than 1.1.2 does.
        (layer(1, 1, 0, 8, 8), 16 * 16 + 2 * 8 * 16 + 64),
        (layer(1, 1, 0, 8, 8, 12), 64 * 16 + 16 * 16 + 2 * 8 * 16 + 64),
        (layer(1, 1, 0, 2, 2), 16 * 16 + 64),
        (layer(3, 1, 1, 8, 8), 1600 + 2 * 2304 + 1600 + 64 + 64),
        # Here 1.1.2 asks for more.
        (layer(3, 1, 1, 8, 8, 3), 100 * 3 + 2304 + 32 + 64),
    ],
)
def test_scratch_memory_is_what_esp_nn_asks_for_and_a_margin(op: Plain, asked: int):
    assert esp_nn.scratch(op) == asked + esp_nn.SPARE


def test_builds_without_accelerated_kernels_can_leave_them_out(tmp_path: Path):
    source, made = engine.ENGINE / "runtime" / "kernels.c", tmp_path / "kernels.o"
    for flags, wanted in (([], True), (["-DCPM_NO_PLAIN"], False)):
        engine.run_compiler([*engine.FLAGS, *flags, "-c", source, "-o", made])
        listing = subprocess.run(["nm", made], capture_output=True, text=True, check=True).stdout
        assert "cpm_kernel_conv" in listing
        assert all((f"cpm_kernel_{kind}" in listing) == wanted for kind in PLAIN)
