"""The twin: boots a flash image and runs it under MicroPython until its time is over."""

from __future__ import annotations

import os
import selectors
import shutil
import socket
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from cicada.tools.errors import UserError
from cicada.tools.paths import BUILD
from cicada.tools.twin import romfs
from cicada.tools.twin.boot import boot
from cicada.tools.twin.child import Child
from cicada.tools.twin.chip import (
    DEEPSLEEP_RESET,
    HARD_RESET,
    PWRON_RESET,
    SOFT_RESET,
    TIMER_WAKE,
    WDT_RESET,
    Chip,
    Restart,
    ops,
)
from cicada.tools.twin.console import Console
from cicada.tools.twin.events import Events
from cicada.tools.twin.image import payload_of
from cicada.tools.twin.power import DEEP_SLEEP
from cicada.tools.twin.sound import Sound

#: How the ESP32's ROM names what reset it (``rom/rtc.h``).
_ROM_RESETS = {
    PWRON_RESET: (1, "POWERON_RESET"),
    HARD_RESET: (12, "SW_CPU_RESET"),
    SOFT_RESET: (12, "SW_CPU_RESET"),
    WDT_RESET: (7, "TG0WDT_SYS_RESET"),
    DEEPSLEEP_RESET: (5, "DEEPSLEEP_RESET"),
}
_HEADER = struct.calcsize(ops.REQUEST)
_LIMIT = 4 * 1024 * 1024  # no request is longer than the flash


class Twin:
    """A board made of software.

    Args:
        flash: the flash image.
        board: the board's description.
        sound: what its microphone hears.
        port: where its serial port appears; None for none.
        on_text: called with every piece of console text.
        speed: virtual seconds a second of wall time; None for as fast as it goes.

    Attributes:
        chip: the chip: clock, power meter, microphone, scores.
        text: everything its console said.
        events: ``(virtual seconds since power-on, event)`` of every ``EVENT`` line.
        wakes: boots after deep sleep.
    """

    def __init__(
        self,
        flash: bytes,
        board: ModuleType,
        sound: Sound,
        port: Path | None = None,
        on_text: Callable[[str], None] = lambda text: None,
        speed: float | None = None,
    ) -> None:
        if len(flash) != board.FLASH_SIZE:
            raise UserError(
                f"the flash image has {len(flash)} bytes, board '{board.NAME}' {board.FLASH_SIZE}: "
                "build it for this board"
            )
        self.flash = flash
        self.board = board
        self.chip = Chip(board, sound, self._pace)
        self.events: list[tuple[float, dict]] = []
        self.wakes = 0
        self._log = Events()
        self._on_text = on_text
        self._speed = speed
        self._port = port
        self._console: Console | None = None
        self._started = 0.0
        self._until_us: float = float("inf")

    @property
    def text(self) -> str:
        """Everything the console said so far."""
        return self._log.text

    def run(self, seconds: float = float("inf")) -> None:
        """Power on and run for ``seconds`` of virtual time; whatever happens, nothing is left behind."""
        folder = Path(tempfile.mkdtemp(prefix="cicada-twin-"))
        self._started = time.monotonic()
        self._until_us = seconds * 1e6
        try:
            self._console = Console(self._port) if self._port else None
            cause, wake = PWRON_RESET, 0
            while self.chip.meter.now < self._until_us:
                restart = self._one_boot(folder, cause, wake)
                if restart is None:
                    return
                cause, wake = restart.cause, 0
                if cause == DEEPSLEEP_RESET:
                    if not restart.sleep_us:  # nothing will wake it
                        restart.sleep_us = int(min(self._until_us, 2**62)) - self.chip.meter.now
                    self._sleep(restart.sleep_us)
                    wake = TIMER_WAKE
                    self.wakes += 1
        except _TimeOver:
            return
        finally:
            if self._console:
                self._console.close()
                self._console = None
            shutil.rmtree(folder, ignore_errors=True)

    def _one_boot(self, folder: Path, cause: int, wake: int) -> Restart | None:
        """From reset to the next reset; None when the program ended and its console closed."""
        chosen = boot(self.flash)
        files = folder / "rom"
        shutil.rmtree(files, ignore_errors=True)
        romfs.extract(payload_of(chosen.image), files)
        self.chip.blobs = {p.stem: p.read_bytes() for p in (files / "models").glob("*.cmod")}
        number, name = _ROM_RESETS.get(cause, (cause, "UNKNOWN"))
        self._say(f"rst:0x{number:x} ({name}),boot:0x13 (SPI_FAST_FLASH_BOOT)\n")
        self._say(
            f"I boot: partition {chosen.label} at 0x{chosen.offset:x}, version {chosen.version}, verified\n"
        )
        self.chip.power_on(cause, wake)
        address = folder / "chip"
        address.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(address))
            listener.listen(1)
            lib = Path(self.board.__file__).parent / "lib"
            child = Child(self.board.HEAP, [lib, files], listener, address)
        try:
            return self._serve(child)
        finally:
            self._say(child.output())
            child.kill()

    def _serve(self, child: Child) -> Restart | None:
        with selectors.DefaultSelector() as selector:
            selector.register(child.chip, selectors.EVENT_READ)
            selector.register(child.stdout, selectors.EVENT_READ)
            if self._console:
                selector.register(self._console, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                self._say(child.output())
                if self._console in ready:
                    child.type(self._console.read())
                if child.chip in ready:
                    request = _receive(child.chip)
                    if request is None:
                        return self._ended(child)
                    self._say(child.output())
                    try:
                        child.chip.sendall(self.chip.answer(*request))
                    except Restart as restart:
                        return restart
                    except (BrokenPipeError, ConnectionResetError):
                        return self._ended(child)
                elif child.stdout in ready and not child.alive():
                    return self._ended(child)

    def _ended(self, child: Child) -> Restart | None:
        """The interpreter is gone: a soft reset if it left by itself (Ctrl-D), an error otherwise."""
        how = child.died()
        self._say(child.output())
        if how == "exit code 0":
            self._say("MPY: soft reboot\n")
            return Restart(SOFT_RESET)
        raise UserError(f"MicroPython on the twin died ({how}); the console above says how far it got")

    def _sleep(self, us: int) -> None:
        self.chip.meter.microphone = False
        end = min(self.chip.meter.now + us, self._until_us)
        while self.chip.meter.now < end:
            # In pieces, so that a paced sleep can be interrupted.
            self.chip.meter.spend(min(1_000_000, int(end) - self.chip.meter.now), DEEP_SLEEP)
            self._pace(self.chip.meter.now)

    def _pace(self, now_us: int) -> None:
        if now_us >= self._until_us:
            raise _TimeOver
        if self._speed:
            ahead = now_us / 1e6 / self._speed - (time.monotonic() - self._started)
            if ahead > 0.002:
                time.sleep(ahead)

    def _say(self, text: str | bytes) -> None:
        if not text:
            return
        data = text.encode() if isinstance(text, str) else text
        data = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        if self._console:
            self._console.write(data)
        plain = data.decode("utf-8", "replace").replace("\r\n", "\n")
        self.events += [(self.chip.meter.now / 1e6, event) for event in self._log.feed(plain)]
        self._on_text(plain)


class _TimeOver(Exception):
    """The virtual time asked for has passed."""


def _receive(chip: socket.socket) -> tuple[int, int, bytes] | None:
    """One request, or None when the interpreter closed its end."""
    header = _exactly(chip, _HEADER)
    if header is None:
        return None
    op, argument, length = struct.unpack(ops.REQUEST, header)
    if length > _LIMIT:
        raise UserError(f"MicroPython on the twin sent a request of {length} bytes: its shim is broken")
    payload = _exactly(chip, length)
    return None if payload is None else (op, argument, payload)


def _exactly(chip: socket.socket, count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        try:
            chunk = chip.recv(count - len(data))
        except ConnectionResetError:
            return None
        if not chunk:
            return None
        data += chunk
    return bytes(data)


def default_port() -> Path:
    """Where the twin's port appears unless told otherwise."""
    return Path(os.environ.get("CICADA_TWIN_PORT", BUILD / "twin" / "tty"))
