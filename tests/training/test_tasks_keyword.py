"""From a folder of recordings to artefacts, end to end, at the smallest size that learns something."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time

import numpy as np
import pytest
from msgspec.structs import replace

from cicada.tools.choice import Choice
from cicada.tools.errors import UserError
from cicada.tools.tflm import Interpreter
from cicada.training import container, recipe, selftest
from cicada.training.pack import format, pack
from cicada.training.result import Result
from cicada.training.tasks import keyword
from support.chirps import make

WORDS = ("up", "down")


def tiny(recordings, engine="packed"):
    """The demo's recipe, cut down, for the recordings."""
    return keyword.tiny(Choice(recordings, WORDS, engine=engine).recipe())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder of a run, the recordings, and the run's result."""
    folder = tmp_path_factory.mktemp("run")
    recordings = make(folder / "recordings")
    metrics = keyword.run(tiny(recordings), recordings, folder / "kws", folder / "cache")
    result = Result.load(folder / "kws")
    assert result.metrics == metrics
    return folder, recordings, result


def test_the_model_learnt_something(made):
    result = made[2]
    assert result.labels == ["_silence_", "_unknown_", "up", "down"]
    assert result.accuracy > 0.7
    assert set(result.accuracy_by_word) == set(result.labels)
    figures = result.metrics["test"]
    assert figures["tflm"]["accuracy"] == result.accuracy
    assert abs(figures["tflm"]["balanced"] - figures["tflite"]["balanced"]) < 0.05
    assert abs(figures["tflm"]["balanced"] - figures["float"]["balanced"]) < 0.15
    for split in ("validation", "test"):
        heard = result.metrics["listening"][split]
        assert heard["detected"] + heard["missed"] == heard["wanted"] == 12


def test_artefacts_belong_together(made):
    folder, _, result = made
    tflite = (folder / "kws" / "kws.tflite").read_bytes()
    blob = (folder / "kws" / "kws.cpm").read_bytes()
    manifest, model = container.unpack((folder / "kws" / "kws.cmod").read_bytes())
    assert bytes(model) == blob == pack(tflite).blob and len(blob) == result.model_bytes
    assert manifest["engine"] == result.engine == "packed"
    assert manifest["labels"] == result.labels and manifest["type"] == "kws"
    assert manifest["frontend"] == {
        "rate": 16000,
        "window_ms": 30,
        "step_ms": 20,
        "channels": 40,
        "frames": 49,
    }
    assert manifest["input"] == {"shape": [1, 49, 40, 1], "scale": 1 / 128, "zero_point": 0}
    assert manifest["output"] == {"shape": [1, 4], "scale": 1 / 256, "zero_point": -128}
    assert manifest["arena"] == result.arena_bytes == format.unpack(blob).header["arena"]
    assert result.metrics["model"]["forms"]["TFLM"] == {
        "bytes": len(tflite),
        "arena": Interpreter(tflite).arena,
    }
    assert manifest["macs"] == result.macs and manifest["data"] == result.source
    assert manifest["decision"] == result.metrics["listening"]["decision"]
    assert manifest["selftest"] == selftest.vector(Interpreter(tflite))
    header = (folder / "kws" / "kws_model.h").read_text()
    assert hashlib.sha256(blob).hexdigest() in header and f"KWS_MODEL_LEN {len(blob)}" in header
    first = ", ".join(f"0x{byte:02x}" for byte in blob[:16])
    assert first in (folder / "kws" / "kws_model.c").read_text()
    for picture in result.pictures:
        assert picture.read_bytes()[:4] == b"\x89PNG"
    metrics = json.loads((folder / "kws" / "metrics.json").read_text())
    assert metrics == result.metrics


def test_the_interpreter_can_be_kept(made):
    folder, recordings, result = made
    keyword.run(tiny(recordings, "tflm"), recordings, folder / "tflm", folder / "cache")
    kept = Result.load(folder / "tflm")
    tflite = (folder / "tflm" / "kws.tflite").read_bytes()
    manifest, model = container.unpack((folder / "tflm" / "kws.cmod").read_bytes())
    assert bytes(model) == tflite == (folder / "kws" / "kws.tflite").read_bytes()
    assert manifest["engine"] == kept.engine == "TFLM"
    assert manifest["arena"] == kept.arena_bytes == Interpreter(tflite).arena
    assert f"KWS_MODEL_LEN {len(tflite)}" in (folder / "tflm" / "kws_model.h").read_text()
    assert kept.accuracy == result.accuracy


def test_a_second_run_is_quick_and_needs_no_tensorflow(made):
    folder, recordings, result = made
    # In a process of its own, where importing TensorFlow is an error.
    program = f"""
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
from pathlib import Path
from cicada.tools.choice import Choice
from cicada.training.tasks import keyword
here, recordings = Path({str(folder)!r}), Path({str(recordings)!r})
recipe = keyword.tiny(Choice(recordings, {WORDS!r}).recipe())
print(keyword.run(recipe, recordings, here / "again", here / "cache")["test"]["tflm"]["accuracy"])
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == result.accuracy
    assert time.monotonic() - began < 15
    for name in ("kws.cmod", "kws_model.c", "metrics.json", "curves.png"):
        assert (folder / "again" / name).read_bytes() == (folder / "kws" / name).read_bytes()


def test_what_a_change_touches_is_made_anew_and_nothing_else(made):
    folder, recordings, _ = made
    wanted, cache = tiny(recordings), folder / "cache"
    same = keyword.open_run(wanted, recordings, cache)
    before = set(cache.iterdir())
    assert {same.examples, same.trained, same.quantised} <= before
    fewer = replace(wanted, quantise=replace(wanted.quantise, examples=10))
    other = keyword.open_run(fewer, recordings, cache)
    assert other.trained == same.trained and other.quantised != same.quantised
    assert set(cache.iterdir()) - before == {other.quantised}


def test_every_artefact_names_its_recipe(made):
    folder, recordings, result = made
    digest = recipe.digest(tiny(recordings))
    assert result.metrics["hash"] == digest
    assert container.unpack((folder / "kws" / "kws.cmod").read_bytes())[0]["recipe"] == digest


def test_a_plan_says_what_a_run_makes(made):
    _, recordings, result = made
    plan = keyword.plan(tiny(recordings), recordings)
    assert plan["clips"] == {"train": 96, "validation": 32, "test": 32}
    assert plan["examples"] == 48 * 2 + 48 + 60 and plan["steps"] == 5 * 32
    for name in ("macs", "arena", "macs_per_s"):
        assert plan["model"][name] == result.metrics["model"][name]
    assert plan["model"]["bytes"] == pytest.approx(result.model_bytes, rel=0.02)


def test_a_budget_that_cannot_be_met_is_a_sentence_before_training(made, tmp_path):
    _, recordings, _ = made
    poor = replace(tiny(recordings), budget=recipe.Budget(bytes=5000))
    with pytest.raises(
        UserError, match=r"recipe 'kws': the model needs [\d,]+ bytes packed, and `budget.bytes`"
    ):
        keyword.run(poor, recordings, tmp_path / "kws", tmp_path / "cache")
    assert not (tmp_path / "kws").exists()
    assert not list((tmp_path / "cache").glob("features-*"))


def test_a_result_is_read_back(made):
    folder, _, result = made
    assert Result.load(folder / "kws") == result


@pytest.mark.parametrize("content", [None, "{", "[]", '{"labels": []}'])
def test_no_finished_training_is_a_sentence(content, tmp_path):
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    with pytest.raises(UserError, match="make train"):
        Result.load(tmp_path)


def test_a_full_disk_is_a_sentence_and_leaves_nothing_behind(made, tmp_path, monkeypatch):
    _, recordings, _ = made

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(UserError, match="disk is full"):
        keyword.run(tiny(recordings), recordings, tmp_path / "kws", tmp_path / "cache")
    assert {path.name.split("-")[0] for path in (tmp_path / "cache").iterdir()} <= {"size"}
    assert not (tmp_path / "kws").exists()
