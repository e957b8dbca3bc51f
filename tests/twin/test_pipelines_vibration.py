"""What the vibration pipeline makes of models' manifests, and of a model that was trained."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from cicada.tools.twin.sensors.motion import Motion, Piece, Still, Timeline
from cicada.tools.twin.sensors.noise import hashed
from cicada.tools.twin.world import World
from cicada.training import recipe as recipes
from cicada.training.tasks import vibration
from support import piped
from support.twins import QUIET

#: Prints what the front end is made with and told, and what it gives.
_SPIED = """
front = nn.VibrationFrontEnd
class Spy:
    def __init__(self, *numbers):
        print("FRONT", *numbers)
        self.front = front(*numbers)
        self.features, self.feed, self.reset = self.front.features, self.front.feed, self.front.reset
    def speed(self, *numbers):
        print("SPEED", *numbers)
        self.front.speed(*numbers)
nn.VibrationFrontEnd = Spy
"""


#: Prints why pipelines do not run.
_REFUSED = """
for about in {abouts}:
    try:
        make(about, opened, sensors, board)
    except ValueError as e:
        print("REFUSED", e)
"""


def test_a_model_of_orders_runs_at_its_rate_and_speed_and_not_at_others(tmp_path):
    front = {"envelope": 8, "orders": True}
    models = {
        # The chip's nearest rate is 400 Hz, and that is what the orders are taken from.
        "shaking": piped.shaking(**front, rate_hz=395),
        "fast": piped.shaking(**front, rate_hz=12000),
    }
    about = piped.vibration("shaking", threshold=0.6, clear=0.5, rpm=1410.5)
    world = World(QUIET, motion=piped.Shaken(2, 6))
    twin, said, ran = piped.run(
        tmp_path,
        [about],
        models,
        "elapsed >= 5000",
        world,
        [piped.ACCEL],
        first=_SPIED,
        before=_REFUSED.format(abouts=[piped.vibration("fast", rpm=1410.5), piped.vibration("shaking")]),
    )
    text = twin.text.replace("\r", "")
    assert "FRONT 256 16 3 8\n" in text and "SPEED 400.0 1410.5\n" in text
    assert [event["label"] for _, event in said] == ["shaking"] and ran["lost"] == 0
    assert ran["inferences"] == pytest.approx(5 / 0.64, abs=2)
    assert [line[8:] for line in text.splitlines() if line.startswith("REFUSED ")] == [
        "pipeline 'vib': model 'fast' wants 12000 samples a second, sensor 'accel' has 400: set its rate_hz",
        "pipeline 'vib': model 'shaking' follows the speed of the shaft: give the pipeline its rpm",
    ]


class Axes(Motion):
    """One motion along x, another along z."""

    def __init__(self, x: Motion, z: Motion) -> None:
        self.x, self.z = x, z

    def values(self, times: np.ndarray) -> np.ndarray:
        out = np.zeros((*np.shape(times), 3))
        out[..., 0], out[..., 2] = self.x.values(times)[..., 0], self.z.values(times)[..., 0] + 1
        return out


class Throbbing(Motion):
    """Noise whose strength goes up and down ``beats_hz`` times a second; 0 is faint and even noise."""

    def __init__(self, beats_hz: float, seed: int) -> None:
        self.beats_hz, self.seed = beats_hz, seed

    def values(self, times: np.ndarray) -> np.ndarray:
        times = np.asarray(times, np.int64)
        beat = 1 + np.cos(2 * np.pi * self.beats_hz * times / 1e6) if self.beats_hz else 0.1
        return (0.3 * beat * hashed(times // 2500, self.seed))[..., None] * np.ones(3)


@pytest.mark.parametrize(("axis", "events"), [("x", ["shaking"]), ("z", [])])
def test_a_model_of_one_axis_runs_on_the_axis_that_is_named(tmp_path, axis, events):
    decision = {"window": 3, "threshold": 0.7, "clear": 0.5}
    models = {"one": piped.shaking(decision, axes=1, counts_per_g=128)}
    collected = (
        "import gc\nruns = taken = 0\n"
        "def until(elapsed, quiet):\n"
        "    global runs, taken\n    runs += 1\n"
        "    if runs == 10:\n        gc.collect()\n        gc.disable()\n        taken = -gc.mem_alloc()\n"
        "    if runs == 110:\n        taken += gc.mem_alloc()\n        gc.enable()\n"
        "    return elapsed >= 6000\n"
    )
    twin, said, ran = piped.run(
        tmp_path,
        [piped.vibration("one", axis=axis)],
        models,
        "until(elapsed, quiet)",
        World(QUIET, motion=Axes(Timeline([Piece(3_000_000, Throbbing(9, 1))]), Still())),
        [piped.ACCEL],
        before=collected,
        after="print('RUNS', runs, 'TAKEN', taken)\n",
    )
    assert [event["label"] for _, event in said] == events
    assert ran["inferences"] == pytest.approx(6 / 0.64, abs=2) and ran["lost"] == 0
    runs, taken = re.search(r"RUNS (\d+) TAKEN (-?\d+)", twin.text).groups()
    # A decision leaves its score, a number of 16 bytes; the way from frames to scores leaves nothing.
    assert int(runs) > 110 and (int(taken) <= 16 * ran["inferences"] or events)


def test_a_sample_looks_at_as_many_windows_as_a_mean_takes(tmp_path):
    models = {"four": piped.shaking({"window": 4, "threshold": 0.7, "clear": 0.5})}
    about = piped.vibration("four", hold=1)
    world = World(QUIET, motion=piped.Shaken(0, 90))
    _, said, ran = piped.run(tmp_path, [about], models, "runner.done", world, [piped.ACCEL])
    assert ran["inferences"] == 4 and [event["label"] for _, event in said] == ["shaking"]


BEATS = {"normal": 0, "slow": 9, "fast": 31}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A container of the task's own, from recordings in the form in which a node's are kept."""
    data, out = tmp_path_factory.mktemp("recorded"), tmp_path_factory.mktemp("trained")
    for seed, (label, beats) in enumerate([item for item in BEATS.items() for _ in range(2)]):
        (data / label).mkdir(exist_ok=True)
        felt = Throbbing(beats, seed + 100).samples(0, 2500, 256 * 72)[:, :1]
        np.savez(data / label / f"rig_{seed}.npz", frames=np.rint(felt * 256).astype(np.int16))
        about = {"rate_hz": 400, "g_per_count": 1 / 256}
        (data / label / f"rig_{seed}.json").write_text(json.dumps(about))
    recipe = recipes.parse(
        {
            "task": "vibration",
            "name": "beats",
            "labels": list(BEATS),
            "corpus": {"kind": "folder", "split": "time"},
            "frontend": {"rate_hz": 400, "samples": 256, "bands": 8, "envelope": 16, "axes": 1},
            "model": {"architecture": "vibration_cnn", "hidden": 16},
            "train": {"epochs": 10, "examples": 1024, "batch": 64, "warmup": 10},
        },
        "here",
    )
    metrics = vibration.run(recipe, data, out, out / "cache")
    return metrics, (out / "beats.cmod").read_bytes()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("label", ["slow", "fast"])
def test_a_trained_model_names_what_the_sensor_feels(trained, tmp_path, label):
    metrics, blob = trained
    # The axis that is not looked at does the other thing all the time.
    other = {"slow": "fast", "fast": "slow"}[label]
    pieces = [Piece(4_000_000, Throbbing(BEATS[label], 7), 16_000_000)]
    motion = Axes(Timeline(pieces, Throbbing(0, 8)), Throbbing(BEATS[other], 9))
    _, said, ran = piped.run(
        tmp_path,
        [piped.vibration("beats", axis="x")],
        {"beats": blob},
        "elapsed >= 23000",
        World(QUIET, motion=motion),
        [piped.ACCEL],
    )
    assert metrics["test"]["spans"]["4"] > 0.95
    assert [event["label"] for _, event in said] == [label, "normal"], said
    window_ms = 640
    first, second = (ms for ms, _ in said)
    # Of four windows in a mean at least two must be of the fault, and two means in a row.
    assert 4000 + 2 * window_ms < first < 16000 < second < 16000 + 8 * window_ms
    assert ran["lost"] == 0
