"""A twin whose updates are measured: a factory-fresh board, a release server that counts, a clock."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.release.files import FileHandler
from cicada.tools.release.serve import ReleaseServer
from cicada.tools.twin import factory
from cicada.tools.twin.chip import ops
from cicada.tools.twin.flash import SECTOR, Cut, Operation
from cicada.tools.twin.sound import Sound
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import Network, World

BOARD = "twin"
_HOST = "updates.example"
_HEAP_PROGRAM = Path(__file__).with_name("boot.py")
_PATIENCE_S = 120.0  # of virtual time, for anything


class CountingServer(ReleaseServer):
    """A release server that counts bytes.

    Attributes:
        counts: bytes of ``payload`` and ``release`` files, and ``all`` bytes both ways.
    """

    def __init__(self, root: Path) -> None:
        self.counts: Counter[str] = Counter()
        self.handler = type("_Handler", (_CountingHandler,), {"counts": self.counts})
        super().__init__(root)


class _CountingHandler(FileHandler):
    counts: Counter[str]

    def setup(self) -> None:
        super().setup()
        self.rfile, self.wfile = _Counted(self.rfile, self.counts), _Counted(self.wfile, self.counts)

    def _send(self, file: io.BufferedIOBase, first: int, count: int) -> None:
        self.counts[self.path.rpartition(".")[2]] += count
        super()._send(file, first, count)


class _Counted:
    """One direction of a connection."""

    def __init__(self, stream: io.BufferedIOBase, counts: Counter[str]) -> None:
        self._stream, self._counts = stream, counts

    def readline(self, limit: int = -1) -> bytes:
        line = self._stream.readline(limit)
        self._counts["all"] += len(line)
        return line

    def write(self, data: bytes) -> int:
        self._counts["all"] += len(data)
        return self._stream.write(data)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def file_system() -> bytes:
    """Partition vfs with the configuration and the program that measures."""
    network = Network()
    about = {
        "wifi": {"ssid": network.ssid, "key": network.key},
        "updates": {"transport": "http", "url": f"http://{_HOST}/", "every_s": 3600, "trial_s": 2},
    }
    return factory.file_system(
        {"cicada.json": json.dumps(about).encode(), "boot.py": _HEAP_PROGRAM.read_bytes()}
    )


def _run(twin: Twin, done: Callable[[], bool], what: str) -> None:
    """Run ``twin`` until something is done that must be done at last."""
    twin.power_on()
    if not twin.run_until(done, _PATIENCE_S):
        said = " / ".join(twin.text.strip().splitlines()[-3:])
        twin.power_off()
        raise UserError(f"the twin did not {what} within {_PATIENCE_S:.0f} s; its console ended: {said}")


class Board:
    """A twin from power-on.

    Args:
        flash: its flash.
        server: where it looks for updates; None for nowhere.

    Attributes:
        twin: the twin.
        journal: bytes and virtual us of each reading of the journal.
    """

    def __init__(self, flash: bytes, server: CountingServer | None) -> None:
        hosts: Mapping[str, tuple[str, int]] = {f"{_HOST}:80": server.address} if server else {}
        self.twin = Twin(flash, load_board(BOARD), World(Sound([], 60), hosts=dict(hosts)))
        self.journal: list[tuple[int, int]] = []
        self._answer, self.twin.chip.answer = self.twin.chip.answer, self._watched
        self._sector = factory.table()["updates"].offset // SECTOR

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *exception: object) -> None:
        self.twin.power_off()

    def until(self, done: Callable[[], bool], what: str) -> float:
        """Run until ``done()``; returns the virtual time, s.

        Raises:
            UserError: if it is not done within two minutes of virtual time.
        """
        _run(self.twin, done, what)
        return self.twin.now

    def until_asked(self) -> float:
        """Run until it begins to look for updates, which it does with its radio."""
        return self.until(lambda: self.twin.chip.meter.loads.get("wifi", 0) > 0, "look for updates")

    def until_runs(self, slot: str) -> float:
        """Run until the application has started from a firmware slot."""
        begun = len(self.twin.lines)

        def started() -> bool:
            booted = self.twin.booted
            there = booted is not None and booted.partition.label == slot
            return there and any("node: Cicada" in line for _, line in self.twin.lines[begun:])

        return self.until(started, f"start the firmware in {slot}")

    def heap(self) -> int:
        """What the program that measures printed: the heap that updating took, bytes."""
        found = re.findall(r"^HEAP (\d+)\r?$", self.twin.text, re.MULTILINE)
        if not found:
            raise UserError(f"the twin did not measure its heap; its console:\n{self.twin.text}")
        return int(found[-1])

    def left(self) -> bytes:
        """Its flash now, with an empty configuration: without one it would offer to be set up."""
        vfs = factory.table()["vfs"]
        data = bytearray(self.twin.flash.snapshot().data)
        files = factory.file_system({"cicada.json": b"{}"})
        data[vfs.offset : vfs.offset + len(files)] = files
        return bytes(data)

    @property
    def traffic(self) -> int:
        """Bytes that went through its radio both ways, name look-ups and TCP's handshakes included."""
        networks = self.twin.chip.parts["networks"]
        return networks.sent + networks.received

    def log_flash(self) -> list[Operation]:
        """From here on, the operations of its flash."""
        self.twin.flash.log = []
        return self.twin.flash.log

    def cut(self, operation: int) -> None:
        """Take its power away inside a flash operation, which is counted from now on."""
        self.twin.cut_later([Cut(self.twin.flash.operations + operation)])

    def _watched(self, op: int, argument: int, payload: bytes) -> bytes:
        before = self.twin.chip.meter.now
        reply = self._answer(op, argument, payload)
        if op == ops.PARTITION_READ and argument == self._sector:
            size = int.from_bytes(payload[4:8], "little")
            self.journal.append((size, self.twin.chip.meter.now - before))
        return reply
