"""The node's outbox under CPython: its modules, a flash partition for it, and a model of what it promises."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

from cicada.tools.paths import FIRMWARE
from cicada.tools.twin.flash import SECTOR, NorFlash

_FOLDER = FIRMWARE / "app" / "node" / "outbox"
#: In the order in which they import each other.
FILES = ("layout", "waiting", "box")


def source(file: str) -> str:
    """Text of one of :data:`FILES`."""
    return (_FOLDER / f"{file}.py").read_text()


def load(changes: Sequence[tuple[str, str, str]] = ()) -> SimpleNamespace:
    """The modules by their names, with ``changes``: ``(file, old text, new text)``."""
    made = {name: ModuleType(name) for name in ("micropython", "node", "node.outbox")}
    made["micropython"].const = lambda value: value
    before = {name: sys.modules.get(name) for name in (*made, *(f"node.outbox.{file}" for file in FILES))}
    sys.modules.update(made)
    try:
        for file in FILES:
            text = source(file)
            for changed, old, new in changes:
                if changed == file:
                    assert text.count(old) == 1, old
                    text = text.replace(old, new)
            module = made[file] = sys.modules[f"node.outbox.{file}"] = ModuleType(f"node.outbox.{file}")
            exec(compile(text, f"{file}.py", "exec"), vars(module))
            setattr(made["node.outbox"], file, module)
        return SimpleNamespace(**{file: made[file] for file in FILES}, Outbox=made["box"].Outbox)
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class Device:
    """A partition of ``sectors`` at the beginning of a flash of its own, as ``esp32.Partition``.

    Attributes:
        flash: the chip.
        reads, bytes_read: how often and how much was read.
        broken: sectors that keep nothing that is written to them.
    """

    def __init__(self, sectors: int, content: bytes = b"") -> None:
        self._memory = bytearray(b"\xff") * (4 << 20)
        self._memory[: len(content)] = content
        self.flash = NorFlash(4 << 20, self._memory)
        self.sectors = sectors
        self.reads = self.bytes_read = 0
        self.broken: set[int] = set()

    @property
    def content(self) -> bytes:
        """All bytes; set it to go back."""
        return bytes(self._memory[: self.sectors * SECTOR])

    @content.setter
    def content(self, content: bytes) -> None:
        self._memory[: len(content)] = content

    def _at(self, block: int, offset: int, count: int) -> int:
        assert 0 <= block < self.sectors and 0 <= offset and offset + count <= SECTOR
        return block * SECTOR + offset

    def readblocks(self, block: int, buf: Any, offset: int = 0) -> None:
        self.reads += 1
        self.bytes_read += len(buf)
        buf[:] = self.flash.read(self._at(block, offset, len(buf)), len(buf))

    def writeblocks(self, block: int, buf: Any, offset: int) -> None:
        at = self._at(block, offset, len(buf))
        if block not in self.broken:
            self.flash.program(at, bytes(buf))

    def ioctl(self, operation: int, argument: int) -> int:
        if operation == 4:
            return self.sectors
        assert operation == 6
        self.flash.erase(self._at(argument, 0, SECTOR))
        return 0


def clone(thing: Any) -> Any:
    """The same outbox once more, on the same device: what one does the other does not know of."""
    other = object.__new__(type(thing))
    for name, value in vars(thing).items():
        if isinstance(value, memoryview):
            value = memoryview(
                array(value.format, value.tobytes()) if value.format != "B" else bytearray(value)
            )
        elif isinstance(value, (list, bytearray)):
            value = value[:]
        elif type(value).__name__ == "Waiting":
            value = clone(value)
        setattr(other, name, value)
    return other


class Model:
    """What an outbox has to hold, by its rules.

    Attributes:
        waiting: ``{number: (kind, priority, data)}``.
        dropped: counts by priority.
        last: the highest number so far.
    """

    def __init__(self, capacity: int, most: int) -> None:
        self.capacity, self.most = capacity, most
        self.waiting: dict[int, tuple[int, int, bytes]] = {}
        self.dropped = [0, 0, 0]
        self.last = 0

    def copy(self) -> Model:
        """The same once more."""
        other = Model(self.capacity, self.most)
        other.waiting, other.dropped, other.last = dict(self.waiting), self.dropped[:], self.last
        return other

    @staticmethod
    def size(data: bytes) -> int:
        """Flash that a record takes."""
        return 16 + (len(data) + 15) // 16 * 16

    def _fits(self, lowest: int, size: int) -> bool:
        kept = [data for _, priority, data in self.waiting.values() if priority >= lowest]
        return sum(map(self.size, kept)) + size <= self.capacity and len(kept) < self.most

    def drop(self, number: int) -> None:
        """A record goes for want of room."""
        self.dropped[self.waiting.pop(number)[1]] += 1

    def steps(self, kind: int, priority: int, data: bytes) -> list[Model]:
        """What there is after each step of a ``put`` but the last one, the first being as before."""
        found = [self.copy()]
        size = self.size(data)
        if self._fits(priority + 1, size):
            while not found[-1]._fits(0, size):
                found.append(found[-1].copy())
                waiting = found[-1].waiting
                lowest = min(record[1] for record in waiting.values())
                found[-1].drop(next(n for n, record in waiting.items() if record[1] == lowest))
        return found

    def put(self, number: int, kind: int, priority: int, data: bytes) -> None:
        """A record was put."""
        assert number > self.last
        fits = self._fits(priority + 1, self.size(data))
        now = self.steps(kind, priority, data)[-1]
        self.waiting, self.dropped, self.last = now.waiting, now.dropped, number
        if fits:
            self.waiting[number] = (kind, priority, data)
        else:
            self.dropped[priority] += 1

    def seen(self) -> tuple:
        """What :func:`seen` has to say of the outbox."""
        return [(n, *record) for n, record in self.waiting.items()], self.dropped


def seen(outbox: Any) -> tuple:
    """Everything an outbox says: its records in order and what it dropped.

    Raises:
        AssertionError: if it contradicts itself.
    """
    records = outbox.oldest(9999)
    assert outbox.pending() == len(records)
    assert outbox.highest() == max((r[2] for r in records), default=None)
    return records, outbox.dropped
