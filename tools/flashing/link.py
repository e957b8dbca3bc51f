"""A chip in download mode, by esptool 5's Python functions (``esptool/cmds.py``, ``esptool/loader.py``)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from cicada.tools.errors import UserError
from cicada.tools.flashing.quiet import quiet
from cicada.tools.ports import explained

_ROM_BAUD = 115200  # at which every ROM listens


class LinkError(UserError):
    """The chip, or the port to it, does not answer any more."""


class Link:
    """A connection, made by :func:`connect`.

    Attributes:
        port: name of the port.
        chip: in ESP-IDF's spelling, e.g. ``esp32s3``.
        title: what esptool calls it, revision included.
        revision: major times 100 plus minor.
        flash_size: bytes; None before :meth:`prepare`.
        restarted: whether the chip was sent back to its application.
    """

    def __init__(self, port: str, loader: Any) -> None:
        self.port, self._esp = port, loader
        self.chip = spelled(loader.CHIP_NAME)
        self.title = loader.get_chip_description()
        self.revision = loader.get_chip_revision()
        self.flash_size: int | None = None
        self.restarted = False

    def prepare(self, baud: int) -> None:
        """Start esptool's own loader on the chip, speak faster, find the flash.

        Raises:
            UserError: if the chip is locked (a plain image would leave it dead) or its flash does not answer.
            LinkError: if the chip does not answer.
        """
        from esptool import cmds

        with self._told("starting esptool's loader"):
            locked = (
                self._esp.secure_download_mode
                or self._esp.get_flash_encryption_enabled()
                or self._esp.get_secure_boot_enabled()
            )
            if locked:
                raise UserError(
                    f"the chip at {self.port} has secure boot or flash encryption switched on: "
                    "plain images would not boot on it, use ESP-IDF's own tools"
                )
            self._esp = cmds.run_stub(self._esp)
            # The whole run is repeated after a fault, and then goes on where it was; that is said at once.
            self._esp.WRITE_FLASH_ATTEMPTS = 1
            if baud != _ROM_BAUD:
                self._esp.change_baud(baud)
            cmds.attach_flash(self._esp)
            size = cmds.detect_flash_size(self._esp)
            if size is None:
                raise UserError(
                    f"the flash of the chip at {self.port} does not answer: check the board's power"
                )
            self.flash_size = cmds.flash_size_bytes(size)
            self._esp.flash_set_parameters(self.flash_size)

    def read(self, at: int, size: int) -> bytes:
        """Flash contents."""
        with self._told("reading"):
            return self._esp.read_flash(at, size)

    def md5(self, at: int, size: int) -> str:
        """MD5 of flash contents, reckoned by the chip; hexadecimal."""
        with self._told("comparing"):
            return self._esp.flash_md5sum(at, size)

    def write(self, at: int, data: bytes, progress: Callable[[float], None]) -> None:
        """Write, and compare MD5s afterwards.

        Args:
            at: address of a sector.
            data: what to write; the rest of the last sector becomes 0xFF.
            progress: called with the share that is written, 0 to 1.
        """
        from esptool import cmds

        with self._told("writing"), quiet(progress):
            # "force" skips checks of images, which were done on the host, and of locks, done in prepare():
            # bytes from the middle of an image may look like the start of another.
            cmds.write_flash(self._esp, [(at, data)], force=True)

    def erase(self, at: int, size: int) -> None:
        """Erase whole sectors."""
        with self._told("erasing"):
            self._esp.erase_region(at, size)

    def erase_all(self) -> None:
        """Erase the whole flash, which takes up to a minute."""
        with self._told("erasing"):
            self._esp.erase_flash()

    def restart(self) -> None:
        """Reset the chip into its application."""
        from esptool import cmds

        with self._told("resetting"):
            cmds.reset_chip(self._esp, "hard-reset")
        self.restarted = True

    @contextlib.contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        with _faults(self.port, doing):
            yield


@contextlib.contextmanager
def connect(port: str, chip: str, board: str, line: Any = None) -> Iterator[Link]:
    """Reset the chip behind ``port`` into its loader and compare it with what it should be.

    At the end, whatever happened, the chip is reset into its application.

    Args:
        port: name or URL.
        chip: expected, in ESP-IDF's spelling.
        board: its name, for messages.
        line: an open pyserial port to use instead of opening ``port``.

    Raises:
        UserError: if the port cannot be opened, nothing answers, or the chip is another one.
    """
    from esptool import cmds

    line = line or _open(port)
    with quiet():
        try:
            try:
                with _faults(port, "connecting"):
                    link = Link(port, cmds.detect_chip(line, _ROM_BAUD))
            except LinkError as error:
                raise UserError(
                    f"{error}: check the cable, or hold the board's BOOT button, press EN, let go, "
                    "and try again"
                ) from error
            try:
                if link.chip != chip:
                    raise UserError(
                        f"the chip at {port} is {link.title}, board '{board}' has {chip}: "
                        "nothing was written; choose another BOARD or PORT"
                    )
                yield link
            finally:
                with contextlib.suppress(LinkError):
                    if not link.restarted:
                        link.restart()
        finally:
            with contextlib.suppress(Exception):
                line.close()


def spelled(name: str) -> str:
    """ESP-IDF's spelling of what esptool calls a chip: ``ESP32-S3`` is ``esp32s3``."""
    return name.lower().replace("-", "")


def _open(port: str) -> Any:
    import serial

    try:
        if port.startswith("rfc2217:"):
            from cicada.tools.flashing.network import NetworkLine

            return NetworkLine(port, _ROM_BAUD)
        line = serial.serial_for_url(port, _ROM_BAUD, exclusive=True, do_not_open=True)
        # Or opening the port would press EN of a board with the auto-reset circuit.
        line.dtr = line.rts = False
        line.open()
        return line
    except (serial.SerialException, OSError) as error:
        raise explained(port, error) from error
    except ValueError as error:
        raise UserError(f"{port} is no port that can be opened: {error}") from error


@contextlib.contextmanager
def _faults(port: str, doing: str) -> Iterator[None]:
    """Turn what esptool and pyserial raise into :class:`LinkError`."""
    import termios

    from esptool.util import FatalError
    from serial import SerialException

    try:
        yield
    except FatalError as error:
        reason = str(error).split("\n")[0].strip(" .!")
        raise LinkError(f"{doing} at {port}: {reason}") from error
    except (SerialException, OSError, termios.error) as error:
        raise LinkError(f"{port} went away while {doing}") from error
