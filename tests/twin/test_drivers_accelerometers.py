"""Drivers of accelerometers on the twin: full rate without loss, sleep, waking by motion."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cicada.tools.twin.power import DEEP_SLEEP
from cicada.tools.twin.world import World
from support.twins import QUIET
from support.wired import INTERRUPT, Jolt, Swing, device, entry, run

#: Chip, bus, samples a second, ms between two looks, noise (g RMS) that its data sheet allows at this rate.
RATES = [
    ("adxl345", "i2c", 100, 100, 0.005),
    ("adxl345", "i2c", 800, 20, 0.013),
    ("adxl345", "i2c", 1600, 8, 0.018),
    ("adxl345", "spi", 1600, 8, 0.018),
    ("adxl345", "spi", 3200, 4, 0.025),
    ("lis3dh", "i2c", 400, 40, 0.003),
    ("lis3dh", "i2c", 1344, 12, 0.004),
    ("lis3dh", "spi", 1344, 12, 0.004),
    ("mpu6050", "i2c", 1000, 80, 0.008),
    ("mpu6050", "i2c", 50, 500, 0.004),
]
CHIPS = [("adxl345", "i2c"), ("adxl345", "spi"), ("lis3dh", "i2c"), ("lis3dh", "spi"), ("mpu6050", "i2c")]
COLLECT = """
import gc
from binascii import hexlify
s = sensors.get("s")
frames = array("h", bytes(6 * int(2.2 * s.rate_hz)))
print("rate", s.rate_hz, s.g_per_count)
s.start()
n = made = got = before = took = 0
began = time.ticks_us()
while time.ticks_diff(time.ticks_us(), began) < 2000000:
    time.sleep_ms({pause})
    took = time.ticks_diff(time.ticks_us(), began)
    before = gc.mem_alloc()
    got = s.read_into(frames, n)
    made += gc.mem_alloc() - before
    n += got
print("got", n, took, s.overrun, made)
data = memoryview(frames)[: 3 * n]
for at in range(0, len(data), 999):
    print("frames", hexlify(data[at : at + 999]).decode())
"""


@pytest.mark.parametrize(("kind", "bus", "rate", "pause", "noise"), RATES)
def test_two_seconds_at_full_rate_lose_nothing_and_are_what_the_world_does(
    kind, bus, rate, pause, noise, tmp_path
) -> None:
    motion = Swing(rate / 40)
    world = World(QUIET, motion=motion, devices=[device(kind, bus)])
    wanted = entry(kind, bus, rate_hz=rate, range_g=4)
    text = run(COLLECT.replace("{pause}", str(pause)), tmp_path, [wanted], world).text
    real, g_per_count = (float(v) for v in re.search(r"rate ([\d.]+) ([\d.e-]+)", text).groups())
    got, took, overrun, made = re.search(r"got (\d+) (\d+) (\w+) (-?\d+)", text).groups()
    assert real == rate and overrun == "False" and made == "0"
    # Measuring starts after the chip's turn-on time, at most 10 samples; the last one may not be there yet.
    assert -10 <= int(got) - int(took) * rate / 1e6 <= 1
    raw = bytes.fromhex("".join(re.findall(r"frames (\w+)", text)))
    g = np.frombuffer(raw, "<i2").reshape(-1, 3) * g_per_count
    assert len(g) == int(got)
    # A lost or doubled frame would shift the phase of all that follow.
    angle = 2 * np.pi * motion.hertz * np.arange(len(g)) / rate
    basis = np.stack([np.sin(angle), np.cos(angle), np.ones(len(g))], axis=1)
    fit, *_ = np.linalg.lstsq(basis, g, rcond=None)
    amplitude = np.hypot(fit[0], fit[1])
    assert np.allclose(amplitude, np.abs(motion.amplitudes), rtol=0.06)  # the chips' filters take some
    assert np.allclose(fit[2], motion.rest, atol=3 * noise / np.sqrt(len(g)) + g_per_count)
    assert (g - basis @ fit).std(axis=0).max() < 1.2 * noise


@pytest.mark.parametrize(
    ("kind", "rates"),
    [
        ("adxl345", {400: 400, 401: 800, 1: 1.5625, 3200: 3200}),
        ("lis3dh", {401: 1344, 26: 50, 1: 1}),
        ("mpu6050", {1000: 1000, 400: 500, 1: 1000 / 256}),
    ],
)
def test_a_rate_between_two_is_the_next_faster(kind, rates, tmp_path) -> None:
    """An MPU-6050 divides 1000 Hz by whole numbers up to 256."""
    world = World(QUIET, devices=[device(kind, "i2c")])
    about = [entry(kind, "i2c", rate_hz=rate) | {"name": str(rate)} for rate in rates]
    text = run("for e in entries: print('rate', sensors.get(e['name']).rate_hz)", tmp_path, about, world).text
    assert [float(v) for v in re.findall(r"rate ([\d.]+)", text)] == pytest.approx(
        list(rates.values()), rel=1e-5
    )


@pytest.mark.parametrize(("kind", "bus"), CHIPS)
def test_one_g_is_one_g_in_every_range(kind, bus, tmp_path) -> None:
    code = """
b = array("h", bytes(6 * 32))
for e in entries:
    s = sensors.get(e["name"])
    s.start()
    time.sleep_ms(200)
    n = s.read_into(b)
    print("z", sum([b[3 * i + 2] for i in range(n)]) / n * s.g_per_count)
"""
    world = World(QUIET, devices=[device(kind, bus)])
    about = [entry(kind, bus, rate_hz=100, range_g=g) | {"name": str(g)} for g in (2, 4, 8, 16)]
    text = run(code, tmp_path, about, world).text
    assert [float(v) for v in re.findall(r"z ([\d.]+)", text)] == pytest.approx([1] * 4, abs=0.02)


@pytest.mark.parametrize(("kind", "bus"), CHIPS)
def test_nobody_coming_in_time_is_told_until_the_next_start(kind, bus, tmp_path) -> None:
    code = """
s = sensors.get("s")
b = array("h", bytes(6 * 200))
s.start()
time.sleep_ms(30)
s.read_into(b)
print("before", s.overrun)
time.sleep_ms(1000)
s.read_into(b)
time.sleep_ms(30)
print("after", s.overrun, s.read_into(b) > 0, s.overrun)
s.start()
time.sleep_ms(30)
s.read_into(b)
print("again", s.overrun)
"""
    world = World(QUIET, devices=[device(kind, bus)])
    text = run(code, tmp_path, [entry(kind, bus, rate_hz=400)], world).text
    assert "before False\nafter True True True\nagain False" in text


def test_a_buffer_that_is_full_leaves_the_rest_in_the_fifo(tmp_path) -> None:
    code = """
s = sensors.get("s")
b = array("h", bytes(6 * 8))
s.start()
time.sleep_ms(50)
print("got", s.read_into(b, 3), b[:9] == array("h", bytes(18)), s.read_into(b, 8), s.read_into(b), s.overrun)
time.sleep_ms(2000)
print("full for long", s.read_into(b, 8), s.read_into(b, 9))
"""
    text = run(code, tmp_path, [entry("adxl345", "i2c", rate_hz=400)]).text
    assert "got 5 True 0 8 False\nfull for long 0 0\n" in text


# Currents of the chips' data sheets, uA: standby, waiting for motion.
CURRENTS = {"adxl345": (0.1, 50), "lis3dh": (0.5, 10), "mpu6050": (5, 70)}
WAKE = """
import esp32
woken = machine.reset_cause() == machine.DEEPSLEEP_RESET
print("woken", woken, machine.wake_reason(), sensors.get("s").cleared(), sensors.get("s").cleared())
if not woken:
    sensors.get("s").start()
    sensors.get("s").wake_on(0.5)
    sensors.close()
    esp32.wake_on_ext1((machine.Pin(sensors.interrupt("s")),), esp32.WAKEUP_ANY_HIGH)
    machine.deepsleep(60000)
sensors.get("s").start()
sensors.close()
"""


@pytest.mark.parametrize(("kind", "bus"), CHIPS)
def test_a_jolt_wakes_the_chip_and_nothing_else_does(kind, bus, tmp_path) -> None:
    wired = device(kind, bus, interrupt=INTERRUPT)
    world = World(QUIET, motion=Jolt(12_000_000), devices=[wired])
    about = entry(kind, bus, interrupt=INTERRUPT)
    made = run(WAKE, tmp_path, [about], world, seconds=30)
    assert re.findall(r"woken (\w+) (\d) (\w+) (\w+)", made.text) == [
        ("False", "0", "False", "False"),
        ("True", "3", "True", "False"),
    ]
    armed, resting = (s for s in made.chip.meter.stretches if s.state == DEEP_SLEEP)
    assert 12_000_000 <= armed.end < 12_070_000
    power = made.chip.board.POWER
    others = power["deep_sleep"] + power["microphone_off"] + 0.0001  # the climate sensor
    others += 0 if (kind, bus) == ("adxl345", "i2c") else 0.0001  # the board's own accelerometer
    standby, waiting = CURRENTS[kind]
    assert armed.current == pytest.approx(others + waiting / 1000, abs=1e-6)
    assert resting.current == pytest.approx(others + standby / 1000, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "too_much"), [("adxl345", 16), ("lis3dh", 24), ("mpu6050", 9), ("lis3dh", 0)]
)
def test_a_threshold_beyond_the_chip_is_refused(kind, too_much, tmp_path) -> None:
    code = f"try:\n    sensors.get('s').wake_on({too_much})\nexcept ValueError as e:\n    print('refused', e)"
    world = World(QUIET, devices=[device(kind, "i2c")])
    assert "refused threshold_g must be" in run(code, tmp_path, [entry(kind, "i2c")], world).text
