"""32-bit stereo frames to 16-bit mono."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from cicada.tools.engine import NO_LEVEL, mono16

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


@given(frames_of_any_kind, st.integers(0, 1), st.integers(0, 8), st.integers(0, 50))
def test_what_is_constant_is_taken_out_whatever_the_pieces(frames, slot, gain_bits, cut):
    """The filter, sample by sample in numbers of any size: nothing overflows."""
    held, wanted = None, []
    for sample in (int(v) >> 12 for v in frames[:, slot]):
        held = sample << 11 if held is None else held
        moved = sample - (held >> 11)
        held += moved
        wanted.append(min(max((moved << gain_bits) >> 4, -32768), 32767))
    level = np.array([NO_LEVEL], np.int32)
    pieces = [mono16(part, slot, gain_bits, level)[0] for part in (frames[:cut], frames[cut:])]
    np.testing.assert_array_equal(np.concatenate(pieces), wanted)
    assert level[0] == (NO_LEVEL if held is None else held)


def test_an_offset_goes_and_speech_stays():
    """A tone of 100 Hz 60 dB below full scale, beside an offset of 5 % of full scale; 18 bits of both."""
    tone = 32768 * 1e-3 * np.sin(2 * np.pi * 100 * np.arange(16000) / 16000)
    frames = np.zeros((16000, 2), np.int32)
    frames[:, 0] = np.rint((tone - 0.05 * 32768) * 4).astype(np.int32) << 14
    samples, _ = mono16(frames, 0, 3, np.array([NO_LEVEL], np.int32))
    assert np.abs(samples - tone * 8).max() < 0.03 * 8 * tone.max() + 8
    assert abs(samples.mean()) < 1
    plain, _ = mono16(frames, 0, 3)
    assert plain.mean() < -13000


def test_a_level_of_another_form_is_refused():
    frames = np.zeros((4, 2), np.int32)
    for level, gain in ((np.zeros(1, np.int16), 0), (np.zeros(2, np.int32), 0), (np.zeros(1, np.int32), 9)):
        with pytest.raises(ValueError, match="level must be"):
            mono16(frames, 0, gain, level)
