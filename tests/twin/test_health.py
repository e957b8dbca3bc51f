"""What the node counts of itself: resets by cause, crashes in a row, heap, battery and its trend."""

from __future__ import annotations

import json

import pytest

from cicada.tools.board import load_board
from cicada.tools.twin.sensors.analog import Curve
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import World
from support.twins import QUIET, script_flash

_HEAD = """
import board, json, machine, sys, time
from node.health import Health
from node.memory import Memory
memory = Memory(machine.RTC())
kept = memory.load()
woken = machine.reset_cause() == machine.DEEPSLEEP_RESET and kept and memory.asleep
memory.asleep = 0
memory.boots += 1
health = Health(memory, board)
safe = health.boot(machine.reset_cause(), woken)
def tell():
    print("HEALTH " + json.dumps(health.record()))
def sleep(ms):
    health.keep()
    memory.asleep = 1
    memory.save()
    machine.deepsleep(ms)
"""


def told(twin: Twin) -> list[dict]:
    """The records that a program told."""
    return [json.loads(line[7:]) for _, line in twin.lines if line.startswith("HEALTH ")]


def run(code: str, folder, world: World | None = None, seconds: float = 60) -> Twin:
    twin = Twin(script_flash(_HEAD + code, folder), load_board("twin"), world or World(QUIET))
    twin.run(seconds)
    assert "Traceback" not in twin.text, twin.text
    return twin


def test_resets_are_counted_by_cause_and_outlive_a_power_cut(tmp_path):
    code = """
tell()
n = memory.boots
if n == 1:
    machine.reset()
if n == 2:
    machine.WDT(timeout=500)
    while True:
        pass
if n == 3:
    health.plan("update")
    machine.reset()
if n == 4:
    sleep(1000)
machine.deepsleep()
"""
    twin = run(code, tmp_path, seconds=20)
    records = told(twin)
    assert [r["cause"] for r in records] == ["power", "hard", "watchdog", "planned", "sleep"]
    assert records[-1]["resets"] == {"power": 1, "hard": 1, "watchdog": 1, "soft": 0, "planned": 1}
    again = Twin(twin.flash, load_board("twin"), World(QUIET))
    again.run(3)
    assert told(again)[0]["resets"] == {"power": 2, "hard": 1, "watchdog": 1, "soft": 0, "planned": 1}


def test_five_crashes_in_a_row_are_a_loop_and_running_well_ends_it(tmp_path):
    code = """
print("SAFE", memory.boots, safe)
if memory.boots == 7:
    health.well()
    health.keep()
    memory.save()
if memory.boots < 10:
    machine.reset()
machine.deepsleep()
"""
    twin = run(code, tmp_path)
    said = [line.split() for _, line in twin.lines if line.startswith("SAFE")]
    assert [(int(n), safe) for _, n, safe in said] == [(n, str(n in (6, 7))) for n in range(1, 11)]


@pytest.mark.parametrize("why", ["command", "update", "factory"])
def test_a_reset_that_was_asked_for_is_no_crash(why, tmp_path):
    code = f"""
print("CRASHES", memory.crashes)
if memory.boots < 8:
    health.plan("{why}")
    machine.reset()
machine.deepsleep()
"""
    twin = run(code, tmp_path)
    assert [line for _, line in twin.lines if line.startswith("CRASHES")] == ["CRASHES 0"] * 8


def test_the_battery_and_its_trend(tmp_path):
    day = 86400
    world = World(QUIET, battery=Curve([(0, 4.1), (10 * day * 1_000_000, 3.9)]))  # 20 mV a day
    code = """
machine.RTC().datetime((2026, 3, 1, 0, 0, 0, 0, 0)) if memory.boots == 1 else None
health.look()
tell()
if memory.boots < 6:
    sleep(86400 * 1000)
machine.deepsleep()
"""
    twin = run(code, tmp_path, world, 7 * day)
    records = told(twin)
    assert len(records) == 6 and records[0]["battery_mv_day"] is None
    for number, record in enumerate(records):
        assert record["battery_mv"] == pytest.approx(4100 - 20 * number, abs=25)
    assert records[-1]["battery_mv_day"] == pytest.approx(-20, abs=4)


def test_the_last_error_and_what_was_counted_outlive_sleep(tmp_path):
    code = """
if memory.boots == 1:
    health.failed("0badcafe", "x" * 100)
    health.ran(10, 260, 31, 2)
    health.ran(10, 280, 29, 0)
    time.sleep(10)
    hoard = bytearray(20000)
    health.look()
    del hoard
    sleep(90000)
import gc
gc.collect()
health.look()
tell()
machine.deepsleep()
"""
    (record,) = told(run(code, tmp_path, seconds=200))
    assert record["error"] == "x" * 64 and record["error_digest"] == "0badcafe"
    assert (record["inferences"], record["inference_ms"], record["inference_longest_ms"]) == (20, 27, 31)
    assert record["overruns"] == 2 and 10 <= record["awake_s"] <= 12
    assert record["duty_percent"] == pytest.approx(100 * 10 / 100, abs=2)
    assert record["heap_low"] <= record["heap_free"] - 19000


def test_noise_in_rtc_memory_counts_as_nothing(tmp_path):
    code = """
from node import memory as m
for data in (b"", b"\\x01", b"\\x02" + bytes(200), bytes(range(150))):
    memory.put(m.HEALTH, data)
    again = Health(memory, board)
    assert again.record()["inferences"] == 0, data
print("FINE")
machine.deepsleep()
"""
    assert "FINE" in run(code, tmp_path).text


def test_its_state_fits_where_it_is_kept(tmp_path):
    code = """
from node import memory as m
health.keep()
print("BYTES", len(memory.section(m.HEALTH)))
machine.deepsleep()
"""
    twin = run(code, tmp_path)
    assert int(twin.text.split("BYTES ")[1].split()[0]) <= 256


def test_a_battery_passes_its_limits_once_each_way(tmp_path):
    code = """
limits = {"low_mv": 3600, "critical_mv": 3300}
for mv in (4000, 3650, 3599, 3650, 3690, 3500, 3299, 3350, 3390, 3450, 3710, 3299):
    health.mv = mv
    if health.sank(limits):
        print("LEVEL", mv, health.level)
health.keep()
print("AGAIN", Health(memory, board).level)
health.mv = 3000
print("OFF", health.sank({"low_mv": None, "critical_mv": None}), health.level)
health.mv = None
print("NONE", health.sank(limits))
machine.deepsleep()
"""
    twin = run(code, tmp_path)
    said = [line for _, line in twin.lines if line.split(" ")[0] in ("LEVEL", "AGAIN", "OFF", "NONE")]
    assert said == [
        "LEVEL 3599 1",
        "LEVEL 3299 2",
        "LEVEL 3450 1",
        "LEVEL 3710 0",
        "LEVEL 3299 2",
        "AGAIN 2",
        "OFF True 0",
        "NONE False",
    ]
