"""Models made by hand for pipelines, and programs that run pipelines on the twin."""

from __future__ import annotations

import json
import random
from functools import lru_cache
from pathlib import Path

import numpy as np

from cicada.tools.board import load_board
from cicada.tools.twin.sensors.motion import Motion
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import World
from cicada.training import container
from cicada.training.pack import pack
from support import pictures
from support.twins import QUIET, script_flash
from support.zoo import streams
from support.zoo.model import Model, Quant

LABELS = ["_silence_", "_unknown_", "yes", "no"]
AUDIO = {"rate": 16000, "window_ms": 30, "step_ms": 20, "channels": 40, "frames": 49}
DECISION = {"hop_frames": 5, "window": 3, "threshold": 0.8, "refractory_ms": 1500}
_PROGRAM = """
import board, json, machine, nn, time
from node.model import common_arena, open_model
from node.pipelines import make
from node.pipelines.runner import Runner
from node.sensors import Sensors
board.CAMERA = PINS
FIRST
sensors = Sensors(SENSORS, board)
arena = common_arena([nn.builtin(name) for name in nn.builtins()])
opened = lambda name: open_model(nn.builtin(name), arena)
pipelines = [p for p in [make(about, opened, sensors, board) for about in ABOUTS] if p]
def said(event):
    print("SAID", time.ticks_ms(), json.dumps(event))
runner = Runner(pipelines, sensors, said, lambda: None, lambda: None, light_ms=LIGHT)
BEFORE
began = time.ticks_ms()
runner.run(lambda elapsed, quiet: UNTIL)
elapsed = time.ticks_diff(time.ticks_ms(), began)
AFTER
print("RAN", json.dumps({"elapsed": elapsed, "busy": runner.busy_ms, "lost": runner.lost,
    "heard": runner.heard, "ran": runner.ran, "done": runner.done, "inferences": runner.inferences,
    "longest": runner.longest_ms, "each": [p.inferences for p in pipelines]}))
machine.deepsleep()
"""


class Shaken(Motion):
    """At rest but between two times (s), when it shakes."""

    def __init__(self, start: float, end: float) -> None:
        self.start, self.end = start, end

    def values(self, times: np.ndarray) -> np.ndarray:
        seconds = np.asarray(times) / 1e6
        noise = 0.01 * np.sin(seconds[..., None] * np.array([913.0, 1171.0, 777.0]))
        on = (seconds >= self.start) & (seconds < self.end)
        shake = 0.8 * np.sin(2 * np.pi * np.array([31.0, 47.0, 83.0]) * seconds[..., None])
        return np.array(self.rest) + noise + shake * on[..., None]


@lru_cache
def level_model(inputs: int, gains: tuple[tuple[float, float], ...]) -> bytes:
    """A packed classifier of the mean of ``inputs`` int8 values, -1 to 1: logits gain * mean + offset."""
    model = Model(tame=True)
    x = model.input((1, inputs), Quant(1 / 128, 0))
    most = max(abs(gain) for gain, _ in gains)
    step = most / inputs / 127
    weights = np.array([[round(gain / inputs / step)] * inputs for gain, _ in gains], np.int8)
    bias = np.array([round(offset / (step / 128)) for _, offset in gains], np.int32)
    logits = model.tensor((1, len(gains)), Quant(0.4, 0))
    out = model.tensor((1, len(gains)), Quant(1 / 256, -128))
    constants = [model.constant(weights, Quant(step, 0)), model.constant(bias, Quant(step / 128, 0))]
    model.operator("FULLY_CONNECTED", [x, *constants], [logits], keepNumDims=False, fusedActivationFunction=0)
    model.operator("SOFTMAX", [logits], [out], beta=1.0)
    return pack(model.finish(out)).blob


def boxed(data: bytes, kind: str, **more: object) -> bytes:
    """A model in its container."""
    return container.pack({"type": kind, "name": kind, "version": "1", **more}, data)


def loud_words() -> bytes:
    """A keyword model: loud frames are "yes", all else is silence."""
    data = level_model(1960, ((-30, -17), (0, -12), (30, 16), (0, -12)))
    return boxed(data, "kws", labels=LABELS, frontend=AUDIO, decision=DECISION)


def voices() -> bytes:
    """A voice-activity model on 10 frames."""
    data = level_model(400, ((-30, -17), (30, 16)))
    return boxed(data, "vad", labels=["_silence_", "voice"], frontend=AUDIO | {"frames": 10})


def streaming() -> bytes:
    """A streaming wake-word model of uint8 output, at a step of 10 ms."""
    front = AUDIO | {"step_ms": 10, "frames": 2}
    decision = {"hop_frames": 2, "window": 5, "threshold": 1.0, "refractory_ms": 1000}
    data = pack(streams.wake_word(random.Random(13))).blob
    return boxed(data, "kws", labels=["okay"], frontend=front, decision=decision)


def shaking(decision: dict | None = None, **more: object) -> bytes:
    """A model of vibration: strong features are "shaking". ``more`` goes to its front end."""
    front = {"kind": "vibration", "samples": 256, "bands": 16, "axes": 3, **more}
    data = level_model(front["axes"] * (19 + front.get("envelope", 0)), ((-30, -17), (30, 16)))
    return boxed(data, "vibration", labels=["still", "shaking"], frontend=front, decision=decision)


def bright() -> bytes:
    """A model of images: bright ones are "day"."""
    data = level_model(256, ((-40, 0), (40, 0)))
    front = {"kind": "image", "width": 16, "height": 16}
    return boxed(data, "image", labels=["night", "day"], frontend=front)


def keyword(name: str = "kws", gate: dict | None = None) -> dict:
    """A keyword pipeline's section of the configuration."""
    return {"name": name, "kind": "keyword", "model": name, "gate": gate}


def vibration(model: str | None = None, **more: object) -> dict:
    """A vibration pipeline's."""
    about = {
        "name": "vib",
        "kind": "vibration",
        "sensor": "accel",
        "model": model,
        "samples": 256,
        "bands": 16,
    }
    return (
        about
        | {"windows": 1, "threshold": 3.0, "clear": 2.0, "hold": 2, "refractory_s": 5, "learn": 8, "rpm": 0}
        | {"axis": "z"}
        | more
    )


ACCEL = {"name": "accel", "kind": "adxl345", "rate_hz": 400, "range_g": 4, "optional": False}


def program(
    abouts: list[dict],
    until: str,
    sensors: list[dict] | None = None,
    light: bool = False,
    before: str = "",
    after: str = "",
    first: str = "",
) -> str:
    """A program that runs pipelines; ``first`` comes before they are made, the others around the run."""
    code = _PROGRAM.replace("SENSORS", repr(sensors or [])).replace("BEFORE", before).replace("AFTER", after)
    code = code.replace("PINS", pictures.PINS).replace("FIRST", first)
    return (
        code.replace("ABOUTS", repr(abouts)).replace("UNTIL", until).replace("LIGHT", "5" if light else "0")
    )


def run(
    folder: Path,
    abouts: list[dict],
    models: dict[str, bytes],
    until: str,
    world: World | None = None,
    sensors: list[dict] | None = None,
    seconds: float = 90,
    light: bool = False,
    before: str = "",
    after: str = "",
    first: str = "",
) -> tuple[Twin, list[tuple[int, dict]], dict]:
    """Run pipelines on a twin; the twin, what was reported by ms, and the runner's figures."""
    flash = script_flash(program(abouts, until, sensors, light, before, after, first), folder, models)
    twin = Twin(flash, load_board("twin"), world or World(QUIET))
    twin.run(seconds)
    ran = [line for _, line in twin.lines if line.startswith("RAN ")]
    assert ran, twin.text[-2000:]
    said = [line.split(" ", 2) for _, line in twin.lines if line.startswith("SAID ")]
    return twin, [(int(ms), json.loads(event)) for _, ms, event in said], json.loads(ran[-1][4:])
