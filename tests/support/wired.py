"""Twins with sensors wired to them, and programs that use them through the application's drivers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cicada.tools.board import load_board
from cicada.tools.twin.sensors.motion import Motion
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import World
from support.twins import QUIET, script_flash

#: Pins of the twin's I2C bus; where the sensors of these tests have their chip select and their interrupt.
SCL, SDA, CS, INTERRUPT = 22, 21, 5, 34
_HEAD = """
import board, machine, time
from array import array
from node.sensors import Sensors, SensorError
entries = {entries}
sensors = Sensors(entries, board)
"""
_END = "\nmachine.deepsleep()\n"


class Swing(Motion):
    """Every axis swings by its own amplitude (g) around gravity, at ``hertz``."""

    def __init__(self, hertz: float, amplitudes: tuple[float, float, float] = (0.5, -0.4, 0.3)) -> None:
        self.hertz, self.amplitudes = hertz, np.array(amplitudes)

    def values(self, times: np.ndarray) -> np.ndarray:
        swing = np.sin(2 * np.pi * self.hertz * np.asarray(times) / 1e6)
        return np.array(self.rest) + swing[..., None] * self.amplitudes


class Jolt(Motion):
    """At rest but for a push of ``g`` along x, 60 ms long, at ``at_us``."""

    def __init__(self, at_us: int, g: float = 1.5) -> None:
        self.at_us, self.g = at_us, g

    def values(self, times: np.ndarray) -> np.ndarray:
        since = np.asarray(times) - self.at_us
        out = np.broadcast_to(np.array(self.rest, np.float64), (*np.shape(times), 3)).copy()
        out[..., 0] += self.g * ((since >= 0) & (since < 60_000))
        return out


def device(kind: str, bus: str, **more: object) -> dict:
    """A sensor as the twin's world describes it."""
    place = {"spi": {"cs": CS}, "1-wire": {"pin": 4}}.get(bus, {})
    return {"kind": kind, "bus": bus, **place, **more}


def entry(kind: str, bus: str, **more: object) -> dict:
    """A sensor as the configuration describes it, with the name "s"."""
    place = {"spi": {"bus": "spi", "cs": CS}, "1-wire": {"pin": 4}, "i2c": {"bus": "i2c"}}[bus]
    return {"name": "s", "kind": kind, **place, **more}


def twin(code: str, folder: Path, entries: list[dict], world: World | None = None) -> Twin:
    """A twin, off, that will run ``code`` with ``sensors`` and sleep for good."""
    head = _HEAD.replace("{entries}", repr(json.loads(json.dumps(entries))))
    return Twin(script_flash(head + code + _END, folder), load_board("twin"), world or World(QUIET))


def run(
    code: str, folder: Path, entries: list[dict], world: World | None = None, seconds: float = 30
) -> Twin:
    """The same, run."""
    made = twin(code, folder, entries, world)
    made.run(seconds)
    return made
