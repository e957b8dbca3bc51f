"""mpremote and esptool, unmodified, on a whole twin."""

import os
import pty
import random
import select
import subprocess
import sys
import time

import pytest

from support.images import new_image
from support.running import Running
from support.twins import node_flash, script_flash


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """A twin on which the node runs, its watchdog armed."""
    running = Running(tmp_path_factory.mktemp("board"), node_flash())
    yield running
    running.stop()


@pytest.fixture
def files(tmp_path):
    (tmp_path / "hello.py").write_text("print('hello', 6 * 7)\nx = 99\n")
    (tmp_path / "random.bin").write_bytes(random.Random(1).randbytes(20_000))
    return tmp_path


def test_mpremote_exec_and_run(board, files):
    assert board.mpremote("exec", "print(1 + 2)") == "3\n"
    assert board.mpremote("resume", "exec", "print('a\\nb')") == "a\nb\n"
    assert board.mpremote("run", str(files / "hello.py")) == "hello 42\n"
    said = board.mpremote("exec", "1 // 0", expect=1)
    assert "ZeroDivisionError" in said


def test_mpremote_copies_files_both_ways(board, files):
    board.mpremote("fs", "cp", str(files / "random.bin"), ":random.bin")
    board.mpremote("fs", "cp", ":random.bin", str(files / "back.bin"))
    assert (files / "back.bin").read_bytes() == (files / "random.bin").read_bytes()
    assert "20000 random.bin" in board.mpremote("fs", "ls")
    board.mpremote("fs", "cp", str(files / "hello.py"), ":hello.py")
    assert board.mpremote("exec", "import hello; print(hello.x)") == "hello 42\n99\n"
    board.mpremote("fs", "rm", ":hello.py", ":random.bin")
    assert "hello" not in board.mpremote("fs", "ls")


def test_mpremote_mounts_a_folder_of_this_machine(board, files):
    """Binary both ways through the console, with every byte that means something to a terminal."""
    (files / "bytes.bin").write_bytes(bytes(range(256)) * 8)
    said = board.mpremote(
        "mount", str(files), "exec",
        "import hello\nb = open('/remote/bytes.bin', 'rb').read()\nprint(b == bytes(range(256)) * 8)\n"
        "f = open('/remote/out.bin', 'wb'); f.write(b); f.close()",
    )  # fmt: skip
    assert "hello 42" in said and "True" in said
    assert (files / "out.bin").read_bytes() == bytes(range(256)) * 8


def test_mpremote_resets_and_sets_the_clock(board):
    board.mpremote("soft-reset")
    board.mpremote("reset")
    board.mpremote("rtc", "--set")
    year = board.mpremote("exec", "import time; print(time.localtime()[0])")
    assert int(year) == time.localtime().tm_year


def test_mpremote_repl(board):
    """With a terminal of its own, as a person has it: Ctrl-C, a line, Ctrl-D, Ctrl-]."""
    board.mpremote("reset")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mpremote", "connect", str(board.port), "repl"],
        stdin=slave, stdout=slave, stderr=slave, close_fds=True,
    )  # fmt: skip
    os.close(slave)
    said = b""

    def until(text):
        nonlocal said
        end = time.monotonic() + 40  # it may just have gone to sleep
        while text not in said:
            assert time.monotonic() < end, said
            if select.select([master], [], [], 0.1)[0]:
                said += os.read(master, 4096)
        said = said.partition(text)[2]

    try:
        until(b"listening")
        os.write(master, b"\x03")
        until(b"KeyboardInterrupt")
        until(b">>> ")
        os.write(master, b"6 * 7\r")
        until(b"\r\n42\r\n>>> ")
        os.write(master, b"\x04")
        until(b"MPY: soft reboot\r\n")
        until(b"cause: soft reset")
        os.write(master, b"\x1d")
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_the_watchdog_leaves_somebody_at_the_repl_alone(tmp_path):
    running = Running(tmp_path, node_flash(), speed=20.0)
    try:
        before = running.mpremote("exec", "import time; print(time.ticks_ms())")
        time.sleep(1.5)  # half a minute there
        after = running.mpremote("resume", "exec", "import time; print(time.ticks_ms())")
        assert int(after) - int(before) > 20_000
    finally:
        running.stop()


def test_esptool_flashes_a_new_program_that_then_runs(tmp_path):
    running = Running(tmp_path, script_flash("print('old program')\n", tmp_path))
    try:
        assert "24:0a:c4:c1:ca:da" in running.esptool("flash-id")
        image = new_image(tmp_path, "3.2.1")
        (tmp_path / "new.bin").write_bytes(image)
        said = running.esptool("--chip", "esp32", "write-flash", "0x10000", tmp_path / "new.bin")
        assert "Hash of data verified" in said
        running.esptool("verify-flash", "0x10000", tmp_path / "new.bin")
        running.esptool("read-flash", "0x10000", str(len(image)), tmp_path / "back.bin")
        assert (tmp_path / "back.bin").read_bytes() == image
        (tmp_path / "new.bin").write_bytes(image[:-1] + b"x")
        running.esptool("verify-flash", "0x10000", tmp_path / "new.bin", expect=2)
    finally:
        running.stop()
    left = (tmp_path / "left.bin").read_bytes()
    assert left[0x10000 : 0x10000 + len(image)] == image


def test_a_board_on_which_nothing_boots_can_still_be_flashed(tmp_path):
    whole = script_flash("import machine\nprint('alive')\nwhile True: machine.idle()\n", tmp_path)
    running = Running(tmp_path, b"\xff" * len(whole))
    try:
        end = -(-len(whole.rstrip(b"\xff")) // 0x1000) * 0x1000  # whole sectors, nothing behind the program
        (tmp_path / "whole.bin").write_bytes(whole[:end])
        running.esptool("--chip", "esp32", "write-flash", "--flash-size", "keep", "0", tmp_path / "whole.bin")
        assert running.mpremote("resume", "exec", "print('reachable')") == "reachable\n"
    finally:
        running.stop()


def test_nothing_is_left_when_it_ends(tmp_path):
    running = Running(tmp_path, node_flash())
    assert "stopped" in running.stop()
    assert not os.path.lexists(running.port)
    assert not [p for p in os.listdir("/proc") if p.isdigit() and str(tmp_path) in _environment(p)]


def _environment(pid):
    try:
        with open(f"/proc/{pid}/environ") as file:
            return file.read()
    except OSError:
        return ""
