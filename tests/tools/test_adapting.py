"""What a node learns from recordings, in figures; on real recordings where they are."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
import soundfile

from cicada.tools import vibration as front_end
from cicada.tools.adapting import command, vibration, words
from cicada.tools.errors import UserError
from cicada.tools.packed import PackedModel
from cicada.tools.paths import FIRMWARE
from cicada.training import embedding
from cicada.training.pack import pack

FAN = "fan_0_{}_weight.npz"


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    options = parser.parse_args(["adapt", *map(str, arguments)])
    return options.run(options)


def machine(hertz: float, count: int, seed: int) -> np.ndarray:
    """Three axes at 400 Hz of something that turns, with noise: ``int16[count, 3]``."""
    rng = np.random.default_rng(seed)
    at = np.arange(count)[:, None] / 400
    turning = 300 * np.sin(2 * np.pi * hertz * at + [0, 1, 2]) * [1, 0.5, 0.2]
    return (turning + rng.normal(0, 30, (count, 3)) + [0, 0, 2048]).round().astype(np.int16)


def test_another_speed_is_found_and_the_same_is_not() -> None:
    frames = machine(13, 256 * 100, 1)
    others = {"same": machine(13, 256 * 40, 2), "faster": machine(31, 256 * 40, 3)}
    made = vibration.detect(("normal", frames), others, 256, 16)
    same, faster = made.others
    assert made.learned == 40 and made.normal.found < 0.1 and len(made.normal.scores) == 30
    assert same.found < 0.1 and 0.3 < same.auc < 0.7
    assert faster.found == faster.begin == faster.end == faster.auc == 1


def test_ties_count_half() -> None:
    ones = np.ones(4)
    assert vibration.auc(ones, ones) == 0.5
    assert vibration.auc(ones, np.array([0.0, 2, 2, 2])) == 0.75


@pytest.mark.parametrize(("normal", "others"), [("low_0", ["low_1", "med_0", "med_1", "off_0"])])
def test_a_fan_with_weight_or_at_another_speed_is_found(shared_data, normal, others) -> None:
    """Measured: ROC AUC 1.000 each, all windows found, none of the 103 held out; see docs/node.md."""
    read = lambda name: vibration.load(shared_data / "fan_esp32" / FAN.format(name))  # noqa: E731
    made = vibration.detect((normal, read(normal)), {name: read(name) for name in others}, 256, 16)
    assert made.normal.found <= 0.01 and 1.2 < made.threshold < 1.8
    for one in made.others:
        assert one.auc > 0.99 and one.found > 0.97, one.name
        assert one.end > 0.9, one.name


@pytest.mark.parametrize("normal", ["low_1", "med_0", "med_1", "off_0"])
def test_each_state_of_the_fan_is_told_from_all_others(shared_data, normal) -> None:
    names = {"low_0", "low_1", "med_0", "med_1", "off_0"} - {normal}
    read = lambda name: vibration.load(shared_data / "fan_esp32" / FAN.format(name))  # noqa: E731
    made = vibration.detect((normal, read(normal)), {name: read(name) for name in names}, 256, 16)
    assert made.normal.found <= 0.01
    for one in made.others:
        # Least: weight taken off, at low speed 86 %, at medium speed 52 % beyond the threshold.
        assert one.auc > 0.99 and one.found > 0.45, one.name


@pytest.mark.parametrize("speed", ["0600", "3000"])
def test_damaged_bearings_are_told_from_a_good_one(shared_data, speed) -> None:
    """Measured: ROC AUC 1.000 for each of the six faults at each speed, without load."""
    folder = shared_data / "bearings_adi"
    normal = vibration.load(folder / f"{speed}_GoB_GS_BaLo_WA_00lb.flac")
    faults = {
        f: vibration.load(folder / f"{speed}_{f}_GS_BaLo_WA_00lb.flac")
        for f in ("HBF", "HIR", "HOR", "LIR", "LOR")
    }
    made = vibration.detect((speed, normal), faults, 512, 16)
    assert made.normal.found <= 0.05
    assert all(one.auc > 0.99 and one.found > 0.95 for one in made.others)


def test_the_command_prints_a_line_for_each_recording(tmp_path, capsys) -> None:
    for name, hertz in (("one", 13), ("two", 31)):
        np.savez(tmp_path / f"{name}.npz", samples=machine(hertz, 256 * 60, 4).reshape(60, 256, 3) / 2048)
    assert run("vibration", tmp_path / "one.npz", tmp_path / "two.npz", "--samples", 256) == 0
    text = capsys.readouterr().out
    assert "Baseline of 24 windows" in text and "held out" in text and "1.000" in text


def test_recordings_are_read_as_counts(tmp_path) -> None:
    g = np.array([[[0.5, -1, 1], [0.25, 20, -20]]])
    np.savez(tmp_path / "a.npz", samples=g)
    assert vibration.load(tmp_path / "a.npz").tolist() == [[1024, -2048, 2048], [512, 32767, -32768]]
    counts = np.array([[5, -7, 30000], [0, 1, 2]], np.int32)
    soundfile.write(tmp_path / "a.flac", counts << 14, 20000, subtype="PCM_24")
    assert vibration.load(tmp_path / "a.flac").tolist() == counts.tolist()


def test_what_cannot_be_used_is_said_in_one_sentence(tmp_path) -> None:
    np.savez(tmp_path / "other.npz", x=np.zeros(4))
    np.savez(tmp_path / "two.npz", samples=np.zeros((9, 2)))
    (tmp_path / "text.flac").write_text("no sound")
    np.savez(tmp_path / "one.npz", samples=np.zeros((9000, 1)))
    np.savez(tmp_path / "three.npz", samples=np.zeros((9000, 3)))
    (tmp_path / "model.tflite").write_bytes(b"no model")
    for arguments, reason in (
        (("vibration", tmp_path / "none.npz", tmp_path / "one.npz"), "none.npz"),
        (("vibration", tmp_path / "other.npz", tmp_path / "one.npz"), "no recording of vibration"),
        (("vibration", tmp_path / "text.flac", tmp_path / "one.npz"), "no recording of vibration"),
        (("vibration", tmp_path / "two.npz", tmp_path / "one.npz"), "has 2 axes"),
        (("vibration", tmp_path / "one.npz", tmp_path / "three.npz"), "differ in their number of axes"),
        (("vibration", tmp_path / "one.npz", tmp_path / "one.npz"), "at least 30 are needed"),
        (("embed", tmp_path / "model.tflite", tmp_path / "out"), "no TFLite file"),
        (("embed", tmp_path / "none", tmp_path / "out"), "none"),
    ):
        with pytest.raises(UserError, match=reason):
            run(*arguments)


def test_learning_takes_the_features_of_the_device() -> None:
    frames = machine(13, 256 * 40, 5)
    made = vibration.detect(("normal", frames), {"again": frames[: 256 * 16]}, 256, 12)
    rows = front_end.features(frames, 256, 12)
    assert rows.shape == (40, 45) and made.learned == 16
    assert np.mean(made.others[0].scores ** 2) == pytest.approx(1, abs=0.5)


# ---- words


@pytest.fixture(scope="module")
def cut_model() -> PackedModel:
    return PackedModel(pack(embedding.cut((FIRMWARE / "models" / "kws.tflite").read_bytes())).blob)


def test_new_words_are_told_apart_by_five_examples(cut_model, shared_data) -> None:
    """Measured over all pairs of eight words: 96 % told apart, 84 % found with 6 % of other words."""
    found = words.embed(cut_model, shared_data / "speech_commands", ("left", "right", "stop"))
    assert found.wanted["left"]["test"].shape == (40, 64) and len(found.others["test"]) > 100
    pairs = words.teach(found, 5)
    assert [pair.words for pair in pairs] == [("left", "right"), ("left", "stop"), ("right", "stop")]
    assert np.mean([pair.apart for pair in pairs]) > 0.94
    assert np.mean([pair.found for pair in pairs]) > 0.8
    assert np.mean([pair.false for pair in pairs]) < 0.1


def test_scores_are_no_embedding(shared_data) -> None:
    """Measured: 57 % told apart, where 50 is chance, and 9 % found. It is why classifiers are cut."""
    whole = PackedModel(pack((FIRMWARE / "models" / "kws.tflite").read_bytes()).blob)
    pairs = words.teach(words.embed(whole, shared_data / "speech_commands", ("left", "right", "stop")), 5)
    assert np.mean([pair.found for pair in pairs]) < 0.3


def test_too_few_examples_and_other_models_are_refused(cut_model, corpus_folder) -> None:
    folder = corpus_folder()
    found = words.embed(cut_model, folder, ("yes", "no"))
    assert [one.words for one in words.teach(found, 10)] == [("yes", "no")]
    with pytest.raises(UserError, match="21 training clips each are needed; the rarest has 20"):
        words.teach(found, 21)
    wrong = PackedModel(cut_model._blob.tobytes())
    wrong.input = {**wrong.input, "shape": (1, 10)}
    with pytest.raises(UserError, match="not a window of 49 x 40"):
        words.embed(wrong, folder, ("yes", "no"))


def test_the_command_prints_a_line_for_each_pair(corpus_folder, capsys) -> None:
    assert run("words", FIRMWARE / "models" / "kws.tflite", corpus_folder(), "yes,no") == 0
    text = capsys.readouterr().out
    assert "5 examples a word, 64 dimensions" in text and "yes no" in text and "mean" in text
