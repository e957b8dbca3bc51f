"""Interrupts that wake a sleeping chip: the search ahead must agree with looking all the time."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.twin.sensors.adxl345 import Adxl345
from cicada.tools.twin.sensors.detect import HighPass
from cicada.tools.twin.sensors.i2c import Bus, Device
from cicada.tools.twin.sensors.lis3dh import Lis3dh
from cicada.tools.twin.sensors.motion import Piece, Still, Synthesised, Timeline
from cicada.tools.twin.sensors.mpu6050 import Mpu6050

HOUR = 3_600_000_000
_STEP = 500


def put(device: Device, now: int, *pairs: tuple[int, int]) -> None:
    for register, value in pairs:
        device.write(bytes([register, value]), now)


def get(device: Device, now: int, register: int) -> int:
    device.write(bytes([register]), now)
    return device.read(1, now)[0]


def adxl345(world, *pairs, seed=1):
    device = Adxl345(world, seed=seed)
    put(device, 0, (0x31, 0x0B), *pairs, (0x2D, 0x08))
    return device


def lis3dh(world, *pairs, seed=1):
    device = Lis3dh(world, seed=seed)
    put(device, 0, *pairs)
    return device


def mpu6050(world, *pairs, seed=1):
    device = Mpu6050(world, seed=seed)
    put(device, 0, (0x37, 0x20), *pairs)
    return device


# Each wakes by something else; all at 100 to 400 Hz.
SETUPS = {
    "activity": lambda w, s: adxl345(w, (0x24, 24), (0x27, 0x70), (0x2E, 0x10), seed=s),
    "ac activity": lambda w, s: adxl345(w, (0x24, 8), (0x27, 0xF0), (0x2E, 0x10), seed=s),
    "inactivity": lambda w, s: adxl345(w, (0x25, 20), (0x26, 1), (0x27, 0x07), (0x2E, 0x08), seed=s),
    "ac inactivity": lambda w, s: adxl345(w, (0x25, 3), (0x26, 1), (0x27, 0x0F), (0x2E, 0x08), seed=s),
    "free fall": lambda w, s: adxl345(w, (0x28, 7), (0x29, 20), (0x2E, 0x04), seed=s),
    "tap": lambda w, s: adxl345(w, (0x2C, 0x0C), (0x1D, 30), (0x21, 80), (0x2A, 7), (0x2E, 0x40), seed=s),
    "double tap": lambda w, s: adxl345(
        w, (0x2C, 0x0C), (0x1D, 30), (0x21, 80), (0x22, 20), (0x23, 250), (0x2A, 7), (0x2E, 0x20), seed=s
    ),
    "watermark": lambda w, s: adxl345(w, (0x38, 0x94), (0x2E, 0x02), seed=s),
    "threshold": lambda w, s: lis3dh(
        w, (0x32, 90), (0x33, 2), (0x30, 0x2A), (0x22, 0x40), (0x24, 0x08), (0x20, 0x57), seed=s
    ),
    "unlatched threshold": lambda w, s: lis3dh(
        w, (0x32, 90), (0x30, 0x2A), (0x22, 0x40), (0x20, 0x57), seed=s
    ),
    "high-passed threshold": lambda w, s: lis3dh(
        w, (0x21, 0x01), (0x32, 30), (0x30, 0x2A), (0x22, 0x40), (0x24, 0x08), (0x20, 0x5F), seed=s
    ),
    "all low": lambda w, s: lis3dh(
        w, (0x32, 30), (0x33, 5), (0x30, 0x95), (0x22, 0x40), (0x24, 0x08), (0x20, 0x57), seed=s
    ),
    "click": lambda w, s: lis3dh(
        w, (0x22, 0x80), (0x38, 0x15), (0x3A, 0x80 | 90), (0x3B, 20), (0x20, 0x77), seed=s
    ),
    "motion": lambda w, s: mpu6050(
        w,
        (0x1A, 1),
        (0x19, 4),
        (0x1C, 0x09),
        (0x1F, 12),
        (0x20, 20),
        (0x69, 1),
        (0x38, 0x40),
        (0x6B, 0),
        seed=s,
    ),
    "wake on motion": lambda w, s: mpu6050(
        w, (0x1C, 0x07), (0x1F, 10), (0x20, 1), (0x38, 0x40), (0x6C, 0xC7), (0x6B, 0x20), seed=s
    ),
}

knocks = st.lists(
    st.tuples(
        st.integers(0, 2_500),  # ms
        st.integers(3, 900),  # ms long
        st.tuples(*[st.sampled_from([-2.0, -1.0, 0.0, 0.3, 1.0, 1.7])] * 3),
    ),
    max_size=6,
)


def world_of(list_of_knocks) -> Timeline:
    pieces = [Piece(start * 1000, Still(g), (start + length) * 1000) for start, length, g in list_of_knocks]
    return Timeline([*pieces, Piece(2_000_000, Synthesised(11.0, 0.8, shaft="z"), 2_300_000)])


@pytest.mark.parametrize("name", SETUPS)
@given(knocks=knocks, seed=st.integers(0, 20), after=st.integers(0, 1_500_000))
@settings(max_examples=12)
def test_the_search_ahead_agrees_with_looking_all_the_time(name, knocks, seed, after):
    world, until = world_of(knocks), 3_000_000
    device = SETUPS[name](world, seed)
    looked_at = copy.deepcopy(device)
    found = device.next_interrupt(after, until)
    seen = next((now for now in range(after, until, _STEP) if looked_at.interrupt_level(now)), None)
    if seen is None:
        assert found is None or found > until - _STEP
    else:
        assert seen - _STEP < found <= seen


@pytest.mark.parametrize("name", SETUPS)
def test_every_setup_can_wake(name):
    """So that the comparison above compares something."""
    knocks = [(500, 300, (0.0, 0.0, 0.0)), (1200, 25, (0.0, 0.0, 3.0)), (1330, 25, (0.0, 0.0, 3.0))]
    assert SETUPS[name](world_of(knocks), 1).next_interrupt(0, 4_000_000) is not None


def test_a_still_night_wakes_nobody_and_a_knock_does_when_it_comes():
    knock = 9 * HOUR + 1_234_567
    world = Timeline([Piece(knock, Still((0, 0, 2.5)), knock + 200_000)])
    # As a node would sleep: 10 Hz, low power, gravity filtered out.
    sleepy = [(0x21, 0x01), (0x32, 30), (0x30, 0x2A), (0x22, 0x40), (0x24, 0x08), (0x20, 0x2F)]
    devices = [SETUPS["activity"](world, 1), SETUPS["wake on motion"](world, 1), lis3dh(world, *sleepy)]
    for device in devices:
        assert device.next_interrupt(0, knock - 1) is None
        assert knock <= device.next_interrupt(HOUR, 10 * HOUR) <= knock + 200_000


def test_an_adxl345_links_activity_and_inactivity():
    shake = [Piece(at, Still((2, 0, 1)), at + 100_000) for at in (1_000_000, 1_500_000, 6_000_000)]
    device = Adxl345(Timeline(shake))
    setup = [(0x31, 0x0B), (0x24, 24), (0x25, 20), (0x26, 2), (0x27, 0x77), (0x2E, 0x18)]
    put(device, 0, *setup, (0x2D, 0x28))
    assert device.next_interrupt(0, 10**7) == pytest.approx(1_010_000, abs=11_000)
    assert get(device, 1_300_000, 0x30) & 0x18 == 0x10
    assert get(device, 1_300_000, 0x2B) == 0x00 | 0x40, "x moved"
    # The second knock is no news: it waits for quiet first, which comes 2 s after it.
    quiet = device.next_interrupt(1_300_000, 10**7)
    assert quiet == pytest.approx(3_610_000, abs=20_000)
    assert get(device, 4_000_000, 0x30) & 0x18 == 0x08
    assert device.next_interrupt(4_000_000, 10**7) == pytest.approx(6_010_000, abs=11_000)
    assert get(device, 6_050_000, 0x30) & 0x18 == 0x10
    assert device.next_interrupt(6_050_000, 10**7) == pytest.approx(8_110_000, abs=20_000)


def test_an_adxl345_sends_each_interrupt_to_its_pin_with_its_polarity():
    world = Timeline([Piece(1_000_000, Still((2, 0, 1)))])
    for pin in (1, 2):
        for mapped in (0x00, 0x10):
            device = Adxl345(world, pin=pin)
            put(device, 0, (0x24, 24), (0x27, 0x70), (0x2F, mapped), (0x2E, 0x10), (0x31, 0x2B), (0x2D, 0x08))
            mine = (mapped != 0) == (pin == 2)
            assert (device.next_interrupt(0, 2_000_000) is not None) == mine
            assert device.interrupt_level(500_000) == 1, "INT_INVERT: low is active"
            assert device.interrupt_level(2_000_000) == (0 if mine else 1)


def test_an_mpu6050_pulses_for_50_us_unless_it_latches():
    device = Mpu6050(Still())
    put(device, 0, (0x1A, 1), (0x19, 9), (0x38, 0x01), (0x6B, 0))
    assert device.next_interrupt(0, 10**6) == 10_000
    assert [device.interrupt_level(now) for now in (9_999, 10_000, 10_049, 10_050, 20_000)] == [0, 1, 1, 0, 1]
    latched = Mpu6050(Still())
    put(latched, 0, (0x1A, 1), (0x19, 9), (0x37, 0xA0), (0x38, 0x01), (0x6B, 0))
    assert latched.interrupt_level(9_999) == 1, "INT_LEVEL: low is active"
    assert latched.interrupt_level(15_000) == 0
    assert get(latched, 15_000, 0x3A) == 0x01
    assert latched.interrupt_level(15_001) == 1


def test_an_mpu6050_says_which_axis_moved_which_way():
    device = SETUPS["motion"](Timeline([Piece(1_000_000, Still((0, -1.5, 1)))]), 1)
    assert get(device, 1_200_000, 0x3A) & 0x40
    assert get(device, 1_200_000, 0x61) == 0x20
    assert get(device, 1_200_000, 0x61) == 0, "reading clears it"


def test_a_lis3dh_latches_its_source_until_it_is_read():
    world = Timeline(
        [Piece(1_000_000, Still((0, 0, 1.9)), 1_100_000), Piece(1_200_000, Still((1.9, 0, 0)), 1_300_000)]
    )
    device = SETUPS["threshold"](world, 1)
    looks = (990_000, 1_080_000, 1_150_000, 1_280_000, 1_500_000)
    assert [device.interrupt_level(now) for now in looks] == [0, 1, 1, 1, 1]
    assert get(device, 1_500_000, 0x31) == 0x40 | 0x20 | 0x04 | 0x01, "z high, x and y low"
    assert device.interrupt_level(1_500_001) == 0
    free = SETUPS["unlatched threshold"](world, 1)
    assert [free.interrupt_level(now) for now in (990_000, 1_050_000, 1_500_000)] == [0, 1, 0]


def test_a_lis3dh_waits_for_the_duration_it_was_given():
    pieces = [
        Piece(1_000_000, Still((1.9, 0, 1)), 1_150_000),
        Piece(2_000_000, Still((1.9, 0, 1)), 2_400_000),
    ]
    world = Timeline(pieces)
    device = lis3dh(world, (0x32, 90), (0x33, 20), (0x30, 0x02), (0x22, 0x40), (0x24, 0x08), (0x20, 0x57))
    # 20 samples at 100 Hz.
    assert device.next_interrupt(0, 5_000_000) == pytest.approx(2_200_000, abs=20_000)


@pytest.mark.parametrize(("decrement", "wakes"), [(0, False), (1, True)])
def test_an_mpu6050_counts_down_or_starts_over(decrement, wakes):
    # 200 Hz: three samples over the threshold, one below, over and over; 20 ms are asked for.
    shake = [Piece(at, Still((1.5, 0, 1)), at + 15_000) for at in range(1_000_000, 1_400_000, 20_000)]
    setup = [(0x1A, 1), (0x19, 4), (0x1C, 0x0F), (0x1F, 12), (0x20, 20), (0x69, decrement), (0x38, 0x40)]
    device = mpu6050(Timeline(shake), *setup, (0x6B, 0))
    assert (device.next_interrupt(0, 2_000_000) is not None) == wakes


def test_a_sleeping_part_never_interrupts():
    shaken = Synthesised(10, 5.0)
    assert Adxl345(shaken).next_interrupt(0, HOUR) is None
    asleep = Mpu6050(shaken)
    put(asleep, 0, (0x1C, 1), (0x1F, 1), (0x38, 0x41))
    assert asleep.next_interrupt(0, HOUR) is None


def test_a_bus_finds_the_earliest_and_misses_who_is_not_there():
    knock = Timeline([Piece(2_000_000, Still((2, 0, 1)))])
    bus = Bus([SETUPS["activity"](knock, 1), SETUPS["watermark"](Still(), 1), Lis3dh(Still())][::2])
    assert bus.scan() == [0x18, 0x53]
    assert bus.next_interrupt(0, 10**7) == pytest.approx(2_010_000, abs=11_000)
    assert bus.write(0x53, b"\x00", 10) == 1
    assert bus.read(0x53, 1, 10) == b"\xe5"
    for call in (lambda: bus.read(0x68, 1, 0), lambda: bus.write(0x68, b"", 0)):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == 19, "ENODEV"
    with pytest.raises(ValueError, match="0x18"):
        Bus([Lis3dh(Still()), Lis3dh(Still())])
    assert bus.current_ma(0) == pytest.approx(0.140 + 0.0005)
    bus.reset()
    assert bus.next_interrupt(0, 10**7) is None
    assert bus.current_ma(0) == pytest.approx(0.0001 + 0.0005)


def test_a_high_pass_filter_lets_its_corner_through_at_minus_3_db():
    times = np.arange(20_000)
    wave = np.sin(2 * np.pi * 0.01 * times)
    out = HighPass(0.01).run(np.stack([wave, wave + 5, 0 * wave], axis=1))[10_000:]
    assert np.std(out[:, 0]) / np.std(wave) == pytest.approx(0.707, rel=0.02)
    assert np.mean(out[:, 1]) == pytest.approx(0, abs=1e-3)
