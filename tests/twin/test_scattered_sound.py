"""Scattered sound is what mixing everything beforehand would be, and its quiet places are quiet."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.twin.scattered import Scattered
from cicada.tools.twin.sound import RATE, Microphone, Played, Sound

QUIET = Microphone(noise_dbfs=-200)
PIECES = st.lists(st.tuples(st.floats(0, 3), st.integers(1, 9000), st.integers(-20000, 20000)), max_size=6)


def played(pieces):
    return [Played(start, np.full(length, level, np.int16)) for start, length, level in pieces]


@settings(max_examples=60, deadline=None)
@given(PIECES, st.integers(0, 4 * RATE), st.integers(1, 5000))
def test_it_is_the_sum_of_its_recordings(pieces, start, count):
    whole = Sound(played(pieces), 5, microphone=QUIET)
    scattered = Scattered(played(pieces), 5, microphone=QUIET)
    assert np.array_equal(whole.samples(start, count), scattered.samples(start, count))


@settings(max_examples=100, deadline=None)
@given(
    PIECES, st.integers(0, 6 * RATE), st.integers(0, 20000), st.sampled_from(["scattered", "whole", "loop"])
)
def test_nothing_is_loud_before_the_quiet_ends(pieces, start, level, kind):
    if kind == "scattered":
        sound = Scattered(played(pieces), 5)
    else:
        sound = Sound(played(pieces), 5, loop=kind == "loop")
    until = sound.quiet_until(level, start)
    assert until is None or until >= start
    end = start + 6 * RATE if until is None else until
    heard = np.abs(sound.samples(start, end - start).astype(np.int32))
    assert heard.size == 0 or heard.max() <= level


def test_a_loud_place_is_found_within_a_block():
    pcm = np.zeros(RATE, np.int16)
    pcm[5000] = 9000
    for sound in (Sound([Played(2.0, pcm)], 5), Scattered([Played(2.0, pcm)], 5)):
        assert 0 <= 2 * RATE + 5000 - sound.quiet_until(1000, 0) < 160
        assert sound.quiet_until(1000, 2 * RATE + 5001) is None or sound.quiet_until(
            1000, 2 * RATE + 5001
        ) < (2 * RATE + 5160)
