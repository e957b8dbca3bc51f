"""`cicada train` beside the training itself: searching sizes, comparing compression, saying how long."""

from __future__ import annotations

import importlib.util
import json

import msgspec
import numpy as np
import pytest

from cicada.tools import cli, stages
from cicada.tools.errors import UserError
from cicada.training import fit as fitting
from cicada.training import recipe, trials
from cicada.training.compress import compare
from cicada.training.evaluation.intervals import Interval
from cicada.training.report import page
from cicada.training.tasks import making
from support import chirps

WHISTLES = """
task = "keyword"
name = "whistles"
seed = 3
[corpus]
kind = "folder"
words = ["up", "down"]
[model]
architecture = "small_cnn"
first = 8
blocks = [12, 12]
strided = [0]
[budget]
bytes = 9000
"""


@pytest.fixture(scope="module")
def whistles(tmp_path_factory):
    """A recipe of small models, and recordings for it."""
    folder = tmp_path_factory.mktemp("whistles")
    (folder / "whistles.toml").write_text(WHISTLES)
    return str(folder / "whistles.toml"), str(chirps.make(folder / "words"))


@pytest.fixture(scope="module")
def searched(whistles, tmp_path_factory):
    """A search interrupted in its first training and taken up again: exit codes, folder, epochs done."""
    folder, saved, epochs = tmp_path_factory.mktemp("search"), fitting._save, []

    def save(path, variables, history):
        saved(path, variables, history)
        epochs.append(len(history))
        if len(epochs) == 2:
            raise KeyboardInterrupt

    command = ["train", whistles[0], "--data", whistles[1], "--tiny", "--out", str(folder), "--search", "2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "CACHE", folder / "cache")
        patch.setattr(making, "CHECKPOINTS", folder / "checkpoints")
        patch.setattr(fitting, "_save", save)
        codes = [cli.main(command), cli.main(command)]
        before = (folder / "search" / "search.json").read_bytes()
        codes.append(cli.main([*command, "--json"]))
        assert (folder / "search" / "search.json").read_bytes() == before, "nothing was left to do"
    return codes, folder / "search", epochs


@pytest.mark.timeout(300)
def test_an_interrupted_search_goes_on_in_the_epoch_where_it_was(searched):
    codes, folder, epochs = searched
    assert codes == [130, 0, 0]
    content = json.loads((folder / "search.json").read_text())
    states = [row["state"] for row in content["trials"] if row["state"] != "refused"]
    assert states == ["failed", "trained", "trained"]
    assert epochs == [1, 2, 3, 4, 1, 2, 3, 4], "four epochs each, and none of them twice"


def test_a_search_chooses_by_the_int8_model_on_validation(searched):
    _, folder, _ = searched
    content = json.loads((folder / "search.json").read_text())
    trained = [row for row in content["trials"] if row["state"] == "trained"]
    best = max(row["result"]["accuracy"] for row in trained)
    assert best > 0.6, "whistles are easy"
    for row in trained:
        assert row["figures"]["bytes"] <= 9000
        assert row["result"]["examples"] > 4 * 8  # eight clips of each word, and silence
    assert {row["number"] for row in trained} >= set(content["pareto"]) != set()
    assert (folder / "pareto.png").stat().st_size > 5000


def test_the_front_is_a_table_that_says_how_it_was_trained(searched, capsys):
    from rich.console import Console

    content = json.loads((searched[1] / "search.json").read_text())
    Console(width=100, highlight=False).print(trials.front(recipe.parse(as_table(), "test"), content))
    shown = capsys.readouterr().out
    assert "11 epochs instead of 45" in shown and "INT8 model on validation" in " ".join(shown.split())
    assert f"{content['trials'][content['pareto'][0]]['figures']['bytes']:,}" in shown


def as_table():
    return recipe.tomllib.loads(WHISTLES)


def test_trials_are_a_quarter_as_long_but_no_longer_than_the_recipe():
    def epochs(count):
        found = trials.shortened(recipe.parse(as_table() | {"train": {"epochs": count}}, "test"))
        return found.train.epochs, found.quantise.aware_epochs, found.prune

    assert [epochs(count) for count in (60, 17, 16, 9, 3)] == [(count, 0, None) for count in (15, 4, 4, 4, 3)]
    full = {"prune": {"keep": 0.5, "epochs": 20}, "quantise": {"aware_epochs": 40}}
    found = trials.shortened(recipe.parse(as_table() | full, "test"))
    assert (found.prune.epochs, found.quantise.aware_epochs) == (5, 10)


def test_a_model_for_anomalies_is_not_searched(tmp_path, capsys):
    assert cli.main(["train", "fan_anomaly", "--search", "2", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "'fan_anomaly' is for anomalies" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_search_without_recordings_is_one_line_before_any_size_is_tried(tmp_path, capsys):
    options = ["--data", str(tmp_path / "none"), "--search", "2", "--out", str(tmp_path / "out")]
    assert cli.main(["train", "kws12", *options]) == 2
    error = capsys.readouterr().err
    assert "none" in error and "sizes" not in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [["--search", "0"], ["--search", "x"], ["--search", "2", "--compare"]])
def test_what_makes_no_sense_is_refused(options, capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "kws12", *options])
    assert "error: argument" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["bearing_faults", "fan_anomaly", "person"])
def test_compression_is_compared_for_words_alone(name, capsys):
    assert cli.main(["train", name, "--compare"]) == 2
    error = capsys.readouterr().err
    assert f"--compare is for recipes of words, and '{name}'" in error and error.count("\n") == 1


def test_the_comparison_is_printed_and_kept(whistles, tmp_path, monkeypatch, capsys):
    sure = Interval(0.8, 0.7, 0.9, 8)
    monkeypatch.setattr(compare, "compare", lambda found, data, cache: [row(found.name, str(data))])

    def row(name, data):
        assert (name, data) == ("whistles", whistles[1])
        return compare.Row("plain", 5, 4000, 3000, 120_000, 0.9, 0.85, sure, sure)

    assert cli.main(["train", whistles[0], "--data", whistles[1], "--compare", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "| plain | 5 | 4,000 | 3,000 | 120,000 | 90.0 | 85.0 |" in shown
    assert shown.startswith("# What compression buys: whistles, seed 3\n")
    assert (tmp_path / "compression.md").read_text() == shown
    kept = json.loads((tmp_path / "compression.json").read_text())
    assert kept["rows"][0][:3] == ["plain", "5", "4,000"]
    command = ["train", whistles[0], "--data", whistles[1], "--compare", "--out", str(tmp_path), "--json"]
    assert cli.main(command) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["test"] == {"estimate": 0.8, "low": 0.7, "high": 0.9, "n": 8}


def test_a_comparison_goes_into_the_report_of_its_recipe_alone(whistles, tmp_path):
    mine = recipe.load(recipe.find(whistles[0]))
    kept = {
        "recipe": recipe.digest(mine),
        "columns": ["examples", "as recorded"],
        "rows": [["without noise", "1"]],
    }
    (tmp_path / "augmentation.json").write_text(json.dumps(kept))
    made = page.render(page.Page("whistles", "", {}))
    for other, found in ((msgspec.structs.replace(mine, seed=4), False), (mine, True)):
        (tmp_path / "report.html").write_bytes(made)
        trials.into_report(other, tmp_path)
        assert ("without noise" in (tmp_path / "report.html").read_text()) is found


def test_a_comparison_that_is_broken_is_one_line(whistles, tmp_path):
    (tmp_path / "compression.json").write_text("{")
    with pytest.raises(UserError, match=r"compression.json cannot be read .*: remove it"):
        trials.into_report(recipe.load(recipe.find(whistles[0])), tmp_path)


def minutes(whistles, *options, capsys):
    command = ["train", whistles[0], "--data", whistles[1], "--dry-run", "--json", *options]
    assert cli.main(command) == 0
    return json.loads(capsys.readouterr().out)["minutes"]


def test_a_dry_run_says_how_long_and_longer_for_more_work(whistles, capsys):
    short = minutes(whistles, "--set", "train.epochs=10", capsys=capsys)
    many = ("--set", "augment.words=1000", "--set", "augment.unknown=1000", "--set", "augment.silences=1")
    long = minutes(whistles, "--set", "train.epochs=100", *many, capsys=capsys)
    # Ten times the steps; what else the machine does may halve or double a measured time.
    assert 10 / 4 < long["training"] / short["training"] < 10 * 4
    assert long["features"] > 10 * short["features"] > 0
    assert np.isfinite(list(long.values())).all()
    assert cli.main(["train", whistles[0], "--data", whistles[1], "--dry-run"]) == 0
    assert " on this machine: features " in capsys.readouterr().out


def test_help_fits_a_screen(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80


def test_a_machine_without_the_packages_is_told_so(capsys, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "scipy" else found(name))
    assert cli.main(["train", "kws12"]) == 2
    assert "the package scipy is missing: install what training needs" in capsys.readouterr().err
