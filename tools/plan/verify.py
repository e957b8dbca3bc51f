"""The same configuration on the twin, with a board's figures: does the arithmetic hold?

What runs is a small program that follows the plan with the application's own modules, or any image. The twin
charges what it can know: not the start of Python, not the way in and out of light sleep, no radio without a
broker. So it is compared with a budget from which these are taken out.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.plan.assumptions import Assumptions
from cicada.tools.plan.budget import Budget, budget
from cicada.tools.twin.sensors.motion import Synthesised
from cicada.tools.twin.sound import Sound
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import World

#: More than this between budget and twin is a fault.
LIMIT = 0.15
_FIGURES = ("POWER", "POWER_AT_MHZ", "CPU_HZ", "CYCLES", "FLASH_US", "BOOT_MS", "SOUND_ADC")
#: Where a sensor answers that the configuration gives no address, as the drivers have it.
_ADDRESSES = {"adxl345": 0x53, "lis3dh": 0x18, "mpu6050": 0x68, "bme280": 0x76}
_PROGRAM = """
import json, machine
import board
from node.pipelines import make
from node.pipelines.runner import Runner
from node.plan import Plan, SESSION
from node.sensors import Sensors

config = json.loads('''%s''')
sensors = Sensors(config["sensors"], board)
plan = Plan(config["plan"], board, sensors)
rtc = machine.RTC()
plan.restore(rtc.memory())
why = plan.woken(machine.reset_cause(), machine.wake_reason(), None)
print("woken by", why)
if plan.stage(why) != SESSION:
    pipelines = [make(about, None, sensors, board) for about in config["pipelines"]]
    runner = Runner(pipelines, sensors, print, lambda: None, lambda: None, light=True)
    runner.run(plan.until(why))
sleep_ms = plan.arm()
rtc.memory(plan.state())
machine.deepsleep(sleep_ms) if sleep_ms else machine.deepsleep()
"""


@dataclass(frozen=True)
class Verified:
    """The comparison.

    Attributes:
        planned_ma: average current by the budget, without what the twin does not charge.
        twin_ma: the twin's, over whole cycles from the second wake on.
        seconds: of virtual time that was compared.
        wakes: within it.
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


def figures_of(board: ModuleType, config: Mapping[str, Any]) -> ModuleType:
    """The twin's board with the currents, speeds and times of another, and a configuration's sensors.

    Raises:
        UserError: a sensor that is not on I2C.
    """
    twin = load_board("twin")
    for name in _FIGURES:
        setattr(twin, name, getattr(board, name))
    twin.I2C_DEVICES = ()
    for one in config["sensors"]:
        if one["kind"] not in _ADDRESSES or one.get("bus", "i2c") != "i2c":
            raise UserError(f"sensor '{one['name']}' cannot be verified: only those on I2C are wired here")
        device = {"kind": one["kind"], "address": one.get("address") or _ADDRESSES[one["kind"]]}
        if one.get("interrupt") is not None:
            device["interrupt"] = one["interrupt"]
        twin.I2C_DEVICES += (device,)
    return twin


@lru_cache
def _application() -> dict[str, bytes]:
    """The application's files, which stay the same while this process runs."""
    from cicada.tools.twin import romfs
    from cicada.tools.twin.image import application

    return romfs.unpack(application("twin", {}))


def program(config: Mapping[str, Any]) -> bytes:
    """Flash image of the small program.

    Raises:
        UserError: the configuration needs a model, which the small program does not open.
    """
    from cicada.tools.twin import factory, romfs
    from cicada.tools.twin.appimage import build
    from cicada.tools.twin.image import compile_python

    if any(one.get("model") is not None for one in config["pipelines"]):
        raise UserError('the small program opens no models: verify a vibration pipeline with "model": null')
    text = json.dumps({name: config[name] for name in ("plan", "sensors", "pipelines")})
    with tempfile.TemporaryDirectory() as folder:
        main = Path(folder) / "main.py"
        main.write_text(_PROGRAM % text)
        files = _application() | {"main.mpy": compile_python(main)}
    return factory.flash({"ota_0": build(romfs.pack(files), "0.0.1", load_board("twin"))})


def comparable(config: Mapping[str, Any], board: ModuleType, assumed: Assumptions) -> Budget:
    """The budget without what the twin does not charge: Python, light sleep's way in and out, the radio."""
    bare = replace(assumed, python_ms=0, script_ms=0, records=0, events=0)
    quiet = {**config, "mqtt": None}
    silent = ModuleType(board.NAME)
    silent.__dict__.update(vars(board))
    silent.LIGHT_SLEEP_US = 0
    silent.REGULATOR_MA = 0.0
    return budget(quiet, silent, bare)


def verify(
    config: Mapping[str, Any],
    board: ModuleType,
    assumed: Assumptions,
    cycles: int = 3,
    flash: bytes | None = None,
) -> Verified:
    """Run a configuration on the twin and compare.

    Args:
        config: whole and valid; of the kind "sample".
        board: whose figures count.
        assumed: for the budget.
        cycles: to run after the first, which also has to find its rhythm.
        flash: an image to run; None for the small program.

    Raises:
        UserError: the configuration does not come round by itself, or did not on the twin.
    """
    if config["plan"]["kind"] != "sample":
        raise UserError("only a plan of the kind 'sample' comes round by itself: verify such a one")
    every = config["plan"]["every_s"]
    world = World(Sound([], 1), motion=Synthesised(rotation_hz=25, unbalance_g=0.2, noise_g=0.01))
    twin = Twin(flash or program(config), figures_of(board, config), world)
    twin.run((cycles + 1.5) * every)
    boots = [round(at * 1e6) for at, _ in twin.resets][1:]
    if len(boots) < cycles or "Traceback" in twin.text:
        raise UserError(f"on the twin the plan did not come round: its console said {twin.text[-300:]!r}")
    start, end = boots[0], boots[cycles - 1] if cycles > 1 else twin.chip.meter.now
    drawn = sum(
        max(min(s.end, end) - max(s.start, start), 0) * s.current for s in twin.chip.meter.stretches
    ) / (end - start)
    planned = comparable(config, board, assumed).average_ma
    return Verified(planned, drawn, (end - start) / 1e6, cycles - 1)
