"""The same configuration on the twin, with a board's figures: does the arithmetic hold?

What runs is the application itself, its configuration on the file system. The twin charges what it can know:
not interpreted code, not the way in and out of light sleep, no radio without a broker. So it is compared with
a budget from which these are taken out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.paths import BOARDS, FIRMWARE
from cicada.tools.plan.assumptions import Assumptions
from cicada.tools.plan.budget import DAY, Budget, budget
from cicada.tools.twin.scattered import Scattered
from cicada.tools.twin.sensors.motion import Piece, Synthesised, Timeline
from cicada.tools.twin.sound import RATE, Played
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import Steps, World

#: More than this between budget and twin is a fault.
LIMIT = 0.15
_FIGURES = (
    "CHIP", "POWER", "POWER_AT_MHZ", "CPU_HZ", "CYCLES", "FLASH_US", "BOOT_MS", "SOUND_ADC", "LIGHT_SLEEP_US",
    "MICROPHONE", "LED", "I2C", "SPI", "BATTERY_ADC",
)  # fmt: skip
#: Where a sensor answers that the configuration gives no address, as the drivers have it.
_ADDRESSES = {"adxl345": 0x53, "lis3dh": 0x18, "mpu6050": 0x68, "bme280": 0x76}
_LISTENING_S = 10.0  # of a plan that never sleeps
_WAKES = ("sound", "motion", "pin")  # that the world can bring about
_LASTS_S = 0.3  # what wakes it


@dataclass(frozen=True)
class Verified:
    """The comparison.

    Attributes:
        planned_ma: average current by the budget, without what the twin does not charge.
        twin_ma: the twin's, over whole cycles from the second boot on.
        seconds: of virtual time that was compared.
        wakes: within it; 0 of a plan that never sleeps.
    """

    planned_ma: float
    twin_ma: float
    seconds: float
    wakes: int

    @property
    def off(self) -> float:
        """By how much the budget differs from the twin, as a share of the twin's."""
        return self.planned_ma / self.twin_ma - 1

    @property
    def holds(self) -> bool:
        """Whether that is within :data:`LIMIT`."""
        return abs(self.off) <= LIMIT


def figures_of(board: ModuleType) -> ModuleType:
    """The twin's board with the chip, currents, speeds, times and pins of another, without its sensors."""
    twin = load_board("twin")
    for name in _FIGURES:
        setattr(twin, name, getattr(board, name, None))
    twin.I2C_DEVICES = ()
    return twin


def wired(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A configuration's sensors, as the twin's world wires them.

    Raises:
        UserError: a sensor of a kind that is not wired here.
    """
    devices = []
    for one in config["sensors"]:
        if one["kind"] not in _ADDRESSES:
            raise UserError(f"sensor '{one['name']}' cannot be verified: no {one['kind']} is wired here")
        device = {"kind": one["kind"]}
        if one.get("bus") == "spi":
            device |= {"bus": "spi", "cs": one["cs"]}
        else:
            device["address"] = one.get("address") or _ADDRESSES[one["kind"]]
        if one.get("interrupt") is not None:
            device["interrupt"] = one["interrupt"]
        devices.append(device)
    return devices


@lru_cache
def _application() -> dict[str, bytes]:
    """The application's files, which stay the same while this process runs."""
    from cicada.tools.twin import romfs
    from cicada.tools.twin.image import application

    return romfs.unpack(application("twin", {}))


def flash(config: Mapping[str, Any], board: ModuleType) -> bytes:
    """A flash with the application, the built-in models, and a configuration without its network.

    What a vibration pipeline learns first it is spared: the first windows of its life are written to flash.

    Args:
        config: whole and valid.
        board: as :func:`figures_of` gives it; the application must know the same figures.

    Raises:
        UserError: a model that is not built in.
    """
    from cicada.tools.twin import factory, romfs
    from cicada.tools.twin.appimage import build
    from cicada.tools.twin.image import compile_text

    text = (BOARDS / "twin" / "board.py").read_text()
    text += "".join(f"{name} = {getattr(board, name)!r}\n" for name in (*_FIGURES, "I2C_DEVICES"))
    files = _application() | {"board.mpy": compile_text(text, "board.py")}
    for pipeline in config["pipelines"]:
        gate = pipeline.get("gate") or {}
        for name in filter(None, (pipeline.get("model"), gate.get("first"))):
            path = FIRMWARE / "models" / f"{name}.cmod"
            if not path.is_file():
                raise UserError(
                    f"model '{name}' is not in {path.parent}: only what is built in can be verified"
                )
            files[f"models/{name}.cmod"] = path.read_bytes()
    pipelines = [one | {"learn": 0} if one["kind"] == "vibration" else one for one in config["pipelines"]]
    alone = {**config, "pipelines": pipelines, "mqtt": None, "wifi": None, "updates": None}
    vfs = factory.file_system({"/cicada.json": json.dumps(alone).encode()})
    return factory.flash({"ota_0": build(romfs.pack(files), "0.0.1", board), "vfs": vfs})


def world(config: Mapping[str, Any], moments: list[float]) -> World:
    """A quiet room and, at the given moments (s), what the plan's first wake source waits for.

    A machine runs where an accelerometer samples by the clock; it starts at these moments where motion wakes.

    Raises:
        UserError: the plan waits for something else.
    """
    running = Synthesised(rotation_hz=25, unbalance_g=0.2, noise_g=0.01)
    if not moments:
        return World(Scattered([], 1), motion=running)
    on = [wake for wake in config["plan"]["wake"] if wake["on"] in _WAKES]
    if not on:
        raise UserError(f"nothing here wakes this plan: give it one of {', '.join(_WAKES)}, or a period")
    last = moments[-1] + 60
    if on[0]["on"] == "sound":
        bang = (12_000 * np.sin(np.arange(int(_LASTS_S * RATE)) * 0.3)).astype(np.int16)
        return World(Scattered([Played(at, bang) for at in moments], last))
    ends = [(int(at * 1e6), int((at + _LASTS_S) * 1e6)) for at in moments]
    if on[0]["on"] == "motion":
        shaken = Synthesised(rotation_hz=25, unbalance_g=4 * on[0]["threshold_g"])
        return World(Scattered([], 1), motion=Timeline([Piece(start, shaken, end) for start, end in ends]))
    rest = 1 - on[0]["level"]
    changes = [(0, rest)] + [change for start, end in ends for change in ((start, 1 - rest), (end, rest))]
    return World(Scattered([], 1), levels={on[0]["pin"]: Steps(changes)})


def comparable(config: Mapping[str, Any], board: ModuleType, assumed: Assumptions) -> Budget:
    """The budget without what the twin does not charge: interpreted code, light sleep's way in and out, the
    radio; and in a room where nothing is to be heard."""
    bare = replace(assumed, python_ms=0, script_ms=0, normal_ms=0, records=0, events=0, heard=0)
    quiet = {**config, "mqtt": None}
    silent = ModuleType(board.NAME)
    silent.__dict__.update(vars(board))
    silent.LIGHT_SLEEP_US = 0
    silent.REGULATOR_MA = 0.0
    return budget(quiet, silent, bare)


def verify(config: Mapping[str, Any], board: ModuleType, assumed: Assumptions, cycles: int = 2) -> Verified:
    """Run a configuration on the twin and compare.

    Args:
        config: whole and valid.
        board: whose figures count.
        assumed: for the budget; ``wakes`` also says how often the world wakes the twin.
        cycles: to compare after the first, which also has to find its rhythm.

    Raises:
        UserError: the configuration cannot be run there, or did not come round.
    """
    plan = config["plan"]
    forever = plan["kind"] == "listen" and not plan["quiet_s"]
    if forever:
        every = _LISTENING_S / cycles
    elif plan["kind"] == "event":
        if not plan["every_s"] and not assumed.wakes:
            raise UserError("nothing wakes this plan: say how often with --wakes")
        every = DAY / assumed.wakes if assumed.wakes else plan["every_s"]
    else:
        every = plan["every_s"] if plan["kind"] == "sample" else plan["quiet_s"] + plan["sleep_s"] + 10
    seconds = (cycles + 1.5) * every
    told = [every * n for n in range(1, cycles + 2)] if plan["kind"] == "event" and assumed.wakes else []
    figures = figures_of(board)
    around = world(config, told)
    around.devices = wired(config)
    twin = Twin(flash(config, figures), figures, around)
    twin.run(seconds)
    if figures.CHIP == "esp32c3" and "with gpio pins not supported" in twin.text:
        raise UserError(
            "on the twin pins cannot wake an ESP32-C3 from deep sleep: verify it with --board esp32"
        )
    if "Traceback" in twin.text or "E (" in twin.text:
        raise UserError(f"on the twin the node did not run: its console said {twin.text[-300:]!r}")
    if forever:
        start, end, wakes = 5_000_000, int(seconds * 1e6), 0
    else:
        boots = [round(at * 1e6) for at, _ in twin.resets][1:]
        if told:  # from one of the world's wakes to another, however often the timer woke it between them
            boots = [min((at for at in boots if at >= moment * 1e6), default=0) for moment in told]
        if len(boots) <= cycles or not all(boots):
            raise UserError(f"on the twin the plan did not come round: its console said {twin.text[-300:]!r}")
        start, end = boots[0], boots[cycles]
        wakes = sum(start <= at * 1e6 < end for at, _ in twin.resets)
    drawn = sum(
        max(min(s.end, end) - max(s.start, start), 0) * s.current for s in twin.chip.meter.stretches
    ) / (end - start)
    planned = comparable(config, board, assumed).average_ma
    return Verified(planned, drawn, (end - start) / 1e6, wakes)
