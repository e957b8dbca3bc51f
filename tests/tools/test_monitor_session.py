"""The monitor at a terminal: keys, menu, reset, unplugged boards. Boards are ptys and the twin."""

import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from cicada.tools.errors import UserError
from cicada.tools.monitor.keys import Action, Keys
from cicada.tools.monitor.link import Gone, Link
from cicada.tools.twin.netport import Lines, NetworkPort, ResetLines
from support.consoles import RUN, Board, Console
from support.elves import HEADER, SOURCE, functions, link
from support.running import Running
from support.twins import script_flash

CTRL_C, CTRL_T, QUIT = b"\x03", b"\x14", b"\x1d"
COUNTING = """
import time
print("I (%d) node: booted" % time.ticks_ms())
while True:
    print("I (%d) node: tick" % time.ticks_ms())
    print("W (%d) wifi: weak" % time.ticks_ms())
    time.sleep_ms(200)
"""


@pytest.fixture
def board(tmp_path):
    board = Board(tmp_path / "tty")
    yield board
    if board.link.is_symlink():
        board.unplug()


@pytest.fixture
def console():
    opened = []

    def open_one(*arguments, **environment):
        opened.append(Console(*arguments, **environment))
        return opened[-1]

    yield open_one
    for one in opened:
        one.kill()


@contextmanager
def piped(*arguments):
    """Run it without a terminal."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def talking(board):
    """Have the board say hello over and over: what it says before its port is opened is lost."""
    done = threading.Event()

    def talk():
        while not done.wait(0.05):
            board.say(b"\x1b[32mhello\x1b[0m\r\n")

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_keys_go_to_the_board_and_its_words_to_the_screen(board, console):
    monitor = console("--port", board.link)
    monitor.expect("Ctrl-] quits")
    board.say(b"I (5) node: one\r\nE (6) node: two\r\n>>> ")
    monitor.expect("\x1b[32mI (5) node: one\x1b[0m\r\n\x1b[31mE (6) node: two\x1b[0m\r\n>>> ")
    monitor.type(b"a\r" + CTRL_C + b"\x04\x1a\x13")
    assert board.heard(b"\x13") == b"a\r\x03\x04\x1a\x13"
    monitor.type(CTRL_T + CTRL_T + CTRL_T + QUIT + b"z")
    assert board.heard(b"z") == b"\x14\x1dz"
    monitor.type(QUIT)
    assert monitor.end() == 0


def test_the_menu(board, console, tmp_path):
    monitor = console("--port", board.link, CICADA_BUILD=str(tmp_path), NO_COLOR="1")
    monitor.expect("Ctrl-] quits")
    monitor.type(CTRL_T + b"\x08")
    for key in "CRLYHT":
        monitor.expect(f"Ctrl-{key}  ")
    monitor.type(CTRL_T + b"\x12")
    monitor.expect("no line RTS")
    monitor.type(CTRL_T + b"q")
    monitor.expect("no such key")
    monitor.type(CTRL_T + b"\x0c")
    monitor.expect("logging to ")
    monitor.type(CTRL_T + b"\x19")
    monitor.expect("output hidden")
    board.say(b"hidden\r\n\x1b[31m")
    (log,) = (tmp_path / "monitor").iterdir()
    end = time.monotonic() + 10
    while "hidden\n" not in log.read_text():
        assert time.monotonic() < end
        time.sleep(0.01)
    monitor.type(CTRL_T + b"\x19")
    monitor.expect("output shown")
    board.say(b"I (1) x: visible\x1b[0m\r\n")
    monitor.expect("visible")
    monitor.type(CTRL_T + b"\x0c")
    monitor.expect("ended")
    monitor.type(QUIT)
    assert monitor.end() == 0
    assert "hidden\r\n" not in monitor.text and "\x1b" not in monitor.text
    assert re.fullmatch(r"--- .* \S+tty\nhidden\nI \(1\) x: visible\n", log.read_text())


def test_an_unplugged_board_is_waited_for(board, console, tmp_path):
    monitor = console("--port", board.link, "--log", tmp_path / "log", "--timestamps")
    monitor.expect("Ctrl-] quits")
    board.say(b">>> ")
    monitor.expect(">>> ")
    board.unplug()
    monitor.expect("is gone")
    monitor.type(b"lost")
    time.sleep(0.5)
    again = Board(board.link)
    monitor.expect("is back")
    again.say(b"hello\r\n")
    monitor.expect("hello")
    again.unplug()
    monitor.expect("is gone")
    monitor.type(CTRL_C)
    assert monitor.end() == 0
    assert monitor.text.count("is gone") == 2
    stamp = r"\d\d:\d\d:\d\d\.\d{3} "
    assert re.fullmatch(
        rf"--- .*\n{stamp}>>> \n--- .* gone.*\n--- .* back\n{stamp}hello\n--- .* gone.*\n",
        (tmp_path / "log").read_text(),
    )


def test_without_a_terminal_waiting_ends(board):
    with piped("--port", board.link, "--seconds", "1.5") as monitor:
        with talking(board):
            assert monitor.stdout.readline() == "hello\n"
        board.unplug()
        _, errors = monitor.communicate(timeout=15)
        assert monitor.returncode == 1 and errors.count("is gone") == 1


def test_seconds_end_a_session(board):
    with piped("--port", board.link, "--seconds", "0.8") as monitor, talking(board):
        said, errors = monitor.communicate(timeout=15)
        assert monitor.returncode == 0 and set(said.split("\n")[:-1]) == {"hello"} and not errors


def test_the_build_of_the_board_decodes_its_addresses(board, console, tmp_path):
    folder = tmp_path / "firmware" / "esp32c3"
    folder.mkdir(parents=True)
    elf = link(folder, {"a.c": SOURCE, "part/inline.h": HEADER}).rename(folder / "cicada.elf")
    start = next(iter(functions(elf, "riscv64-unknown-elf-")))
    monitor = console("--board", "esp32c3", "--port", board.link, CICADA_BUILD=str(tmp_path))
    monitor.expect("Ctrl-] quits")
    board.say(
        b"I (9) app_init: ELF file SHA256:  123456789...\r\nabort() was called at PC %#x on core 0\r\n"
        % start
    )
    monitor.expect("another build")
    monitor.expect(f"\x1b[36m--- {start:#x}: ")
    monitor.expect("a.c:")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--elf", "missing.elf"], "there is no such file"),
        (["--filter", "node:loud"], "TAG:LEVEL"),
        (["--baud", "-1"], "baud"),
        (["--log", "/dev/null/log"], "writing the log"),
    ],
)
def test_faults_are_one_line(board, arguments, message):
    with piped("--port", board.link, *arguments) as monitor:
        _, errors = monitor.communicate(timeout=15)
        assert monitor.returncode == 1 and len(errors.splitlines()) == 1 and message in errors


@contextmanager
def network():
    """A port with DTR and RTS whose lines' changes are noted down."""
    port, moves, done = NetworkPort(), [], threading.Event()

    def serve():
        while not done.is_set():
            moves.extend(event for event in port.receive() if isinstance(event, Lines))
            time.sleep(0.005)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield port.url, moves
    finally:
        done.set()
        thread.join()
        port.close()


def resets(moves):
    """What the auto-reset circuit makes of the lines."""
    circuit = ResetLines()
    return [left for move in moves if (left := circuit.feed(move.dtr, move.rts))]


@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")  # pyserial's
def test_opening_and_closing_leave_the_board_alone_and_reset_restarts_it():
    with network() as (url, moves):
        opened = Link(url, 115200)
        opened.close()
        time.sleep(0.1)
        assert moves and not resets(moves)
        assert Lines(False, True) not in moves
        del moves[:]
        opened = Link(url, 115200)
        assert opened.reset()
        opened.close()
        assert resets(moves) == ["run"]


def test_the_twin_is_watched_and_reset_through_its_network_port(tmp_path, console):
    twin = Running(tmp_path, script_flash(COUNTING, tmp_path))
    try:
        monitor = console("--port", twin.url, "--filter", "node:I", "--timestamps", "start")
        monitor.expect("node: tick")
        assert "rst:" not in monitor.text
        monitor.type(CTRL_T + b"\x12")
        monitor.expect("rst:0x1")
        monitor.expect("node: booted")
        monitor.expect("node: tick")
        monitor.type(CTRL_C)
        monitor.expect(">>> ")
        monitor.type(b"print(6 * 7)\r")
        monitor.expect("42\r\n")
        assert "wifi" not in monitor.text
        twin.stop()
        monitor.expect("is gone")
        monitor.type(QUIT)
        assert monitor.end() == 0
    finally:
        twin.stop()


def test_a_board_that_takes_nothing_does_not_stop_the_monitor(board):
    opened = Link(str(board.link), 115200)
    began = time.monotonic()
    assert not opened.write(b"x" * 200_000)
    assert time.monotonic() - began < 5
    opened.close()


def test_a_port_that_vanished_is_gone_for_reading_and_writing(board):
    opened = Link(str(board.link), 115200)
    board.say(b"last words")
    heard = b""
    while len(heard) < len(b"last words"):  # they may come one by one
        assert select.select([opened], [], [], 10)[0]
        heard += opened.read()
    assert heard == b"last words"
    board.unplug()
    with pytest.raises(Gone):
        opened.read()
    with pytest.raises(Gone):
        opened.write(b"x")
    opened.close()


def test_closing_does_not_wait_for_output_nobody_read(board):
    opened = Link(str(board.link), 115200)
    os.set_blocking(board.master, False)
    for _ in range(150):
        try:
            os.write(board.master, b"x" * 1000)
        except BlockingIOError:
            time.sleep(0.01)
    began = time.monotonic()
    opened.close()
    assert time.monotonic() - began < 2


def test_a_port_in_use_is_refused(board):
    opened = Link(str(board.link), 115200)
    with pytest.raises(UserError, match="in use"):
        Link(str(board.link), 115200)
    opened.close()


def test_keys_of_the_menu():
    keys = Keys()
    assert keys.feed(b"ab\x14") == [b"ab"]
    assert keys.feed(b"\x12c") == [Action.RESET, b"c"]
    assert keys.feed(b"\x14\x0c\x14\x19\x14\x08\x14?\x14x") == [
        Action.LOG, Action.PAUSE, Action.HELP, Action.HELP, Action.UNKNOWN
    ]  # fmt: skip
    assert keys.feed(b"a\x1db") == [b"a", Action.QUIT, b"b"]


def test_a_lost_terminal_ends_the_session(board):
    terminal, theirs = pty.openpty()
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, "--port", str(board.link)], stdin=theirs, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    with run.stderr:
        assert "Ctrl-] quits" in run.stderr.readline()
        os.close(terminal)
        assert run.wait(10) == 0
