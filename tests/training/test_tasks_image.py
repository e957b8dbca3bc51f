"""From a folder of pictures to a node that reports somebody: the task "image"."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from PIL import Image

from cicada.tools.errors import UserError
from cicada.tools.packed import PackedModel
from cicada.tools.twin.sensors.camera import Camera
from cicada.tools.twin.world import World
from cicada.training import container, footprint, recipe
from cicada.training.tasks import image
from support import galleries, piped
from support.twins import QUIET

RECIPE = {
    "task": "image",
    "name": "door",
    "corpus": {"width": 32, "height": 24},
    "model": {"architecture": "person", "width": 0.15, "repeats": 0},
    "train": {"epochs": 10, "examples": 512, "batch": 32, "rate": 0.01, "warmup": 20},
    "teacher": {
        "model": {"architecture": "person", "width": 0.25, "repeats": 0},
        "train": {"epochs": 5, "examples": 512, "batch": 32, "rate": 0.01, "warmup": 20},
        "weight": 0.5,
    },
    "quantise": {"examples": 60, "aware_epochs": 1, "calibration": "balanced"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return galleries.make(tmp_path_factory.mktemp("pictures") / "door", 60)


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):
    """Metrics and folder of a run."""
    out = tmp_path_factory.mktemp("out")
    cache = tmp_path_factory.mktemp("cache")
    return image.run(recipe.parse(RECIPE, "test"), folder, out, cache), out, cache


def test_it_learns_to_tell_somebody_from_nobody(made):
    metrics, _, _ = made
    for name in ("float", "tflite", "tflm", "packed"):
        assert metrics["test"][name]["accuracy"] >= 0.85, name
        assert metrics["test"][name]["auroc"] >= 0.9, name
    assert metrics["test"]["packed"] == metrics["test"]["tflm"]
    assert metrics["pictures"]["test"] == {"empty": 9, "person": 9}
    low, high = (metrics["test"]["tflm"]["interval"][end] for end in ("low", "high"))
    assert low <= metrics["test"]["tflm"]["accuracy"] <= high


def test_the_artefacts_are_complete_and_name_the_recipe(made):
    metrics, out, _ = made
    names = {path.name for path in out.iterdir()}
    assert {"door.tflite", "door.cpm", "door.cmod", "door_model.c", "door_model.h", "metrics.json"} <= names
    assert json.loads((out / "metrics.json").read_text()) == metrics
    manifest, model = container.unpack((out / "door.cmod").read_bytes())
    assert manifest["recipe"] == metrics["hash"] == recipe.digest(recipe.parse(RECIPE, "test"))
    assert manifest["frontend"] == {"kind": "image", "width": 32, "height": 24}
    assert len(model) == metrics["model"]["bytes"] and PackedModel(bytes(model)).selftest()


def test_the_same_recipe_is_not_trained_twice_and_gives_the_same_bytes(made, folder, tmp_path):
    metrics, out, cache = made
    before = {path.name for path in cache.iterdir()}
    assert {name.split("-")[0] for name in before} == {"pictures", "teacher", "weights", "int8", "image"}
    assert image.run(recipe.parse(RECIPE, "test"), folder, tmp_path, cache) == metrics
    assert {path.name for path in cache.iterdir()} == before
    assert (tmp_path / "door.cmod").read_bytes() == (out / "door.cmod").read_bytes()


def test_a_node_with_a_camera_reports_who_comes_and_goes(made, tmp_path):
    _, out, _ = made
    rng = np.random.default_rng(99)
    for name, label in (("before", "empty"), ("during", "person"), ("after", "empty")):
        galleries.drawn(label, rng).resize((320, 240), Image.Resampling.BICUBIC).save(
            tmp_path / f"{name}.png"
        )
    files = [tmp_path / f"{name}.png" for name in ("before", "during", "after")]
    world = World(QUIET, camera=Camera(files, [0, 7_000_000, 15_000_000]))
    about = {"name": "eye", "kind": "camera", "model": "eye", "every_s": 2}
    about |= {"threshold": 0.6, "refractory_s": 3}
    models = {"eye": (out / "door.cmod").read_bytes()}
    _, said, _ = piped.run(tmp_path, [about], models, "elapsed >= 20000", world)
    assert [event["label"] for _, event in said] == ["person", "empty"]


def test_a_plan_costs_what_the_trained_model_costs(made, folder):
    metrics, _, _ = made
    plan = image.plan(recipe.parse(RECIPE, "test"), folder)
    assert plan["pictures"] == {"train": 84, "validation": 18, "test": 18}
    assert plan["steps"] == (10 + 5 + 1) * 16 and plan["examples"] == 4 * 84
    assert plan["model"]["macs"] == metrics["model"]["macs"]
    assert plan["model"]["arena"] == metrics["model"]["arena"]
    assert plan["model"]["bytes"] == pytest.approx(metrics["model"]["bytes"], rel=0.05)


def test_a_budget_that_cannot_be_met_is_refused_before_training(folder, tmp_path):
    tight = recipe.parse(RECIPE | {"budget": {"bytes": 3000}}, "test")
    with pytest.raises(UserError, match="needs .* bytes packed, and `budget.bytes` is 3,000"):
        image.run(tight, folder, tmp_path / "out", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_recipe_without_a_folder_says_so():
    with pytest.raises(UserError, match="give --data, or `folder`"):
        image.plan(recipe.parse(RECIPE, "test"), None)


def test_pictures_too_small_for_the_architecture_are_one_line():
    speech = {"task": "keyword", "name": "k", "corpus": {"kind": "synthesis", "words": ["yes"]}}
    one = recipe.parse(
        speech
        | {"model": {"architecture": "mixednet"}, "frontend": {"frames": 10}, "decide": {"hop_frames": 3}},
        "test",
    )
    with pytest.raises(UserError, match="do not fit an input of 10 x 40"):
        footprint.figures(one)


def test_tiny_changes_amounts_and_nothing_else():
    whole = recipe.parse(RECIPE | {"prune": {"keep": 0.5}, "quantise": {"aware_epochs": 4}}, "test")
    assert image.tiny(whole).teacher.train.epochs == 1
    small = image.tiny(whole)
    assert small.train.epochs == 3 and small.prune.epochs == 1 and small.quantise.aware_epochs == 1
    changed = {
        name
        for name, value in msgspec.to_builtins(small).items()
        if value != msgspec.to_builtins(whole)[name]
    }
    assert changed == {"train", "quantise", "prune", "teacher"}


def test_the_shipped_recipe_runs_end_to_end_and_pruned_it_is_smaller(folder, tmp_path):
    shipped = recipe.load(recipe.find("person"))
    plan = image.plan(shipped, folder)
    pruned = msgspec.structs.replace(image.tiny(shipped), prune=recipe.Prune(keep=0.6, epochs=1))
    metrics = image.run(pruned, folder, tmp_path / "out", tmp_path / "cache")
    manifest, _ = container.unpack((tmp_path / "out" / "person.cmod").read_bytes())
    assert manifest["frontend"] == {"kind": "image", "width": 96, "height": 96}
    assert 0.4 < metrics["model"]["macs"] / plan["model"]["macs"] < 0.8
    assert metrics["model"]["bytes"] < plan["model"]["bytes"] <= shipped.budget.bytes
