"""The twin's serial port: a pty behind a symbolic link, as an adapter would appear in /dev."""

from __future__ import annotations

import os
import termios
import tty
from pathlib import Path

from cicada.tools.errors import UserError, from_os_error


class Console:
    """Serial port for other programs.

    Like a real UART it never waits: bytes nobody reads are lost once the buffer is full.

    Args:
        link: path of the symbolic link; replaced if the twin that made it is gone.
    """

    def __init__(self, link: Path) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        mode = termios.tcgetattr(self._slave)
        mode[1] &= ~termios.OPOST  # or \r\n would come out as \r\r\n
        termios.tcsetattr(self._slave, termios.TCSANOW, mode)
        os.set_blocking(self._master, False)
        self.link = link
        self._target = os.ttyname(self._slave)
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            if link.exists() and not link.is_symlink():
                raise UserError(f"{link} is in the way of the twin's port: move it")
            link.unlink(missing_ok=True)
            link.symlink_to(self._target)
        except OSError as error:
            raise from_os_error(error, f"making the twin's port {link}") from error

    def fileno(self) -> int:
        """For ``selectors``: readable when somebody typed."""
        return self._master

    def write(self, data: bytes) -> None:
        """Send to whoever listens."""
        try:
            os.write(self._master, data)
        except BlockingIOError:
            pass

    def read(self) -> bytes:
        """What was typed, without waiting."""
        try:
            return os.read(self._master, 4096)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Remove the link (if it is still this twin's) and close the port."""
        if self.link.is_symlink() and os.readlink(self.link) == self._target:
            self.link.unlink()
        os.close(self._master)
        os.close(self._slave)
