"""Hours of sound: what is in a mixture, that models hear it as the device would, and the curves over it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cicada.tools import engine
from cicada.tools.audio import RATE
from cicada.tools.packed import PackedModel
from cicada.tools.tflm import Interpreter
from cicada.training import decision, streaming
from cicada.training.corpora import noise, open_corpus, voices
from cicada.training.corpora.base import Clip
from cicada.training.decision import Decision, Detection
from cicada.training.evaluation import curves, listening
from cicada.training.evaluation.mixtures import (
    PLACES,
    SCENE_S,
    Heard,
    Mixture,
    least_hours,
    listen,
    of_split,
)
from cicada.training.pack import pack
from cicada.training.streaming import Outputs, Pace, Spoken
from support.chirps import make
from support.listeners import Loud, Slope

MINUTES = 1 / 60


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return open_corpus(make(tmp_path_factory.mktemp("chirps") / "data"), ["up", "down"])


def test_a_mixture_plays_each_wanted_clip_once_and_others_in_the_other_places(corpus):
    mixture = of_split(corpus, "test", 5 * MINUTES, 1)
    said = [spoken for _, words in mixture.all_scenes() for spoken in words]
    assert mixture.scenes == 10 and len(said) == 5 * PLACES
    assert [sum(s.word == word for s in said) for word in ("up", "down")] == [8, 8]
    assert {s.word for s in said} == {"up", "down", "flat", "high"}
    assert all(a.end <= b.start for a, b in zip(said, said[1:], strict=False))
    told = mixture.as_json()
    assert (told["wanted"], told["others"], told["other_clips"]) == (16, 59, 16)
    json.dumps(told)


def test_words_sound_where_the_mixture_says_and_its_ends_are_without(corpus):
    mixture = replace(of_split(corpus, "test", 2 * MINUTES, 3), snr_db=(30.0, 30.0))
    for number, (pcm, words) in enumerate(mixture.all_scenes()):
        assert pcm.dtype == np.int16 and len(pcm) == SCENE_S * RATE
        assert not (words and number in (0, mixture.scenes - 1))
        inside = np.zeros(len(pcm), bool)
        for spoken in words:
            first, last = (int(t * RATE) - number * SCENE_S * RATE for t in (spoken.start, spoken.end))
            assert 0 <= first < last <= len(pcm)
            inside[first:last] = True
        if words:
            assert pcm[inside].astype(float).std() > 8 * pcm[~inside].astype(float).std()


def test_the_level_of_speech_over_the_background_is_what_was_asked_for(corpus):
    clip = next(c for c in corpus.clips if c.split == "test" and c.word == "up")
    hiss = [noise.backgrounds("test", 1, 40)["white"]]

    def mixed(snr: float) -> np.ndarray:
        return Mixture([clip], [], hiss, 1.5 * MINUTES, 2, 1.0, (snr, snr)).scene(1)[0].astype(float)

    loud, quiet = (np.sort(np.abs(mixed(snr)))[: RATE * 20] for snr in (10.0, 30.0))
    # The quietest two thirds of a scene with one word are background alone.
    assert 20 * np.log10(loud.std() / quiet.std()) == pytest.approx(20, abs=0.5)


def test_the_same_seed_gives_the_same_sound_and_any_part_of_it(corpus):
    mixture = of_split(corpus, "test", 2 * MINUTES, 4, most=3)
    whole = np.concatenate([pcm for pcm, _ in mixture.all_scenes()])
    np.testing.assert_array_equal(mixture.sound(0, 120), whole)
    np.testing.assert_array_equal(mixture.sound(29.5, 61.25), whole[int(29.5 * RATE) : int(61.25 * RATE)])
    np.testing.assert_array_equal(mixture.sound(119, 500), whole[119 * RATE :])
    assert len(mixture.sound(-3, -1)) == 0
    again = of_split(corpus, "test", 2 * MINUTES, 4, most=3)
    np.testing.assert_array_equal(again.scene(2)[0], mixture.scene(2)[0])
    other = of_split(corpus, "test", 2 * MINUTES, 5, most=3)
    assert not np.array_equal(other.scene(2)[0], mixture.scene(2)[0])


def test_too_many_words_for_the_time_are_refused_with_the_time_they_take(corpus):
    with pytest.raises(ValueError, match="make it at least 0.05 h long"):
        of_split(corpus, "test", 1 * MINUTES, 1)
    for words in (1, 15, 16, 400):
        for speech in (0.1, 0.5, 1.0):
            hours = least_hours(words, speech)
            clip = corpus.clips[0]
            Mixture([clip] * words, [], corpus.backgrounds["test"], hours, 1, speech)
    with pytest.raises(ValueError, match="needs a background"):
        Mixture([], [], [], 1.0, 1)


def test_a_model_hears_a_mixture_as_it_would_hear_the_whole_sound(corpus):
    mixture, model, pace = of_split(corpus, "test", 2 * MINUTES, 6), Loud(), Pace(20, 10, 3)
    heard = listen(mixture, model, pace, "test")
    assert model.resets == 1 and heard.hours == pytest.approx(120 / 3600)
    frames = engine.features(mixture.sound(0, 120), pace.step_ms)
    whole = streaming.answers(frames, model.invoke, "test", pace)
    np.testing.assert_array_equal(heard.outputs.scores, whole.scores)
    assert heard.outputs.times_ms == whole.times_ms
    assert 0 < np.mean(whole.scores == 127) < 1


def test_a_model_of_one_label_is_measured_from_mixture_to_figures(corpus):
    pace, words = Pace(20, 10, 3), replace(corpus, words=("up",))
    heard = listen(of_split(words, "test", 4 * MINUTES, 6), Loud(), pace, "test")
    found = curves.figures(heard, ["up"], Decision(3, 3, 0.5, 500))
    assert found["wanted"] == 8 and found["detected"] >= 5
    # Energy is no word: what it takes for one is mostly another word, and some of it is noise.
    assert {"down", "flat", "high"} & set(found["causes"])
    assert sum(found["causes"].values()) == found["false_accepts"] > 0
    low, rate, high = (found["false_accepts_interval"][k] for k in ("low", "estimate", "high"))
    assert low < rate < high and rate == pytest.approx(found["false_accepts"] * 15)


def test_a_model_is_measured_on_two_splits_and_its_errors_can_be_heard_again(corpus):
    chosen, found = listening.measure(corpus, Slope(), Pace(), 1, 1 * MINUTES, 4, accepts_per_hour=600)
    for split in ("validation", "test"):
        assert found[split]["wanted"] == found["mixtures"][split]["wanted"] == 8
        assert found[split]["hours"] == found["mixtures"][split]["hours"] > 1 * MINUTES
    assert found["test"]["false_accepts"] == len(found["errors"]["false_accepts"])
    assert found["test"]["missed"] == len(found["errors"]["missed"])
    assert found["decision"] == chosen.as_json() and found["test"]["detected"] > 2
    json.dumps(found, allow_nan=False)
    # What the mixture has at the time of a word is that word.
    again = listening.mixture(corpus, "test", 1 * MINUTES, 1, 4)
    spoken = next(word for _, words in again.all_scenes() for word in words if word.word == "up")
    whistle = again.sound(spoken.start, spoken.end).astype(float)
    assert whistle.std() > 1.5 * again.sound(0, 5).astype(float).std()


def bumps(times: list[float], scores: list[float], seconds: float) -> Outputs:
    """A model of one label that is sure for half a second after each time."""
    now = np.arange(0, int(seconds * 1000), 100)
    values = np.zeros(len(now))
    for at, value in zip(times, scores, strict=True):
        values[(now >= at * 1000) & (now < at * 1000 + 600)] = value
    return Outputs(now.tolist(), (np.rint(values * 255) - 128).astype(np.int8)[:, None])


def test_the_choice_is_made_on_validation_alone_and_measured_on_test():
    # Of validation a threshold up to 0.7 hears all, and only the one at 0.9 is false.
    spoken = [Spoken(t, t + 0.5, "up") for t in (5.0, 15.0, 25.0)]
    validation = Heard(spoken, 0.5, bumps([5, 15, 25, 35], [0.71, 0.8, 0.95, 0.62], 60))
    test = Heard(spoken, 0.5, bumps([5, 15, 25, 35], [0.6, 0.8, 0.95, 0.9], 60))
    chosen, found = curves.measure(validation, test, ["up"], Pace(), accepts_per_hour=1)
    assert chosen.threshold == pytest.approx(0.7) and chosen.hop_frames == 5
    assert (found["validation"]["missed"], found["validation"]["false_accepts"]) == (0, 0)
    assert (found["test"]["missed"], found["test"]["false_accepts"]) == (1, 1)
    assert found["test"]["words"] == {"up": {"wanted": 3, "missed": 1, "false_accepts": 1}}
    assert found["test"]["causes"] == {"": 1}
    assert found["decision"] == chosen.as_json()
    json.dumps(found, allow_nan=False)
    # What test sound would have chosen is another setting: nothing of it went into the choice.
    swapped, _ = curves.measure(test, test, ["up"], Pace(), accepts_per_hour=1)
    assert swapped.threshold != chosen.threshold


def test_a_curve_has_only_settings_that_no_other_beats():
    spoken = [Spoken(t, t + 0.5, "up") for t in (5.0, 15.0, 25.0)]
    said = bumps([5, 15, 25, 35, 45], [0.9, 0.7, 0.5, 0.8, 0.6], 60)
    tried = decision.sweep(Heard(spoken, 0.5, said), said, ["up"])
    points = curves.pareto(tried)
    assert [(p.false_accepts_per_hour, p.miss_rate) for p in points] == [
        (0, pytest.approx(2 / 3)),
        (2, pytest.approx(1 / 3)),
        (4, 0),
    ]
    assert points[0].threshold == pytest.approx(0.9) and points[0].latency_ms is not None
    for point in points:
        for setting, score in tried:
            better = score.false_accepts_per_hour <= point.false_accepts_per_hour
            assert not (better and score.missed / 3 < point.miss_rate), (setting, point)


def test_without_wanted_words_there_are_false_accepts_but_no_misses():
    said = bumps([5], [0.9], 60)
    heard = Heard([Spoken(5.0, 5.4, "cat")], 0.5, said)
    found = curves.figures(heard, ["up"], Decision(5, 2, 0.8, 1000))
    assert (found["miss_rate"], found["causes"]) == (None, {"cat": 1})
    assert curves.pareto(decision.sweep(heard, said, ["up"]))[0].miss_rate is None


def test_a_false_accept_says_where_it_is_and_over_what():
    sound = Heard([Spoken(2.0, 2.4, "cat"), Spoken(8.0, 8.4, "up")], 0.1, bumps([], [], 20))
    detections = [Detection(2.6, "up", 0.9), Detection(5.0, "up", 0.8), Detection(8.5, "up", 0.7)]
    assert curves.false_accepts(sound, detections, ["up"]) == [
        {"at": 2.6, "word": "up", "score": 0.9, "during": "cat"},
        {"at": 5.0, "word": "up", "score": 0.8, "during": ""},
    ]


@pytest.fixture(scope="module")
def phrases(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> tuple[list[Clip], list[Clip]]:
    """ "Okay Nabu" by synthetic voices that the published model understands, and people's other words."""
    folder = tmp_path_factory.mktemp("nabu")
    espeak, wanted = voices.Espeak(folder), []
    for variant in ("m1", "m3", "m7", "Annie"):
        for accent in ("en-us", "en"):
            for rate in (130, 150):
                pcm = espeak.render("okay naboo", accent, variant, rate=rate, pitch=50, span=50, seed=1)
                path = folder / f"{accent}_{variant}_{rate}.wav"
                soundfile.write(path, np.pad(pcm, 800), espeak.rate, subtype="PCM_16")
                wanted.append(Clip(path, "okay_nabu", variant, "test"))
    others = sorted((shared_data / "speech_commands").glob("[a-z]*/*.flac"))[::331]
    return wanted, [Clip(p, p.parent.name, "", "test") for p in others if p.parent.name != "silence"]


def test_a_published_wake_word_is_heard_in_a_mixture_and_other_words_are_not(phrases, shared_data: Path):
    about = json.loads((shared_data / "models" / "okay_nabu.json").read_text())["micro"]
    blob = (shared_data / "models" / "okay_nabu.tflite").read_bytes()
    wanted, others = phrases
    hums = list(noise.backgrounds("test", 1, 60).values())
    mixture = Mixture(wanted, others, hums, 3 * MINUTES, 1, snr_db=(15.0, 30.0))
    packed = PackedModel(pack(blob).blob)
    stride = packed.input["shape"][1]
    pace = Pace(about["feature_step_size"], stride, stride)
    heard = listen(mixture, packed, pace, "okay_nabu")
    chosen = Decision(stride, about["sliding_window_size"], about["probability_cutoff"], 1000)
    found = curves.figures(heard, ["okay_nabu"], chosen)
    assert found["wanted"] == 16 and found["detected"] >= 11
    assert found["false_accepts"] == 0
    assert -300 < found["latency_ms"] < 600 and found["latency_ms"] <= found["latency_p95_ms"] < 1000
    # Its state goes on from call to call under TFLM as well.
    first = streaming.answers(np.zeros((1200, 40), np.int8), Interpreter(blob).invoke, "TFLM", pace)
    packed.reset()
    again = streaming.answers(np.zeros((1200, 40), np.int8), packed.invoke, "packed", pace)
    np.testing.assert_array_equal(first.scores, again.scores)
