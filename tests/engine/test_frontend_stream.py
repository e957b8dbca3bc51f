"""Streaming, quantising and the rolling window."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from engine.frontend_signals import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools import engine
from cicada.tools.errors import UserError

SOUND = np.concatenate([synthetic()[name] for name in ("swells", "random", "sweep")])
steps = st.sampled_from([10, 20])
chunks = st.lists(st.integers(0, 1700), min_size=1, max_size=30)


def cut(pcm: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    return np.split(pcm, np.minimum(np.cumsum(sizes), len(pcm)))


def test_constants_are_the_headers() -> None:
    header = (engine.ENGINE / "frontend" / "frontend.h").read_text()
    for name, value in (("RATE", engine.RATE), ("WINDOW", engine.WINDOW), ("CHANNELS", engine.CHANNELS)):
        assert f"#define FE_{name} {value} " in header


@given(step=steps, sizes=chunks)
@settings(deadline=None)
def test_any_splitting_gives_the_same_frames(step: int, sizes: list[int]) -> None:
    pcm = SOUND[: sum(sizes) + 700]
    stream = engine.FrontEnd(step)
    parts = [stream.feed(part) for part in cut(pcm, sizes)]
    np.testing.assert_array_equal(np.concatenate(parts), engine.FrontEnd(step).feed(pcm))


@pytest.mark.parametrize("step", [10, 20])
def test_frames_come_as_soon_as_they_are_complete(step: int) -> None:
    stream = engine.FrontEnd(step)
    assert len(stream.feed(SOUND[:479])) == 0
    assert len(stream.feed(SOUND[479:480])) == 1
    assert len(stream.feed(SOUND[480 : 480 + 16 * step - 1])) == 0
    assert len(stream.feed(SOUND[480 + 16 * step - 1 : 480 + 16 * step])) == 1


@given(step=steps, sizes=chunks, rows=st.integers(0, 60))
@settings(deadline=None)
def test_push_keeps_the_newest_frames(step: int, sizes: list[int], rows: int) -> None:
    pcm = SOUND[: sum(sizes)]
    window = np.full((rows, 40), 77, np.int8)
    stream = engine.FrontEnd(step)
    added = sum(stream.push(part, window) for part in cut(pcm, sizes))
    expected = engine.features(pcm, step)
    assert added == len(expected)
    untouched = np.full((rows, 40), 77, np.int8)
    np.testing.assert_array_equal(window, np.concatenate([untouched, expected])[added : added + rows])


def test_streams_do_not_disturb_each_other() -> None:
    first, second = engine.FrontEnd(10), engine.FrontEnd(20)
    frames = ([], [])
    for part in np.array_split(SOUND, 50):
        frames[0].append(first.feed(part))
        frames[1].append(second.feed(part[::-1]))
    backward = np.concatenate([part[::-1] for part in np.array_split(SOUND, 50)])
    np.testing.assert_array_equal(np.concatenate(frames[0]), engine.FrontEnd(10).feed(SOUND))
    np.testing.assert_array_equal(np.concatenate(frames[1]), engine.FrontEnd(20).feed(backward))


def test_streams_run_in_parallel_threads() -> None:
    results: dict[int, np.ndarray] = {}

    def work(index: int) -> None:
        results[index] = engine.features(np.roll(SOUND, 1000 * index), 10)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in range(4):
        np.testing.assert_array_equal(results[index], engine.features(np.roll(SOUND, 1000 * index), 10))


@pytest.mark.parametrize("step", [10, 20])
def test_reset_equals_a_fresh_state(step: int) -> None:
    stream = engine.FrontEnd(step)
    loud_then_quiet = stream.feed(SOUND[:5123]), stream.feed(SOUND[20000:30000])
    stream.reset()
    fresh = engine.FrontEnd(step).feed(SOUND[20000:30000])
    assert not np.array_equal(loud_then_quiet[1][-len(fresh) :], fresh)
    np.testing.assert_array_equal(stream.feed(SOUND[20000:30000]), fresh)


def test_quantising_is_exact_for_every_feature() -> None:
    every = np.arange(65536, dtype=np.uint16)
    # Twice the value, rounded half up, in integers: floor((2 * 5 v + 13) / (2 * 13)).
    expected = [min(max((10 * v + 13) // 26 - 128, -128), 127) for v in range(65536)]
    np.testing.assert_array_equal(engine.quantise(every), expected)
    np.testing.assert_array_equal(engine.quantise(every.reshape(256, 256)[:, ::2]).ravel(), expected[::2])


def test_features_are_quantised_frames() -> None:
    for step in (10, 20):
        expected = engine.quantise(engine.FrontEnd(step).feed(SOUND))
        np.testing.assert_array_equal(engine.features(SOUND, step), expected)
    assert engine.features(SOUND[:479]).shape == (0, 40)
    assert engine.features(SOUND[:0]).shape == (0, 40)
    assert engine.features(SOUND[:800]).shape == (2, 40)


def test_samples_may_be_strided_or_read_only() -> None:
    strided = np.stack([SOUND, SOUND[::-1]], axis=1)[:, 0]
    frozen = SOUND.copy()
    frozen.flags.writeable = False
    for pcm in (strided, frozen):
        np.testing.assert_array_equal(engine.features(pcm), engine.features(SOUND))


def test_wrong_types_and_shapes_are_refused() -> None:
    stream, window = engine.FrontEnd(20), np.zeros((3, 40), np.int8)
    for bad in (
        SOUND.astype(np.float32),
        SOUND.astype(np.int32),
        SOUND.astype(">i2"),
        SOUND.tobytes(),
        [1, 2],
    ):
        with pytest.raises(TypeError, match="int16"):
            stream.feed(bad)
        with pytest.raises(TypeError, match="int16"):
            stream.push(bad, window)
    with pytest.raises(ValueError, match="mono"):
        stream.feed(SOUND.reshape(-1, 2))
    with pytest.raises(TypeError, match="int8"):
        stream.push(SOUND, window.astype(np.uint8))
    with pytest.raises(TypeError, match="int8"):
        stream.push(SOUND, window.tolist())
    for shape in ((3, 39), (120,), (1, 3, 40)):
        with pytest.raises(ValueError, match="shape"):
            stream.push(SOUND, np.zeros(shape, np.int8))
    frozen = window.copy()
    frozen.flags.writeable = False
    for bad in (frozen, np.zeros((40, 3), np.int8).T, np.zeros((6, 40), np.int8)[::2]):
        with pytest.raises(ValueError, match="writable"):
            stream.push(SOUND, bad)
    assert not window.any()
    with pytest.raises(TypeError, match="uint16"):
        engine.quantise(SOUND)


@pytest.mark.parametrize("step", [0, 5, 15, 30, -10, 10 + 2**32, 10.5])
def test_other_steps_are_refused(step: float) -> None:
    with pytest.raises(UserError, match=r"choose 10 or 20"):
        engine.FrontEnd(step)


def test_state_is_small() -> None:
    assert 2 * engine.WINDOW < engine.state_size() <= 2200
