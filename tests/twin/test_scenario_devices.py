"""Sensors that a scenario wires to the board."""

from __future__ import annotations

import pytest

from cicada.tools.errors import UserError
from cicada.tools.twin.rehearsal import run_scenario
from support.twins import script_flash

PROGRAM = """
import board, machine, time
from array import array
from node.sensors import Sensors, SensorError
sensors = Sensors([
    {"name": "fast", "kind": "lis3dh", "bus": "spi", "cs": 5, "rate_hz": 1344},
    {"name": "slow", "kind": "mpu6050"},
    {"name": "own", "kind": "adxl345"},
    {"name": "warm", "kind": "ds18b20", "pin": 4},
], board)
print("warm", sensors.read("warm")["temperature_c"])
for name in ("fast", "slow", "own"):
    s = sensors.get(name)
    s.start()
    time.sleep_ms(100)
    b = array("h", bytes(6 * 32))
    n = s.read_into(b)
    print(name, round(b[2] * s.g_per_count), sensors.interrupt(name))
time.sleep(30)
sensors.close()
try:
    sensors.get("warm")
except SensorError as error:
    print("gone:", error)
machine.deepsleep()
"""
SCENE = """
title = "A bench full of sensors"
seconds = 40
image = "flash.bin"
[[temperature]]
at = 0
celsius = 31.25
[[device]]
kind = "lis3dh"
bus = "spi"
cs = 5
[[device]]
kind = "mpu6050"
[[device]]
kind = "adxl345"
interrupt = 35
[[device]]
kind = "ds18b20"
bus = "1-wire"
pin = 4
until = "20s"
[[expect]]
console = "warm 31.25"
[[expect]]
console = "fast 1 None"
[[expect]]
console = "slow 1 None"
[[expect]]
console = "own 1 34"
[[expect]]
console = "gone: sensor 'warm': no DS18B20 at pin 4: nothing answers"
"""


def test_a_scenarios_sensors_are_there_until_they_are_unplugged(tmp_path, capsys) -> None:
    """The program takes the interrupt's pin from its board."""
    (tmp_path / "flash.bin").write_bytes(script_flash(PROGRAM, tmp_path))
    (tmp_path / "scene.toml").write_text(SCENE)
    code = run_scenario(tmp_path / "scene.toml", None, 0.0, None, True)
    assert code == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("device", "said"),
    [
        (
            'kind = "bmp390"',
            "number 1 is a 'bmp390' on i2c: there it can be adxl345, mpu6050, lis3dh, bme280",
        ),
        ('kind = "ds18b20"', "number 1 is a 'ds18b20' on i2c"),
        ('kind = "adxl345"\nbus = "1-wire"\npin = 4', "is a 'adxl345' on 1-wire: there it can be ds18b20"),
        ('kind = "adxl345"\nbus = "spi"', "has no 'cs': say which pin it is at"),
        ('kind = "ds18b20"\nbus = "1-wire"', "has no 'pin'"),
        ('kind = "adxl345"\ncs = 5', "has 'cs', which is for spi: it is on i2c"),
        ('kind = "bme280"\nbus = "spi"\ncs = 5', "the twin's bme280 has no SPI: wire it to I2C"),
        ('kind = "adxl345"\naddress = 3', "address"),
        ('kind = "lis3dh"\n[[device]]\nkind = "lis3dh"', "two sensors have the I2C address 0x18"),
        (
            'kind = "lis3dh"\nbus = "spi"\ncs = 5\n[[device]]\nkind = "adxl345"\nbus = "spi"\ncs = 5',
            "two sensors have pin 5 as their chip select",
        ),
    ],
)
def test_wiring_that_makes_no_sense_is_one_clear_line(device, said, tmp_path) -> None:
    (tmp_path / "flash.bin").write_bytes(script_flash("", tmp_path))
    (tmp_path / "scene.toml").write_text(f'seconds = 1\nimage = "flash.bin"\n[[device]]\n{device}\n')
    with pytest.raises(UserError) as error:
        run_scenario(tmp_path / "scene.toml", None, 0.0, None, False)
    assert said in str(error.value) and "\n" not in str(error.value)
