"""Sensors that are something else, absent, stuck, unplugged, reset unasked, or described wrongly."""

from __future__ import annotations

import re

import pytest

from cicada.tools.twin.world import Steps, World
from support.twins import QUIET
from support.wired import SCL, SDA, device, entry, run, twin

CHIPS = [("adxl345", "i2c"), ("adxl345", "spi"), ("lis3dh", "i2c"), ("lis3dh", "spi"), ("mpu6050", "i2c")]
ASK = """
try:
    print("got", sensors.get("s"))
except SensorError as error:
    print("failed:", error)
"""
TITLES = {"adxl345": "ADXL345", "lis3dh": "LIS3DH", "mpu6050": "MPU-6050", "bme280": "BME280"}
#: Register that tells who a chip is.
IDENTITY = {"adxl345": 0x00, "lis3dh": 0x0F, "mpu6050": 0x75, "bme280": 0xD0}
PLACES = {
    "adxl345": "I2C address 0x53 (SCL 22, SDA 21)",
    "lis3dh": "I2C address 0x18 (SCL 22, SDA 21)",
    "mpu6050": "I2C address 0x68 (SCL 22, SDA 21)",
    "bme280": "I2C address 0x76 (SCL 22, SDA 21)",
}
SPI = "SPI with chip select at pin 5"


@pytest.mark.parametrize(("kind", "bus"), [*CHIPS, ("bme280", "i2c")])
def test_another_chip_is_named_by_what_it_says(kind, bus, tmp_path) -> None:
    made = twin(ASK, tmp_path, [entry(kind, bus)], World(QUIET, devices=[device(kind, bus)]))
    sensing = made.chip.parts["sensing"]
    chip = sensing.slaves[5].device if bus == "spi" else sensing.bus.devices[int(PLACES[kind][14:16], 16)]
    own = chip._registers[IDENTITY[kind]]
    chip._registers[IDENTITY[kind]] = 0x71
    made.run(10)
    place = SPI if bus == "spi" else PLACES[kind]
    assert (
        f"failed: sensor 's': no {TITLES[kind]} at {place}: the chip there says 0x71, not 0x{own:02x};"
        " check which chip it is\n"
    ) in made.text


@pytest.mark.parametrize(("kind", "bus"), [("lis3dh", "i2c"), ("mpu6050", "i2c"), ("adxl345", "spi")])
def test_nothing_wired_says_what_to_check(kind, bus, tmp_path) -> None:
    text = run(ASK, tmp_path, [entry(kind, bus)]).text
    place, what = (SPI, "chip select") if bus == "spi" else (PLACES[kind], "address")
    wanted = f"no {TITLES[kind]} at {place}: nothing answers: check wiring, power and {what}\n"
    assert f"failed: sensor 's': {wanted}" in text


@pytest.mark.parametrize(("line", "name"), [(SCL, "SCL"), (SDA, "SDA")])
def test_a_line_that_is_held_low_is_named(line, name, tmp_path) -> None:
    world = World(QUIET, levels={line: Steps([(0, 0)])})
    text = run(ASK, tmp_path, [entry("adxl345", "i2c")], world).text
    assert f"{name} (pin {line}) is held low: look for a short or a chip without power\n" in text


RUN = """
s = sensors.get("s")
b = array("h", bytes(6 * 200))
s.start()
frames = 0
try:
    while time.ticks_ms() < 20000:
        time.sleep_ms(10)
        frames += s.read_into(b)
except OSError as error:
    print("failed", error.errno, time.ticks_us(), frames)
"""


def failure(made) -> tuple[int, int, int]:
    """Error number, virtual us since power-on, frames before it."""
    number, at, frames = re.search(r"failed (\d+) (\d+) (\d+)", made.text).groups()
    return int(number), int(at), int(frames)


@pytest.mark.parametrize(("kind", "bus"), CHIPS)
def test_a_sensor_that_is_unplugged_is_an_error_within_a_second(kind, bus, tmp_path) -> None:
    world = World(QUIET, devices=[device(kind, bus, until=3_000_000)])
    made = run(RUN, tmp_path, [entry(kind, bus, rate_hz=400)], world)
    number, at, frames = failure(made)
    assert number == 19 and frames > 800  # ENODEV
    assert 3_000_000 <= at < 4_000_000


@pytest.mark.parametrize(("kind", "bus"), CHIPS)
def test_a_sensor_that_lost_its_settings_is_an_error_within_a_second(kind, bus, tmp_path) -> None:
    """Its supply dipped: it is there, and does not measure."""
    made = twin(RUN, tmp_path, [entry(kind, bus, rate_hz=400)], World(QUIET, devices=[device(kind, bus)]))
    made.chip.at(3_000_000, made.chip.parts["sensing"].power_cut)
    made.run(30)
    number, at, frames = failure(made)
    assert number == 110 and frames > 800  # ETIMEDOUT
    assert 3_000_000 <= at < 4_000_000


def test_a_bus_that_gets_stuck_is_an_error_within_a_second(tmp_path) -> None:
    world = World(QUIET, levels={SDA: Steps([(0, 1), (3_000_000, 0)])})
    number, at, _ = failure(run(RUN, tmp_path, [entry("adxl345", "i2c")], world))
    assert number == 19 and 3_000_000 <= at < 4_000_000


def test_an_optional_sensor_that_is_missing_is_done_without(tmp_path) -> None:
    code = """
print("got", sensors.get("s"), sensors.get("s"), sensors.read("s"), sensors.slow())
print("missing", sensors.missing)
print("other", sensors.get("accel") is sensors.get("accel"))
sensors.close()
"""
    about = [entry("ds18b20", "1-wire", optional=True, pin=13), {"name": "accel", "kind": "adxl345"}]
    text = run(code, tmp_path, about).text
    assert "got None None None []\n" in text and "other True\n" in text
    assert (
        "missing {'s': \"sensor 's': no DS18B20 at pin 13: nothing answers: check wiring, power and" in text
    )


def test_an_optional_sensor_is_looked_for_again_after_close(tmp_path) -> None:
    code = """
print("got", sensors.get("s") is None)
machine.Pin(2, machine.Pin.OUT, value=1)
time.sleep_ms(5000)
print("got", sensors.get("s") is None)
sensors.close()
print("got", sensors.get("s") is None, sensors.missing)
"""
    world = World(QUIET, levels={SDA: Steps([(0, 0), (3_000_000, 1)])})
    about = [entry("adxl345", "i2c", optional=True)]
    assert "got True\ngot True\ngot False {}\n" in run(code, tmp_path, about, world).text


@pytest.mark.parametrize(
    ("about", "complaint"),
    [
        (entry("adxl345", "i2c", rate_hz=3201), "an ADXL345 has no 3201 samples a second at +-4 g"),
        (entry("adxl345", "i2c", range_g=32), "an ADXL345 has no 400 samples a second at +-32 g"),
        (entry("lis3dh", "spi", rate_hz=1345), "an LIS3DH has no 1345 samples"),
        (entry("lis3dh", "spi", rate_hz=0), "an LIS3DH has no 0 samples"),
        (entry("mpu6050", "i2c", rate_hz=1001), "an MPU-6050 has no 1001 samples"),
        (entry("mpu6050", "spi"), "MPU-6050 is supported on I2C only"),
        (entry("bme280", "spi"), "BME280 is supported on I2C only"),
        (entry("adxl345", "spi", cs=None), "SPI needs board.SPI (id, sck, mosi, miso) and the sensor's cs"),
        (entry("adxl999", "i2c"), "there is no driver for 'adxl999'"),
        ({"name": "else", "kind": "adxl345"}, "sensor 's' is not in the configuration"),
    ],
)
def test_a_wrong_description_is_a_sentence(about, complaint, tmp_path) -> None:
    assert f"{complaint}" in run(ASK, tmp_path, [about]).text


def test_two_sensors_share_a_bus_and_are_told_apart_by_chip_select(tmp_path) -> None:
    code = """
for name in "xyz":
    s = sensors.get(name)
    s.start()
    b = array("h", bytes(6 * 32))
    time.sleep_ms(100)
    n = s.read_into(b)
    print(name, type(s).__name__, n > 5, 0.9 < b[2] * s.g_per_count < 1.1)
"""
    about = [
        {"name": "x", "kind": "adxl345", "bus": "spi", "cs": 5},
        {"name": "y", "kind": "lis3dh", "bus": "spi", "cs": 13},
        {"name": "z", "kind": "adxl345"},
    ]
    world = World(QUIET, devices=[device("adxl345", "spi"), device("lis3dh", "spi", cs=13)])
    text = run(code, tmp_path, about, world).text
    assert "x ADXL345 True True\ny LIS3DH True True\nz ADXL345 True True\n" in text
