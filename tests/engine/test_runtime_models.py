"""Packed models at work: side by side, reset, self-tested, and at the ends of what kernels take."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from engine.replaying import sealed

from cicada.tools.packed import MODEL_BYTES, PackedModel
from cicada.tools.tflm import Interpreter
from cicada.training.pack import format as cpm
from cicada.training.pack import pack
from support.zoo import layers, streams
from support.zoo.model import Model, Quant, Tensor


def values(model: PackedModel, count: int, seed: int = 1) -> np.ndarray:
    """Inputs of chance."""
    rng = np.random.default_rng(seed)
    return rng.integers(-128, 128, (count, *model.input["shape"])).astype(model.input["dtype"])


def outputs(model: PackedModel, inputs: np.ndarray) -> list[bytes]:
    """What the model makes of each, one after the other."""
    return [model.invoke(one).tobytes() for one in inputs]


def stream(seed: int) -> bytes:
    """A flatbuffer of a model with rings, int8 to int8, whose outputs are seldom the same."""
    while True:
        flatbuffer = streams.STREAMS["window"](random.Random(seed))
        if Interpreter(flatbuffer).output["dtype"] == np.int8:
            packed = pack(flatbuffer)
            model = PackedModel(packed.blob)
            if packed.program.rings and len(set(outputs(model, values(model, 12)))) > 8:
                return flatbuffer
        seed += 1


@pytest.fixture(scope="module")
def flatbuffer() -> bytes:
    return stream(0)


@pytest.fixture(scope="module")
def streaming(flatbuffer: bytes) -> bytes:
    return pack(flatbuffer).blob


def test_models_side_by_side_do_not_disturb_each_other(streaming: bytes) -> None:
    models = [PackedModel(streaming), PackedModel(streaming), PackedModel(pack(stream(100)).blob)]
    inputs = [values(model, 12, seed) for seed, model in enumerate(models)]
    alone = [outputs(model, some) for model, some in zip(models, inputs, strict=True)]
    for model in models:
        model.reset()
    together = [
        [m.invoke(some[n]).tobytes() for m, some in zip(models, inputs, strict=True)] for n in range(12)
    ]
    assert [list(each) for each in zip(*together, strict=True)] == alone


def test_a_reset_makes_a_stream_begin_again(streaming: bytes) -> None:
    model = PackedModel(streaming)
    inputs = values(model, 9)
    first = outputs(model, inputs)
    assert outputs(model, inputs) != first
    model.reset()
    assert outputs(model, inputs) == first


def test_nothing_depends_on_what_the_arena_held(streaming: bytes) -> None:
    model = PackedModel(streaming)
    inputs = values(model, 9)
    first = outputs(model, inputs)
    model._arena[:] = 0
    model.reset()
    assert outputs(model, inputs) == first


def test_the_selftest_passes_and_leaves_the_state_as_reset(streaming: bytes) -> None:
    model = PackedModel(streaming)
    inputs = values(model, 9)
    first = outputs(model, inputs)
    assert model.selftest()
    assert outputs(model, inputs) == first


def test_the_selftest_fails_if_a_weight_is_another(streaming: bytes) -> None:
    dense = next(record for kind, record in cpm.unpack(streaming).ops if kind in ("dense", "conv", "column"))
    data = bytearray(streaming)
    data[dense["weights"]] ^= 0x40
    data[dense["requant"]["at"] + 1] ^= 0x40  # its bias, should the weight see zeros alone
    assert not PackedModel(sealed(bytes(data))).selftest()


def test_a_model_without_a_selftest_passes(streaming: bytes) -> None:
    data = bytearray(streaming)
    at = cpm.HEADER.offsets["selftest_steps"]
    data[at : at + 2] = bytes(2)
    assert PackedModel(sealed(bytes(data))).selftest()


def test_a_packed_model_says_what_the_interpreter_says(flatbuffer: bytes, streaming: bytes) -> None:
    oracle, packed = Interpreter(flatbuffer), PackedModel(streaming)
    assert (packed.input, packed.output, packed.macs) == (oracle.input, oracle.output, oracle.macs)
    assert packed.engine == "packed" and packed.instructions > packed.macs
    assert packed.arena == cpm.HEADER.unpack(streaming)["arena"] + MODEL_BYTES < oracle.arena
    with pytest.raises(ValueError, match="reshape"):
        packed.invoke(np.zeros(3, np.int8))


def softmax(model: Model, x: Tensor) -> Tensor:
    y = model.tensor(x.shape, Quant(1 / 256, -128))
    model.operator("SOFTMAX", [x], [y], beta=1.0)
    return y


def mean(model: Model, x: Tensor) -> Tensor:
    axes = model.constant(np.array([1, 2], np.int32))
    y = model.tensor((1, x.shape[3]), Quant(0.03, 5))
    model.operator("MEAN", [x, axes], [y], keepDims=False)
    return y


def average(model: Model, x: Tensor) -> Tensor:
    return layers.pool(model, x, False, (x.shape[1], x.shape[2]), (1, 1))


def same(model: Model, x: Tensor) -> Tensor:
    return layers.pool(model, x, False, (7, 5), (3, 2), "SAME", "RELU")


@pytest.mark.parametrize(
    ("make", "shape", "scale"),
    [
        (softmax, (1, 1000), 0.1),
        (softmax, (1, 511), 0.1),
        (softmax, (1, 3, 4, 5), 1.7),
        (softmax, (1, 40), 1e-4),
        (average, (1, 150, 150, 3), 0.1),
        (average, (1, 255, 257, 1), 0.1),
        (same, (1, 16, 16, 7), 0.1),
        (mean, (1, 120, 100, 6), 0.1),
        (mean, (1, 3, 1, 5), 0.1),
    ],
)
def test_the_ends_of_a_kernels_range_equal_the_oracle(
    make: Callable[[Model, Tensor], Tensor], shape: tuple[int, ...], scale: float
) -> None:
    model = Model()
    flatbuffer = model.finish(make(model, model.input(shape, Quant(scale, -3))))
    oracle, packed = Interpreter(flatbuffer), PackedModel(pack(flatbuffer).blob)
    chance = values(packed, 3)
    others = [*(chance >> 5), *(np.full(shape, value, np.int8) for value in (-128, -1, 0, 127))]
    # TFLM ends the process if the weights of a softmax sum up to 512 times the largest.
    for one in chance if shape[-1] > 511 else (*chance, *others):
        np.testing.assert_array_equal(packed.invoke(one), oracle.invoke(one))


def test_a_share_too_small_for_a_softmax_is_nothing() -> None:
    model = Model()
    packed = PackedModel(pack(model.finish(softmax(model, model.input((1, 600), Quant(0.1, 0))))).blob)
    assert set(packed.invoke(np.zeros(600, np.int8)).tolist()) == {-128}
