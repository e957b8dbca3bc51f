"""The same sound in two splits is found however it was cut and scaled."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools import audio
from cicada.tools.errors import UserError
from cicada.training.corpora import open_corpus
from cicada.training.corpora.base import check_sounds
from cicada.training.evaluation.shared import marks, refuse_shared
from support.chirps import make


def sound(rng: np.random.Generator, count: int, level: float = 400.0) -> np.ndarray:
    return np.rint(np.convolve(rng.normal(0, level, count + 7), np.ones(8) / 3, "valid")).astype(np.int16)


@given(st.integers(0, 2**32 - 1), st.integers(0, 20000), st.integers(8000, 12000), st.floats(0.3, 5))
def test_a_cut_out_of_another_recording_is_found_at_any_level(seed, start, count, gain):
    rng = np.random.default_rng(seed)
    whole = sound(rng, 32000)
    stretch = np.clip(np.rint(whole[start:][:count] * gain), -32768, 32767).astype(np.int16)
    cut = np.concatenate([sound(rng, int(rng.integers(900))), stretch, sound(rng, 200)])
    rows = [(whole, "train", "whole.wav"), (cut, "test", "cut.wav"), (sound(rng, 9000), "test", "other.wav")]
    with pytest.raises(UserError, match="same sound in two splits") as caught:
        refuse_shared([rows[index] for index in rng.permutation(3)], "the folder")
    assert "whole.wav" in str(caught.value) and "cut.wav" in str(caught.value)
    # The same three in one split are no leak.
    refuse_shared([(pcm, "train", name) for pcm, _, name in rows], "the folder")


@given(st.integers(0, 2**32 - 1), st.sampled_from([3.0, 30.0, 4000.0]))
def test_different_sounds_pass(seed, level):
    rng = np.random.default_rng(seed)
    rows = [(sound(rng, 16000, level), split, split) for split in ("train", "validation", "test")]
    refuse_shared(rows, "the folder")


def test_silence_constants_and_tones_are_no_evidence():
    rows, time = [], np.arange(16000)
    for split in ("train", "test"):
        rows += [(np.full(16000, value, np.int16), split, f"{value}") for value in (0, 1, 32767, -32768)]
        rows.append((np.rint(9000 * np.sin(time * 2 * np.pi / 160)).astype(np.int16), split, "tone"))
        rows.append((np.zeros(0, np.int16), split, "nothing"))
    refuse_shared(rows, "the folder")
    refuse_shared([], "the folder")


def test_marks_are_some_sixty_a_second_and_the_same_in_a_copy_turned_over():
    pcm = sound(np.random.default_rng(1), 160000)
    found, other = marks(pcm), marks(-pcm)
    assert 50 < len(found.key) / 10 < 75 and found.shape.shape == (len(found.key), 64)
    np.testing.assert_array_equal(found.key, other.key)
    np.testing.assert_array_equal(found.shape, other.shape)


def test_the_splits_of_a_corpus_share_no_sound_until_somebody_copies_a_clip(tmp_path):
    folder = make(tmp_path / "data")
    check_sounds(open_corpus(folder, ["up", "down"]), "the folder")
    # A copy of a training clip among those of a test speaker, cut elsewhere.
    pcm = audio.load(folder / "up" / "train03_nohash_0.wav")
    soundfile.write(folder / "up" / "test02_nohash_0.wav", pcm[1500:], audio.RATE)
    with pytest.raises(UserError, match="share a stretch") as caught:
        check_sounds(open_corpus(folder, ["up", "down"]), "the folder")
    assert "train03_nohash_0.wav" in str(caught.value) and "test02_nohash_0.wav" in str(caught.value)


def test_real_clips_cut_from_noise_recordings_and_scaled_are_found_in_them(shared_data):
    folder = shared_data / "speech_commands"
    noises = [(audio.load(path), "train", path.name) for path in (folder / "_background_noise_").iterdir()]
    found = 0
    for path in sorted((folder / "silence").iterdir())[:5]:
        try:
            refuse_shared([*noises, (audio.load(path), "test", path.name)], "the folder")
        except UserError as error:
            found += path.name in str(error)
    # The second is 26 dB softer than its source: a few steps of the converter.
    assert found >= 4
    words = sorted((folder / "bed").iterdir())[:20]
    each = [(audio.load(path), path.stem, path.name) for path in words]
    refuse_shared([*noises, *each], "the folder")
