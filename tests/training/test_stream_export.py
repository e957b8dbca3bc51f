"""The streaming form says what the whole form says: in float, under TFLM, and packed."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.packed import PackedModel
from cicada.tools.tflm import Interpreter
from cicada.training import backend
from cicada.training.flatbuffer import describe
from cicada.training.pack import pack, reader
from cicada.training.pack import streaming as rings
from cicada.training.stream_export import streaming
from support import mixed
from support.zoo import layers, moves, pointwise
from support.zoo.model import Model, Quant

QUANT = Quant(0.05, 3)


@pytest.fixture(params=mixed.SHAPES)
def made(request):
    """A network in all its forms."""
    return mixed.made(request.param)


def steps(x: np.ndarray, stride: int) -> list[np.ndarray]:
    """What a device feeds at its calls."""
    return [x[at : at + stride] for at in range(0, len(x) - stride + 1, stride)]


def windows(x: np.ndarray, frames: int, stride: int) -> np.ndarray:
    """The windows that end where a call ends, those that are whole."""
    ends = [at for at in range(stride, len(x) + 1, stride) if at >= frames]
    return np.stack([x[end - frames : end] for end in ends])


def test_float_forms_agree_once_the_window_is_full(made):
    tf = backend.tensorflow()
    stride = made.options.stride
    x = mixed.noise(100, 7)
    with backend.quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        interpreter = tf.lite.Interpreter(model_content=streaming(made.float32, stride))
        interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    said = []
    for frames in steps(x, stride):
        interpreter.set_tensor(source["index"], frames[None, ..., None].astype(np.float32) / 128)
        interpreter.invoke()
        said.append(interpreter.get_tensor(target["index"])[0].copy())
    whole = windows(x, made.frames, stride)[..., None].astype(np.float32) / 128
    expected = made.model.predict(whole, verbose=0)
    assert np.ptp(expected, axis=0).max() > 0.01  # it depends on what it hears
    np.testing.assert_allclose(said[-len(expected) :], expected, atol=1e-5)


def test_int8_forms_say_the_same_bit_for_bit_once_the_window_is_full(made):
    stride = made.options.stride
    x = mixed.noise(300, 8)
    stream, whole = Interpreter(streaming(made.int8, stride)), Interpreter(made.int8)
    said = np.stack([stream.invoke(frames) for frames in steps(x, stride)])
    expected = np.stack([whole.invoke(window) for window in windows(x, made.frames, stride)])
    assert len(np.unique(expected, axis=0)) > len(expected) / 4
    np.testing.assert_array_equal(said[-len(expected) :], expected)


def test_packed_says_what_tflm_says_from_the_first_call_and_after_resets(made):
    model = streaming(made.int8, made.options.stride)
    tflm, packed = Interpreter(model), PackedModel(pack(model).blob)
    rng, x = random.Random(9), mixed.noise(3000, 9)
    for frames in steps(x, made.options.stride):
        if rng.random() < 0.01:
            tflm.reset()
            packed.reset()
        np.testing.assert_array_equal(tflm.invoke(frames), packed.invoke(frames))


def test_no_state_is_copied_on_a_device(made):
    """All of them become rings, in which rows stay where they are."""
    graph = reader.read(streaming(made.int8, made.options.stride))
    assert graph.variables and len(rings.find(graph)) == len(graph.variables)


@pytest.mark.parametrize("count", [2, 3])
def test_longer_calls_say_what_every_nth_short_one_says(count):
    made = mixed.made("bands")
    stride = made.options.stride
    x = mixed.noise(20 * count * stride, 10)
    short, long = (Interpreter(streaming(made.int8, frames)) for frames in (stride, stride * count))
    every = [short.invoke(frames) for frames in steps(x, stride)][count - 1 :: count]
    assert [list(said) for said in every] == [
        list(long.invoke(frames)) for frames in steps(x, stride * count)
    ]


def test_input_and_output_stay_as_the_device_relies_on(made):
    found, whole = describe(streaming(made.int8, made.options.stride)), describe(made.int8)
    assert found.input.shape == (1, made.options.stride, 40, 1)
    assert (found.input.dtype, found.input.scale, found.input.zero_point) == ("int8", 1 / 128, 0)
    assert found.output == whole.output
    assert found.macs < whole.macs / 3


def test_a_file_is_the_same_each_time_and_its_numbers_are_aligned(made):
    model = streaming(made.int8, made.options.stride)
    assert model == streaming(made.int8, made.options.stride)
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    tree = schema.Model.GetRootAsModel(model, 0)
    contents = [tree.Buffers(n).DataAsNumpy() for n in range(tree.BuffersLength())]
    start = np.frombuffer(model, np.uint8).__array_interface__["data"][0]
    places = [
        c.__array_interface__["data"][0] - start for c in contents if isinstance(c, np.ndarray) and len(c)
    ]
    assert len(places) > 10 and all(place % 16 == 0 for place in places)


def network(rows: int, *kinds: str, seed: int = 1) -> bytes:
    """The whole form of a network made by hand; a dense layer ends it unless told otherwise."""
    rng, model = random.Random(seed), Model(tame=True)
    x = model.input((1, rows, 1, 4), QUANT)
    for kind in kinds:
        if kind == "same":
            x = layers.conv(model, rng, x, 4, (3, 1), (1, 1), padding="SAME")
        elif kind.startswith("conv"):
            kernel, step = int(kind[4]), int(kind[5])
            x = layers.conv(model, rng, x, 4, (kernel, 1), (step, 1), padding="VALID", activation="RELU")
        elif kind.startswith("depth"):
            x = layers.depthwise(model, rng, x, (int(kind[5]), 1), padding="VALID")
        elif kind == "first":
            x = moves.strided_slice(model, x, (0, 0, 0, 0), (1, x.shape[1] - 1, 1, 4), (1, 1, 1, 1), 0, 0)
        elif kind == "turned":
            x = moves.transpose(model, x, (0, 2, 1, 3))
        elif kind == "padded":
            x = moves.pad(model, x, [(0, 0), (1, 0), (0, 0), (0, 0)])
        elif kind == "pooled":
            x = layers.pool(model, x, False, (2, 1), (1, 1))
        elif kind == "other":
            x = moves.strided_slice(model, x, (0, 0, 0, 0), (1, x.shape[1], 1, 4), (1, 2, 1, 1), 0, 0)
        elif kind == "fixed":
            table = model.constant(np.ones(x.shape, np.int8), QUANT)
            x = pointwise.binary(model, rng, "ADD", x, table)
        elif kind == "twice":
            x = moves.concatenate(model, [x, x], 1)
        elif kind == "open":
            return model.finish(x)
    x = moves.reshape(model, x, (1, x.elements))
    return model.finish(layers.dense(model, rng, x, 3))


@pytest.mark.parametrize(
    ("kinds", "frames", "said"),
    [
        (("same",), 1, "padded over time"),
        (("conv32",), 1, "does not fit calls of 1 rows"),
        (("conv42",), 2, "does not fit calls"),
        (("first",), 1, "other rows than the last"),
        (("turned",), 1, "TRANSPOSE over time"),
        (("twice",), 1, "CONCATENATION over time"),
        (("padded",), 1, "PAD over time"),
        (("pooled",), 1, "leaves more than one row"),
        (("other",), 1, "changes axes, or steps"),
        (("fixed",), 1, "not as long as each other"),
        (("conv31", "open"), 1, "still has rows of time"),
        ((), 12, "does not fit a window of 11"),
    ],
)
def test_a_network_that_cannot_be_computed_step_by_step_is_refused(kinds, frames, said):
    with pytest.raises(ValueError, match=said):
        streaming(network(11, *kinds), frames)


def test_other_bytes_are_refused():
    with pytest.raises(ValueError, match="TFL3"):
        streaming(b"CMOD and more", 1)
    with pytest.raises(ValueError, match="2 subgraphs"):
        streaming(streaming(mixed.made("plain").int8, 1), 1)


@settings(max_examples=25, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(["conv11", "conv31", "conv41", "depth2", "depth3"]), max_size=4),
    step=st.integers(1, 3),
    more=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_any_chain_of_convolutions_says_the_same_in_both_forms(kinds, step, more, seed):
    back = sum(int(kind[-2] if kind.startswith("conv") else kind[-1]) - 1 for kind in kinds)
    window = 3 + step * (back + more)
    whole = network(window, f"conv3{step}", *kinds, seed=seed)
    model = streaming(whole, step)
    x = np.random.default_rng(seed).integers(-128, 128, (3 * window, 4)).astype(np.int8)
    stream, fixed, packed = Interpreter(model), Interpreter(whole), PackedModel(pack(model).blob)
    for end in range(step, len(x) + 1, step):
        said = stream.invoke(x[end - step : end])
        np.testing.assert_array_equal(said, packed.invoke(x[end - step : end]))
        if end >= window:
            np.testing.assert_array_equal(said, fixed.invoke(x[end - window : end]))
