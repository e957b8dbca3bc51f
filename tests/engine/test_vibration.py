"""The vibration front end: the header's formulas, whatever comes in, in pieces of any size."""

from __future__ import annotations

import math
import runpy

import numpy as np
import pytest
from engine.vibration_signals import bands_of, limits, log2, signals
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools import engine, vibration
from cicada.tools.vibration import SAMPLES, STATISTICS, VibrationFrontEnd, features

FULL = {
    "silence": lambda n: np.zeros(n),
    "constant": lambda n: np.full(n, 12345),
    "lowest": lambda n: np.full(n, -32768),
    "one count": lambda n: np.arange(n) == n // 3,
    "shock": lambda n: np.where(np.arange(n) == 7, 32767, -32768),
    "half and half": lambda n: np.where(np.arange(n) < n // 2, -32768, 32767),
    "square of Nyquist": lambda n: np.where(np.arange(n) % 2, -32768, 32767),
    "square of a quarter": lambda n: np.where(np.arange(n) % 4 < 2, -32768, 32767),
    "full scale sine": lambda n: 32767 * np.sin(np.arange(n) * 2 * np.pi * 5 / n),
    "beside a bin": lambda n: 32767 * np.sin(np.arange(n) * 2 * np.pi * 5.5 / n),
}


def check(x: np.ndarray, bands: int) -> np.ndarray:
    got = features(x, len(x), bands)[0]
    low, high = limits(x, bands_of(len(x), bands))
    assert ((low <= got) & (got <= high)).all(), (low, got, high)
    return got


@pytest.mark.parametrize("samples", SAMPLES)
@pytest.mark.parametrize("name", FULL)
def test_extreme_signals_give_what_the_formulas_say(name: str, samples: int) -> None:
    x = np.asarray(FULL[name](samples)).round().astype(np.int16)
    for bands in (8, 16, 32):
        check(x, bands)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SAMPLES).flatmap(signals), st.integers(8, 32))
def test_any_signal_gives_what_the_formulas_say(x: np.ndarray, bands: int) -> None:
    check(x, bands)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([-32768, -32767, -1, 0, 1, 32767]), min_size=256, max_size=256))
def test_extremes_in_any_order_overflow_nothing(values: list[int]) -> None:
    check(np.array(values, np.int16), 12)


@pytest.mark.parametrize("samples", SAMPLES)
@pytest.mark.parametrize("bands", range(8, 33))
def test_bands_are_those_of_the_formula(samples: int, bands: int) -> None:
    front = VibrationFrontEnd(samples, bands, 1)
    # Behind two uint16_t and four uint8_t.
    edges = front._state.view(np.uint8)[8 : 8 + 2 * (bands + 1)].view(np.uint16).tolist()
    assert edges == bands_of(samples, bands)
    assert edges[0] == 1 and edges[-1] == samples // 2 and min(np.diff(edges)) >= 1
    # Evenly spaced by the logarithm once a band has several bins.
    wide = np.log2([edge for edge in edges if edge > 16])
    assert np.ptp(np.diff(wide)) < 0.15


@given(st.integers(1, 2**64 - 1) | st.integers(0, 63).map(lambda n: 2**n) | st.integers(1, 5000))
def test_logarithm_is_as_near_as_it_says(x: int) -> None:
    assert abs(log2(x) / 2**16 - math.log2(x)) < 2**-13


@pytest.mark.parametrize("samples", SAMPLES)
def test_an_offset_leaves_no_trace(samples: int) -> None:
    x = np.random.default_rng(1).integers(-3000, 3000, samples).astype(np.int16)
    plain = features(x, samples, 20)
    for offset in (-29000, 1, 29000):
        np.testing.assert_array_equal(features((x + offset).astype(np.int16), samples, 20), plain)


def test_full_scale_is_the_top_of_the_scale() -> None:
    square = np.where(np.arange(512) % 2, -32768, 32767).astype(np.int16)
    assert features(square, 512, 16)[0, 16:].tolist() == [127, -128, -128]


def test_a_tone_is_heard_in_its_band_and_nowhere_far_off() -> None:
    edges = bands_of(512, 16)
    for band in range(4, 16):
        k = (edges[band] + edges[band + 1] - 1) // 2 | 1  # odd, so that its samples are those of a sine
        x = (1000 * np.sin(np.arange(512) * 2 * np.pi * k / 512)).round().astype(np.int16)
        got = features(x, 512, 16)[0]
        level = 6 * np.log2(1000**2 / 2) - 53
        assert got[:16].argmax() == band and abs(got[16] - level) < 1
        assert abs(int(got[18]) - (24 * np.log2(1.5) - 128)) < 1
        others = [b for b in range(16) if abs(b - band) > 1]
        # The rounding of the samples is white noise 70 dB below.
        assert got[others].max() < got[band] - 120


@pytest.mark.parametrize("samples", SAMPLES)
def test_bands_of_noise_add_up_to_its_level(samples: int) -> None:
    x = np.random.default_rng(3).normal(0, 700, 60 * samples).round().astype(np.int16)
    rows = features(x, samples, 10).astype(float)
    power = 2 ** ((rows[:, :11] + 53) / 6)
    assert power[:, :10].sum(1).mean() == pytest.approx(power[:, 10].mean(), rel=0.03)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(SAMPLES),
    st.integers(8, 32),
    st.sampled_from([1, 3]),
    st.lists(st.integers(0, 1500)),
    st.data(),
)
def test_pieces_of_any_size_give_the_same(samples, bands, axes, pieces, data) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    frames = rng.integers(-32768, 32768, (sum(pieces), axes)).astype(np.int16)
    whole = features(frames, samples, bands)
    front, at, windows = VibrationFrontEnd(samples, bands, axes), 0, 0
    for n in pieces:
        windows += front.feed(frames[at : at + n])
        at += n
        wanted = whole[windows - 1] if windows else np.full(axes * (bands + STATISTICS), -128)
        np.testing.assert_array_equal(front.features.ravel(), wanted)
    assert windows == len(frames) // samples


def test_axes_do_not_mix() -> None:
    rng = np.random.default_rng(4)
    frames = np.stack([rng.normal(0, s, 512) for s in (3, 300, 9000)], 1).round().astype(np.int16)
    got = features(frames, 512, 16).reshape(3, 19)
    for axis in range(3):
        np.testing.assert_array_equal(got[axis], features(frames[:, axis], 512, 16)[0])


def test_reset_forgets_the_window_begun() -> None:
    front = VibrationFrontEnd(256, 8, 1)
    front.feed(np.full(255, 9999, np.int16))
    front.reset()
    x = np.random.default_rng(5).integers(-50, 50, 256).astype(np.int16)
    assert (front.features == -128).all() and front.feed(x[:255]) == 0 and front.feed(x[255:]) == 1
    np.testing.assert_array_equal(front.features, features(x, 256, 8))


@pytest.mark.parametrize(
    "numbers", [(128, 16, 3), (500, 16, 3), (512, 7, 3), (512, 33, 1), (512, 16, 2), (512, 16, 0)]
)
def test_other_numbers_are_refused(numbers: tuple[int, int, int]) -> None:
    assert vibration.state_size(*numbers) == 0
    assert not vibration.library().vib_init(np.zeros(100, np.uint64).ctypes.data, *numbers, 0)
    with pytest.raises(ValueError, match="samples must be 256, 512 or 1024"):
        VibrationFrontEnd(*numbers)


@pytest.mark.parametrize("frames", [np.zeros((5, 2), np.int16), np.zeros((5, 3)), np.zeros(5, np.int16)])
def test_frames_of_another_shape_are_refused(frames: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"frames must be int16\[n, 3\]"):
        VibrationFrontEnd(256, 8, 3).feed(frames)


def test_committed_tables_are_what_the_formula_gives() -> None:
    tables = runpy.run_path(str(engine.ENGINE / "vibration" / "gen_tables.py"))["render"]()
    for name, text in tables.items():
        assert (engine.ENGINE / "vibration" / name).read_text() == text
