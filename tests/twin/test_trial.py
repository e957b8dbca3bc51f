"""A candidate against the running model: equal, worse, refused, and how sure one can be."""

import io
import json

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cicada.tools.errors import UserError
from cicada.tools.twin.trial import print_trial, trial, try_model
from cicada.tools.twin.trial_result import (
    BETTER,
    SAME,
    WORSE,
    Count,
    Difference,
    Figures,
    Measured,
    judge,
)
from cicada.training import container
from support.twins import LABELS, blob, loud, manifest, model, raw_container

DECISION = {"hop_frames": 5, "window": 3, "threshold": 0.8, "refractory_ms": 1500}
MINUTES = 1.5


@pytest.fixture
def containers(tmp_path):
    """Maker of container files: ``containers("name", labels=..., decision=...)``."""

    def make(name, **changes):
        path = tmp_path / f"{name}.cmod"
        path.write_bytes(raw_container(manifest(model(), **changes), model()) if changes else blob())
        return path

    return make


@pytest.fixture
def recordings(corpus_folder):
    """A folder whose "yes" are bursts of noise, which the small model knows; all other words are short."""
    folder = corpus_folder(("yes", "no", "up", "cat"), {"train": 20, "validation": 5, "test": 10})
    for path in sorted((folder / "yes").iterdir()):
        soundfile.write(path, loud(0, 0.8).pcm, 16000, subtype="PCM_16")
    return folder


def printed(made):
    console = Console(file=io.StringIO(), width=80)
    print_trial(made, console)
    return console.file.getvalue()


def test_a_model_is_no_different_from_itself(containers, recordings, tmp_path, capsys):
    same, out = containers("same"), tmp_path / "trial.json"
    code = try_model(same, recordings, same, minutes=0.5, json_file=out)
    made = json.loads(out.read_text())
    assert (code, made["exit_code"], made["verdict"]) == (0, 0, SAME)
    assert made["candidate"]["measured"] == made["running"]["measured"]
    assert "no difference: accuracy +0.0 points" in capsys.readouterr().out
    try_model(same, recordings, same, minutes=0.5, json_file=out)
    assert json.loads(out.read_text()) == made  # the same seed, the same trial


def test_a_model_that_never_fires_is_worse(containers, recordings):
    deaf = containers("deaf", decision=DECISION | {"window": 200})
    made = trial(deaf, recordings, containers("running"), ["yes"], minutes=MINUTES)
    new, old = made.candidate.measured, made.running.measured
    assert (made.verdict, made.code) == (WORSE, 1)
    assert new.words.right == 0 and old.words.right >= 6 and old.words.of == new.words.of
    assert new.clips == old.clips and old.clips["yes"] == Count(10, 10)
    assert made.reasons[0].startswith("words detected -")
    assert new.latency_ms is None and 0 < old.latency_ms < 1000
    assert old.hours * 60 == pytest.approx(MINUTES, rel=0.01)
    # The other way round it would be better, whatever else is the same.
    assert judge(made.running, made.candidate, [Difference("words", 8, 0)], 1 << 16)[0] == BETTER
    text = printed(made)
    assert "worse: words detected" in text and "Not run on hardware" in text
    assert max(len(line) for line in text.split("- ")[0].splitlines()) <= 80


def test_models_with_different_labels_are_compared_on_what_both_know(containers, recordings):
    other = containers("other", labels=["_silence_", "_unknown_", "yes", "up"])
    made = trial(other, recordings, containers("running"), minutes=0.5)
    assert made.words == ["yes"] and list(made.candidate.measured.clips) == ["_silence_", "_unknown_", "yes"]
    text = printed(made)
    assert "other.cmod knows up" in text and "running.cmod knows no" in text
    assert "Recordings of no, up were left out." in text
    assert made.verdict == SAME


def test_a_candidate_the_device_refuses_is_worse_and_not_measured(containers, recordings):
    wrong = containers("wrong", labels=LABELS[:3])
    made = trial(wrong, recordings, containers("running"), minutes=0.5)
    assert made.code == 1 and made.candidate.measured is None
    assert made.reasons == ["the device refuses it: model: output (1, 4) does not fit the labels"]
    assert "worse: the device refuses it" in printed(made)
    with pytest.raises(UserError, match="refuses the running model .*wrong.cmod .*--against"):
        trial(containers("running"), recordings, wrong, minutes=0.5)


def _wav():
    file = io.BytesIO()
    soundfile.write(file, np.zeros(1600, np.int16), 16000, format="WAV")
    return file.getvalue()


def _of_type(kind):
    return container.pack(manifest(model()) | {"type": kind}, model())


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (_wav, "is a WAV recording, not a model container"),
        (model, "is a bare TensorFlow Lite model, not a model container"),
        (lambda: b"CPM1" + bytes(100), "is a file that begins with b'CPM1', not a model container"),
        (lambda: b"", "is empty, not a model container"),
        (lambda: blob()[:-1], "is not a usable container"),
        (lambda: blob()[:-1] + bytes([blob()[-1] ^ 1]), "the hash does not fit"),
        (lambda: _of_type("vibration"), "holds a model of type 'vibration'"),
        (lambda: container.pack(manifest(model(), labels=["a", "b"]), model()), "names no words"),
        (
            lambda: container.pack(manifest(model(), frontend={"rate": 8000}), model()),
            "asks for a front end other than 16000 Hz",
        ),
    ],
)
def test_what_is_no_keyword_model_is_refused_in_one_sentence(data, said, containers, tmp_path):
    path = tmp_path / "candidate.cmod"
    path.write_bytes(data())
    with pytest.raises(UserError) as caught:
        trial(path, tmp_path, containers("running"))
    text = str(caught.value)
    assert said in text and str(path) in text and "\n" not in text and caught.value.code == 2


def test_what_is_missing_is_named(containers, tmp_path):
    good = containers("good")
    for arguments in (
        (tmp_path / "none.cmod", tmp_path, good),
        (good, tmp_path, tmp_path / "none.cmod"),
        (good, tmp_path / "none", good),
    ):
        with pytest.raises(UserError, match="none"):
            trial(*arguments)


def test_arguments_that_make_no_sense_are_refused(containers, recordings):
    good = containers("good")
    strange = containers("strange", labels=["_silence_", "_unknown_", "stop", "go"])
    with pytest.raises(UserError, match="not both models know 'stop': choose words from yes, no"):
        trial(good, recordings, good, ["yes", "stop"])
    with pytest.raises(UserError, match="no word in common"):
        trial(strange, recordings, good)
    with pytest.raises(UserError, match="0 minutes cannot be tried"):
        trial(good, recordings, good, minutes=0)


def test_one_clip_more_is_not_better():
    assert Difference("clips", 1, 0).verdict == SAME
    assert Difference("clips", 5, 0).verdict == SAME  # 2 / 32
    assert Difference("clips", 6, 0).verdict == BETTER  # 2 / 64
    assert Difference("clips", 0, 6).verdict == WORSE
    assert Difference("clips", 0, 0).chance == 1


@given(st.integers(0, 4), st.integers(0, 5))
def test_the_sign_test_counts_the_ways_coins_can_fall(won, lost):
    n, extreme = won + lost, max(won, lost)
    ways = sum(max(bin(coins).count("1"), n - bin(coins).count("1")) >= extreme for coins in range(2**n))
    assert Difference("x", won, lost).chance == pytest.approx(ways / 2**n)


def test_wilsons_interval_is_that_of_the_tables():
    # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    for right, of, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert Count(right, of).interval == pytest.approx((low, high), abs=1e-4)


@given(st.integers(0, 500), st.integers(1, 500))
def test_the_interval_holds_the_share_and_stays_within_its_bounds(right, of):
    count = Count(min(right, of), of)
    low, high = count.interval
    assert 0 <= low <= count.share + 1e-12 and count.share - 1e-12 <= high <= 1


def figures(arena=1000, **changes):
    about = {
        "clips": {"yes": Count(9, 10)},
        "words": Count(9, 10),
        "asleep": 0,
        "false_accepts": 0,
        "hours": 0.5,
        "latency_ms": 100.0,
        "inference_ms": 60.0,
        "inference_mj": 13.0,
        "average_ma": 50.0,
        "battery_hours": 30.0,
        "crashes": 0,
        "lost_samples": 0,
    }
    return Figures("x", "x", "1", LABELS, 100, arena, "", Measured(**about | changes))


def test_faults_outweigh_what_is_won():
    won = [Difference("clips", 10, 0)]
    assert judge(figures(), figures(), won, 1000)[0] == BETTER
    for fault, said in (
        ({"arena": 1001}, "over the board's 1,000"),
        ({"crashes": 2}, "restarted 2 times"),
        ({"lost_samples": 5}, "too slow to listen"),
    ):
        verdict, reasons = judge(figures(**fault), figures(), won, 1000)
        assert verdict == WORSE and said in reasons[0]


def test_more_false_accepts_are_worse_only_beyond_chance():
    for extra, verdict in ((3, SAME), (12, WORSE)):
        found = judge(figures(false_accepts=extra), figures(), [Difference("false accepts", 0, extra)], 1000)
        assert found[0] == verdict and f"false accepts {extra} against 0" in found[1][0]


def test_no_false_accept_in_an_hour_still_allows_almost_four():
    rate, low, high = figures(hours=1.0).measured.false_an_hour
    assert (rate, low) == (0, 0) and high == pytest.approx(1.96**2, abs=1e-6)
