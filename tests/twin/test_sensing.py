"""Sensors from the program's side: I2C, ADC, temperature; vibration that wakes the chip."""

import re
import types

import numpy as np
import pytest

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.twin.power import DEEP_SLEEP
from cicada.tools.twin.sensors.analog import Curve
from cicada.tools.twin.sensors.motion import Piece, Still, Synthesised, Timeline
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import World
from support.twins import QUIET, script_flash

BOARD = load_board("twin")
BUS = (
    "import machine, esp32, struct, time\nfrom machine import I2C, Pin, ADC\n"
    "i2c = I2C(0, scl=Pin(22), sda=Pin(21), freq=400000)\n"
)
END = "\nmachine.deepsleep()\n"


def run(code, folder, world=None, seconds=30, board=BOARD):
    twin = Twin(script_flash(BUS + code, folder), board, world or World(QUIET))
    twin.run(seconds)
    return twin


def test_the_accelerometer_answers_with_what_it_feels(tmp_path):
    code = (
        "print('scan', i2c.scan(), i2c.readfrom_mem(0x53, 0, 1))\n"
        "i2c.writeto_mem(0x53, 0x31, b'\\x08')\n"  # full resolution
        "i2c.writeto_mem(0x53, 0x2D, b'\\x08')\ntime.sleep_ms(50)\n"
        "print('felt', struct.unpack('<hhh', i2c.readfrom_mem(0x53, 0x32, 6)))\n"
    )
    world = World(QUIET, motion=Still((0.5, -0.25, 1.0)))
    text = run(code + END, tmp_path, world).text
    assert "scan [83, 118] b'\\xe5'" in text
    felt = [int(v) for v in re.search(r"felt \((.*)\)", text).group(1).split(",")]
    assert np.allclose(felt, [128, -64, 256], atol=6)  # 256 counts a g


def test_nobody_answers_on_other_pins_or_addresses(tmp_path):
    code = (
        "from machine import SoftI2C\nprint('soft', SoftI2C(Pin(22), Pin(21)).scan())\n"
        "for bus, address in ((i2c, 0x10), (I2C(1, scl=Pin(18), sda=Pin(19)), 0x53)):\n"
        "    try:\n        bus.readfrom(address, 1)\n"
        "    except OSError as e:\n        print('error', e.errno, bus.scan())\n"
    )
    assert "soft [83, 118]\nerror 19 [83, 118]\nerror 19 []" in run(code + END, tmp_path).text


def test_vibration_wakes_the_chip_through_the_interrupt_pin(tmp_path):
    shaking = Piece(12_000_000, Synthesised(30.0, unbalance_g=0.8))
    code = (
        "source = i2c.readfrom_mem(0x53, 0x30, 1)[0]\n"
        "print('cause', machine.reset_cause(), machine.wake_reason(), source >> 4 & 1)\n"
        "if machine.reset_cause() == machine.DEEPSLEEP_RESET: machine.deepsleep()\n"
        "for reg, value in ((0x24, 8), (0x27, 0xF0), (0x2E, 0x10), (0x2D, 8)):\n"  # activity over 0.5 g, AC
        "    i2c.writeto_mem(0x53, reg, bytes((value,)))\n"
        "time.sleep_ms(20); i2c.readfrom_mem(0x53, 0x30, 1)\n"
        "esp32.wake_on_ext0(Pin(34), esp32.WAKEUP_ANY_HIGH)\nmachine.deepsleep(60000)\n"
    )
    twin = run(code, tmp_path, World(QUIET, motion=Timeline([shaking])), seconds=100)
    assert re.findall(r"cause (\d) (\d) (\d)", twin.text) == [("1", "0", "0"), ("4", "2", "1")]
    asleep = next(s for s in twin.chip.meter.stretches if s.state == DEEP_SLEEP)
    assert 12_000_000 < asleep.end < 12_100_000
    assert 0.1 < asleep.current < 0.2  # the accelerometer goes on measuring


def test_sensors_forget_their_settings_when_the_power_goes_not_in_sleep(tmp_path):
    code = (
        "print('measuring', i2c.readfrom_mem(0x53, 0x2D, 1)[0], machine.reset_cause())\n"
        "i2c.writeto_mem(0x53, 0x2D, b'\\x08')\n"
        "if machine.reset_cause() == machine.DEEPSLEEP_RESET: machine.deepsleep()\n"
        "machine.deepsleep(2000)\n"
    )
    from cicada.tools.twin.chip import PWRON_RESET, Restart

    def cut():
        raise Restart(PWRON_RESET, off_us=1_000_000)

    twin = run(code, tmp_path, World(QUIET, agenda=[(20_000_000, cut)]), seconds=60)
    assert re.findall(r"measuring (\d) (\d)", twin.text) == [("0", "1"), ("8", "4"), ("0", "1"), ("8", "4")]


def test_the_battery_is_read_through_its_divider(tmp_path):
    code = (
        "adc = ADC(Pin(35), atten=ADC.ATTN_11DB)\n"
        "for i in range(3):\n    print('uv', adc.read_uv(), adc.read(), adc.read_u16()); time.sleep(5)\n"
        "print('ground', ADC(Pin(32)).read())\n"
        "try:\n    ADC(Pin(5))\nexcept ValueError as e:\n    print('refused', e)\n"
    )
    world = World(QUIET, battery=Curve([(0, 4.2), (10_000_000, 3.2)]))
    text = run(code + END, tmp_path, world).text
    volts = [int(v) * 2e-6 for v in re.findall(r"uv (\d+)", text)]
    assert np.allclose(volts, [4.15, 3.65, 3.2], atol=0.05)
    assert re.search(r"ground 1?\d\n", text) and "refused invalid pin" in text  # noise of 4 counts


def test_a_battery_nobody_sets_drains_by_what_is_drawn(tmp_path):
    code = "adc = ADC(Pin(35), atten=ADC.ATTN_11DB)\nprint('uv', adc.read_uv())\nmachine.deepsleep(%d)\n"
    small = types.SimpleNamespace(**vars(BOARD))
    small.BATTERY = BOARD.BATTERY | {"mah": 0.05}
    twin = run(code % 1000, tmp_path, seconds=6, board=small)
    volts = [int(v) * 2e-6 for v in re.findall(r"uv (\d+)", twin.text)]
    assert len(volts) > 2 and volts[0] > 3.8 and volts == sorted(volts, reverse=True) and volts[-1] < 3.7


def test_the_chips_own_temperature_follows_the_air(tmp_path):
    code = "a = esp32.raw_temperature(); time.sleep(10); print('warmer', esp32.raw_temperature() - a)\n"
    world = World(QUIET, temperature=Curve([(0, 10.0), (5_000_000, 20.0)]))
    assert re.search(r"warmer 1[678]", run(code + END, tmp_path, world).text)


def test_a_board_with_an_unknown_sensor_is_refused(tmp_path):
    strange = types.SimpleNamespace(**vars(BOARD))
    strange.I2C_DEVICES = ({"kind": "adxl999", "address": 0x53},)
    with pytest.raises(UserError, match="unknown sensor 'adxl999': choose one of adxl345"):
        run("", tmp_path, board=strange)
