"""Wi-Fi and sockets: links that come and go, traffic that takes its time and its current."""

import re
import socket
import threading

import pytest

from cicada.tools.board import load_board
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import Network, Steps, World
from support.twins import QUIET, script_flash

BOARD = load_board("twin")
JOIN = (
    "import machine, network, time, socket\nw = network.WLAN(network.STA_IF)\n"
    "def join(ssid='cicada', key='twinkle twinkle', wait=10000):\n"
    "    w.active(True); w.connect(ssid, key); t = time.ticks_ms()\n"
    "    while not w.isconnected() and time.ticks_diff(time.ticks_ms(), t) < wait: time.sleep_ms(50)\n"
    "    return w.isconnected()\n"
)
END = "\nmachine.deepsleep()\n"


def run(code, folder, network=None, seconds=120, hosts=None):
    world = World(QUIET, network=network or Network(), hosts=hosts or {})
    twin = Twin(script_flash(JOIN + code + END, folder), BOARD, world)
    twin.run(seconds)
    return twin


@pytest.fixture
def server():
    """Echoes one line back, in capitals, to each of several connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                with line:
                    line.sendall(line.makefile("rb").readline().upper())

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def test_joining_takes_time_and_says_what_it_got(tmp_path):
    code = (
        "print('before', w.active(), w.isconnected(), w.status(), w.ifconfig()[0])\n"
        "t = time.ticks_ms(); print('joined', join(), w.status(), w.ifconfig()[0], w.status('rssi'))\n"
        "print('took', time.ticks_diff(time.ticks_ms(), t), w.config('ssid'), len(w.config('mac')))\n"
        "w.disconnect(); print('left', w.isconnected(), w.status())\n"
    )
    text = run(code, tmp_path).text
    assert "before False False 1000 0.0.0.0" in text
    assert "joined True 1010 10.0.0.2 -58" in text and "left False 1000" in text
    assert 600 <= int(re.search(r"took (\d+) cicada 6", text).group(1)) < 2000


@pytest.mark.parametrize(
    ("call", "status"), [("join(ssid='other')", 201), ("join(key='wrong')", 202), ("w.active(True)", 1000)]
)
def test_status_says_why_there_is_no_connection(call, status, tmp_path):
    assert f"status {status}" in run(f"{call}\nprint('status', w.status())\n", tmp_path).text


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("w.connect('cicada', 'x')", "Wifi Not Started"),
        ("w.scan()", "STA must be active"),
        ("w.status('rssi')", "Wifi Not Connected"),
        ("socket.getaddrinfo('localhost', 80)", "-202"),
    ],
)
def test_errors_of_the_port(call, said, tmp_path):
    assert (
        f"error {said}"
        in run(f"try:\n    {call}\nexcept OSError as e:\n    print('error', e.args[0])\n", tmp_path).text
    )


def test_scanning_finds_the_access_point(tmp_path):
    assert "[(b'cicada'," in run("w.active(True)\nprint(w.scan())\n", tmp_path).text


def test_a_link_that_goes_comes_back_by_itself(tmp_path):
    up = Steps([(0, 1), (10_000_000, 0), (30_000_000, 1)])
    code = (
        "join()\nlast = None\n"
        "while time.ticks_ms() < 50000:\n"
        "    if w.status() != last: last = w.status(); print('at', time.ticks_ms() // 1000, last)\n"
        "    time.sleep_ms(100)\n"
    )
    seen = [
        (int(s), int(v)) for s, v in re.findall(r"at (\d+) (\d+)", run(code, tmp_path, Network(up=up)).text)
    ]
    assert [v for _, v in seen] == [1010, 1001, 201, 1010]
    assert seen[1][0] == 10 and 30 <= seen[-1][0] <= 36


def test_reconnects_can_be_limited(tmp_path):
    code = "w.active(True); w.config(reconnects=%d); print('joined', join(wait=30000), w.status())\n"
    late = Network(up=Steps([(0, 0), (12_000_000, 1)]))
    assert "joined False 201" in run(code % 1, tmp_path, late).text
    assert "joined True 1010" in run(code % -1, tmp_path, late).text


TALK = (
    "join()\ndef talk():\n"
    "    s = socket.socket(); s.settimeout(5)\n"
    "    s.connect(socket.getaddrinfo('server', 7)[0][-1]); s.send(b'hello\\n')\n"
    "    r = s.readline(); s.close()\n"
    "    return r\n"
)


def test_a_program_talks_to_a_server_and_it_takes_its_time(tmp_path, server):
    code = TALK + "t = time.ticks_ms(); print('said', talk(), time.ticks_diff(time.ticks_ms(), t))\n"
    hosts = {"server:7": ("127.0.0.1", server)}
    fast = run(code, tmp_path, hosts=hosts)
    slow = run(code, tmp_path, Network(latency_ms=Steps([(0, 1000)])), hosts=hosts)

    def took(twin):
        return int(re.search(r"said b'HELLO\\n' (\d+)", twin.text).group(1))

    assert took(fast) < 500 < 2000 < took(slow)
    assert fast.chip.parts["networks"].received >= 6
    sending = max(s.current for s in fast.chip.meter.stretches)
    assert sending > 230  # mA: the radio sends


def test_asyncio_streams_work(tmp_path, server):
    code = (
        "import asyncio\njoin()\nasync def main():\n"
        "    r, w = await asyncio.open_connection('server', 7)\n"
        "    w.write(b'stream\\n'); await w.drain(); print('said', await r.readline())\n"
        "asyncio.run(main())\n"
    )
    assert "said b'STREAM\\n'" in run(code, tmp_path, hosts={"server:7": ("127.0.0.1", server)}).text


def test_a_link_lost_in_the_middle_is_an_error_not_a_hang(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code = TALK + "try:\n    talk()\nexcept OSError as e:\n    print('error', e.errno)\n"
        hosts = {"server:7": silent.getsockname()}
        timed_out = run(code, tmp_path, hosts=hosts).text
        assert "error 110" in timed_out
        down = run(code, tmp_path, Network(up=Steps([(0, 1), (4_000_000, 0)])), hosts=hosts).text
        assert "error 113" in down


def test_nobody_listening_is_refused(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    code = TALK + "try:\n    talk()\nexcept OSError as e:\n    print('error', e.errno)\n"
    assert "error 111" in run(code, tmp_path, hosts={"server:7": ("127.0.0.1", port)}).text
