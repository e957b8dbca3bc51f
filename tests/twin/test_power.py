"""Charge is current times time; sound is what was played."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools.twin.power import BUSY, DEEP_SLEEP, IDLE, PowerMeter, battery_hours
from cicada.tools.twin.sound import ROOM_RMS, Played, Sound

POWER = {BUSY: 60.0, IDLE: 30.0, DEEP_SLEEP: 0.01}


def test_an_hour_at_thirty_milliamperes_is_thirty_mah():
    meter = PowerMeter(POWER)
    meter.loads["microphone"] = 2.0
    meter.spend(3_600_000_000, IDLE)
    assert meter.charge_mah() == pytest.approx(32.0)
    assert meter.average_ma() == pytest.approx(32.0)


def test_sleep_lowers_the_average_but_not_the_waking_one():
    meter = PowerMeter(POWER)
    meter.loads["microphone"] = 0.005
    meter.spend(1_000_000, BUSY)
    meter.spend(9_000_000, DEEP_SLEEP)
    assert meter.average_ma() == pytest.approx((60.005 + 9 * 0.015) / 10)
    assert meter.average_ma(awake_only=True) == pytest.approx(60.005)
    spent = [(s.state, s.end - s.start) for s in meter.stretches]
    assert spent == [(BUSY, 1_000_000), (DEEP_SLEEP, 9_000_000)]


@given(st.lists(st.tuples(st.integers(0, 10**7), st.sampled_from([BUSY, IDLE, DEEP_SLEEP]), st.booleans())))
def test_stretches_are_seamless_and_add_up(spent):
    meter = PowerMeter(POWER)
    charge = 0.0
    for us, state, microphone in spent:
        meter.loads["microphone"] = 2.0 if microphone else 0.005
        charge += us * meter.current(state) / 3.6e9
        meter.spend(us, state)
    assert meter.now == sum(us for us, _, _ in spent)
    assert meter.charge_mah() == pytest.approx(charge)
    for a, b in zip(meter.stretches, meter.stretches[1:], strict=False):
        assert a.end == b.start and (a.state, a.current) != (b.state, b.current)


def test_battery_life():
    assert battery_hours({"mah": 2000, "usable": 0.8}, 16.0) == pytest.approx(100.0)


def test_sound_is_what_was_played_over_the_hiss():
    tone = (8000 * np.sin(np.arange(8000) * 0.2)).astype(np.int16)
    sound = Sound([Played(1.0, tone)], 3)
    heard = sound.samples(16000, 8000).astype(float)
    assert np.abs(heard - tone).max() < 8 * ROOM_RMS
    assert np.std(sound.samples(0, 16000)) == pytest.approx(ROOM_RMS, rel=0.1)
    assert np.std(sound.samples(10**7, 16000)) == pytest.approx(ROOM_RMS, rel=0.1)


def test_sound_saturates_instead_of_wrapping():
    loud = np.full(16000, 30000, np.int16)
    heard = Sound([Played(0, loud), Played(0, loud)], 1).samples(0, 16000)
    assert heard.min() > 32000


@given(st.integers(0, 10**6), st.integers(0, 5000))
def test_looped_sound_repeats(start, count):
    sound = Sound([Played(0.2, np.arange(1000, dtype=np.int16))], 1.5, loop=True)
    assert np.array_equal(sound.samples(start, count), sound.samples(start + len(sound.pcm), count))
