"""The node's updates under CPython: MicroPython's modules as stand-ins over the twin's flash and otadata.

::

    with pretend() as node:
        node.esp32.flash = NorFlash(4 << 20)
        journal = node.journal.Journal(node.esp32.Partition("updates"))
"""

from __future__ import annotations

import importlib
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

from cicada.tools.firmware.tables import check_partitions
from cicada.tools.paths import FIRMWARE
from cicada.tools.release import keys
from cicada.tools.twin import ota
from cicada.tools.twin.flash import NorFlash, PowerCut
from support.slots import SLOTS

_TABLE = check_partitions("twin")


class Reset(BaseException):
    """``machine.reset()``."""


class Esp32(ModuleType):
    """``esp32`` with partitions on :attr:`flash`; ``running`` is the label of the slot that runs."""

    def __init__(self) -> None:
        super().__init__("esp32")
        chip = self
        self.flash = NorFlash(4 << 20)
        self.running = "ota_0"

        class Partition:
            """As in MicroPython's ESP32 port, block size 4096."""

            BOOT, RUNNING, TYPE_APP, TYPE_DATA = 0, 1, 0, 1

            def __init__(self, which: Any) -> None:
                if which == self.RUNNING:
                    which = chip.running
                elif which == self.BOOT:
                    which = ota.boot_partition(chip.flash, _TABLE).label
                self.slot = SLOTS[which]

            @classmethod
            def find(cls, type: int = 0, subtype: int = 255, label: str | None = None) -> list[Partition]:
                return [
                    cls(s.label)
                    for s in _TABLE
                    if s.type == type and subtype in (255, s.subtype) and label in (None, s.label)
                ]

            def info(self) -> tuple:
                s = self.slot
                return s.type, s.subtype, s.offset, s.size, s.label, s.encrypted

            def _at(self, at: int, count: int) -> int:
                if at < 0 or at + count > self.slot.size:
                    raise OSError(-0x104, "ESP_ERR_INVALID_SIZE")
                return self.slot.offset + at

            def readblocks(self, block: int, buf: Any, offset: int = 0) -> None:
                buf[:] = chip.flash.read(self._at(block * 4096 + offset, len(buf)), len(buf))

            def writeblocks(self, block: int, buf: Any, offset: int | None = None) -> None:
                at = self._at(block * 4096 + (offset or 0), len(buf))
                if offset is None:
                    chip.flash.erase(at, len(buf))
                chip.flash.program(at, bytes(buf))

            def ioctl(self, operation: int, argument: int) -> int:
                if operation == 4:
                    return self.slot.size // 4096
                assert operation == 6
                chip.flash.erase(self._at(argument * 4096, 4096))
                return 0

            def set_boot(self) -> None:
                try:
                    ota.set_boot(chip.flash, _TABLE, "esp32", self.slot)
                except ota.EspError as error:
                    raise OSError(-error.number, error.name) from None

            def get_next_update(self) -> Partition:
                return Partition(ota.next_update(_TABLE, self.slot).label)

            @staticmethod
            def mark_app_valid_cancel_rollback() -> None:
                ota.mark_valid(chip.flash, _TABLE)

        self.Partition = Partition


class Machine(ModuleType):
    """``machine``: what reset it is ``cause``; ``dogs`` are the watchdog's timeouts so far."""

    PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5

    def __init__(self) -> None:
        super().__init__("machine")
        self.cause = self.PWRON_RESET
        self.dogs: list[int] = []

    def reset_cause(self) -> int:
        return self.cause

    def reset(self) -> None:
        raise Reset

    def WDT(self, timeout: int) -> SimpleNamespace:
        self.dogs.append(timeout)
        return SimpleNamespace(feed=lambda: None)


class Model:
    """``nn.Model`` of a test: whatever the fake engine says of the bytes."""

    def __init__(self, data: Any) -> None:
        self.data = bytes(data)
        self.closed = False

    def deinit(self) -> None:
        self.closed = True


class DeflateIO:
    """``deflate.DeflateIO`` reading raw deflate."""

    def __init__(self, stream: io.BytesIO, form: int, bits: int) -> None:
        unpacker = zlib.decompressobj(-bits)
        try:
            self._rest = io.BytesIO(unpacker.decompress(stream.read(), 1 << 16))
        except zlib.error as error:
            raise OSError(22) from error
        if not unpacker.eof and len(self._rest.getvalue()) < 1 << 16:
            raise EOFError
        self.readinto, self.read = self._rest.readinto, self._rest.read


def _stand_ins() -> dict[str, ModuleType]:
    def module(name: str, **content: Any) -> ModuleType:
        made = ModuleType(name)
        vars(made).update(content)
        return made

    def add(target: Any, difference: Any) -> None:
        target[:] = bytes((a + b) & 255 for a, b in zip(target, difference, strict=True))

    esp32, said = Esp32(), []
    log = module(
        "node.log",
        said=said,
        info=lambda text: said.append("I " + text),
        warn=lambda text: said.append("W " + text),
        error=lambda text: said.append("E " + text),
        event=lambda kind, number, about: said.append((kind, number, about)),
    )

    def map_partition(label: str) -> memoryview:
        return memoryview(esp32.flash.read(SLOTS[label].offset, SLOTS[label].size))

    return {
        "micropython": module("micropython", const=lambda value: value),
        "machine": Machine(),
        "esp32": esp32,
        "trust": module("trust", verify=lambda k, s, d: keys.verify(bytes(k), bytes(s), bytes(d))),
        "deflate": module("deflate", DeflateIO=DeflateIO, RAW=3),
        "delta": module("delta", add=add),
        "nn": module("nn", map_partition=map_partition, builtin=lambda name: b"built in", Model=Model),
        "node.log": log,
    }


@contextmanager
def pretend() -> Iterator[SimpleNamespace]:
    """Modules of ``node.updates`` and the stand-ins by their last names; imported anew each time."""
    made = _stand_ins()
    before = {n: m for n, m in sys.modules.items() if n in made or n.partition(".")[0] == "node"}
    for name in before:
        del sys.modules[name]
    sys.modules.update(made)
    sys.path.insert(0, str(FIRMWARE / "app"))
    try:
        names = ("journal", "release", "image", "payload", "firmware", "models", "updater")
        found = {name: importlib.import_module(f"node.updates.{name}") for name in names}
        found["net"] = importlib.import_module("node.net")
        yield SimpleNamespace(**found, **{name.rpartition(".")[2]: m for name, m in made.items()})
    finally:
        sys.path.remove(str(FIRMWARE / "app"))
        for name in [n for n in sys.modules if n in made or n.partition(".")[0] == "node"]:
            del sys.modules[name]
        sys.modules.update(before)


def survives(action: Any) -> bool:
    """Whether ``action()`` came to its end before the power went."""
    try:
        action()
    except PowerCut:
        return False
    return True
