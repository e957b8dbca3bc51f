"""32-bit stereo frames to 16-bit mono."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from cicada.tools.engine import mono16

frames_of_any_kind = npst.arrays(np.int32, st.tuples(st.integers(0, 50), st.just(2)))


@given(frames_of_any_kind, st.integers(0, 1), st.integers(0, 16))
def test_one_slot_is_shifted_and_clipped(frames, slot, gain_bits):
    wanted = np.clip(frames[:, slot].astype(np.int64) >> (16 - gain_bits), -32768, 32767)
    out, span = mono16(frames, slot, gain_bits)
    np.testing.assert_array_equal(out, wanted)
    assert span == (wanted.max() - wanted.min() if len(wanted) else 0)


@given(npst.arrays(np.int16, st.integers(1, 50)), st.integers(0, 8))
def test_what_a_microphone_of_24_bits_sends_comes_back_whole(sound, gain_bits):
    frames = np.zeros((len(sound), 2), np.int32)
    frames[:, 1] = sound.astype(np.int32) << (16 - gain_bits)
    np.testing.assert_array_equal(mono16(frames, 1, gain_bits)[0], sound)
    assert mono16(frames, 0, gain_bits)[1] == 0


@pytest.mark.parametrize(
    ("frames", "slot", "gain"),
    [(np.zeros((4, 2), np.int16), 0, 0), (np.zeros(4, np.int32), 0, 0), (np.zeros((4, 2), np.int32), 2, 0)],
)
def test_frames_of_another_form_are_refused(frames, slot, gain):
    with pytest.raises(ValueError, match="must be"):
        mono16(frames, slot, gain)
