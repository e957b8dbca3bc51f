"""Drivers of the thermometer and the climate sensor, and the camera's."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools.twin.power import DEEP_SLEEP
from cicada.tools.twin.sensors.analog import Curve
from cicada.tools.twin.sensors.bme280 import Bme280, Calibration
from cicada.tools.twin.sensors.onewire import Ds18b20, Wire, crc8
from cicada.tools.twin.world import Steps, World
from support.twins import QUIET
from support.wired import device, entry, run, twin

READ = """
for i in range({count}):
    try:
        print("read", sensors.get("s").read())
    except OSError as error:
        print("failed", error.errno)
    except SensorError as error:
        print("missing:", error)
    time.sleep({pause})
print("took", time.ticks_ms())
"""
THERMOMETER = entry("ds18b20", "1-wire")


def code(count: int = 1, pause: int = 0) -> str:
    return READ.replace("{count}", str(count)).replace("{pause}", str(pause))


def celsius(text: str) -> list[float]:
    return [float(v) for v in re.findall(r"'temperature_c': (-?[\d.]+)", text)]


# DS18B20


@pytest.mark.parametrize("real", [125.0, 85.0, 25.0625, 10.125, 0.5, 0.0, -0.5, -10.125, -25.0625, -55.0])
def test_the_thermometer_tells_the_temperatures_of_its_data_sheet(real, tmp_path) -> None:
    """Table 1 of the data sheet; 85 degrees is what a chip says that has not measured, too."""
    world = World(QUIET, temperature=Curve.constant(real), devices=[device("ds18b20", "1-wire")])
    assert celsius(run(code(), tmp_path, [THERMOMETER], world).text) == [real]


def test_the_crc_is_the_one_of_the_data_sheets() -> None:
    """Maxim's application note 27 has this ROM, low byte first."""
    assert crc8(bytes.fromhex("021cb801000000")) == 0xA2


def test_a_thermometer_that_loses_its_power_at_every_conversion_is_an_error_not_85_degrees(tmp_path) -> None:
    made = twin(code(), tmp_path, [THERMOMETER], World(QUIET, devices=[device("ds18b20", "1-wire")]))
    chip = made.chip.parts["sensing"].wires[4].devices[0]
    chip._begin = lambda function, now: (
        chip.reset() if function == 0x44 else Ds18b20._begin(chip, function, now)
    )
    made.run(30)
    assert "failed 110" in made.text


@pytest.mark.parametrize(("place", "bit"), [(0, 1), (4, 0), (8, 7)])
def test_what_is_garbled_is_an_error(place, bit, tmp_path) -> None:
    made = twin(code(), tmp_path, [THERMOMETER], World(QUIET, devices=[device("ds18b20", "1-wire")]))
    chip = made.chip.parts["sensing"].wires[4].devices[0]

    def begin(function: int, now: int) -> None:
        Ds18b20._begin(chip, function, now)
        if function == 0xBE:
            chip._out[8 * place + bit] ^= 1

    chip._begin = begin
    made.run(30)
    assert "failed 5" in made.text


def test_garbled_once_it_is_read_again(tmp_path) -> None:
    world = World(QUIET, temperature=Curve.constant(20.0), devices=[device("ds18b20", "1-wire")])
    made = twin(code(), tmp_path, [THERMOMETER], world)
    chip, times = made.chip.parts["sensing"].wires[4].devices[0], []

    def begin(function: int, now: int) -> None:
        Ds18b20._begin(chip, function, now)
        if function == 0xBE and not times:
            times.append(now)
            chip._out[3] ^= 1

    chip._begin = begin
    made.run(30)
    assert times and celsius(made.text) == [20.0]


def test_a_thermometer_that_is_unplugged_is_an_error(tmp_path) -> None:
    world = World(QUIET, devices=[device("ds18b20", "1-wire", until=5_000_000)])
    text = run(code(4, 2), tmp_path, [THERMOMETER], world).text
    assert re.findall(r"read|failed \d+", text) == ["read", "read", "failed 19", "failed 19"]


def test_a_line_that_goes_low_is_an_error(tmp_path) -> None:
    levels = {4: Steps([(0, 1), (4_000_000, 0)])}
    world = World(QUIET, levels=levels, devices=[device("ds18b20", "1-wire")])
    text = run(code(3, 3), tmp_path, [THERMOMETER], world).text
    assert re.findall(r"read|failed \d+", text) == ["read", "failed 110", "failed 110"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda wire: wire.devices.clear(), "nothing answers: check wiring, power and the resistor to 3.3 V"),
        (lambda wire: wire.devices.append(Ds18b20(Curve.constant(1.0), 0x777)), "one sensor a pin"),
        (
            lambda wire: setattr(wire.devices[0], "rom", bytes.fromhex("021cb801000000a2")),
            "of family 0x02, not 0x28; check which chip it is",
        ),
        (lambda wire: setattr(wire, "read", lambda bits, now: 0), "of family 0x00, not 0x28"),
    ],
)
def test_what_is_no_single_thermometer_is_a_sentence(change, complaint, tmp_path) -> None:
    made = twin(code(), tmp_path, [THERMOMETER], World(QUIET, devices=[device("ds18b20", "1-wire")]))
    change(made.chip.parts["sensing"].wires[4])
    made.run(10)
    assert re.search(r"missing: sensor 's': no DS18B20 at pin 4: .*" + re.escape(complaint), made.text)


def test_a_line_held_low_from_the_start_is_named(tmp_path) -> None:
    world = World(QUIET, levels={4: Steps([(0, 0)])}, devices=[device("ds18b20", "1-wire")])
    text = run(code(), tmp_path, [THERMOMETER], world).text
    assert "no DS18B20 at pin 4: the line is held low: look for a short, and for the resistor" in text


def test_a_thermometer_without_its_power_wire_is_named(tmp_path) -> None:
    made = twin(code(), tmp_path, [THERMOMETER], World(QUIET, devices=[device("ds18b20", "1-wire")]))
    chip = made.chip.parts["sensing"].wires[4].devices[0]

    def begin(function: int, now: int) -> None:
        Ds18b20._begin(chip, function, now)
        chip._out = [0] if function == 0xB4 else chip._out

    chip._begin = begin
    made.run(10)
    assert "it has no power of its own: wire its VDD to 3.3 V" in made.text


@given(st.binary(min_size=1, max_size=12), st.integers(0, 3))
def test_a_wire_carries_bytes_as_they_are(data: bytes, others: int) -> None:
    """A ROM is matched bit by bit; those that were not meant keep quiet."""
    chips = [Ds18b20(Curve.constant(1.0), 100 + n) for n in range(others + 1)]
    wire = Wire(chips)
    wire.reset()
    wire.write(0x55, 8, 0)
    for byte in chips[0].rom:
        wire.write(byte, 8, 0)
    wire.write(0x4E, 8, 0)
    for byte in data[:3]:
        wire.write(byte, 8, 0)
    set_now = len(data) >= 3
    assert chips[0].scratchpad[2:4] == (data[:2] if set_now else b"\x4b\x46")
    assert all(chip.scratchpad[2:4] == b"\x4b\x46" for chip in chips[1:])


# BME280

AIR = entry("bme280", "i2c")


def compensated(calibration: Calibration, raw: list[tuple[int, int, int]], folder) -> np.ndarray:
    """What the driver makes of raw readings: degrees, Pa, %; ``float64[n, 3]``."""
    trimming = (*calibration.t, *calibration.p, *calibration.h)
    program = (
        f"from node.drivers.bme280 import compensate\nfor raw in {raw}:\n"
        f"    print('made', *compensate({trimming}, *raw))"
    )
    made = re.findall(r"made (-?\d+) (\d+) (\d+)", run(program, folder, []).text)
    return np.array(made, float) / (100, 256, 1024)


def test_the_worked_example_of_the_data_sheet_comes_out(tmp_path) -> None:
    """BMP280 data sheet, section 3.12: the same formulas, step by step; humidity has no example."""
    ((degrees, pascal, _),) = compensated(Calibration(), [(519888, 415148, 30000)], tmp_path)
    assert degrees == 25.08 and pascal == pytest.approx(100653.27, abs=0.02)


def test_integers_say_what_the_formulas_in_floating_point_say(tmp_path) -> None:
    """Both are in the data sheet; the twin's sensor has the other one (appendix 8.1)."""
    made, random = Calibration(), np.random.default_rng(3)
    low, high = [-2000, 30000, 0], [85 * 5120, 110000, 100]
    raw, wanted = [], []
    while len(raw) < 150:
        t, p, h = (int(random.integers(0, 1 << bits)) for bits in (20, 20, 16))
        fine = made.t_fine(t)
        values = [fine, made.pressure(p, fine), made.humidity(h, fine)]
        if all(a <= v <= b for a, v, b in zip(low, values, high, strict=True)):
            raw.append((t, p, h))
            wanted.append([values[0] / 5120, values[1], values[2]])
    error = np.abs(compensated(made, raw, tmp_path) - np.array(wanted)).max(axis=0)
    assert (error < (0.011, 1.0, 0.03)).all()


def test_humidity_stays_within_its_scale(tmp_path) -> None:
    ends = compensated(Calibration(), [(519888, 415148, 0), (519888, 415148, 65535)], tmp_path)
    assert ends[:, 2].tolist() == [0, 100]


def test_the_climate_is_what_the_world_has(tmp_path) -> None:
    world = World(
        QUIET,
        temperature=Curve([(0, 30.0), (10_000_000, -20.0)]),
        humidity=Curve([(0, 20.0), (10_000_000, 90.0)]),
    )
    text = run(code(5, 2), tmp_path, [AIR], world).text
    wet = [float(v) for v in re.findall(r"'humidity_percent': ([\d.]+)", text)]
    air = [float(v) for v in re.findall(r"'pressure_hpa': ([\d.]+)", text)]
    assert np.allclose(np.diff(celsius(text)), -10, atol=0.2) and np.allclose(np.diff(wet), 14, atol=0.7)
    assert np.allclose(air, 1013.25, atol=0.3)


def test_it_sleeps_between_readings_and_in_deep_sleep(tmp_path) -> None:
    made = run(code(2, 1) + "sensors.close()", tmp_path, [AIR])
    asleep = next(s for s in made.chip.meter.stretches if s.state == DEEP_SLEEP)
    power = made.chip.board.POWER
    # The board's accelerometer takes as little: 0.1 uA each.
    assert asleep.current == pytest.approx(power["deep_sleep"] + power["microphone_off"] + 0.0002, abs=1e-6)


def test_a_climate_sensor_that_does_not_measure_is_an_error(tmp_path) -> None:
    made = twin(code(), tmp_path, [AIR])
    chip = made.chip.parts["sensing"].bus.devices[0x76]
    chip._measure = lambda now: None
    made.run(10)
    assert "failed 110" in made.text


def test_a_climate_sensor_that_is_unplugged_is_an_error(tmp_path) -> None:
    world = World(QUIET, devices=[device("bme280", "i2c", until=2_000_000)])
    text = run(code(3, 2), tmp_path, [AIR], world).text
    assert re.findall(r"read|failed \d+", text) == ["read", "failed 19", "failed 19"]


def test_another_part_of_the_family_is_refused(tmp_path) -> None:
    """A BMP280 answers at the same address, and has no humidity."""
    made = twin(code(), tmp_path, [AIR])
    chip = made.chip.parts["sensing"].bus.devices[0x76]
    assert isinstance(chip, Bme280)
    chip._registers[0xD0] = 0x58
    made.run(10)
    assert (
        "missing: sensor 's': no BME280 at I2C address 0x76 (SCL 22, SDA 21): the chip there says 0x58"
        in made.text
    )


def test_readings_are_records_with_the_sensors_name(tmp_path) -> None:
    text = run("print(sorted(sensors.read('air').items()))", tmp_path, [AIR | {"name": "air"}]).text
    keys = re.findall(r"\('(\w+)', ", text)
    assert keys == ["humidity_percent", "pressure_hpa", "reading", "source", "temperature_c"]
    assert "('reading', 'air')" in text and "('source', 'air')" in text


def test_slow_sensors_are_listed_with_their_periods(tmp_path) -> None:
    world = World(QUIET, devices=[device("ds18b20", "1-wire")])
    about = [AIR, {"name": "accel", "kind": "adxl345"}, THERMOMETER | {"name": "bearing", "every_s": 7}]
    assert (
        "[('s', 60), ('bearing', 7)]"
        in run("print(sorted(sensors.slow(), reverse=True))", tmp_path, about, world).text
    )


# Camera


def test_a_frame_is_int8_for_a_model(tmp_path) -> None:
    from PIL import Image

    from cicada.tools.twin.sensors.camera import Camera

    file = tmp_path / "white.png"
    Image.new("L", (320, 240), 200).save(file)
    program = """
from node.drivers.camera import Camera
pins = dict([("d%d" % i, 12 + i) for i in range(8)])
pins.update({"xclk": 4, "pclk": 25, "vsync": 5, "href": 27, "sda": 32, "scl": 23})
class Board:
    CAMERA = pins
try:
    camera = Camera(Board)
    frame = bytearray(96 * 96)
    camera.capture_into(frame, 96, 96)
    print("pixels", min(frame), max(frame))
    camera.deinit()
    Camera(Board).deinit()
except SensorError as error:
    print("missing:", error)
try:
    Camera(board)
except SensorError as error:
    print("missing:", error)
"""
    seen = run(program, tmp_path, [], World(QUIET, camera=Camera([file], [0]))).text
    assert "pixels 72 72\nmissing: no camera: board.CAMERA does not say where it is wired\n" in seen
    assert "missing: no camera: [Errno 19]" in run(program, tmp_path, []).text
