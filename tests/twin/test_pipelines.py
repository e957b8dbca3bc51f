"""Pipelines on the twin: what they report, what the gate saves, and that nothing gets lost."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from cicada.tools.board import load_board
from cicada.tools.powercut.models import contained
from cicada.tools.twin.sensors.camera import Camera
from cicada.tools.twin.sound import Sound
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import World
from support import piped
from support.twins import QUIET, blob, loud, node_flash, script_flash


@pytest.fixture(scope="module")
def minute(tmp_path_factory):
    """A quiet minute with one word, without a gate, with one, and with a first model behind it."""
    models = {"kws": piped.loud_words(), "vad": piped.voices()}
    gate = {"level_dbfs": -30, "hold_ms": 1500, "first": None}
    found = {}
    for name, gated in (("open", None), ("gate", gate), ("first", gate | {"first": "vad"})):
        world = World(Sound([loud(20.0)], 65))
        folder = tmp_path_factory.mktemp(name)
        found[name] = piped.run(folder, [piped.keyword(gate=gated)], models, "elapsed >= 60000", world)
    return found


def test_a_word_is_reported_once_with_and_without_a_gate(minute):
    for _, said, ran in minute.values():
        assert [event["word"] for _, event in said] == ["yes"]
        ms, event = said[0]
        assert 20000 < ms < 21500 and event["source"] == "kws" and event["event"] == "keyword"
        assert ran["heard"] and ran["ran"] and ran["done"] and ran["lost"] == 0


def test_a_gate_saves_most_inferences_of_a_quiet_minute_and_their_charge(minute):
    count = {name: ran["inferences"] for name, (_, _, ran) in minute.items()}
    assert 550 <= count["open"] <= 600
    assert count["gate"] < count["open"] / 15
    busy = {name: twin.chip.parts["neural"].invoking_us for name, (twin, _, _) in minute.items()}
    assert busy["gate"] < busy["open"] / 15
    charge = {name: twin.chip.meter.charge_mah() for name, (twin, _, _) in minute.items()}
    assert charge["gate"] < charge["open"]


def test_the_front_end_runs_whatever_the_gate_does(minute):
    frames = {name: twin.chip.parts["neural"].frames for name, (twin, _, _) in minute.items()}
    assert max(frames.values()) - min(frames.values()) <= 3


def test_quiet_is_counted_from_the_last_sound(tmp_path):
    world = World(Sound([loud(3.0)], 30))
    _, said, ran = piped.run(tmp_path, [piped.keyword()], {"kws": piped.loud_words()}, "quiet >= 5000", world)
    assert len(said) == 1 and 8000 < ran["elapsed"] + 500 < 10500


def test_pipelines_of_one_step_share_a_front_end_and_others_have_their_own(tmp_path):
    models = {"kws": piped.loud_words(), "two": piped.loud_words(), "stream": piped.streaming()}
    abouts = [piped.keyword(), piped.keyword("two"), piped.keyword("stream")]
    world = World(Sound([loud(2.5)], 9))
    twin, said, ran = piped.run(tmp_path, abouts, models, "elapsed >= 6000", world)
    words = [(event["source"], event["word"]) for _, event in said if event["source"] != "stream"]
    assert words == [("kws", "yes"), ("two", "yes")]
    # 6 s at 20 ms and at 10 ms.
    assert twin.chip.parts["neural"].frames == pytest.approx(300 + 600, abs=20)
    assert ran["each"][2] == pytest.approx((6000 - 510) / 20, abs=8)


def test_nothing_is_allocated_while_nothing_is_reported(tmp_path):
    before = (
        "import gc\nruns = taken = 0\n"
        "def until(elapsed, quiet):\n"
        "    global runs, taken\n    runs += 1\n"
        "    if runs == 20:\n        gc.collect()\n        gc.disable()\n        taken = -gc.mem_alloc()\n"
        "    if runs == 120:\n        taken += gc.mem_alloc()\n        gc.enable()\n"
        "    return runs > 120\n"
    )
    models = {"kws": piped.loud_words(), "stream": piped.streaming(), "vad": piped.voices()}
    gate = {"level_dbfs": -90, "hold_ms": 1500, "first": "vad"}
    abouts = [piped.keyword(gate=gate), piped.keyword("stream")]
    twin, said, _ = piped.run(
        tmp_path, abouts, models, "until(elapsed, quiet)", before=before, after="print('TAKEN', taken)\n"
    )
    assert said == [] and "TAKEN 0\n" in twin.text.replace("\r", "")


def test_vibration_learns_then_tells_each_change_once(tmp_path):
    world = World(QUIET, motion=piped.Shaken(15, 22))
    _, said, ran = piped.run(
        tmp_path, [piped.vibration()], {}, "elapsed >= 32000", world, [piped.ACCEL], light=True
    )
    assert [event["state"] for _, event in said] == ["learning", "normal", "anomaly", "normal"]
    times = [ms / 1000 for ms, _ in said]
    assert times[0] < 3 and 5 < times[1] < 10 and 15 < times[2] < 18 and 22 < times[3] < 26
    assert said[2][1]["score"] > 3 and ran["lost"] == 0 and ran["heard"] and ran["done"]


def test_what_was_learned_and_told_outlasts_a_sleep(tmp_path):
    restore = (
        "import machine\nkept = machine.RTC().memory()\nrunner.restore(kept)\n"
        "print('WOKE', len(kept), pipelines[0]._told, pipelines[0]._learned.ready)\n"
    )
    until = "keep(elapsed >= 9000)"
    keep = (
        "def keep(over):\n    if over:\n        machine.RTC().memory(runner.state())\n"
        "        for p in pipelines: p.close()\n"
        "        machine.deepsleep(1000 if machine.reset_cause() == machine.PWRON_RESET else None)\n"
    )
    code = piped.program([piped.vibration()], until, [piped.ACCEL], before=restore + keep)
    twin = Twin(
        script_flash(code, tmp_path, {}), load_board("twin"), World(QUIET, motion=piped.Shaken(99, 99))
    )
    twin.run(25)
    assert "WOKE 0 None False" in twin.text and "WOKE 14 normal True" in twin.text
    assert twin.text.count('"state": "learning"') == 1 and twin.text.count('"state": "normal"') == 1


def test_a_model_of_vibration_says_which_state_it_is_in(tmp_path):
    world = World(QUIET, motion=piped.Shaken(6, 12))
    about = piped.vibration("shaking", threshold=0.8, clear=0.5)
    _, said, ran = piped.run(
        tmp_path, [about], {"shaking": piped.shaking()}, "elapsed >= 20000", world, [piped.ACCEL]
    )
    assert [event["label"] for _, event in said] == ["shaking", "still"]
    assert ran["inferences"] == pytest.approx(20 / 0.64, abs=2) and ran["lost"] == 0


def test_a_missing_optional_accelerometer_leaves_the_others_running(tmp_path):
    gone = piped.ACCEL | {"optional": True, "address": 0x1D}
    _, said, ran = piped.run(
        tmp_path,
        [piped.keyword(), piped.vibration()],
        {"kws": piped.loud_words()},
        "elapsed >= 6000",
        World(Sound([loud(2.5)], 9)),
        [gone],
    )
    assert [event["word"] for _, event in said] == ["yes"] and len(ran["each"]) == 1


def test_a_camera_tells_when_what_it_sees_changes(tmp_path):
    for name, level in (("dark", 20), ("light", 230)):
        Image.new("L", (320, 240), level).save(tmp_path / f"{name}.png")
    files = [tmp_path / f"{name}.png" for name in ("dark", "light", "dark")]
    world = World(QUIET, camera=Camera(files, [0, 7_000_000, 15_000_000]))
    about = {"name": "eye", "kind": "camera", "model": "eye", "every_s": 2}
    about |= {"threshold": 0.8, "refractory_s": 3}
    _, said, ran = piped.run(tmp_path, [about], {"eye": piped.bright()}, "elapsed >= 20000", world)
    assert [event["label"] for _, event in said] == ["day", "night"]
    assert 7000 < said[0][0] < 9700 and 15000 < said[1][0] < 17700
    assert ran["inferences"] in (10, 11) and not ran["heard"]  # one colour is what a dead camera sends


def test_slow_sensors_are_read_by_the_clock(tmp_path):
    air = {"name": "air", "kind": "bme280", "every_s": 2}
    _, said, _ = piped.run(tmp_path, [piped.vibration()], {}, "elapsed >= 9000", None, [piped.ACCEL, air])
    readings = [(ms, event) for ms, event in said if "reading" in event]
    assert len(readings) == 5 and readings[0][1]["source"] == "air"
    assert np.diff([ms for ms, _ in readings]) == pytest.approx(2000, abs=60)
    assert "temperature_c" in readings[0][1]


def test_models_that_are_built_in_use_one_arena_by_turns():
    """The model that is updated over the air has its own, all others have one together."""
    models = {"kws": blob(), "first": contained(1), "second": contained(2)}
    pipelines = [{"name": name, "kind": "keyword", "model": name} for name in ("kws", "first", "second")]
    files = {"cicada.json": json.dumps({"pipelines": pipelines}).encode()}
    twin = Twin(node_flash(models, files), load_board("twin"), QUIET)
    twin.run(6)
    neural = twin.chip.parts["neural"]
    assert "Traceback" not in twin.text and "does not run" not in twin.text, twin.text
    assert len(neural.scores) > 60 and len(neural._arenas) == 1
