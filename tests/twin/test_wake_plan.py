"""Wake plans on the twin: the application's own plan, sensors and drivers, from sleep to sleep."""

from __future__ import annotations

import itertools
import json

import numpy as np

from cicada.tools.board import load_board
from cicada.tools.node.device import check
from cicada.tools.plan import verify
from cicada.tools.plan.presets import presets
from cicada.tools.twin.chip import ops as _ops
from cicada.tools.twin.sensors.motion import Motion
from cicada.tools.twin.sound import Played, Sound
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import Steps, World
from support.twins import QUIET, run_script, script_flash

PROGRAM = """
import json, machine, time
import board
from node.plan import Plan
from node.sensors import Sensors
board.BUTTON = 4
about = json.loads('''%s''')
sensors = Sensors([{"name": "accel", "kind": "adxl345", "rate_hz": 400, "range_g": 4}], board)
plan = Plan(about, board, sensors)
rtc = machine.RTC()
plan.restore(rtc.memory())
why = plan.woken(machine.reset_cause(), machine.wake_reason(), None)
print("why", why, plan.stage(why))
time.sleep_ms(%d)
ms = plan.arm()
rtc.memory(plan.state())
machine.deepsleep(ms) if ms else machine.deepsleep()
"""
PLAN = {"kind": "event", "quiet_s": 5, "sleep_s": 10, "every_s": 0, "for_ms": 1000, "cpu_mhz": None}
MOTION = {"on": "motion", "sensor": "accel", "threshold_g": 0.5}
SOUND = {"on": "sound", "pin": 36, "threshold_mv": 40, "every_ms": 20}


def program(awake_ms=100, **plan):
    return PROGRAM % (json.dumps(PLAN | plan), awake_ms)


def whys(twin):
    return [tuple(line.split(" ", 1)[1].rsplit(" ", 1)) for _, line in twin.lines if line.startswith("why")]


def run(tmp_path, code, world, seconds):
    twin = Twin(script_flash(code, tmp_path), load_board("twin"), world)
    twin.run(seconds)
    assert "Traceback" not in twin.text, twin.text
    return twin


class Knock(Motion):
    """Still, but for a knock of 2 g at some moments."""

    def __init__(self, *moments):
        self.moments = moments

    def steady(self, start_us, end_us):
        return not any(start_us <= at + 300_000 and at <= end_us for at in self.moments)

    def values(self, times):
        g = np.zeros((*np.shape(times), 3))
        g[..., 2] = 1.0
        for at in self.moments:
            g[..., 0] += 2.0 * ((times >= at) & (times < at + 300_000))
        return g


def test_a_knock_and_the_button_wake_it_and_are_told_apart(tmp_path):
    world = World(
        QUIET,
        motion=Knock(5_000_000, 15_000_000),
        levels={4: Steps([(0, 1), (10_000_000, 0), (10_300_000, 1)])},
    )
    code = program(wake=[MOTION, {"on": "button"}])
    twin = run(tmp_path, code, world, 20)
    assert whys(twin) == [
        ("power on", "sample"),
        ("motion", "sample"),
        ("button", "session"),
        ("motion", "sample"),
    ]
    # Between them nothing but deep sleep and an accelerometer on guard, 50 uA, the microphone (4.5) and the
    # BME280 (0.1).
    asleep = [s for s in twin.chip.meter.stretches if s.state == "deep_sleep"]
    assert {round(s.current * 1000, 1) for s in asleep} == {64.6}


def test_sound_wakes_the_cheap_stage(tmp_path):
    wave = (8000 * np.sin(np.arange(8000) / 5)).astype(np.int16)
    twin = run_script(program(wake=[SOUND]), tmp_path, Sound([Played(30, wave)], 60), seconds=50)
    assert whys(twin)[:2] == [("power on", "sample"), ("sound", "check")]


def test_the_period_holds_whatever_time_the_work_takes(tmp_path):
    twin = run_script(program(awake_ms=3_700, kind="sample", every_s=60, wake=[]), tmp_path, seconds=600)
    boots = [at for at, _ in twin.resets][1:]
    assert all(abs(b - a - 60) < 0.01 for a, b in itertools.pairwise(boots))
    assert len(boots) == 9


def test_a_wake_by_the_clock_looks_into_the_flash_seldom():
    """What one wake of the vibration plan reads: the configuration and what was learned, no modules."""
    config = check(presets()["vibration, 1 s every 10 min"])[0]
    board = verify.figures_of(load_board("esp32"))
    around = verify.world(config, [])
    around.devices = verify.wired(config)
    twin = Twin(verify.flash(config, board), board, around)
    twin.power_on()
    try:
        assert twin.run_until(lambda: twin.wakes == 2 and twin.hears, 1300)
        storage, reads = twin.chip.parts["storage"], []
        operation = _ops.PARTITION_READ
        twin.chip._handlers[operation] = lambda *asked: (
            reads.append(asked) or storage.operations[operation](*asked)
        )
        began = twin.chip.meter.now
        assert twin.run_until(lambda: twin.wakes == 3, 700)
    finally:
        twin.power_off()
    busy = [s for s in twin.chip.meter.stretches if s.start >= began and s.state == "cpu_busy"]
    assert 0 < len(reads) < 300, len(reads)  # some 2,000 while imports looked there
    assert sum(s.end - s.start for s in busy) < 60_000 + board.BOOT_MS * 1000
