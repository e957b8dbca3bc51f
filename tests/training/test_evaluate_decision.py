"""Figures of accuracy, and the choice of when a word counts as heard."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.training import decision, evaluate, streaming
from cicada.training.corpora import open_corpus
from cicada.training.decision import Decision, Detection, Score
from cicada.training.streaming import Outputs, Spoken, Stream
from support.chirps import RATE, make

LABELS = ["_silence_", "_unknown_", "up", "down"]


def test_confusion_counts_rows_said_columns_answered():
    matrix = evaluate.confusion(np.array([0, 1, 1, 2]), np.array([0, 2, 2, 2]), 3)
    np.testing.assert_array_equal(matrix, [[1, 0, 0], [0, 0, 2], [0, 0, 1]])
    assert evaluate.balanced(matrix) == pytest.approx(2 / 3)


def test_a_class_without_examples_does_not_count():
    assert evaluate.balanced(np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]])) == pytest.approx(0.875)


def test_equal_share_keeps_words_and_draws_the_rest():
    y = np.repeat([0, 1, 2, 3], [50, 400, 30, 20])
    share = evaluate.equal_share(y, 1)
    np.testing.assert_array_equal(np.bincount(y[share]), [30, 30, 30, 20])
    np.testing.assert_array_equal(share, evaluate.equal_share(y, 1))
    assert len(set(share)) == len(share)


def test_report_of_a_model_that_errs_on_one_word():
    y = np.repeat([0, 1, 2, 3], 10)
    guess = y.copy()
    guess[y == 3] = 1
    report = evaluate.report(y, np.eye(4)[guess], LABELS, 1)
    assert report["accuracy"] == report["balanced"] == 0.75 and report["examples"] == 40
    assert report["words"]["down"] == {"recall": 0.0, "n": 10}
    assert report["words"]["up"]["recall"] == 1.0
    assert report["confusion"][3] == [0, 10, 0, 0]


def test_clips_of_few_speakers_say_less_than_as_many_of_many():
    rng = np.random.default_rng(4)
    y = np.repeat([0, 1, 2, 3], 50)
    by_speaker = np.repeat(rng.random(10) < 0.7, 20)[rng.permutation(200)]
    speakers = [f"s{n}" for n in range(200)]
    guess = np.where(by_speaker, y, 1)
    apart = evaluate.report(y, np.eye(4)[guess], LABELS, 1, speakers)
    few = evaluate.report(y, np.eye(4)[guess], LABELS, 1, ["s1" if right else "s2" for right in guess == y])
    assert apart["accuracy"] == few["accuracy"] and few["interval"]["n"] == 2 < apart["interval"]["n"] == 200
    assert few["interval"]["high"] - few["interval"]["low"] > 0.9
    assert evaluate.report(y, np.eye(4)[guess], LABELS, 1)["interval"] == pytest.approx(
        evaluate.report(y, np.eye(4)[guess], LABELS, 1, [""] * 200)["interval"], abs=0.03
    )


def stream(*spoken: tuple[float, float, str], seconds: float = 20.0) -> Stream:
    return Stream(np.zeros(int(seconds * RATE), np.int16), [Spoken(*one) for one in spoken])


def outputs(seconds: float, *bumps: tuple[float, float, int, float]) -> Outputs:
    """Silence, but for stretches (start, end, class, score 0..1)."""
    times = [100 * k for k in range(1, int(seconds * 10) + 1)]
    scores = np.full((len(times), len(LABELS)), -128)
    scores[:, 0] = 127
    for start, end, label, value in bumps:
        rows = [k for k, t in enumerate(times) if start * 1000 < t <= end * 1000]
        scores[rows, label] = round(value * 255) - 128
        scores[rows, 0] = -128 + 255 - round(value * 255)
    return Outputs(times, scores.astype(np.int8))


def test_detections_are_matched_once_within_a_second_of_the_word():
    sound = stream((2.0, 2.5, "up"), (5.0, 5.5, "up"), (8.0, 8.5, "down"), (11.0, 11.5, "cat"))
    heard = [
        Detection(2.7, "up", 0.9),
        Detection(3.4, "up", 0.9),  # the same utterance again: false
        Detection(6.6, "up", 0.9),  # later than a second after the word: false
        Detection(8.4, "down", 0.9),  # before the word's end is early, not false
        Detection(11.6, "down", 0.9),  # another word was said: false
    ]
    found = decision.score(sound, heard, ["up", "down"])
    assert (found.wanted, found.detected, found.missed, found.false_accepts) == (3, 2, 1, 3)
    assert found.latency_ms == pytest.approx((200 - 100) / 2)
    assert found.hours == pytest.approx(20 / 3600)
    assert found.false_accepts_per_hour == pytest.approx(3 * 180)


def test_nothing_heard_has_no_latency():
    found = decision.score(stream((2.0, 2.5, "up")), [], ["up"])
    assert found == Score(1, 0, 1, 0, 0.0, None, None, found.hours)


def test_the_device_smoother_decides():
    spoken = outputs(6, (2.0, 2.8, 2, 0.96), (4.0, 4.2, 3, 0.96))
    heard = decision.detect(spoken, LABELS, Decision(5, 3, 0.9, 1000))
    # Three windows above the threshold are needed: the second bump has but two.
    assert [(d.word, d.at) for d in heard] == [("up", pytest.approx(2.3))]
    assert heard[0].score == pytest.approx(0.96, abs=0.01)


def test_the_choice_hears_all_words_and_no_false_ones_if_it_can():
    sound = stream((2.0, 2.5, "up"), (6.0, 6.5, "down"), (10.0, 10.5, "cat"))
    said = outputs(20, (2.4, 3.0, 2, 0.93), (6.4, 7.0, 3, 0.85), (10.2, 10.9, 2, 0.72))
    chosen, found = decision.pick(decision.sweep(sound, said, LABELS))
    assert (found.detected, found.false_accepts) == (2, 0)
    assert chosen.hop_frames == streaming.HOP_FRAMES
    # Of all the settings that do it, the strictest threshold.
    assert chosen.threshold == 0.85
    again = decision.score(sound, decision.detect(said, LABELS, chosen), LABELS[2:])
    assert again == found


@given(st.integers(0, 2**32 - 1))
def test_matching_never_counts_twice(seed):
    rng = np.random.default_rng(seed)
    words = ["up", "down", "cat"]
    sound = stream(*((t, t + 0.4, words[rng.integers(3)]) for t in np.sort(rng.uniform(0, 18, 8))))
    heard = [Detection(t, words[rng.integers(2)], 0.9) for t in np.sort(rng.uniform(0, 20, 10))]
    found = decision.score(sound, heard, ["up", "down"])
    assert found.detected + found.missed == found.wanted == sum(s.word != "cat" for s in sound.spoken)
    assert found.detected + found.false_accepts == len(heard)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return open_corpus(make(tmp_path_factory.mktemp("chirps") / "data"), ["up", "down"])


def test_a_stream_has_wanted_and_other_words_of_its_split_where_it_says(corpus):
    made = streaming.make(corpus, "test", 1, 4, 3.0)
    said = [spoken.word for spoken in made.spoken]
    assert said.count("up") == said.count("down") == 4 and len(said) == 8 + 16
    assert made.pcm.dtype == np.int16
    ends = [0.0] + [spoken.end for spoken in made.spoken]
    for spoken, before in zip(made.spoken, ends, strict=False):
        assert before < spoken.start < spoken.end < len(made.pcm) / RATE - 3
        inside = made.pcm[int(spoken.start * RATE) : int(spoken.end * RATE)].astype(float)
        assert inside.std() > 500
    again = streaming.make(corpus, "test", 1, 4, 3.0)
    np.testing.assert_array_equal(made.pcm, again.pcm)
    assert not np.array_equal(made.pcm, streaming.make(corpus, "test", 2, 4, 3.0).pcm)


def test_the_model_is_asked_every_100_ms_with_the_last_second(corpus):
    from cicada.tools import engine
    from cicada.training.windows import FRAMES, STEP_MS

    pcm = streaming.make(corpus, "test", 1, 2, 1.0).pcm
    seen: list[np.ndarray] = []

    def invoke(window: np.ndarray) -> np.ndarray:
        seen.append(window.copy())
        return np.array([1, 2, 3], np.int8)

    frames = engine.features(pcm, STEP_MS)
    said = streaming.answers(frames, invoke, "test", streaming.Pace())
    assert said.scores.shape == (len(seen), 3) and np.unique(np.diff(said.times_ms)).tolist() == [100]
    for at in (0, 7, -1):
        heard = 1 + (said.times_ms[at] * RATE // 1000 - 480) // 320
        np.testing.assert_array_equal(seen[at], frames[heard - FRAMES : heard])


def random_outputs(seed: int, classes: int, rows: int, hop_ms: int) -> Outputs:
    """Scores that come and go, with runs of equal ones, as a model's saturate."""
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.random((rows, classes)) ** 3, rng.integers(1, 6, rows), axis=0)[:rows]
    share = np.rint(level / level.sum(axis=1, keepdims=True).clip(1e-9) * 255)
    return Outputs([30 + hop_ms * k for k in range(rows)], (share - 128).astype(np.int8))


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 3, 4, 7]),
    st.sampled_from([20, 60, 100]),
    st.integers(1, 9),
    st.sampled_from(decision.THRESHOLDS),
    st.sampled_from([0, 150, 1000]),
)
def test_averages_find_what_the_device_smoother_finds(seed, classes, hop_ms, window, threshold, rest):
    labels = ["word"] if classes == 1 else ["_silence_", "_unknown_", *"abcde"[: classes - 2]]
    said = random_outputs(seed, classes, 120, hop_ms)
    expected = decision.detect(said, labels, Decision(hop_ms // 20, window, threshold, rest))
    assert decision.Averages(said, labels, window).detections(threshold, rest) == expected


def test_those_streams_have_many_detections_at_low_thresholds_and_few_at_high_ones():
    averages = [decision.Averages(random_outputs(seed, 4, 120, 100), LABELS, 2) for seed in range(20)]
    assert min(len(one.detections(0.5, 150)) for one in averages) > 8
    assert 0 < sum(len(one.detections(0.95, 150)) for one in averages) < 60


def test_a_stream_shorter_than_the_average_has_no_detections():
    assert decision.Averages(random_outputs(1, 4, 3, 100), LABELS, 4).detections(0.3) == []


@given(st.integers(0, 2**32 - 1))
def test_each_utterance_takes_the_first_detection_that_is_left(seed):
    rng = np.random.default_rng(seed)
    starts = np.sort(rng.uniform(0, 18, 12))
    sound = stream(*((t, t + rng.uniform(0.1, 1.5), "ab"[rng.integers(2)]) for t in starts))
    heard = [Detection(t, "ab"[rng.integers(2)], 0.9) for t in np.sort(rng.uniform(0, 20, 15))]
    left, expected = list(heard), []
    for one in sound.spoken:
        fits = [d for d in left if d.word == one.word and one.start <= d.at <= one.end + decision.LATE_S]
        expected.append((one, fits[0] if fits else None))
        left = [d for d in left if d not in fits[:1]]
    assert decision.match(sound, heard, ["a", "b"]) == (expected, left)


def test_latency_is_the_median_and_what_one_in_twenty_exceeds():
    times = np.arange(1, 22, dtype=float) * 5
    sound = stream(*((t, t + 0.5, "up") for t in times), seconds=120)
    late = np.arange(21) / 100  # 0 to 200 ms
    found = decision.score(
        sound, [Detection(t + 0.5 + d, "up", 1.0) for t, d in zip(times, late, strict=True)], ["up"]
    )
    assert found.latency_ms == pytest.approx(100) and found.latency_p95_ms == pytest.approx(190)


def tried(*figures: tuple[float, int, int], window: int = 2) -> list[tuple[Decision, Score]]:
    """Settings with their threshold, misses of 100 words and false accepts in half an hour."""
    return [
        (
            Decision(5, window, threshold, 1000),
            Score(100, 100 - missed, missed, false, 2 * false, None, None, 0.5),
        )
        for threshold, missed, false in figures
    ]


def test_the_limit_of_false_accepts_an_hour_comes_before_the_misses():
    choices = tried((0.4, 0, 0), (0.5, 10, 4), (0.6, 30, 1), (0.7, 30, 1), (0.8, 50, 0))
    assert decision.pick(choices, 8)[0].threshold == 0.5
    # Of equals the higher threshold; 0.4 is below what a device should be given.
    assert decision.pick(choices, 2)[0].threshold == 0.7
    assert decision.pick(choices, 0)[0].threshold == 0.8
    # Without a limit a false accept costs two misses.
    assert decision.pick(tried((0.5, 10, 4), (0.6, 12, 1), (0.7, 15, 0)))[0].threshold == 0.6


def test_what_validation_cannot_tell_apart_is_decided_by_false_accepts_and_then_strictness():
    # A standard error of 10 misses of 100 words is 3 words.
    assert decision.pick(tried((0.5, 10, 1), (0.6, 13, 0), (0.7, 14, 0)), 2)[0].threshold == 0.6
    assert decision.pick(tried((0.5, 10, 1), (0.6, 12, 1), (0.7, 14, 0)), 2)[0].threshold == 0.6
    # None missed is taken for half a word: an error of 0.7.
    assert decision.pick(tried((0.5, 0, 0), (0.6, 1, 0)), 2)[0].threshold == 0.5
    longer = tried((0.6, 13, 0), window=4)
    assert decision.pick([*tried((0.5, 10, 1), (0.6, 13, 0)), *longer], 2)[0].window == 4


def test_where_no_setting_keeps_the_limit_the_fewest_false_accepts_win():
    assert decision.pick(tried((0.5, 0, 9), (0.6, 4, 3), (0.7, 5, 3)), 1)[0].threshold == 0.6


def test_a_streaming_model_gets_every_frame_once_and_in_order():
    frames = (np.arange(300) % 128).astype(np.int8)[:, None].repeat(40, axis=1)
    seen: list[int] = []

    def invoke(window: np.ndarray) -> np.ndarray:
        seen.extend(window[:, 0].tolist())
        return np.array([255, 0, 7], np.uint8)

    pace = streaming.Pace(10, 3, 3)
    said = streaming.answers(frames, invoke, "test", pace)
    # It begins when the front end has settled: after 2 s.
    assert seen == frames[200:299, 0].tolist()
    # Its unsigned scores become those the smoother takes.
    assert said.scores.tolist() == [[127, -128, -121]] * 33
    # The 203rd frame ends at sample 480 + 202 * 160.
    assert said.times_ms[0] == 30 + 202 * 10 and np.unique(np.diff(said.times_ms)).tolist() == [30]


def test_a_stream_too_short_for_one_inference_is_refused():
    with pytest.raises(ValueError, match="needs 149 frames"):
        streaming.answers(np.zeros((100, 40), np.int8), lambda window: window[0], "test", streaming.Pace())
