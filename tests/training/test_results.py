"""The table of targets: what it says, and what it refuses before hours of work."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from cicada.tools import cli
from cicada.tools.errors import UserError
from cicada.tools.paths import FIRMWARE
from cicada.training import results
from cicada.training.evaluation import strangers
from support import chirps


def metrics(accuracy: float, packed: int = 60000, minutes: float = 12.0) -> dict:
    """Figures of a run of kws12."""
    forms = {"packed": accuracy, "float": accuracy + 0.002, "streaming": accuracy}
    return {
        "test": {name: {"accuracy": value} for name, value in forms.items()},
        "model": {"bytes": packed, "macs_per_s": 5.8e6},
        "minutes": minutes,
        "features_rate": 500.0,
    }


def rows(found):
    return [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in results._table(found).splitlines()[2:]
    ]


def test_a_row_has_the_target_the_mean_the_interval_and_every_seed():
    first = rows({"kws12": [metrics(a) for a in (0.92, 0.91, 0.93)]})[0]
    assert first[:4] == ["kws12", "accuracy, twelve classes", "at least 91 %", "92.0 %"]
    # Student's t with two degrees of freedom: 4.303 * 1 / sqrt(3) = 2.48.
    assert first[4] == "89.5 to 94.5" and first[5] == "92.0, 91.0, 93.0" and first[6] == "yes"


def test_what_is_missed_is_said():
    found = {"kws12": [metrics(0.90, 70000, 31.0)]}
    met = {row[1]: row[6] for row in rows(found)}
    assert (
        met["accuracy, twelve classes"]
        == met["model, bytes"]
        == met["minutes, end to end; the fastest counts"]
        == "**no**"
    )
    assert met["INT8 and float apart"] == met["model, macs_per_s"] == "yes"


def test_one_seed_has_no_interval():
    assert all(row[4] == "" for row in rows({"kws12": [metrics(0.92)]}))


def test_onsets_that_nobody_reported_have_no_delay():
    delay = {"streams": 4, "found": 0, "early": 1, "median_s": None}
    test = {"auroc": 0.9, "delay": delay}
    metrics = {"test": test, "model": {"bytes": 100}, "minutes": 1.0}
    cells = {row[1]: row for row in rows({"fan_anomaly": [metrics]})}
    assert cells["onsets of faults that are reported"][3] == "0.0 %"
    assert cells["delay after the onset, median"][3] == "none found"
    test["delay"] = {"recorded": {**delay, "found": 3, "median_s": 2.5}}
    cells = {row[1]: row for row in rows({"fan_anomaly": [metrics]})}
    assert cells["onsets of faults that are reported"][3] == "75.0 %"
    assert cells["delay after the onset, median"][3] == "2.500 s"


def test_every_target_is_of_a_recipe_that_is_there():
    for target in results.TARGETS:
        assert results._recipe(target.recipe).name == target.recipe
        assert target.least is None or target.most is None


def test_the_table_goes_where_the_document_has_its_place(tmp_path, monkeypatch):
    document = tmp_path / "results.md"
    document.write_text(f"before\n{results._BEGIN}\nold\n{results._END}\nafter\n")
    monkeypatch.setattr(results, "DOCUMENT", document)
    results._write("| new |", 3, [])
    text = document.read_text()
    assert "| new |" in text and "old" not in text and "cicada results FOLDER --seeds 3 --write" in text
    assert text.startswith("before\n") and text.endswith("after\n")
    document.write_text("no place")
    with pytest.raises(UserError, match="has no place for the table"):
        results._write("| new |", 3, [])


def test_missing_folders_are_a_sentence_before_anything_is_trained(tmp_path, capsys):
    assert cli.main(["results", str(tmp_path), "--only", "kws12"]) == 2
    assert "there is no folder" in capsys.readouterr().err
    chirps.make(tmp_path / "speech_commands")
    assert cli.main(["results", str(tmp_path), "--only", "wake_word"]) == 2
    assert "esc10, which recipe 'wake_word' needs" in capsys.readouterr().err
    assert cli.main(["results", str(tmp_path), "--only", "person"]) == 2
    assert "no targets for person" in capsys.readouterr().err
    assert cli.main(["results", str(tmp_path), "--tiny", "--write"]) == 2
    assert "worth nothing" in capsys.readouterr().err


def test_a_model_listens_to_strangers(tmp_path):
    speech = chirps.make(tmp_path / "speech", words=["yes", "no", "other"])
    (tmp_path / "noise" / "rain").mkdir(parents=True)
    rng = np.random.default_rng(1)
    pcm = rng.integers(-300, 300, 16000 * 3).astype(np.int16)
    soundfile.write(tmp_path / "noise" / "rain" / "1.wav", pcm, 16000, subtype="PCM_16")
    blob = (FIRMWARE / "models" / "kws.cmod").read_bytes()
    heard = strangers.hear(blob, speech, [tmp_path / "noise"], 0.01, 1)
    assert heard["wanted"] == 2 * 40 and heard["detected"] + heard["missed"] == heard["wanted"]
    assert heard["mixture"]["wanted"] == 80 and heard["mixture"]["other_clips"] == 40
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty has no noise"):
        strangers.hear(blob, speech, [tmp_path / "empty"], 0.01, 1)


def test_what_strangers_said_is_kept_until_the_model_or_the_recordings_change(tmp_path, monkeypatch):
    heard = []

    def hear(blob, speech, noises, hours, seed):
        heard.append((blob, hours, seed))
        return {"false_accepts": len(heard)}

    monkeypatch.setattr(results, "hear", hear)
    monkeypatch.setattr(results.stages, "CACHE", tmp_path / "cache")
    for name in ("speech_commands", "esc10"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.wav").write_bytes(b"1")
    found = [results._strangers(blob, tmp_path, 4.0, 1)["false_accepts"] for blob in (b"x", b"x", b"y")]
    (tmp_path / "esc10" / "a.wav").write_bytes(b"2")
    found.append(results._strangers(b"y", tmp_path, 4.0, 1)["false_accepts"])
    assert found == [1, 1, 2, 3] and len(heard) == 3
