"""Recipes for machines from recordings to containers, in their tiny form on generated recordings."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from cicada.tools.errors import UserError
from cicada.training import container, vibrations
from cicada.training import recipe as recipes
from cicada.training.corpora.base import SPLITS
from cicada.training.corpora.machines import Machines
from cicada.training.corpora.signals import COUNTS_PER_G
from cicada.training.evaluation.faults import THRESHOLDS
from cicada.training.tasks import anomaly, vibration

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
FRONT = {"rate_hz": 6000, "samples": 256, "bands": 8, "envelope": 8, "axes": 1, "orders": True}
FAULTS = {
    "task": "vibration",
    "name": "faults",
    "labels": ["normal", "inner", "outer"],
    "corpus": {"kind": "generated", "split": "bearing", "generated": 24},
    "frontend": FRONT,
    "model": {"architecture": "vibration_cnn", "hidden": 8},
}
STRANGE = {
    "task": "anomaly",
    "name": "strange",
    "without": ["ball"],
    "corpus": {"kind": "generated", "split": "time", "generated": 24},
    "frontend": FRONT,
    "model": {"architecture": "one_class"},
}


def _recipe(content: dict, **changes):
    return recipes.parse({**content, **changes}, "here")


@pytest.fixture(scope="module")
def faults_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    recipe = vibration.tiny(_recipe(FAULTS))
    metrics = vibration.run(recipe, None, folder / "out", folder / "cache")
    return recipe, metrics, folder


@pytest.fixture(scope="module", params=["one_class", "autoencoder"])
def strange_run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("strange")
    recipe = anomaly.tiny(_recipe(STRANGE, model={"architecture": request.param}))
    return recipe, anomaly.run(recipe, None, folder / "out", folder / "cache"), folder


def test_a_recipe_for_faults_ends_in_a_container(faults_run):
    recipe, metrics, folder = faults_run
    about, model = container.unpack((folder / "out" / "faults.cmod").read_bytes())
    assert about["type"] == "vibration" and about["labels"] == FAULTS["labels"]
    assert about["frontend"] == {"kind": "vibration", "counts_per_g": COUNTS_PER_G, **FRONT}
    assert about["decision"] == metrics["decision"] and about["decision"]["window"] == 4
    assert (
        about["decision"]["threshold"] in THRESHOLDS and metrics["test"]["delay"]["generated"]["window"] == 4
    )
    assert about["recipe"] == metrics["hash"] == recipes.digest(recipe)
    assert bytes(model) == (folder / "out" / "faults.cpm").read_bytes()
    assert metrics == json.loads((folder / "out" / "metrics.json").read_text())
    assert metrics["model"]["bytes"] == len(model) < 20480


def test_figures_of_all_folds_and_of_the_leak_are_there(faults_run):
    _, metrics, _ = faults_run
    test = metrics["test"]
    bearings = [name for fold in test["folds"] for name in fold["bearings"]]
    assert len(test["folds"]) >= 2 and len(bearings) == len(set(bearings))
    assert 0 <= test["macro_f1"] <= 1 and 0 <= test["leaky"] <= 1
    assert test["delay"]["generated"]["streams"] > 0
    equal = {(pair["one"], pair["other"]): pair["equal"] for pair in test["forms"]}
    assert equal["tflm", "packed"]


def test_a_finished_run_is_found_again(faults_run):
    recipe, metrics, folder = faults_run
    before = sorted((folder / "cache").iterdir())
    assert vibration.run(recipe, None, folder / "again", folder / "cache") == metrics
    assert sorted((folder / "cache").iterdir()) == before


def test_a_recipe_for_anomalies_ends_in_a_container(strange_run):
    recipe, metrics, folder = strange_run
    about, model = container.unpack((folder / "out" / "strange.cmod").read_bytes())
    assert about["type"] == "vibration" and about["labels"] == ["normal", "anomaly"]
    assert about["recipe"] == recipes.digest(recipe)
    assert len(model) < 20480
    assert about["decision"] == {"window": 4, "threshold": 0.8, "clear": 0.6}
    assert set(metrics["test"]["kinds"]) == {"inner", "outer"}
    assert metrics["validation"]["false_alarms"] < 0.2


def test_strong_faults_are_further_from_normal_than_normal_is(strange_run):
    _, metrics, _ = strange_run
    assert metrics["test"]["auroc"] > 0.7


def test_plans_say_what_there_is_to_do():
    recipe = vibration.tiny(_recipe(FAULTS))
    plan = vibration.plan(recipe, None)
    assert set(plan["recordings"]) == set(FAULTS["labels"]) and plan["steps"] == (plan["folds"] + 1) * 8
    assert anomaly.plan(anomaly.tiny(_recipe(STRANGE)), None)["steps"] == 0


@pytest.mark.parametrize("task", [vibration, anomaly])
def test_a_budget_that_cannot_be_met_is_refused_before_training(task):
    content = FAULTS if task is vibration else STRANGE
    with pytest.raises(UserError, match="bytes packed"):
        task.plan(_recipe(content, budget={"bytes": 500}), None)


def test_what_these_tasks_do_not_do_is_refused():
    for change in ({"prune": {"keep": 0.5}}, {"train": {"mixup": 0.2}}, {"quantise": {"aware_epochs": 2}}):
        with pytest.raises(UserError, match="cannot have"):
            vibration.plan(_recipe(FAULTS, **change), None)


def test_a_label_without_recordings_is_named():
    with pytest.raises(UserError, match="'melted'"):
        vibration.plan(_recipe(FAULTS, labels=["normal", "melted"]), None)
    with pytest.raises(UserError, match="no recording of a normal machine"):
        anomaly.plan(_recipe(STRANGE, normal=["fine"]), None)
    with pytest.raises(UserError, match="no recording of a fault"):
        anomaly.plan(_recipe(STRANGE, without=["ball", "inner", "outer"]), None)


def test_recordings_must_fit_the_front_end(monkeypatch):
    recipe = _recipe(FAULTS)
    found = vibrations.generated(recipe.frontend, 8, 1)
    slow = [replace(one, rpm=None) for one in found.recordings]
    for recordings, front, text in (
        (slow, {}, "orders = false"),
        (found.recordings, {"axes": 3}, "`frontend.axes`"),
    ):
        changed = msgspec.structs.replace(recipe, frontend=msgspec.structs.replace(recipe.frontend, **front))
        monkeypatch.setattr(
            vibrations, "generated", lambda *_, found=recordings: Machines("these", found, "x")
        )
        with pytest.raises(UserError, match=text):
            vibrations.open_corpus(changed, None)


@pytest.mark.parametrize("by", ["bearing", "recording", "time"])
def test_no_bearing_or_recording_is_trained_and_tested(by):
    front = _recipe(FAULTS).frontend
    found = vibrations.generated(front, 36, 3).recordings
    dealt, timed = vibrations.deal(found, by, 1, front)
    assert len(dealt) == (1 if by == "time" else 3)
    assert timed == (sorted({one.label for one in found}) if by == "time" else [])
    tested = [one.name for split in dealt for one in split["test"]]
    assert len(tested) == len(set(tested)) == 36
    for split in dealt:
        sides = [
            {one.bearing if by == "bearing" else one.name for one in split[name]}
            for name in ("train", "test")
        ]
        assert not sides[0] & sides[1]
        for name in SPLITS:
            assert {one.label for one in split[name]} == {one.label for one in found}


def test_a_label_of_one_bearing_is_cut_by_time():
    front = _recipe(FAULTS).frontend
    found = [
        one
        for one in vibrations.generated(front, 36, 3).recordings
        if one.label != "normal" or one.bearing == "generated_0000"
    ]
    dealt, timed = vibrations.deal(found, "bearing", 1, front)
    assert timed == ["normal"]
    assert {one.name[-2:] for one in dealt[0]["test"] if one.label == "normal"} == {"#3"}


def test_which_fault_it_is_cannot_be_learnt_from_levels():
    front = _recipe(FAULTS).frontend
    rng = np.random.default_rng(0)
    y = rng.integers(1, 3, 2000)
    x = np.zeros((2000, 1, 19), np.int8)
    x[:, 0, 0] = np.where(y == 1, 60, -60)
    x[:, 0, 18] = np.where(y == 1, 60, -60)
    moved = vibrations.vary(x, y, front, rng)
    assert abs(np.corrcoef(moved[:, 0, 0], y)[0, 1]) < 0.1
    assert abs(np.corrcoef(moved[:, 0, 18], y)[0, 1]) > 0.95


def test_windows_are_what_the_front_end_makes_of_recordings():
    front = _recipe(FAULTS).frontend
    found = vibrations.generated(front, 8, 1).recordings
    examples = vibrations.extract(found, front)
    assert examples.x.shape[1:] == (1, 19) and len(examples.x) == len(examples.recording)
    assert (np.diff(examples.recording) >= 0).all()
    assert len(examples.of(3)) == len(found[3].frames) // 256
    assert vibrations.extract([], front).x.shape == (0, 1, 19)


def test_rare_classes_are_drawn_more_often_than_they_occur():
    y = np.repeat([0, 1], [100, 10_000])
    chosen = vibrations.draw(y, 1100, np.random.default_rng(0))
    assert len(chosen) == 1100 and (y[chosen] == 0).sum() == pytest.approx(100, abs=3)
    assert len(np.unique(chosen)) > 1090
