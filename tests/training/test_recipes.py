"""Every shipped recipe, cut down, from its recordings to a model that a node takes."""

from __future__ import annotations

import json

import pytest

from cicada.tools import cli
from cicada.tools.packed import PackedModel
from cicada.tools.tflm import Interpreter
from cicada.training import container, recipe, results
from cicada.training.commands import task_of
from cicada.training.pack import pack
from support import chirps, galleries

RECIPES = recipe.shipped()


def load(name):
    return recipe.load(recipe.find(name))


@pytest.fixture
def recordings(request, tmp_path):
    """Function that gives the recordings for a recipe: made up for words and pictures, real for machines."""

    def made(name):
        wanted = load(name)
        kind = getattr(wanted.corpus, "kind", "pictures")
        if kind == "synthesis":
            return None
        if kind == "folder":
            return chirps.make(tmp_path / "words", words=[*wanted.corpus.words, "other", "another"])
        if kind == "pictures":
            return galleries.make(tmp_path / "pictures", 60)
        return request.getfixturevalue("shared_data") / results.FOLDERS[kind]

    return made


def test_the_recipes_that_users_are_told_of_are_there():
    assert {"kws12", "yes_no", "wake_word", "bearing_faults", "fan_anomaly", "machine_anomaly"} <= set(
        RECIPES
    )
    for name in RECIPES:
        assert load(name).about.endswith("."), name


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_runs_from_recordings_to_a_model(name, recordings, tmp_path, capsys):
    data = recordings(name)
    options = [name, "--tiny", "--out", str(tmp_path / "out"), *(["--data", str(data)] if data else [])]
    assert cli.main(["train", *options, "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    wanted = task_of(load(name)).tiny(load(name))
    stem = wanted.name
    assert metrics == json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["recipe"] == stem and metrics["hash"] == recipe.digest(wanted)

    blob = (tmp_path / "out" / f"{stem}.cmod").read_bytes()
    manifest, model = container.unpack(blob)
    tflite = (tmp_path / "out" / f"{stem}.tflite").read_bytes()
    assert bytes(model) == pack(tflite).blob and len(model) == metrics["model"]["bytes"]
    assert manifest["recipe"] == metrics["hash"] and manifest["labels"] == metrics["labels"]
    ours, theirs = PackedModel(bytes(model)), Interpreter(tflite)
    assert ours.selftest() and (ours.input["shape"] == theirs.input["shape"])
    for file in ("report.html", "report.json", f"{stem}_model.c", f"{stem}_model.h"):
        assert (tmp_path / "out" / file).stat().st_size > 500, file
    page = (tmp_path / "out" / "report.html").read_text()
    assert metrics["hash"][:16] in page and "Model card" in page
    assert "http://" not in page and "https://" not in page  # nothing is fetched to show it


@pytest.mark.parametrize("name", RECIPES)
def test_a_dry_run_trains_nothing(name, recordings, capsys, monkeypatch):
    """It says how much work and how large a model, and opens what the run would open."""
    data = recordings(name)
    monkeypatch.setattr("cicada.training.fit.fit", None)
    options = [name, "--tiny", "--dry-run", *(["--data", str(data)] if data else [])]
    assert cli.main(["train", *options]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(load(name).name) and "bytes" in shown


def test_a_recipe_changes_by_the_command_line(capsys):
    assert cli.main(["train", "kws12", "--set", "train.epochs=none"]) == 2
    assert "none is no TOML value" in capsys.readouterr().err
    assert cli.main(["train", "kws12", "--set", "train.epochs=0"]) == 2
    assert "Expected `int` >= 1 - at `$.train.epochs`" in capsys.readouterr().err
    assert cli.main(["train", "kws12", "--set", "model.width=8"]) == 2
    assert "unknown field `width` - in `model`" in capsys.readouterr().err
    assert cli.main(["train", "kws13"]) == 2
    assert "no recipe 'kws13'" in capsys.readouterr().err
    assert cli.main(["train", "fan_anomaly", "--words", "yes"]) == 2
    assert "for recipes of words" in capsys.readouterr().err
