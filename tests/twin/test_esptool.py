"""The whole way: esptool as a program, its RFC 2217 port, the reset lines, the boot loader, the flash.

esptool is unmodified. Only the first test lets pyserial wait as it does: its RFC 2217 client sleeps 50 ms
after every setting, four times a command, which would make minutes of the rest. There the sleeps are short.
"""

import hashlib
import random
import select
import subprocess
import sys
import threading

import pytest

from cicada.tools.twin.flash import SECTOR, SIZES, NorFlash
from cicada.tools.twin.netport import Lines, NetworkPort, ResetLines
from cicada.tools.twin.romloader import RomLoader
from support.running import QUICK

SIZE = SIZES[1]  # not the one esptool falls back on
MAC = bytes.fromhex("240ac4c1cada")
PLAIN = [sys.executable, "-m", "esptool"]


class Board:
    """Port, lines, loader and flash, served by a thread as the twin's loop would.

    Attributes:
        starts: how the chip came out of reset each time; ``"asked"`` when the loader was told to leave.
    """

    def __init__(self):
        self.port, self.flash, self.starts = NetworkPort(), NorFlash(SIZE), []
        self._loader, self._lines = RomLoader(self.flash, MAC), ResetLines()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        download = False
        while not self._over.is_set():
            waiting = self.port.sockets()
            select.select(waiting, waiting[1:] if self.port.wants_write else [], [], 0.05)
            for event in self.port.receive():
                if isinstance(event, Lines):
                    start = self._lines.feed(event.dtr, event.rts)
                    if start:
                        self.starts.append(start)
                        download = start == "download"
                        self.port.send(self._loader.greeting() if download else b"application\r\n")
                elif download:
                    self.port.send(self._loader.feed(event.data))
                    if self._loader.run_requested:
                        self.starts.append("asked")
                        download = False

    def close(self):
        self._over.set()
        self._thread.join()
        self.port.close()

    def run(self, *arguments, command=None, expect=0):
        """Run esptool (or ``command``) on the port; what it printed."""
        self.starts.clear()
        command = command or [sys.executable, "-c", QUICK, "esptool"]
        done = subprocess.run(
            [*command, "--port", self.port.url, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        assert done.returncode == expect, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def board():
    board = Board()
    yield board
    board.close()


def test_plain_esptool_finds_out_what_it_is(board):
    said = board.run("--no-stub", "read-mac", command=PLAIN)
    assert "ESP32-D0WD-V3 (revision v3.1)" in said and "40MHz" in said and "24:0a:c4:c1:ca:da" in said
    assert board.starts == ["download", "run"]


def test_espefuse_finds_the_fuses_consistent(board):
    said = board.run("--chip", "esp32", "summary", command=[sys.executable, "-c", QUICK, "espefuse"])
    assert "24:0a:c4:c1:ca:da (CRC 0x62 OK)" in said


@pytest.mark.parametrize("ways", [[], ["--no-compress"], ["--no-stub"]], ids=["compressed", "plain", "rom"])
def test_files_are_written_where_they_belong(board, tmp_path, ways):
    """Several at once; what lies between them stays."""
    board.flash.erase(0, SIZE)
    board.flash.program(0x5000, b"between")
    rng = random.Random(str(ways))
    parts = {
        0x1000: rng.randbytes(5000),
        0x8000: b"\xff\xc0\xdb" * 1000,
        SIZE - SECTOR: rng.randbytes(SECTOR),
    }
    arguments = []
    for at, data in parts.items():
        (tmp_path / f"{at:x}").write_bytes(data)
        arguments += [hex(at), tmp_path / f"{at:x}"]
    first = [way for way in ways if way == "--no-stub"]
    rest = [way for way in ways if way not in first]
    said = board.run("--chip", "esp32", *first, "write-flash", *rest, *arguments)
    assert said.count("Hash of data verified") == 3
    assert ("Stub flasher running" in said) != bool(first)
    for at, data in parts.items():
        padded = data + b"\xff" * (-len(data) % 4)
        assert board.flash.read(at, len(padded)) == padded
    assert board.flash.read(0x5000, 8) == b"between\xff"
    assert board.starts == ["download", "run"]


def test_a_changed_byte_is_found(board, tmp_path):
    data = random.Random(1).randbytes(20_000)
    (tmp_path / "data").write_bytes(data)
    board.flash.erase(0x20000, 5 * SECTOR)
    board.flash.program(0x20000, data)
    verify = ("--chip", "esp32", "verify-flash", "0x20000", tmp_path / "data")
    assert "digest matched" in board.run(*verify)
    at = 0x20000 + next(i for i in range(12345, len(data)) if data[i])
    board.flash.program(at, b"\x00")
    assert "digest mismatch" in board.run(*verify, expect=2)


def test_the_flash_is_read_back(board, tmp_path):
    data = bytes(range(256)) * 150 + b"\xff" * 3000 + b"end"
    board.flash.erase(0x30000, 11 * SECTOR)
    board.flash.program(0x30000, data)
    board.run("--chip", "esp32", "read-flash", "0x30000", len(data), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data


def test_a_stub_left_running_is_used_again_without_a_reset(board):
    """And the flash is recognised, then erased in part, then all."""
    board.flash.erase(0x40000, 3 * SECTOR)
    board.flash.program(0x40000, bytes(3 * SECTOR))
    said = board.run("--after", "no-reset-stub", "flash-id")
    assert "Stub flasher running" in said and "Detected flash size: 8MB" in said
    assert board.starts == ["download"]
    said = board.run("--before", "no-reset", "--after", "no-reset", "erase-region", hex(0x41000), SECTOR)
    assert "already running" in said and board.starts == []
    assert board.flash.read(0x40000, 3 * SECTOR) == bytes(SECTOR) + b"\xff" * SECTOR + bytes(SECTOR)
    board.run("--chip", "esp32", "erase-flash")
    assert board.starts == ["download", "run"]
    assert hashlib.md5(board.flash.read(0, SIZE)).digest() == hashlib.md5(b"\xff" * SIZE).digest()


def test_a_soft_reset_asks_for_the_application(board):
    board.run("--chip", "esp32", "--no-stub", "--after", "soft-reset", "read-mac")
    assert board.starts == ["download", "asked"]
