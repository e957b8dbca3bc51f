"""The chip's own access point: who can join, who is reached, and what it costs."""

import socket
import threading

import pytest

from cicada.tools.board import load_board
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import Network, World
from support.twins import QUIET, script_flash

BOARD = load_board("twin")
BEGIN = (
    "import machine, network, select, socket, time\n"
    "ap = network.WLAN(network.WLAN.IF_AP)\nsta = network.WLAN(network.WLAN.IF_STA)\n"
    "def up(): ap.active(True); ap.config(ssid='lamp', security=3, key='moth moth', max_clients=1)\n"
    "def attempt(name, call):\n"
    "    try: print(name, '->', call())\n"
    "    except (OSError, ValueError) as e: print(name, '->', type(e).__name__, *e.args)\n"
)


@pytest.fixture
def start(tmp_path):
    twins = []

    def made(code, network=None):
        world = World(QUIET, network=network or Network())
        twins.append(Twin(script_flash(BEGIN + code + "\nmachine.deepsleep()\n", tmp_path), BOARD, world))
        twins[-1].power_on()
        return twins[-1]

    yield made
    for twin in twins:
        twin.power_off()


def access(twin):
    return twin.chip.parts["networks"].access


def until(twin, text, seconds=30):
    assert twin.run_until(lambda: text in twin.text, seconds), twin.text


def test_it_is_configured_as_on_the_chip(start):
    twin = start(
        "attempt('early', lambda: ap.config(ssid='lamp'))\n"
        "print('before', ap.active(), ap.config('ssid')[:4], ap.config('security'))\n"
        "up(); print('after', ap.active(), ap.config('essid'), ap.config('authmode'))\n"
        "print('most', ap.config('max_clients'))\n"
        "attempt('short', lambda: ap.config(key='moth'))\n"
        "attempt('key', lambda: ap.config('key'))\n"
        "attempt('unknown', lambda: ap.config(colour=1))\n"
        "attempt('sta', lambda: sta.config(ssid='x'))\n"
        "attempt('rssi', lambda: ap.status('rssi'))\n"
        "attempt('stations', lambda: sta.status('stations'))\n"
        "print('self', ap.ifconfig()[0], ap.status(), ap.isconnected(), ap.status('stations'))\n"
        "print('mac', ap.config('mac')[5] - sta.config('mac')[5], len(ap.config('mac')))\n"
        "attempt('scan', lambda: sta.scan())\n"
        "sta.active(True); print('both', len(sta.scan()), ap.active()); print('END')\n"
    )
    until(twin, "END")
    for line in (
        "early -> OSError Wifi Invalid Mode",
        "before False ESP_ 0",
        "after True lamp 3",
        "most 1",
        "short -> OSError Wifi Invalid Password",
        "key -> ValueError unknown config param",
        "unknown -> ValueError unknown config param",
        "sta -> ValueError unknown config param",
        "rssi -> OSError STA required",
        "stations -> OSError AP required",
        "self 192.168.4.1 None False []",
        "mac 1 6",
        "scan -> OSError STA must be active",
        "both 1 True",
    ):
        assert line in twin.text, (line, twin.text)


def test_only_who_has_the_key_joins_and_only_so_many(start):
    twin = start(
        "up(); print('UP')\nwhile not ap.isconnected(): time.sleep_ms(20)\n"
        "print('there', ap.status('stations')); ap.active(False); print('DOWN'); time.sleep(1)\n"
        "up(); print('AGAIN', ap.status('stations'))\n"
    )
    with pytest.raises(ConnectionError, match="no access point"):
        access(twin).join("lamp", "moth moth")
    until(twin, "UP")
    for name, key, why in (("other", "moth moth", "no access point"), ("lamp", "wrong", "not accepted")):
        with pytest.raises(ConnectionError, match=why):
            access(twin).join(name, key)
    access(twin).join("lamp", "moth moth", b"\x02\0\0\0\0\x01")
    with pytest.raises(ConnectionError, match="no more"):
        access(twin).join("lamp", "moth moth", b"\x02\0\0\0\0\x02")
    until(twin, "AGAIN []")
    assert r"there [(b'\x02\x00\x00\x00\x00\x01',)]" in twin.text


SERVE = (
    "s = socket.socket(); s.bind(('0.0.0.0', 80)); s.listen(1); s.settimeout(20); print('UP')\n"
    "try:\n    line, _ = s.accept(); print('CAME', time.ticks_ms()); line.send(b'hello ' + line.recv(100))\n"
    "except OSError as e: print('error', e.errno)\nprint('END')\ntime.sleep(1)\n"
)


def talk(twin):
    """What a client on this machine is told, from a thread."""
    said = []

    def work():
        with socket.create_connection(("127.0.0.1", access(twin).served["tcp", 80]), 20) as line:
            line.sendall(b"world")
            said.append(line.recv(100))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread, said


def test_a_port_is_reached_by_a_station_only(start):
    twin = start("up()\n" + SERVE)
    until(twin, "UP")
    thread, said = talk(twin)
    thread.join(0.3)
    twin.run_until(lambda: False, 5)  # 5 virtual seconds: a connection from nowhere is none
    assert "CAME" not in twin.text and not said
    access(twin).join("lamp", "moth moth")
    until(twin, "END")
    thread.join(5)
    assert said == [b"hello world"]


def test_nobody_waits_in_real_time_for_who_cannot_come(start):
    twin = start("up()\n" + SERVE.replace("settimeout(20)", "settimeout(3)"))
    until(twin, "END")
    assert "error 110" in twin.text
    twin = start(
        "up()\ns = socket.socket(); s.bind(('', 80)); s.listen(1); s.setblocking(False)\np = select.poll()\n"
        "p.register(s, select.POLLIN)\nprint(p.poll(600000), time.ticks_ms() // 1000)\nprint('END')\n"
    )
    until(twin, "END", 700)
    assert "[] 600" in twin.text


def test_a_server_is_also_reached_through_the_network_it_joined(start):
    twin = start(
        "sta.active(True); sta.connect('cicada', 'twinkle twinkle')\n"
        "while not sta.isconnected(): time.sleep_ms(20)\n" + SERVE
    )
    until(twin, "UP")
    thread, said = talk(twin)
    until(twin, "END")
    thread.join(5)
    assert said == [b"hello world"]


def test_the_way_out_needs_a_network_of_somebody_else(start):
    twin = start(
        "up()\nwhile not ap.isconnected(): time.sleep_ms(20)\n"
        "attempt('out', lambda: socket.getaddrinfo('localhost', 80)); print('END')\n"
    )
    twin.run_until(lambda: False, 1)
    access(twin).join("lamp", "moth moth")
    until(twin, "END")
    assert "out -> OSError -202" in twin.text


def test_its_receiver_is_always_on(start):
    twin = start("up(); time.sleep(10); ap.active(False); time.sleep(10); print('END')\n")
    until(twin, "END")
    currents = {round(stretch.current) for stretch in twin.chip.meter.stretches}
    power = BOARD.POWER
    assert round(power["cpu_idle"] + power["wifi_receive"] + power["microphone_off"]) in currents
    assert twin.chip.meter.loads["wifi"] == 0.0
    # Nor does the station's modem sleep save anything while both are on.
    twin = start(
        "up(); sta.active(True); sta.connect('cicada', 'twinkle twinkle')\n"
        "while not sta.isconnected(): time.sleep_ms(20)\nprint('END'); time.sleep(5)\n"
    )
    until(twin, "END")
    assert twin.chip.meter.loads["wifi"] == power["wifi_receive"]


def test_a_reset_takes_it_down_and_its_settings_with_it(start):
    twin = start(
        "if machine.reset_cause() == 1:\n    up(); print('UP'); time.sleep(1); machine.reset()\n"
        "print('then', ap.active(), ap.config('ssid')[:4]); print('END')\n"
    )
    until(twin, "END")
    assert "then False ESP_" in twin.text
