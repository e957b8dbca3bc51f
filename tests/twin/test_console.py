"""The serial port: other programs see the console, Ctrl-C leads to the REPL, faults are one line."""

import os
import subprocess
import sys
import time

import pytest

from cicada.tools.errors import UserError
from cicada.tools.monitor import monitor
from cicada.tools.twin.console import Console
from cicada.tools.twin.events import Events, parse
from support.running import Running
from support.twins import node_flash


@pytest.fixture
def board(tmp_path):
    running = Running(tmp_path, node_flash(), speed=4.0)
    yield running
    running.stop()


def until(port, text, seconds=15):
    """Read a serial port until it said ``text``."""
    said, end = b"", time.monotonic() + seconds
    while text not in said:
        assert time.monotonic() < end, said
        said += port.read(port.in_waiting or 1)
    return said


def test_ctrl_c_interrupts_and_the_repl_answers(board):
    import serial

    with serial.Serial(str(board.port), 115200, timeout=0.1) as port:
        until(port, b"listening")
        port.write(b"\x03")
        until(port, b">>> ")
        port.write(b"import machine; 6 * 7\r")
        said = until(port, b"42")
        assert b"\r\r\n" not in said
        port.write(b"machine.reset()\r")
        until(port, b"hard reset")
    assert "stopped" in board.stop()
    assert not os.path.lexists(board.port)


def test_monitor_shows_the_console_and_ends(board):
    command = [sys.executable, "-m", "cicada.tools.cli", "monitor", "--port", str(board.port)]
    run = subprocess.run(
        [*command, "--seconds", "6"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "node: " in run.stdout


def test_monitor_notices_that_the_board_is_gone(board):
    command = [sys.executable, "-m", "cicada.tools.cli", "monitor", "--port", str(board.port)]
    watching = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )
    time.sleep(1.5)
    board.stop()
    _, said = watching.communicate(timeout=15)
    assert watching.returncode == 1 and "is gone" in said


def test_two_programs_cannot_share_a_port(board):
    import serial

    with serial.Serial(str(board.port), exclusive=True), pytest.raises(UserError, match="in use"):
        monitor(str(board.port), 115200, 1)


def test_missing_port_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="there is no port"):
        monitor(str(tmp_path / "ttyUSB9"), 115200, 1)


def test_a_file_is_no_port(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be opened as a serial port"):
        monitor(str(tmp_path / "file"), 115200, 1)


def test_an_unread_port_never_blocks(tmp_path):
    console = Console(tmp_path / "tty")
    for _ in range(1000):
        console.write(b"x" * 1000)
    console.close()


def test_a_stale_link_is_replaced_but_a_file_is_not(tmp_path):
    (tmp_path / "stale").symlink_to("/dev/pts/does-not-exist")
    Console(tmp_path / "stale").close()
    assert not os.path.lexists(tmp_path / "stale")
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(UserError, match="in the way"):
        Console(tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "keep"


def test_events_survive_any_chopping_and_noise():
    text = (
        'I (1) node: x\nEVENT {"event": "keyword", "n": 1}\n'
        'EVENT {"bro\x00ken\nEVENT [1]\nEVENT {"event": "a"}\n'
    )
    whole = list(parse(text.split("\n")))
    assert [e["event"] for e in whole] == ["keyword", "a"]
    for size in (1, 2, 7, 1000):
        events = Events()
        got = [e for i in range(0, len(text), size) for e in events.feed(text[i : i + size])[1]]
        assert got == whole and events.text == text
