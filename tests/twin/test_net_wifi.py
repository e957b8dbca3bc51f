"""The node's Wi-Fi: up, down, and a reason when it does not work."""

import re

import pytest

from cicada.tools.twin.world import Network, Steps
from support.wires import talk

PROGRAM = (
    "wifi.down()\n"
    "import network\n"
    "def up(config, timeout_ms=15000):\n"
    "    one, began = Wifi(config), time.ticks_ms()\n"
    "    try:\n"
    "        one.up(timeout_ms)\n"
    "        one.up(timeout_ms)\n"
    "        return 'up', time.ticks_diff(time.ticks_ms(), began), network.WLAN().isconnected()\n"
    "    except LinkError as error:\n"
    "        return str(error), time.ticks_diff(time.ticks_ms(), began), network.WLAN().active()\n"
    "    finally:\n"
    "        one.down()\n"
    "        one.down()\n"
    "        print('radio ->', network.WLAN().active())\n"
)


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    code = PROGRAM + (
        "attempt('right', up, {'ssid': 'cicada', 'key': 'twinkle twinkle'})\n"
        "attempt('wrong key', up, {'ssid': 'cicada', 'key': 'hush hush'})\n"
        "attempt('no key', up, {'ssid': 'cicada'})\n"
        "attempt('other', up, {'ssid': 'elsewhere', 'key': 'hush hush'})\n"
        "attempt('hasty', up, {'ssid': 'cicada', 'key': 'twinkle twinkle'}, 200)\n"
        "attempt('none', up, {})\n"
    )
    return talk(code, tmp_path_factory.mktemp("wifi"), {})


def test_it_connects_once(said):
    state, took, connected = re.fullmatch(r"\('(.*)', (\d+), (.*)\)", said["right"]).groups()
    assert state == "up" and connected == "True" and 600 <= int(took) < 2500


@pytest.mark.parametrize(
    ("name", "reason", "most_ms"),
    [
        ("wrong key", "Wi-Fi cicada: the key was not accepted", 15_500),
        ("no key", "Wi-Fi cicada: the key was not accepted", 15_500),
        ("other", "Wi-Fi elsewhere: no such network in reach", 15_500),
        ("hasty", r"Wi-Fi cicada: no connection \(status 1001\)", 500),
        ("none", "no Wi-Fi network is configured", 10),
    ],
)
def test_it_says_why_it_does_not_and_the_radio_is_off(name, reason, most_ms, said):
    took, active = re.fullmatch(rf"\('{reason}', (\d+), (.*)\)", said[name]).groups()
    assert int(took) <= most_ms and active == "False"


def test_the_radio_is_off_in_the_end(said):
    assert said["radio"] == "False"


def test_the_key_is_never_said(said):
    assert not any("hush" in text or "twinkle" in text for text in said.values())


def test_a_network_that_comes_in_time_is_found(tmp_path):
    late = Network(up=Steps([(0, 1), (3_000_000, 0), (10_000_000, 1)]))
    code = PROGRAM + (
        "while time.ticks_ms() < 4000: time.sleep_ms(100)\n"
        "attempt('late', up, {'ssid': 'cicada', 'key': 'twinkle twinkle'})\n"
    )
    assert talk(code, tmp_path, {}, late)["late"].startswith("('up', ")
