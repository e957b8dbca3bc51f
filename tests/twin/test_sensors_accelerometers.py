"""Accelerometers as registers: sample clocks, FIFOs, interrupts, currents."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.twin.sensors.adxl345 import Adxl345
from cicada.tools.twin.sensors.analog import Curve
from cicada.tools.twin.sensors.i2c import Device
from cicada.tools.twin.sensors.lis3dh import Lis3dh
from cicada.tools.twin.sensors.motion import Motion, Still, Synthesised
from cicada.tools.twin.sensors.mpu6050 import Mpu6050


class Ramp(Motion):
    """x rises from ``start`` by ``slope`` g a second."""

    def __init__(self, slope: float, start: float = 0.0) -> None:
        self._slope, self._start = slope, start

    def values(self, times: np.ndarray) -> np.ndarray:
        out = np.zeros((*times.shape, 3))
        out[..., 0] = self._start + self._slope * times / 1e6
        return out


def put(device: Device, now: int, *pairs: tuple[int, int]) -> None:
    for register, value in pairs:
        device.write(bytes([register, value]), now)


def get(device: Device, now: int, register: int, count: int = 1) -> bytes:
    device.write(bytes([register]), now)
    return device.read(count, now)


def one(device: Device, now: int, register: int) -> int:
    return get(device, now, register)[0]


MAKERS = {"adxl345": Adxl345, "mpu6050": Mpu6050, "lis3dh": Lis3dh}
# How to make each measure at 100 Hz and +-16 g.
START = {
    "adxl345": [(0x2C, 0x0A), (0x31, 0x0B), (0x2D, 0x08)],
    "mpu6050": [(0x1A, 0x03), (0x19, 9), (0x1C, 0x18), (0x6B, 0x00)],
    "lis3dh": [(0x23, 0x38), (0x20, 0x57)],
}


def started(part: str, motion: Motion, now: int = 0, **more: int) -> Device:
    device = MAKERS[part](motion, **more)
    put(device, now, *START[part])
    return device


def test_identities_and_reset_values_are_those_of_the_data_sheets():
    adxl, mpu, lis = Adxl345(Still()), Mpu6050(Still()), Lis3dh(Still())
    assert get(adxl, 0, 0x00)[0] == 0xE5
    assert [one(adxl, 0, register) for register in range(0x1D, 0x3A)] == [
        0x0A if register == 0x2C else 0x02 if register == 0x30 else 0 for register in range(0x1D, 0x3A)
    ]
    assert one(mpu, 0, 0x75) == 0x68
    assert one(mpu, 0, 0x6B) == 0x40
    assert one(lis, 0, 0x0F) == 0x33
    assert get(lis, 0, 0x1E | 0x80, 9) == bytes([0x10, 0, 0x07, 0, 0, 0, 0, 0, 0])
    assert (adxl.address, mpu.address, lis.address) == (0x53, 0x68, 0x18)


@pytest.mark.parametrize("part", MAKERS)
def test_written_registers_are_lost_in_a_reset(part):
    device = started(part, Still((0, 0, 1)))
    fresh = MAKERS[part](Still())
    device.read(6, 500_000)
    device.reset()
    everything = 0x00 | (0x80 if part == "lis3dh" else 0)
    assert get(device, 600_000, everything, 0x3A) == get(fresh, 600_000, everything, 0x3A)


# FIFOs: set up, level, reading one sample, overrun flag.


def fifo_on(part: str, device: Device, now: int, mode: int = 2, level: int = 16) -> None:
    if part == "adxl345":
        put(device, now, (0x38, mode << 6 | level))
    elif part == "lis3dh":
        put(device, now, (0x24, 0x40), (0x2E, mode << 6 | level))
    else:
        put(device, now, (0x23, 0x08), (0x38, 0x10), (0x6A, 0x44))


def drain(part: str, device: Device, now: int) -> tuple[list[int], bool]:
    """The x of everything in the FIFO, in counts, and whether it had overrun."""
    if part == "mpu6050":
        late = bool(one(device, now, 0x3A) & 0x10)
        (count,) = struct.unpack(">H", get(device, now, 0x72, 2))
        data = np.frombuffer(get(device, now, 0x74, count), ">i2").reshape(-1, 3)
        return data[:, 0].tolist(), late
    if part == "adxl345":
        late = bool(one(device, now, 0x30) & 0x01)
        rows = [get(device, now, 0x32, 6) for _ in range(one(device, now, 0x39) & 0x3F)]
    else:
        source = one(device, now, 0x2F)
        late = bool(source & 0x40)
        level = 32 if late else source & 31
        burst = get(device, now, 0x28 | 0x80, 6 * level)
        rows = [burst[at : at + 6] for at in range(0, len(burst), 6)]
    return [struct.unpack("<h", row[:2])[0] for row in rows], late


# Counts that the ramp of 10 g/s rises in a hundredth of a second; the parts' noise is a fraction of it.
RISE = {"adxl345": 25.6, "mpu6050": 204.8, "lis3dh": 8.333 * 16}


@pytest.mark.parametrize("part", MAKERS)
@given(pauses=st.lists(st.integers(1, 300_000), min_size=3, max_size=12), seed=st.integers(0, 100))
@settings(max_examples=20)
def test_a_ramp_read_in_time_has_no_gap(part, pauses, seed):
    device = started(part, Ramp(10.0, -15.0), seed=seed)
    fifo_on(part, device, 0)
    now, seen = 0, []
    for pause in pauses:
        now += pause
        values, late = drain(part, device, now)
        assert not late
        seen += values
        if now > 2_800_000:
            break
    assert abs(len(seen) - now / 10_000) <= 9, "100 Hz, and up to 7 samples to turn on"
    steps = np.diff(seen) / RISE[part]
    if len(steps):
        assert steps == pytest.approx(np.ones(len(steps)), abs=0.25)


@pytest.mark.parametrize("part", ["adxl345", "lis3dh"])
def test_a_late_reader_overruns_and_finds_the_newest(part):
    device = started(part, Ramp(10.0, -15.0))
    fifo_on(part, device, 0)
    drain(part, device, 200_000)
    values, late = drain(part, device, 2_600_000)
    assert late
    assert len(values) == 32
    assert np.diff(values) / RISE[part] == pytest.approx(np.ones(len(values) - 1), abs=0.25)
    # At 2.6 s the ramp is at 11 g; the filter is late by up to 20 ms, the last sample up to 10 ms old.
    assert values[-1] / RISE[part] * 0.1 == pytest.approx(10.85, abs=0.2)
    assert not drain(part, device, 2_700_000)[1], "reading clears it"


def test_the_fifo_of_an_mpu6050_keeps_its_newest_1024_bytes():
    # They are no whole number of frames: the oldest is cut, as on the part.
    device = started("mpu6050", Ramp(10.0, -15.0))
    fifo_on("mpu6050", device, 0)
    assert struct.unpack(">H", get(device, 2_600_000, 0x72, 2)) == (1024,)
    data = get(device, 2_600_000, 0x74, 1024)
    frames = np.frombuffer(data[1024 % 6 :], ">i2").reshape(-1, 3)
    assert np.diff(frames[:, 0]) / RISE["mpu6050"] == pytest.approx(np.ones(len(frames) - 1), abs=0.25)
    assert one(device, 2_600_000, 0x3A) & 0x10


@pytest.mark.parametrize("part", ["adxl345", "lis3dh"])
@pytest.mark.parametrize("mode", [1, 2])
def test_a_full_fifo_says_so_and_not_before(part, mode):
    first = {"adxl345": 11_100, "lis3dh": 71_000}[part]
    for now, full in ((first + 310_000 - 1, False), (first + 310_000, True)):
        device = started(part, Still())
        fifo_on(part, device, 0, mode)
        values, late = drain(part, device, now)
        assert (len(values), late) == ((32, True) if full else (31, False))


@pytest.mark.parametrize("part", ["adxl345", "lis3dh"])
def test_fifo_mode_keeps_the_oldest(part):
    device = started(part, Ramp(10.0, -15.0))
    fifo_on(part, device, 0, mode=1)
    values, late = drain(part, device, 2_900_000)
    assert late and len(values) == 32
    assert values[0] / RISE[part] * 0.1 == pytest.approx(-15, abs=1.0)
    assert np.diff(values) / RISE[part] == pytest.approx(np.ones(31), abs=0.25)


@pytest.mark.parametrize("part", ["adxl345", "lis3dh"])
def test_the_watermark_comes_with_its_sample(part):
    device = started(part, Still())
    fifo_on(part, device, 0, level=20)
    if part == "adxl345":
        put(device, 0, (0x2E, 0x02))
        first = 10_000 + 1_100
    else:
        put(device, 0, (0x22, 0x04))
        first = 7 * 10_000 + 1_000
    expected = first + 19 * 10_000
    assert device.next_interrupt(0, 10**9) == expected
    assert device.next_interrupt(0, expected - 1) is None
    assert device.interrupt_level(expected - 1) == 0
    assert device.interrupt_level(expected) == 1
    drain(part, device, expected)
    assert device.interrupt_level(expected) == 0


def test_data_ready_without_fifo():
    device = started("adxl345", Still())
    put(device, 0, (0x2E, 0x80))
    assert device.next_interrupt(0, 10**6) == 11_100
    assert one(device, 11_099, 0x30) & 0x81 == 0
    assert one(device, 11_100, 0x30) & 0x81 == 0x80
    get(device, 11_100, 0x32, 6)
    assert one(device, 11_100, 0x30) & 0x81 == 0
    assert one(device, 40_000, 0x30) & 0x81 == 0x81, "two samples came, the first was never read"
    lis = started("lis3dh", Still())
    assert one(lis, 70_999, 0x27) == 0
    assert one(lis, 71_000, 0x27) == 0x0F
    get(lis, 71_000, 0x28 | 0x80, 6)
    assert one(lis, 71_000, 0x27) == 0
    assert one(lis, 200_000, 0x27) == 0xFF


# Scales, ranges, rates.


@pytest.mark.parametrize("span", range(4))
@pytest.mark.parametrize("full", [0, 8])
@pytest.mark.parametrize("justify", [0, 4])
def test_adxl345_scales_and_clips(span, full, justify):
    device = Adxl345(Still((1.0, -30.0, 30.0)))
    put(device, 0, (0x31, span | full | justify), (0x2D, 0x08))
    x, y, z = struct.unpack("<3h", get(device, 100_000, 0x32, 6))
    bits = 10 + span if full else 10
    shift = 16 - bits if justify else 0
    assert x >> shift == pytest.approx(256 if full else 256 >> span, abs=4)
    assert (y >> shift, z >> shift) == (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def test_adxl345_offsets_are_added():
    device = Adxl345(Still((0, 0, 1)))
    put(device, 0, (0x1E, 64), (0x20, 0xC0), (0x31, 0x08), (0x2D, 0x08))
    x, _, z = struct.unpack("<3h", get(device, 100_000, 0x32, 6))
    assert x == pytest.approx(256, abs=4)
    assert z == pytest.approx(0, abs=5)


@pytest.mark.parametrize("span", range(4))
@pytest.mark.parametrize(("mode", "bits"), [("low power", 8), ("normal", 10), ("high resolution", 12)])
def test_lis3dh_scales_and_clips(span, mode, bits):
    device = Lis3dh(Still((1.0, -30.0, 30.0)))
    put(device, 0, (0x23, span << 4 | (8 if bits == 12 else 0)), (0x20, 0x5F if bits == 8 else 0x57))
    x, y, z = struct.unpack("<3h", get(device, 200_000, 0x28 | 0x80, 6))
    mg = (1, 2, 4, 12)[span] << (12 - bits)
    assert x % (1 << (16 - bits)) == 0, "left-justified"
    assert (x >> (16 - bits)) * mg == pytest.approx(1000, abs=max(mg, 20))
    assert (y, z) == (-32768, 32768 - (1 << (16 - bits)))


def test_lis3dh_reads_one_register_again_without_the_increment_bit():
    device = Lis3dh(Still())
    assert get(device, 0, 0x0F, 3) == b"\x33\x33\x33"
    assert get(device, 0, 0x0F | 0x80, 1) == b"\x33"


def test_mpu6050_shows_the_temperature_of_the_world():
    device = Mpu6050(Still(), Curve([(0, 20.0), (10_000_000, 60.0)]))
    put(device, 0, *START["mpu6050"])
    for now in (1_000_000, 5_000_000, 9_000_000):
        (raw,) = struct.unpack(">h", get(device, now, 0x41, 2))
        assert raw / 340 + 36.53 == pytest.approx(20 + 40 * now / 1e7, abs=0.05)


@pytest.mark.parametrize("code", range(16))
def test_adxl345_takes_samples_at_every_rate(code):
    device = Adxl345(Still())
    put(device, 0, (0x2C, code), (0x38, 0x80), (0x2E, 0x02), (0x38, 0x80 | 31), (0x2D, 0x08))
    period = 1e6 * 2 ** (15 - code) / 3200
    assert device.next_interrupt(0, 10**10) == pytest.approx(1100 + 31 * period, abs=1)


@pytest.mark.parametrize("register", [0x1A, 0x19])
def test_mpu6050_sample_rate_divides(register):
    device = Mpu6050(Still())
    put(device, 0, (0x1A, 1), (0x19, 49), (0x23, 0x08), (0x6A, 0x40), (0x6B, 0))
    assert struct.unpack(">H", get(device, 1_000_000, 0x72, 2)) == (20 * 6,)
    put(device, 1_000_000, (register, 0))
    before = 20 * 6
    (count,) = struct.unpack(">H", get(device, 1_010_000, 0x72, 2))
    # Without a filter the gyroscope runs at 8 kHz, and 8000 / 50 is 160.
    assert count - before == (1 * 6 if register == 0x1A else 10 * 6)


def test_noise_is_that_of_the_data_sheet():
    def rms(device: Device, register: int, form: str, per_g: float) -> np.ndarray:
        rows = [struct.unpack(form, get(device, 200_000 + 10_000 * n, register, 6)) for n in range(600)]
        return np.std(rows, axis=0) / per_g * 1000

    # Quantisation adds a third of a count in quadrature.
    adxl = rms(started("adxl345", Still()), 0x32, "<3h", 256)
    assert adxl == pytest.approx(np.hypot([0.75, 0.75, 1.1], 0.29) * 3.9, rel=0.1)
    lis = Lis3dh(Still())
    put(lis, 0, (0x23, 0x08), (0x20, 0x57))
    assert rms(lis, 0x28 | 0x80, "<3h", 16000) == pytest.approx(
        np.full(3, 0.22 * (100 / 9 * 1.57) ** 0.5), rel=0.1
    )


def test_the_filter_keeps_vibration_beyond_the_band_out():
    def strength(hertz: float) -> float:
        device = started("adxl345", Synthesised(hertz, 1.0, shaft="z"))
        rows = [struct.unpack("<3h", get(device, 50_000 + 10_000 * n, 0x32, 6))[0] / 256 for n in range(200)]
        return float(np.std(rows) * 2**0.5)

    assert strength(3.0) == pytest.approx(1.0, rel=0.05)
    assert strength(49.0) == pytest.approx(0.707, rel=0.1)
    assert strength(613.0) < 0.1


# Currents.


def test_currents_are_those_of_the_data_sheets():
    adxl = Adxl345(Still())
    assert adxl.current_ma(0) == pytest.approx(0.0001)
    put(adxl, 0, (0x2D, 0x08))
    assert adxl.current_ma(0) == pytest.approx(0.140)
    put(adxl, 0, (0x2C, 0x17))
    assert adxl.current_ma(0) == pytest.approx(0.034)
    mpu = Mpu6050(Still())
    assert mpu.current_ma(0) == pytest.approx(0.005)
    put(mpu, 0, (0x6B, 0))
    assert mpu.current_ma(0) == pytest.approx(3.8)
    put(mpu, 0, (0x6C, 0x47), (0x6B, 0x20))
    assert mpu.current_ma(0) == pytest.approx(0.020)
    lis = Lis3dh(Still())
    assert lis.current_ma(0) == pytest.approx(0.0005)
    put(lis, 0, (0x20, 0x2F))
    assert lis.current_ma(0) == pytest.approx(0.003)
    put(lis, 0, (0x20, 0x77))
    assert lis.current_ma(0) == pytest.approx(0.073)


# Determinism.


@pytest.mark.parametrize("part", MAKERS)
def test_the_same_seed_gives_the_same_bytes(part):
    def run(seed: int) -> list[tuple[list[int], bool]]:
        device = started(part, Synthesised(25, 0.5, noise_g=0.1), seed=seed)
        fifo_on(part, device, 0)
        return [drain(part, device, now) for now in (100_000, 350_000, 900_000)]

    assert run(3) == run(3)
    assert run(3) != run(4)


@pytest.mark.parametrize("part", MAKERS)
@given(looks=st.lists(st.integers(0, 900_000), max_size=8))
@settings(max_examples=15)
def test_looking_at_the_pin_changes_nothing(part, looks):
    motion = Synthesised(25, 0.5, noise_g=0.1)
    calm, watched = started(part, motion), started(part, motion)
    for device in (calm, watched):
        fifo_on(part, device, 0)
    for now in sorted(looks):
        watched.interrupt_level(now)
        watched.current_ma(now)
        watched.next_interrupt(now, now + 300_000)
    assert drain(part, calm, 900_000) == drain(part, watched, 900_000)
