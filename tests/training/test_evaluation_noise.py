"""Noise at the level that was asked for, and what models make of it."""

from __future__ import annotations

import numpy as np
import pytest

from cicada.tools.packed import PackedModel
from cicada.training import augment, scenes
from cicada.training.corpora import noise, open_corpus
from cicada.training.evaluation import noise as in_noise
from cicada.training.pack import pack
from cicada.training.streaming import Pace
from cicada.training.windows import SECOND
from support.chirps import make
from support.listeners import Slope

WORDS = ("up", "down")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return open_corpus(make(tmp_path_factory.mktemp("chirps") / "data"), WORDS)


@pytest.fixture(scope="module")
def clips(corpus):
    return [clip for clip in corpus.clips if clip.split == "test"]


HISS = [noise.backgrounds("test", 1, 20)["white"]]


@pytest.mark.parametrize("snr", [20.0, 5.0])
def test_noise_lies_under_the_speech_at_the_level_that_was_asked_for(corpus, clips, snr):
    for clip in clips[:4]:
        clean = scenes.evaluation(clip, corpus.backgrounds["test"], SECOND)
        pcm = in_noise.noisy(clip, clean, HISS, snr, 1)
        assert pcm.dtype == np.int16 and len(pcm) == len(clean)
        # Where nobody whistles the noise alone is left; its own background is 50 dB below the whistle.
        left = pcm[:16000].astype(float).std() / np.abs(pcm.astype(float)).max()
        whole = augment.speech_level(clean) / np.abs(clean.astype(float)).max()
        peak = np.abs(pcm.astype(float)).max() / np.abs(clean.astype(float)).max()
        assert 20 * np.log10(whole / (left * peak)) == pytest.approx(snr, abs=0.7)
        np.testing.assert_array_equal(pcm, in_noise.noisy(clip, clean, HISS, snr, 1))


def test_noise_beyond_full_scale_makes_all_of_it_softer(corpus, clips):
    clean = np.clip(scenes.evaluation(clips[0], corpus.backgrounds["test"], SECOND) * 5.0, -32000, 32000)
    pcm = in_noise.noisy(clips[0], clean.astype(np.int16), HISS, 0.0, 1)
    assert np.abs(pcm.astype(int)).max() >= 32766 and np.sum(np.abs(pcm.astype(int)) >= 32766) < 5


def test_accuracy_falls_with_the_noise(corpus, clips):
    hum = [np.roll(HISS[0], 7)]
    found = in_noise.by_snr(
        clips, WORDS, corpus.backgrounds["test"], hum, Slope(), Pace(), SECOND, snrs=(None, 20.0, -20.0)
    )
    assert [one["snr_db"] for one in found] == [None, 20.0, -20.0]
    accuracies = [one["accuracy"] for one in found]
    assert accuracies[0] > 0.9 and accuracies[0] >= accuracies[1] > accuracies[2] + 0.3
    assert found[0]["interval"]["low"] <= accuracies[0] <= found[0]["interval"]["high"]
    assert found[0]["words"]["up"]["n"] == 8 and found[0]["words"]["_silence_"]["n"] == 0


def test_a_streaming_model_hears_the_whole_scene_in_calls_that_end_with_it():
    class Counting:
        def reset(self) -> None:
            self.heard: list[int] = []

        def invoke(self, window: np.ndarray) -> np.ndarray:
            self.heard += window[:, 0].tolist()
            return np.array([len(self.heard)], np.int8)

    model, frames = Counting(), np.arange(100, dtype=np.int8)[:, None].repeat(40, axis=1)
    for _ in range(2):
        assert in_noise.answer(model, frames, Pace(20, 3, 3)).tolist() == [99]
        assert model.heard == list(range(1, 100))
    assert in_noise.answer(model, frames, Pace(20, 49, 5)).tolist() == [49]
    assert model.heard == list(range(51, 100))


def test_the_packed_model_of_the_firmware_hears_a_recording_in_noise(shared_data):
    from cicada.tools.paths import FIRMWARE

    blob = (FIRMWARE / "models" / "kws.tflite").read_bytes()
    model = PackedModel(pack(blob).blob)
    corpus = open_corpus(shared_data / "speech_commands", ["yes", "no"])
    clips = [c for c in corpus.clips if c.split == "test" and c.word in corpus.words][::8]
    found = in_noise.by_snr(
        clips, corpus.words, corpus.backgrounds["test"], corpus.backgrounds["test"], model, Pace(), SECOND
    )
    assert [one["snr_db"] for one in found] == list(in_noise.SNRS)
    assert found[0]["accuracy"] > found[-1]["accuracy"]
