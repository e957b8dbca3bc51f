"""The node's secrets and its factory reset under CPython, over the twin's flash and the twin's NVS.

::

    chip = Chip()
    with chip.boot() as node:
        node.secrets.Secrets().set("wifi", {"ssid": "barn"})
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

from cicada.tools.paths import FIRMWARE
from cicada.tools.twin.flash import Cut, NorFlash, PowerCut
from cicada.tools.twin.nvs import Nvs, NvsError
from support.slots import SLOTS


class Reset(BaseException):
    """``machine.reset()``."""


class Chip:
    """A chip with a flash and RTC memory. After a power cut nothing reaches the flash until the next boot.

    Attributes:
        flash: the flash.
        rtc: what RTC memory holds.
    """

    def __init__(self, image: bytes | None = None) -> None:
        self.flash = NorFlash(4 << 20, None if image is None else bytearray(image))
        self.rtc = b""
        self._dead = False
        self._nvs: Nvs | None = None

    def image(self) -> bytes:
        """The flash as it is."""
        return bytes(self.flash.read(0, self.flash.size))

    def part(self, label: str) -> bytes:
        """A partition as it is."""
        slot = SLOTS[label]
        return bytes(self.flash.read(slot.offset, slot.size))

    def cut(self, cut: Cut) -> None:
        """Let the power go at one operation from now on."""
        self.flash.cut = Cut(self.flash.operations + cut.operation, cut.when, cut.shape, cut.seed)

    def use(self, action: Any, *arguments: Any) -> Any:
        """Do something that reaches the flash; nothing does once the power is gone."""
        if self._dead:
            raise PowerCut(None)
        try:
            return action(*arguments)
        except PowerCut:
            self._dead = True
            self.rtc = b""
            raise

    def nvs(self) -> Nvs:
        """NVS, mounted once a boot."""
        if self._nvs is None:
            slot = SLOTS["nvs"]
            try:
                self._nvs = Nvs(self.flash, slot.offset, slot.size)
            except NvsError:  # as MicroPython's ports/esp32/main.c does
                self.flash.erase(slot.offset, slot.size)
                self._nvs = Nvs(self.flash, slot.offset, slot.size)
        return self._nvs

    @contextmanager
    def boot(self, *names: str) -> Iterator[SimpleNamespace]:
        """Modules of the node, imported anew: ``secrets`` and ``names``, such as ``provision.apply``."""
        self._dead, self._nvs, self.flash.cut = False, None, None
        made = self._modules()
        before = {n: m for n, m in sys.modules.items() if n in made or n.partition(".")[0] == "node"}
        for name in before:
            del sys.modules[name]
        sys.modules.update(made)
        sys.path.insert(0, str(FIRMWARE / "app"))
        try:
            found = {n.rpartition(".")[2]: importlib.import_module(f"node.{n}") for n in ("secrets", *names)}
            yield SimpleNamespace(**found)
        finally:
            sys.path.remove(str(FIRMWARE / "app"))
            for name in [n for n in sys.modules if n in made or n.partition(".")[0] == "node"]:
                del sys.modules[name]
            sys.modules.update(before)

    def _modules(self) -> dict[str, ModuleType]:
        def module(name: str, **content: Any) -> ModuleType:
            made = ModuleType(name)
            vars(made).update(content)
            return made

        def reset() -> None:
            raise Reset

        chip = self

        class RTC:
            def memory(self, data: bytes) -> None:
                chip.rtc = data

        quiet = {name: lambda text: None for name in ("info", "warn", "error")}
        machine = module(
            "machine", reset=reset, RTC=RTC, PWRON_RESET=1, unique_id=lambda: b"\x24\x0a\xc4\xc1\xca\xda"
        )
        return {
            "machine": machine,
            "micropython": module("micropython", const=lambda value: value),
            "esp32": module("esp32", NVS=_nvs(self), Partition=_partition(self)),
            "vfs": module("vfs", umount=lambda where: None),
            "node.log": module("node.log", **quiet),
        }


def _nvs(chip: Chip) -> type:
    def ask(action: str, *arguments: Any) -> Any:
        return chip.use(lambda: getattr(chip.nvs(), action)(*arguments))

    class NVS:
        """As in MicroPython's ESP32 port."""

        def __init__(self, space: str) -> None:
            self._space = space
            ask("open", space)

        def get_i32(self, key: str) -> int:
            return ask("get_i32", self._space, key)

        def set_i32(self, key: str, value: int) -> None:
            ask("set_i32", self._space, key, value)

        def get_blob(self, key: str, buffer: bytearray) -> int:
            data = ask("get_blob", self._space, key)
            buffer[: len(data)] = data
            return len(data)

        def set_blob(self, key: str, value: bytes) -> None:
            ask("set_blob", self._space, key, value)

        def erase_key(self, key: str) -> None:
            ask("erase_key", self._space, key)

        def commit(self) -> None:
            pass

    return NVS


def _partition(chip: Chip) -> type:
    class Partition:
        """As in MicroPython's ESP32 port, block size 4096."""

        TYPE_DATA = 1

        def __init__(self, label: str) -> None:
            self._slot = SLOTS[label]

        @classmethod
        def find(cls, kind: int, label: str) -> list[Partition]:
            return [cls(label)] if label in SLOTS else []

        def readblocks(self, block: int, buf: bytearray, offset: int = 0) -> None:
            at = self._slot.offset + block * 4096 + offset
            buf[:] = chip.flash.read(at, len(buf))

        def writeblocks(self, block: int, buf: bytes, offset: int) -> None:
            chip.use(chip.flash.program, self._slot.offset + block * 4096 + offset, buf)

        def ioctl(self, operation: int, argument: int) -> int:
            if operation == 4:
                return self._slot.size // 4096
            chip.use(chip.flash.erase, self._slot.offset + argument * 4096, 4096)
            return 0

    return Partition
