"""The generated vibration has the lines, shocks and energies that a damaged bearing has by its physics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, hilbert, sosfiltfilt, welch
from scipy.stats import kurtosis

from cicada.tools.errors import UserError
from cicada.training.corpora.bearing import LABELS, SKF_6205, Geometry, Mode, Rig, corpus, simulate
from cicada.training.corpora.machines import open_machines
from cicada.training.corpora.signals import COUNTS_PER_G
from cicada.training.corpora.splits import assign

RATE = 12000
#: The envelope's strongest line by fault, in orders of the shaft: of 6205 bearings, as CWRU publishes them.
PUBLISHED = {"inner": 5.4152, "outer": 3.5848, "cage": 0.39828, "spin": 4.7135 / 2}
WITHOUT_WANDER = Rig(wander=0.0, slip=0.0)


def recorded(
    fault: str, severity: float = 0.5, rig: Rig | None = None, seconds: float = 8.0, **more
) -> np.ndarray:
    """One axis in g."""
    frames = simulate(rig or Rig(), fault, severity, seconds=seconds, rate_hz=RATE, seed=4, **more)
    return frames[:, 0] / COUNTS_PER_G


def envelope_spectrum(signal: np.ndarray, rpm: float) -> tuple[np.ndarray, np.ndarray]:
    """SciPy's way: band-pass around the modes, Hilbert envelope, spectrum over orders of the shaft."""
    band = sosfiltfilt(butter(4, [2300, 4200], "bandpass", fs=RATE, output="sos"), signal)
    envelope = np.abs(hilbert(band))
    amplitude = np.abs(np.fft.rfft((envelope - envelope.mean()) * np.hanning(len(envelope))))
    return np.fft.rfftfreq(len(envelope), 1 / RATE) / (rpm / 60), amplitude


def peak(signal: np.ndarray, order: float, rpm: float = 1797.0) -> tuple[float, float]:
    """Order of the strongest envelope line within 3 % of ``order``, and its height over the median."""
    orders, amplitude = envelope_spectrum(signal, rpm)
    floor = np.median(amplitude[(orders > 0.3) & (orders < 8)])
    near = np.abs(orders / order - 1) < 0.03
    return orders[near][amplitude[near].argmax()], amplitude[near].max() / floor


def test_orders_are_those_published_for_the_bearing_of_cwru():
    orders = SKF_6205.orders()
    assert orders == pytest.approx(PUBLISHED, abs=1e-3)


@given(st.integers(5, 20), st.floats(0.1, 0.4), st.floats(0, 40))
def test_each_ball_passes_either_a_place_inside_or_one_outside(balls, ratio, contact):
    orders = Geometry(balls, ratio, 1.0, contact).orders()
    assert orders["inner"] + orders["outer"] == pytest.approx(balls)
    assert orders["outer"] == pytest.approx(balls * orders["cage"])
    assert orders["inner"] > balls / 2 > orders["outer"]


@pytest.mark.parametrize("fault", ["inner", "outer"])
@pytest.mark.parametrize("rpm", [900.0, 1797.0, 2900.0])
def test_the_envelope_has_its_line_where_the_fault_is_rolled_over(fault, rpm):
    signal = recorded(fault, rig=Rig(rpm=rpm))
    order, height = peak(signal, PUBLISHED[fault], rpm)
    assert order == pytest.approx(PUBLISHED[fault], rel=0.01)
    assert height > 15
    other = {"inner": "outer", "outer": "inner"}[fault]
    assert peak(signal, PUBLISHED[other], rpm)[1] < height / 5


def test_a_ball_knocks_twice_in_a_turn_of_its_own_and_swells_with_the_cage():
    signal = recorded("ball")
    order, height = peak(signal, 2 * PUBLISHED["spin"])
    assert order == pytest.approx(2 * PUBLISHED["spin"], rel=0.01) and height > 10
    order, height = peak(signal, PUBLISHED["cage"])
    assert order == pytest.approx(PUBLISHED["cage"], rel=0.02) and height > 15


def test_a_fault_of_the_inner_race_swells_with_the_shaft_and_one_of_the_outer_does_not():
    inner, outer = recorded("inner"), recorded("outer")
    for side in (PUBLISHED["inner"] - 1, PUBLISHED["inner"] + 1):
        assert peak(inner, side)[1] > peak(inner, PUBLISHED["inner"])[1] / 5
    for side in (PUBLISHED["outer"] - 1, PUBLISHED["outer"] + 1):
        assert peak(outer, side)[1] < peak(outer, PUBLISHED["outer"])[1] / 10


def test_a_sound_bearing_has_no_line_and_no_shocks():
    signal = recorded("normal")
    assert max(peak(signal, order)[1] for order in PUBLISHED.values()) < 6
    assert abs(kurtosis(signal)) < 0.1


def test_the_strongest_axis_of_a_mode_is_heard_most():
    rig = replace(WITHOUT_WANDER, noise_g=1e-3, shaft_g=(), modes=(Mode(3000.0, 0.03, (0.2, 1.0, 0.5)),))
    frames = simulate(rig, "outer", 1.0, seconds=2, rate_hz=RATE, seed=1, axes=3)
    levels = frames.std(axis=0)
    assert levels / levels[1] == pytest.approx([0.2, 1.0, 0.5], rel=0.01)


def test_resonance_rings_at_its_frequency_and_dies_as_its_damping_says():
    rig = replace(
        WITHOUT_WANDER, noise_g=0.0, shaft_g=(), modes=(Mode(2000.0, 0.02),), shock_g=10.0, rpm=300.0
    )
    signal = recorded("outer", 1.0, rig, seconds=1.0)
    frequency, power = welch(signal, RATE, nperseg=4096)
    # The shocks are periodic, so the spectrum is of lines 18 Hz apart.
    assert frequency[power.argmax()] == pytest.approx(2000, abs=18)
    start = np.flatnonzero(np.abs(signal) > 0.3)[0]
    envelope = np.abs(hilbert(signal))[start : start + 120]
    slope = np.polyfit(np.arange(20, 120) / RATE, np.log(envelope[20:]), 1)[0]
    assert slope == pytest.approx(-2 * np.pi * 2000 * 0.02, rel=0.05)


@pytest.mark.parametrize("fault", LABELS[1:])
def test_level_and_kurtosis_rise_with_severity(fault):
    levels, tails = [], []
    for severity in (0.0, 0.1, 0.3, 1.0):
        signal = recorded(fault, severity, seconds=4.0)
        levels.append(signal.std())
        tails.append(kurtosis(signal))
    assert levels == sorted(levels) and levels[-1] > 2 * levels[0]
    assert tails == sorted(tails) and tails[0] < 0.1 and tails[-1] > 5


def test_the_energy_of_shocks_is_that_of_their_decays():
    rig = replace(WITHOUT_WANDER, noise_g=0.0, shaft_g=(), modes=(Mode(2500.0, 0.05),), rpm=600.0)
    signal = recorded("outer", 1.0, rig, seconds=20.0)
    # The integral of (A e^-at sin wt)^2 is A^2 w^2 / (4 a (a^2 + w^2)). Scatter: E exp(2 s N) = exp(2 s^2).
    a, full = 2 * np.pi * 2500 * 0.05, 2 * np.pi * 2500
    one = (rig.shock_g * 600 / 1800) ** 2 * (full**2 - a**2) / (4 * a * full**2) * np.exp(2 * 0.15**2)
    per_second = PUBLISHED["outer"] * 600 / 60
    assert np.mean(signal**2) == pytest.approx(one * per_second, rel=0.05)


def test_slip_blurs_high_harmonics_and_leaves_the_first():
    steady, slipping = (recorded("outer", rig=Rig(wander=0.0, slip=slip)) for slip in (0.0, 0.02))
    assert peak(slipping, PUBLISHED["outer"])[1] > 15
    fifth = 2 * PUBLISHED["outer"]
    assert peak(slipping, fifth)[1] < 0.7 * peak(steady, fifth)[1]


def test_before_its_onset_a_fault_leaves_no_trace():
    sound = recorded("normal", seconds=3.0)
    late = recorded("inner", 0.8, seconds=3.0, onset_s=1.25)
    early = recorded("inner", 0.8, seconds=3.0)
    begin = round(1.25 * RATE)
    np.testing.assert_array_equal(late[:begin], sound[:begin])
    assert kurtosis(late[begin:]) > 5
    np.testing.assert_array_equal(late[begin + 600 :], early[begin + 600 :])


@settings(max_examples=20)
@given(st.sampled_from(LABELS), st.floats(0, 1), st.integers(0, 2**31), st.sampled_from([1, 3]))
def test_equal_seeds_give_equal_samples(fault, severity, seed, axes):
    once, again = (
        simulate(Rig(), fault, severity, seconds=0.2, rate_hz=RATE, seed=seed, axes=axes) for _ in range(2)
    )
    assert once.dtype == np.int16 and once.shape == (2400, axes)
    np.testing.assert_array_equal(once, again)
    assert (
        simulate(Rig(), fault, severity, seconds=0.2, rate_hz=RATE, seed=seed + 1, axes=axes) != once
    ).any()


def test_wrong_arguments_are_refused():
    for wrong in ({"fault": "cage"}, {"severity": 1.2}, {"axes": 2}):
        given_ = {"fault": "ball", "severity": 0.5, "axes": 1} | wrong
        with pytest.raises(ValueError, match="fault must be one of"):
            simulate(Rig(), **given_, seconds=1, rate_hz=RATE, seed=1)
    with pytest.raises(ValueError, match="no mode of the machine lies below 400 Hz"):
        simulate(Rig(), "ball", 0.5, seconds=1, rate_hz=800, seed=1)


def test_a_generated_corpus_can_be_split_by_bearing():
    machines = open_machines("generated", None, 3, count=24)
    assert machines.labels() == LABELS
    assert {len(found) for found in machines.by("bearing").values()} == {3}
    assert all(len({one.label for one in found}) == 1 for found in machines.by("bearing").values())
    parts = assign(machines.recordings, "bearing", 1, {"train": 0.5, "test": 0.5})
    assert all({one.label for one in part} == set(LABELS) for part in parts.values())


def test_a_generated_corpus_follows_its_seed():
    once, again, other = (open_machines("generated", None, seed, count=2).fingerprint for seed in (3, 3, 4))
    assert once == again != other


def test_generated_faults_can_begin_late_and_bearings_can_differ():
    machines = corpus(12, 1, geometry=None, seconds=2.0, axes=3, onset=True)
    for one in machines.recordings:
        assert one.frames.shape == (24000, 3)
        if one.label != "normal":
            begin = round(one.condition["onset_s"] * RATE)
            assert 0.3 <= one.condition["onset_s"] / 2.0 <= 0.7
            before, after = (part.astype(float).std() for part in (one.frames[:begin], one.frames[begin:]))
            assert after > before
    with pytest.raises(UserError, match="has no recordings"):
        corpus(0, 1)
