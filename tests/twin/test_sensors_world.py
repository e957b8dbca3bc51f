"""Slow sensors: curves, the ADC, the BME280, the camera."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cicada.tools.errors import UserError
from cicada.tools.twin.sensors.analog import ATTN_0DB, ATTN_11DB, Adc, Curve, millivolts, u16
from cicada.tools.twin.sensors.bme280 import Bme280, Calibration
from cicada.tools.twin.sensors.camera import Camera
from cicada.tools.twin.sensors.noise import Noise, hashed

# What the chip can see at each attenuation, mV (ESP32 Series Datasheet, table "ADC characteristics", and
# ESP-IDF: "measurable input voltage range").
RANGES = [(100, 950), (100, 1250), (150, 1750), (150, 2450)]


def test_a_curve_is_straight_between_points_and_level_outside():
    curve = Curve([(1000, 10.0), (2000, 20.0), (4000, 0.0)])
    assert [curve.at(us) for us in (0, 1000, 1500, 2000, 3000, 4000, 9000)] == [10, 10, 15, 20, 10, 0, 0]
    assert Curve.constant(3.3).at(10**12) == 3.3
    for points in ([], [(5, 1.0), (5, 2.0)], [(5, 1.0), (4, 2.0)]):
        with pytest.raises(ValueError, match="ascending"):
            Curve(points)


@given(st.sampled_from(range(4)), st.floats(0, 1), st.integers(0, 10**12), st.integers(1050, 1200))
def test_the_adc_gives_back_voltages_within_its_range(attenuation, share, now, vref):
    low, high = RANGES[attenuation]
    wanted = low + share * (high - low)
    adc = Adc(Curve.constant(wanted / 1000), vref_mv=vref)
    # A chip with a reference near 1000 mV saturates below the range at 6 dB; those are not tried here.
    # Datasheet: +-23 to +-60 mV between chips; of one calibrated chip noise and rounding remain.
    assert adc.microvolts(now, attenuation) / 1000 == pytest.approx(wanted, abs=18)
    assert adc.microvolts(now, attenuation) % 1000 == 0, "the chip calibrates in whole millivolts"


@pytest.mark.parametrize("attenuation", range(4))
def test_the_adc_is_blind_below_and_saturates_above(attenuation):
    assert Adc(Curve.constant(0.0), noise_counts=0).raw(0, attenuation) == 0
    assert Adc(Curve.constant(3.3), noise_counts=0).raw(0, attenuation) == 4095
    table = millivolts(attenuation)
    assert (np.diff(table) > 0).all()
    assert table[0] < RANGES[attenuation][0] + 1
    assert table[-1] > RANGES[attenuation][1]


def test_the_adc_bends_at_the_top_of_11_db():
    table = millivolts(ATTN_11DB)
    middle = (table[2800] - table[800]) / 2000
    assert (table[4095] - table[3500]) / 595 < 0.75 * middle
    assert table[2944] == pytest.approx((2297 + 2706) / 2)


def test_a_divider_and_a_falling_battery():
    battery = Curve([(0, 4.2), (1_000_000, 3.0)])
    adc = Adc(battery, ratio=0.5)
    measured = [adc.microvolts(now, ATTN_11DB) / 1e6 / 0.5 for now in range(0, 1_000_001, 50_000)]
    assert measured == pytest.approx(np.linspace(4.2, 3.0, 21), abs=0.04)
    with pytest.raises(ValueError, match="ratio"):
        Adc(battery, ratio=2.0)
    with pytest.raises(ValueError, match="attenuation"):
        adc.raw(0, 4)


def test_adc_noise_is_seeded_and_has_its_rms():
    adc, same, other = (Adc(Curve.constant(0.5), noise_counts=5.0, seed=seed) for seed in (1, 1, 2))
    times = range(0, 2_000_000, 1000)
    readings = [adc.raw(now, ATTN_0DB) for now in times]
    assert np.std(readings) == pytest.approx(5.0, rel=0.1)
    assert readings == [same.raw(now, ATTN_0DB) for now in times]
    assert readings != [other.raw(now, ATTN_0DB) for now in times]
    assert (u16(0), u16(4095), u16(0x800)) == (0, 65535, 0x8008)


@given(st.integers(0, 5000), st.integers(0, 3000), st.data())
def test_noise_is_the_same_in_pieces(first, count, data):
    cut = data.draw(st.integers(0, count))
    whole = Noise((3, 4)).take(first, count)
    noise = Noise((3, 4))
    assert np.array_equal(
        whole, np.concatenate([noise.take(first, cut), noise.take(first + cut, count - cut)])
    )
    assert noise.take(0, 2000).std() == pytest.approx(1, rel=0.06)


def test_hashed_noise_is_standard():
    values = hashed(np.arange(200_000), 9)
    assert values.mean() == pytest.approx(0, abs=0.01)
    assert values.std() == pytest.approx(1, rel=0.01)
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.01


# BME280.


def get(device: Bme280, now: int, register: int, count: int) -> bytes:
    device.write(bytes([register]), now)
    return device.read(count, now)


def readings(device: Bme280, now: int) -> tuple[int, int, int]:
    data = get(device, now, 0xF7, 8)
    pressure, temperature = (int.from_bytes(data[at : at + 3], "big") >> 4 for at in (0, 3))
    return pressure, temperature, int.from_bytes(data[6:], "big")


def test_bme280_compensation_is_boschs_worked_example():
    # BMP280 data sheet, section 3.12: raw 519888 and 415148 are 25.08 degrees and 100653.27 Pa.
    made = Calibration()
    assert made.t_fine(519888) == pytest.approx(128422, abs=1)
    assert made.t_fine(519888) / 5120 == pytest.approx(25.08, abs=0.005)
    assert made.pressure(415148, made.t_fine(519888)) == pytest.approx(100653.27, abs=0.1)


def test_bme280_identity_reset_and_sleep():
    device = Bme280()
    assert get(device, 0, 0xD0, 1) == b"\x60"
    assert readings(device, 10**9) == (0x80000, 0x80000, 0x8000), "it sleeps until told to measure"
    device.write(b"\xf2\x01\xf4\x27", 0)
    assert readings(device, 10**6)[0] != 0x80000
    device.write(b"\xe0\xb6", 10**6)
    assert readings(device, 2 * 10**6) == (0x80000, 0x80000, 0x8000)
    assert get(device, 0, 0xF2, 1) == b"\0"


def test_bme280_forced_mode_takes_its_time_and_sleeps_again():
    device = Bme280(Curve([(0, 20.0), (10**7, 40.0)]))
    device.write(b"\xf2\x01\xf4\x25", 0)  # once each: 1 + 2 + 2.5 + 2.5 ms
    assert get(device, 7_999, 0xF3, 1) == b"\x08"
    assert device.current_ma(5_000) == pytest.approx((0.35 + 0.714 + 0.34) * 2 / 8, rel=0.01)
    assert readings(device, 7_999)[1] == 0x80000
    assert get(device, 8_000, 0xF3, 1) == b"\0"
    first = readings(device, 8_000)
    assert Calibration().t_fine(first[1]) / 5120 == pytest.approx(20.0, abs=0.05)
    assert readings(device, 10**7) == first, "nothing new without being told"
    assert get(device, 10**7, 0xF4, 1) == b"\x24", "mode is sleep"
    assert device.current_ma(10**7) == pytest.approx(0.0001)


def test_bme280_normal_mode_follows_the_world_and_its_filter_lags():
    step = Curve([(0, 20.0), (4_999_999, 20.0), (5_000_000, 30.0)])
    plain, filtered = Bme280(step), Bme280(step)
    filtered.write(b"\xf5\x10", 0)  # filter 16, standby 0.5 ms
    for device in (plain, filtered):
        device.write(b"\xf2\x01\xf4\x27", 0)
    made = Calibration()

    def celsius(device: Bme280, now: int) -> float:
        return made.t_fine(readings(device, now)[1]) / 5120

    assert celsius(plain, 4_900_000) == pytest.approx(20, abs=0.05)
    assert celsius(plain, 5_020_000) == pytest.approx(30, abs=0.05)
    assert celsius(filtered, 4_900_000) == pytest.approx(20, abs=0.05)
    # 8.5 ms a round, a sixteenth of the way each.
    assert celsius(filtered, 5_085_000) == pytest.approx(30 - 10 * (15 / 16) ** 10, abs=0.6)
    assert celsius(filtered, 9_000_000) == pytest.approx(30, abs=0.05)


def test_bme280_skips_what_it_is_not_asked_for():
    device = Bme280()
    device.write(b"\xf2\x00\xf4\x21", 0)
    pressure, temperature, humidity = readings(device, 10**6)
    assert (pressure, humidity) == (0x80000, 0x8000)
    assert temperature != 0x80000


# Camera.


@pytest.fixture
def images(tmp_path):
    """Three images: red, a left-to-right ramp, white."""
    Image.new("RGB", (40, 30), (255, 0, 0)).save(tmp_path / "a.png")
    ramp = np.tile(np.arange(200, dtype=np.uint8), (100, 1))
    Image.fromarray(ramp).save(tmp_path / "b.png")
    Image.new("RGB", (50, 50), (255, 255, 255)).save(tmp_path / "c.jpg")
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_a_folder_is_shown_in_turn(images):
    camera = Camera(images)
    shown = [camera.frame(0, 8, 6)[0] for _ in range(4)]
    assert shown == [76, pytest.approx(40, abs=8), 255, 76]


def test_a_list_is_shown_at_its_times(images):
    camera = Camera([images / "a.png", images / "c.jpg"], [1_000_000, 2_000_000])
    assert [camera.frame(now, 4, 4)[0] for now in (0, 1_500_000, 2_000_000, 10**9)] == [76, 76, 255, 255]


def test_frames_fill_their_size_and_keep_the_proportions(images):
    camera = Camera([images / "b.png"])
    frame = np.frombuffer(camera.frame(0, 96, 96), np.uint8).reshape(96, 96)
    # The middle 100 of 200 columns fill the square.
    assert frame[:, 0].mean() == pytest.approx(50, abs=3)
    assert frame[:, -1].mean() == pytest.approx(149, abs=3)
    assert (np.diff(frame.astype(int), axis=0) == 0).all()


def test_rgb565_is_high_byte_first(images):
    camera = Camera([images / "a.png"])
    assert camera.frame(0, 2, 1, "rgb565") == b"\xf8\x00" * 2
    assert len(camera.frame(0, 160, 120, "rgb565")) == 160 * 120 * 2


def test_what_is_no_image_is_named(images, tmp_path):
    with pytest.raises(UserError, match=r"notes\.txt is not a readable image"):
        Camera([images / "notes.txt"]).frame(0, 4, 4)
    whole = (images / "c.jpg").read_bytes()
    (images / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cut\.jpg is a damaged image"):
        Camera([images / "cut.jpg"]).frame(0, 4, 4)
    with pytest.raises(UserError, match=r"gone\.png.*no such file"):
        Camera([images / "gone.png"]).frame(0, 4, 4)
    with pytest.raises(UserError, match="no such file or folder"):
        Camera(tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="no image"):
        Camera(empty)
    with pytest.raises(ValueError, match="2 times"):
        Camera([images / "a.png"], [1, 2])
    with pytest.raises(ValueError, match="ascend"):
        Camera([images / "a.png", images / "b.png"], [2, 2])
    with pytest.raises(ValueError, match="rgb565"):
        Camera(images).frame(0, 4, 4, "jpeg")
