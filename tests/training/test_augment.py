"""Augmentation changes what it says and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.training import augment


def tone(hertz: float, count: int = 16000) -> np.ndarray:
    return 8000 * np.sin(2 * np.pi * hertz * np.arange(count) / 16000)


def pitch(pcm: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm)), 1 << 16))
    return spectrum.argmax() * 16000 / (1 << 16)


@pytest.mark.parametrize("factor", [0.88, 1.0, 1.1])
def test_speed_changes_duration_and_pitch_together(factor):
    faster = augment.speed(tone(500), factor)
    assert len(faster) == round(16000 / factor)
    assert pitch(faster) == pytest.approx(500 * factor, abs=1)


def test_speed_one_changes_nothing():
    pcm = np.arange(-50, 50).astype(np.int16)
    assert augment.speed(pcm, 1.0).tolist() == pcm.tolist()


def test_room_keeps_the_direct_sound_and_adds_a_decaying_tail():
    click = np.zeros(16000)
    click[100] = 10000.0
    heard = augment.room(click, np.random.default_rng(1))
    assert len(heard) == 16000
    assert heard[100] == pytest.approx(10000, abs=1)
    assert np.abs(heard[:100]).max() < 1e-6 and np.abs(heard[101:132]).max() < 1e-6
    tail = heard[101:] ** 2
    assert -15.1 < 10 * np.log10(tail.sum() / 10000**2) < -2.9
    assert tail[:4000].sum() > 100 * tail[4000:].sum()
    # The longest decay is over after half a second and the longest delay.
    assert np.abs(heard[100 + 8000 + 200 :]).max() < 1e-6


def test_rooms_differ_and_follow_the_seed():
    pcm = tone(300, 4000)
    one, same, other = (augment.room(pcm, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same) and not np.allclose(one, other)


@given(snr=st.floats(-10, 40), seed=st.integers(0, 1000))
def test_mix_sets_the_signal_to_noise_ratio(snr, seed):
    rng = np.random.default_rng(seed)
    speech = tone(400)
    noise = rng.standard_normal(50000) * rng.uniform(1, 5000)
    added = augment.mix(speech, noise, snr, rng) - speech
    level = np.sqrt(np.mean(speech**2))
    assert 20 * np.log10(level / np.sqrt(np.mean(added**2))) == pytest.approx(snr, abs=0.2)


def test_colour_is_a_smooth_gain_over_frequency_without_delay():
    click = np.zeros(4096)
    click[2000] = 10000.0
    rng = np.random.default_rng(5)
    coloured = augment.colour(click, rng)
    assert len(coloured) == 4096 and np.abs(coloured).argmax() == 2000
    gains = 20 * np.log10(np.abs(np.fft.rfft(coloured)) / 10000)
    assert 1.0 < gains.std() < 8.0 and np.abs(np.diff(gains[30:])).max() < 1.0
    assert not np.allclose(augment.colour(click, rng), coloured)
    assert np.allclose(augment.colour(click, rng, spread_db=0.0), click)
    assert len(augment.colour(np.zeros(0), rng)) == 0


def test_mix_repeats_short_noise_and_ignores_silent_noise():
    rng = np.random.default_rng(1)
    added = augment.mix(tone(400, 800), np.array([100.0, -100.0]), 0.0, rng) - tone(400, 800)
    assert np.abs(added[-2:]).min() > 0
    assert np.array_equal(augment.mix(tone(400, 800), np.zeros(10), 0.0, rng), tone(400, 800))


def test_speech_level_does_not_count_pauses():
    loud = tone(500, 3200)
    padded = np.concatenate([np.zeros(6400), loud, np.zeros(6400)])
    assert augment.speech_level(padded) == pytest.approx(8000 / np.sqrt(2), rel=0.01)
    assert augment.speech_level(np.zeros(100)) == 0.0


def test_gain_is_in_decibels():
    assert augment.gain(np.array([1000.0]), -20.0)[0] == pytest.approx(100.0)


@given(start=st.integers(-30, 30), length=st.integers(0, 20), count=st.integers(0, 25))
def test_place_shifts_and_cuts(start, length, count):
    placed = augment.place(np.arange(1, length + 1), start, count)
    expected = [i - start + 1 if 0 <= i - start < length else 0 for i in range(count)]
    assert placed.tolist() == expected


@given(st.lists(st.floats(-1e9, 1e9), max_size=20))
def test_to_pcm_saturates_and_never_wraps(samples):
    pcm = augment.to_pcm(np.array(samples))
    assert pcm.dtype == np.int16
    for sample, result in zip(samples, pcm.tolist(), strict=True):
        assert abs(result - min(max(sample, -32768), 32767)) <= 0.5


def test_input_is_left_alone():
    pcm = (tone(200, 2000)).astype(np.int16)
    copy = pcm.copy()
    rng = np.random.default_rng(3)
    augment.mix(augment.room(augment.speed(pcm, 1.1), rng), pcm, 10.0, rng)
    augment.mix(pcm, pcm, 3.0, rng)
    augment.gain(pcm, 6.0)
    assert np.array_equal(pcm, copy)
