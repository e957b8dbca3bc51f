"""The line to a board: opened without disturbing it, watched in the background, opened again."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time

import serial

from cicada.tools.errors import UserError
from cicada.tools.ports import explained

_READ_S = 0.1  # the longest a read waits, and so the time that closing takes
_WRITE_S = 1.0
# How long EN is held low. esptool's HardReset takes 0.1 s, and 0.2 s for the USB port within the chip
# (``esptool/reset.py``).
_RESET_S = 0.2
_NO_LINES = (errno.ENOTTY, errno.EINVAL)  # what setting DTR or RTS of a pty says


class Gone(Exception):
    """The port is no longer there."""


class Link:
    """An open serial port. What arrives can be read from the file :meth:`fileno`; its end is the port's end.

    Opening raises DTR and RTS (Linux does, whatever a program wants), which alone changes nothing at a board
    with the auto-reset circuit. They are let go one after the other, RTS first: RTS alone would press EN.

    Args:
        port: its name, or a URL that pyserial knows, such as ``rfc2217://host:4000``.
        baud: bits per second.

    Raises:
        UserError: if the port is missing, forbidden or in use, or there is no such baud rate.
    """

    def __init__(self, port: str, baud: int) -> None:
        try:
            self._line = serial.serial_for_url(port, baud, timeout=_READ_S, exclusive=True, do_not_open=True)
            if "://" not in port:  # pyserial has no such limit on the network
                self._line.write_timeout = _WRITE_S
            self._line.dtr = self._line.rts = True
            self._line.open()
        except (serial.SerialException, OSError) as error:
            raise explained(port, error) from error
        except (ValueError, OverflowError) as error:
            raise UserError(f"{port} cannot be opened at {baud} baud: {error}") from error
        try:
            self._line.rts = False
            self._line.dtr = False
        except (serial.SerialException, OSError) as error:
            if error.errno not in _NO_LINES:
                self._line.close()
                raise explained(port, error) from error
        self._reader, self._writer = os.pipe()
        self._closing = False
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """For ``selectors``: readable when something arrived, or when the port is gone."""
        return self._reader

    def read(self) -> bytes:
        """What arrived, at least a byte.

        Raises:
            Gone: if the port is.
        """
        data = os.read(self._reader, 65536)
        if not data:
            raise Gone
        return data

    def write(self, data: bytes) -> bool:
        """Send; False if the board does not take it.

        Raises:
            Gone: if the port is.
        """
        try:
            self._line.write(data)
        except serial.SerialTimeoutException:
            return False
        except (serial.SerialException, OSError) as error:
            raise Gone from error
        return True

    def reset(self) -> bool:
        """Press the board's reset button by RTS; False if the port has no such line.

        Raises:
            Gone: if the port is.
        """
        try:
            self._line.dtr = False
            self._line.rts = True
            time.sleep(_RESET_S)
            self._line.rts = False
        except (serial.SerialException, OSError) as error:
            if error.errno in _NO_LINES:
                return False
            raise Gone from error
        return True

    def close(self) -> None:
        """Let the port go."""
        self._closing = True
        os.close(self._reader)  # which also ends a write into a full pipe
        self._thread.join()
        with contextlib.suppress(serial.SerialException, OSError):
            self._line.close()

    def _pump(self) -> None:
        """Copy what arrives into the pipe, until the port is gone or closed.

        pyserial has nothing to ``select`` on for ports on the network, hence the thread.
        """
        try:
            while not self._closing:
                data = self._line.read(self._line.in_waiting or 1)
                while data and not self._closing:
                    data = data[os.write(self._writer, data) :]
        except (
            serial.SerialException,
            OSError,
            TypeError,
        ):  # TypeError: pyserial's, of a port that is closed
            pass
        finally:
            os.close(self._writer)
