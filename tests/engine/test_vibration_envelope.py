"""Envelope spectrum of the vibration front end, against SciPy: Hilbert transform, periodogram, kurtosis."""

from __future__ import annotations

import numpy as np
import pytest
from engine.vibration_signals import NOISE, ROUNDING, bands_of
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal, stats

from cicada.tools.vibration import LIMIT, SAMPLES, STATISTICS, VibrationFrontEnd, features

#: Bearing of the tests: how often its outer race is hit, in orders of the shaft.
OUTER = 3.585


def edges_of(samples: int, bands: int, order: float | None = None) -> NDArray[np.float64]:
    """Edges of the envelope's bands in bins by ``vibration.h``; ``order`` is the bin of the shaft's speed."""
    low, high = (1, samples / 8) if order is None else (0.75 * order, 24 * order)
    return np.clip(low * (high / low) ** (np.arange(bands + 1) / bands), 0.5, samples / 8)


def lines(front: VibrationFrontEnd) -> NDArray[np.float64]:
    """The edges that the engine has, in bins: behind two uint16_t, four uint8_t and 33 edges of bands."""
    return front._state.view(np.uint8)[74:].view(np.uint16)[: front.envelope + 1] / 256


def limits(x: NDArray[np.int16], edges: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
    """Lowest and highest features of the envelope that one axis of a window may have, not rounded."""
    count = len(x)
    hann = signal.windows.hann(count, sym=False)
    spectrum = np.fft.rfft((x - x.mean()) * hann) / count
    carrier = slice(count // 8, count // 2)
    white = np.zeros_like(spectrum)
    white[carrier] = spectrum[carrier] / np.abs(spectrum[carrier])
    modulus = np.abs(signal.hilbert(np.fft.irfft(white)))[::2] * count / 2
    weight = hann[::2]
    level = (weight * modulus).sum() / weight.sum()
    _, power = signal.periodogram(modulus - level, window=weight, detrend=False)
    power /= count / 2 * (3 * count / 8)  # a density of the rate 1 to powers, and those to shares
    # What the arithmetic adds to a bin of the carrier turns it, and is white in the envelope.
    turned = np.minimum(NOISE * 2.0**-13 / np.abs(spectrum[carrier]), 1) ** 2
    low, high = [], []
    for start, end in zip(edges, edges[1:], strict=False):
        bins = np.arange(len(power))
        cover = np.clip(np.minimum(end, bins + 0.5) - np.maximum(start, bins - 0.5), 0, None)
        amplitude = np.sqrt((cover * power).sum())
        noise = 2 * np.sqrt(16 / 3 * turned.mean() * (end - start) / (count / 4)) + 2e-5
        low.append(12 * np.log2(max(amplitude - noise, 1e-9)) * 2 + 127)
        high.append(12 * np.log2(amplitude + noise) * 2 + 127)
    return np.clip(low, -128, 127) - ROUNDING, np.clip(high, -128, 127) + ROUNDING


def impacts(
    samples: int, per_sample: float, ring: float, rng: np.random.Generator, jitter: float = 0.01
) -> NDArray[np.float64]:
    """Decaying rings of the frequency ``ring`` (of the sample rate), ``per_sample`` of them a sample."""
    at = np.arange(samples)
    out = np.zeros(samples)
    for number in range(int(samples * per_sample) + 1):
        begin = (number + 0.3 + rng.normal(0, jitter)) / per_sample
        since = np.where(at >= begin, at - begin, np.inf)
        out += np.exp(-since / 12) * np.sin(2 * np.pi * ring * np.minimum(since, 1e6))
    return out


@st.composite
def noisy(draw: st.DrawFn) -> NDArray[np.int16]:
    """Windows of noise of at least one count with a tone, shocks and an offset: what a machine gives."""
    samples = draw(st.sampled_from(SAMPLES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = st.sampled_from([0, 1, 30, 1000, 12000])
    at = np.arange(samples)
    x = rng.normal(0, draw(st.sampled_from([1, 20, 800])), samples) + draw(st.integers(-5000, 5000))
    x += draw(size) * np.sin(at * draw(st.floats(0, np.pi)) + draw(st.floats(0, 7)))
    x += draw(size) * impacts(samples, draw(st.floats(0.005, 0.1)), draw(st.floats(0.1, 0.45)), rng)
    return x.round().clip(-32768, 32767).astype(np.int16)


@settings(max_examples=150, deadline=None)
@given(noisy(), st.integers(8, 32))
def test_envelope_of_any_machine_is_that_of_scipy(x: NDArray[np.int16], envelope: int) -> None:
    front = VibrationFrontEnd(len(x), 8, 1, envelope)
    front.feed(x)
    got = front.features[0, 8 + STATISTICS :]
    low, high = limits(x, lines(front))
    assert ((low <= got) & (got <= high)).all(), (low, got, high)


@settings(max_examples=50, deadline=None)
@given(noisy(), st.integers(8, 32), st.floats(100, 40000), st.floats(30, 20000))
def test_orders_are_those_of_scipy_at_any_speed(x, envelope: int, rate_hz: float, rpm: float) -> None:
    front = VibrationFrontEnd(len(x), 8, 1, envelope)
    front.speed(rate_hz, rpm)
    front.feed(x)
    got = front.features[0, 8 + STATISTICS :]
    low, high = limits(x, lines(front))
    assert ((low <= got) & (got <= high)).all(), (low, got, high)
    assert (got[np.diff(lines(front)) == 0] == -128).all()


@settings(max_examples=60, deadline=None)
@given(noisy(), st.integers(8, 32), st.integers(8, 32))
def test_an_envelope_changes_no_other_feature(x: NDArray[np.int16], bands: int, envelope: int) -> None:
    plain, more = features(x, len(x), bands), features(x, len(x), bands, envelope)
    assert more.shape == (1, bands + STATISTICS + envelope)
    np.testing.assert_array_equal(more[:, : bands + STATISTICS], plain)


@pytest.mark.parametrize("samples", SAMPLES)
def test_bands_and_statistics_are_those_of_scipy(samples: int) -> None:
    rng = np.random.default_rng(samples)
    for scale in (30, 3000):
        x = (scale * rng.standard_t(4, samples)).round().clip(-32768, 32767).astype(np.int16)
        got = features(x, samples, 16)[0]
        _, power = signal.periodogram(x.astype(float), window="hann", detrend="constant")
        edges = bands_of(samples, 16)
        sums = [power[a:b].sum() / samples for a, b in zip(edges, edges[1:], strict=False)]
        peak = np.abs(x - x.mean()).max()
        kurtosis = 24 * np.log2(stats.kurtosis(x.astype(float), fisher=False)) - 128
        crest = 24 * np.log2(peak**2 / x.var()) - 128
        wanted = [*(6 * np.log2(sums) - 53), 6 * np.log2(x.var()) - 53, crest, kurtosis]
        # Half a step is rounding.
        np.testing.assert_allclose(got, np.clip(wanted, -128, 127), atol=0.52)


@pytest.mark.parametrize("samples", SAMPLES)
@pytest.mark.parametrize("envelope", range(8, 33, 4))
def test_edges_are_those_of_the_formula(samples: int, envelope: int) -> None:
    front = VibrationFrontEnd(samples, 8, 1, envelope)
    fixed = lines(front)
    near = {"atol": 1.1 / 256, "rtol": 3e-4}  # rounding up, and the integer logarithm
    np.testing.assert_allclose(fixed, edges_of(samples, envelope), **near)
    assert fixed[0] == 1 and fixed[-1] == samples / 8
    for rate, rpm in ((400, 1500), (12000, 1797.3), (12000, 1), (50, 90000), (1e8 - 1, 0.1), (0.1, 1e8 - 1)):
        front.speed(rate, rpm)
        np.testing.assert_allclose(
            lines(front), edges_of(samples, envelope, rpm / 60 / rate * samples), **near
        )
    front.speed(400, 0)
    np.testing.assert_array_equal(lines(front), fixed)


def test_impacts_are_heard_beneath_a_tone_that_is_louder() -> None:
    rng = np.random.default_rng(8)
    at = np.arange(1024 * 20)
    for bin_ in (9.2, 14, 25, 40):
        x = 300 * impacts(len(at), bin_ / 1024, 0.27, rng) + rng.normal(0, 15, len(at))
        quiet = rng.normal(0, 15, len(at))
        tones = 9000 * np.sin(at * 0.2) + 2000 * np.sin(at * 2 * np.pi * 0.31)
        heard = [
            features((some + tones).round().astype(np.int16), 1024, 8, 32)[:, 11:].astype(float).mean(0)
            for some in (x, quiet)
        ]
        rise = heard[0] - heard[1]
        edges = edges_of(1024, 32)
        band = np.searchsorted(edges, bin_) - 1
        assert abs(int(rise.argmax()) - band) <= 1, (bin_, rise)
        # A step is 1/4 dB: 5 dB.
        assert rise.max() > 20


def test_orders_stay_where_they_are_when_the_speed_changes() -> None:
    rng = np.random.default_rng(9)
    orders, fixed = [], []
    for rpm in (1500, 2100, 3000):
        hits = OUTER * rpm / 60 / 12000
        x = 500 * impacts(1024 * 20, hits, 0.27, rng) + rng.normal(0, 10, 1024 * 20)
        x = x.round().astype(np.int16)
        orders.append(features(x, 1024, 8, 24, 12000, rpm)[:, 11:].astype(float).mean(0))
        fixed.append(features(x, 1024, 8, 24)[:, 11:].astype(float).mean(0))
    alike = lambda rows: np.corrcoef(rows)[np.triu_indices(3, 1)]  # noqa: E731
    assert alike(orders).min() > 0.8 and alike(fixed).max() < 0.75, (alike(orders), alike(fixed))


@pytest.mark.parametrize("gain", [2, 3, 10])
def test_gain_leaves_no_trace(gain: int) -> None:
    rng = np.random.default_rng(gain)
    x = 800 * impacts(1024 * 5, 0.012, 0.3, rng) + rng.normal(0, 100, 1024 * 5)
    x = x.round().astype(np.int16)
    first, second = (features(some, 1024, 8, 16)[:, 11:].astype(int) for some in (x, x * np.int16(gain)))
    assert np.abs(first - second).max() <= 1


def test_noise_has_the_features_that_the_header_says() -> None:
    x = np.random.default_rng(6).normal(0, 300, 1024 * 300).round().astype(np.int16)
    power = 2.0 ** ((features(x, 1024, 8, 16)[:, 11:].astype(float) - 127) / 12)
    edges = edges_of(1024, 16)
    bins = 12 * np.log2(power.mean(0) / np.diff(edges)) + 127
    assert bins[edges[:-1] < 2] == pytest.approx(66, abs=2)
    assert (bins[edges[:-1] > 4] > 11).all() and (bins[edges[:-1] > 4] < 20.5).all()


def test_a_constant_axis_has_no_envelope() -> None:
    frames = np.zeros((256, 3), np.int16)
    frames[:, 1] = 77
    frames[:, 2] = np.random.default_rng(1).normal(0, 500, 256)
    got = features(frames, 256, 8, 8).reshape(3, 19)
    assert (got[:2] == -128).all() and (got[2, 11:] > -60).all()


def test_speed_counts_from_the_next_window_on_and_outlasts_a_reset() -> None:
    x = np.random.default_rng(2).normal(0, 500, 256).round().astype(np.int16)
    front = VibrationFrontEnd(256, 8, 1, 8)
    front.feed(x[:100])
    front.speed(1000, 600)
    front.feed(x[100:])
    wanted = features(x, 256, 8, 8, 1000, 600)
    np.testing.assert_array_equal(front.features, wanted)
    front.reset()
    front.feed(x)
    np.testing.assert_array_equal(front.features, wanted)
    assert (wanted != features(x, 256, 8, 8)).any()


@pytest.mark.parametrize("envelope", [-8, 1, 7, 33, 256 + 8])
def test_other_numbers_of_bands_are_refused(envelope: int) -> None:
    with pytest.raises(ValueError, match="envelope must be 0 or 8 to 32"):
        VibrationFrontEnd(256, 8, 1, envelope)


def test_speeds_that_make_no_sense_are_refused() -> None:
    x = np.zeros(256, np.int16)
    for speed in ((0, 100), (-1, 100), (400, -1), (LIMIT / 10, 100), (400, LIMIT / 10)):
        with pytest.raises(ValueError, match=r"rate_hz must be 0\.1 to 1e8"):
            features(x, 256, 8, 8, *speed)
    with pytest.raises(ValueError, match="only the bands of an envelope follow the speed"):
        features(x, 256, 8, 0, 400, 100)
    with pytest.raises(ValueError, match="rpm needs rate_hz"):
        features(x, 256, 8, 8, rpm=100)
