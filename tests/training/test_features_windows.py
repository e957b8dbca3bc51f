"""What lies where: speech in clips, clips in scenes, words in strips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools import engine
from cicada.training import features, scenes
from cicada.training.corpora import open_corpus
from cicada.training.recipe import Augment
from cicada.training.windows import (
    CHANNELS,
    CONTEXT,
    FRAMES,
    SECOND,
    STEP,
    STEP_MS,
    TAIL,
    Window,
    fitted,
    labels,
    noise_floor,
    speech_span,
)
from support.chirps import RATE, make


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return open_corpus(make(tmp_path_factory.mktemp("chirps") / "data"), ["up", "down"])


@given(
    start=st.integers(0, 9000),
    count=st.integers(1600, 6000),
    noise=st.sampled_from([0, 10, 100]),
    seed=st.integers(0, 2**32 - 1),
)
def test_speech_is_found_where_it_is(start, count, noise, seed):
    rng = np.random.default_rng(seed)
    pcm = rng.normal(0, noise, RATE)
    pcm[start : start + count] += 5000 * np.sin(np.arange(count))
    first, last = speech_span(np.rint(pcm).astype(np.int16))
    assert abs(first - start) <= STEP and abs(last - (start + count)) <= STEP


def test_a_stop_consonant_does_not_end_a_word_but_a_pause_does():
    pcm = np.zeros(RATE)
    for start, end in ((3200, 6400), (8000, 9600), (15040, 15360)):
        pcm[start:end] = 3000
    assert speech_span(pcm) == (3200, 9600)


@pytest.mark.parametrize("pcm", [np.zeros(RATE, np.int16), np.full(700, 9, np.int16), np.zeros(5, np.int16)])
def test_no_contrast_means_speech_throughout(pcm):
    assert speech_span(pcm) == (0, len(pcm))


@given(length=st.integers(1, 40000), seed=st.integers(0, 99))
def test_any_clip_becomes_one_second_with_its_speech(length, seed):
    rng = np.random.default_rng(seed)
    pcm = rng.integers(-20, 21, length).astype(np.int16)
    at, end = length // 3, min(length // 3 + 6000, length)
    pcm[at:end] = 5000
    second = fitted(pcm, RATE, rng)
    assert second.shape == (RATE,) and second.dtype == np.int16
    assert (second == 5000).sum() == end - at
    assert np.abs(second[second != 5000].astype(int)).max(initial=0) <= 5 * 0.03 * 5000
    assert fitted(second, RATE, rng) is second


@pytest.mark.parametrize(("step_ms", "frames"), [(20, 49), (10, 98), (20, 74), (10, 50)])
def test_a_clip_of_the_windows_length_gives_its_frames(step_ms, frames):
    window = Window(step_ms, frames)
    sound = np.zeros(CONTEXT + window.samples + TAIL, np.int16)
    settled = CONTEXT // window.step
    assert len(engine.features(sound[: CONTEXT + window.samples], step_ms)) == settled + frames
    # A strip ends within what follows the clip.
    assert len(engine.features(sound, step_ms)) >= settled + frames + window.side
    assert window.strip == frames + 1000 // step_ms


def test_noise_floor_ignores_the_speech():
    rng = np.random.default_rng(1)
    pcm = rng.normal(0, 50, RATE)
    pcm[4000:9000] += 8000
    assert noise_floor(pcm) == pytest.approx(50, rel=0.2)
    assert noise_floor(np.zeros(3)) == 0


def test_an_evaluation_scene_is_the_clip_itself_after_noise_at_its_own_level(corpus):
    clip = next(clip for clip in corpus.clips if clip.split == "test")
    scene, pcm = scenes.evaluation(clip, corpus.backgrounds["test"]), clip.load()
    assert scene.dtype == np.int16 and len(scene) == CONTEXT + RATE
    np.testing.assert_array_equal(scene[CONTEXT + RATE // 100 :], pcm[RATE // 100 :])
    assert np.std(scene[:CONTEXT].astype(float)) == pytest.approx(noise_floor(pcm), rel=0.2)
    np.testing.assert_array_equal(scene, scenes.evaluation(clip, corpus.backgrounds["test"]))
    # The last second's frames are the model's window: they start with the clip's first sample.
    assert len(engine.features(scene, STEP_MS)) == CONTEXT // STEP + FRAMES


def test_training_scenes_vary_and_say_where_the_word_is(corpus):
    clips = [clip for clip in corpus.clips if clip.split == "train"]
    noise, rng = corpus.backgrounds["train"], np.random.default_rng(3)
    made = [scenes.training(clips[0], clips[-5:], noise, rng, Augment()) for _ in range(20)]
    peaks = {int(np.abs(scene.pcm.astype(int)).max()) for scene in made}
    assert len(peaks) > 15 and max(peaks) <= 32767
    for scene in made:
        assert scene.pcm.dtype == np.int16 and len(scene.pcm) == CONTEXT + RATE + TAIL
        assert CONTEXT <= scene.span[0] < scene.span[1] <= CONTEXT + RATE


def test_silent_scenes_hold_no_word(corpus):
    rng = np.random.default_rng(4)
    made = [scenes.silence(corpus.backgrounds["train"], rng) for _ in range(60)]
    assert all(scene.span == (-1, -1) and len(scene.pcm) == CONTEXT + RATE + TAIL for scene in made)
    assert min(np.abs(scene.pcm.astype(int)).max() for scene in made) <= 1


@pytest.fixture(scope="module")
def extracted(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    features.extract(corpus, Augment(words=2, unknown=1, silences=30), SECOND, 1, folder)
    return folder


def test_every_example_has_its_class(corpus, extracted):
    strips = features.load_strips(extracted)
    assert strips.x.shape == (30 + 2 * 48 + 48, SECOND.strip, CHANNELS) and strips.x.dtype == np.int8
    np.testing.assert_array_equal(np.bincount(strips.y), [30, 48, 48, 48])
    assert labels(corpus.words) == ["_silence_", "_unknown_", "up", "down"]
    # One number a word and 0 for silence; `_unknown_` has both other words.
    assert set(strips.word[strips.y == 0]) == {0} and len(set(strips.word)) == 5
    assert len(set(strips.word[strips.y == 1])) == 2 and len(set(strips.word[strips.y == 2])) == 1
    for split in ("validation", "test"):
        windows = features.load_windows(extracted, split)
        assert windows.x.shape[1:] == (FRAMES, CHANNELS) and windows.x.dtype == np.int8
        np.testing.assert_array_equal(np.bincount(windows.y)[1:], [16, 8, 8])
        np.testing.assert_array_equal(windows.y == 2, windows.word == "up")
        assert (windows.x[windows.y == 0] == -128).all(axis=(1, 2)).any()


def test_the_span_is_where_the_whistle_is(extracted):
    strips = features.load_strips(extracted)
    rising = strips.x[strips.y == 2].astype(float)
    span = strips.span[strips.y == 2]
    inside = np.arange(SECOND.strip) < span[:, 1:]
    inside &= np.arange(SECOND.strip) >= span[:, :1]
    loud = rising.max(axis=2)
    contrast = [row[mask].mean() - row[~mask].mean() for row, mask in zip(loud, inside, strict=True)]
    assert np.mean(contrast) > 20
    assert (strips.span[strips.y == 0] == -1).all()
    np.testing.assert_array_equal(features.centred(strips), strips.x[:, SECOND.side : SECOND.side + FRAMES])


def test_windows_are_those_of_the_device_front_end(corpus, extracted):
    windows = features.load_windows(extracted, "test")
    clip = next(clip for clip in corpus.clips if clip.split == "test" and clip.word == "up")
    scene = scenes.evaluation(clip, corpus.backgrounds["test"])
    expected = engine.quantise(engine.FrontEnd(STEP_MS).feed(scene))[-FRAMES:]
    assert (windows.x[windows.word == "up"] == expected).all(axis=(1, 2)).any()


def test_the_same_seed_gives_the_same_features_and_another_does_not(corpus, extracted, tmp_path):
    for seed, same in ((1, True), (2, False)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        features.extract(corpus, Augment(words=2, unknown=1, silences=30), SECOND, seed, folder)
        assert np.array_equal(features.load_strips(folder).x, features.load_strips(extracted).x) == same
        # Evaluation does not depend on chance.
        assert np.array_equal(
            features.load_windows(folder, "test").x, features.load_windows(extracted, "test").x
        )
