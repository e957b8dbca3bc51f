"""A board for the flasher: the twin's ROM loader at a serial port that has no time and no wire."""

from __future__ import annotations

import json
import random
from functools import lru_cache
from pathlib import Path

from serial import SerialException

from cicada.tools.board import load_board
from cicada.tools.twin import appimage
from cicada.tools.twin.flash import NorFlash, PowerCut
from cicada.tools.twin.image import partition_table
from cicada.tools.twin.netport import ResetLines
from cicada.tools.twin.romloader import RomLoader
from support.slots import SLOTS

MAC = bytes.fromhex("240ac4c1cada")
SIZE = 4 << 20


class Board:
    """Loader, flash and reset lines behind what esptool takes for an open pyserial port.

    Args:
        flash: its flash, which outlives the port.

    Attributes:
        starts: how the chip came out of reset each time, ``run`` or ``download``.
        leaves: flash operations after which the port goes away; None for never.
    """

    port = name = "rfc2217://memory"  # by this esptool chooses the reset sequence without ioctl

    def __init__(self, flash: NorFlash) -> None:
        self.flash, self.starts = flash, []
        self.leaves: int | None = None
        self.baudrate, self.timeout, self.write_timeout, self.is_open = 115200, 3, None, True
        self._loader, self._reset = RomLoader(flash, MAC), ResetLines()
        self._dtr = self._rts = self._downloading = self._gone = False
        self._out = bytearray()

    # What pyserial offers and esptool uses

    @property
    def dtr(self) -> bool:
        return self._dtr

    def setDTR(self, state: bool) -> None:
        self._lines(state, self._rts)

    def setRTS(self, state: bool) -> None:
        self._lines(self._dtr, state)

    def inWaiting(self) -> int:
        self._there()
        return len(self._out)

    def read(self, size: int = 1) -> bytes:
        self._there()
        data = bytes(self._out[:size])
        del self._out[:size]
        return data

    def write(self, data: bytes) -> None:
        self._there()
        if self.leaves is not None and self.flash.operations >= self.leaves:
            self.unplug()
        if not self._downloading:
            return
        try:
            self._out += self._loader.feed(bytes(data))
        except PowerCut:
            self.unplug()  # the bridge has the same supply

    def flushInput(self) -> None:
        self._there()
        self._out.clear()

    reset_input_buffer = flushInput

    def flushOutput(self) -> None:
        self._there()

    def isOpen(self) -> bool:
        return self.is_open

    def open(self) -> None:
        self._there()

    def close(self) -> None:
        self.is_open = False

    # What happens to it

    def unplug(self) -> None:
        """The port goes away, for good."""
        self._gone = True
        self._there()

    def _there(self) -> None:
        if self._gone:
            raise SerialException("device reports readiness to read but returned no data")

    def _lines(self, dtr: bool, rts: bool) -> None:
        self._there()
        self._dtr, self._rts = dtr, rts
        start = self._reset.feed(dtr, rts)
        if start:
            self.starts.append(start)
            self._downloading = start == "download"
            self._out[:] = self._loader.greeting() if self._downloading else b"I boot: hello\r\n"


@lru_cache
def app(version: str, size: int, seed: int = 0, tail: int = 32) -> bytes:
    """An image for the twin's chip: ``size`` bytes of noise, the last ``tail`` of them by ``seed``."""
    noise = random.Random(0).randbytes(size - tail) + random.Random(f"{seed}").randbytes(tail)
    return appimage.build(noise, version, load_board("twin"))


def loader(seed: int = 0) -> bytes:
    """Something that the chip's ROM would take for a boot loader."""
    return app("", 9000, seed)


def build(
    folder: Path,
    image: bytes,
    boot: bytes | None = None,
    table: bytes | None = None,
    **changes: object,
) -> Path:
    """A build in ESP-IDF's shape; ``changes`` replace entries of ``flasher_args.json``."""
    table = partition_table("twin") if table is None else table
    parts = {
        "bootloader": (0x1000, "bootloader/bootloader.bin", boot if boot is not None else loader()),
        "partition-table": (0x8000, "partition_table/partition-table.bin", table),
        "otadata": (SLOTS["otadata"].offset, "ota_data_initial.bin", b"\xff" * 0x2000),
        "app": (SLOTS["ota_0"].offset, "cicada.bin", image),
    }
    about: dict = {
        "write_flash_args": ["--flash_mode", "dio", "--flash_size", "4MB", "--flash_freq", "40m"],
        "flash_settings": {"flash_mode": "dio", "flash_size": "4MB", "flash_freq": "40m"},
        "flash_files": {hex(at): name for at, name, _ in parts.values()},
        "extra_esptool_args": {
            "after": "hard_reset",
            "before": "default_reset",
            "stub": True,
            "chip": "esp32",
        },
    }
    for key, (at, name, data) in parts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        about[key] = {"offset": hex(at), "file": name, "encrypted": "false"}
    (folder / "flasher_args.json").write_text(json.dumps(about | changes))
    return folder
