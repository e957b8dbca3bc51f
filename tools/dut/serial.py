"""A board at a serial port as device under test."""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable

import pytest
import serial

from cicada.tools.dut.base import Dut
from cicada.tools.errors import UserError
from cicada.tools.ports import explained

_READ_S = 0.05  # the longest a read waits
# How long esptool's HardReset holds EN low (``esptool/reset.py``).
_RESET_S = 0.1
_GARBLED = 0.2  # this part of the text undecodable: the baud rate is wrong


class SerialDut(Dut):
    """A board, reset if its port can do that.

    Args:
        port: its name, or a URL that pyserial knows, such as ``rfc2217://host:4000``.
        baud: bits per second.

    Raises:
        UserError: if the port is missing, forbidden or in use, or there is no such baud rate.
    """

    _clock = "s"

    def __init__(self, port: str, baud: int) -> None:
        super().__init__()
        self._port, self._baud = port, baud
        self._text, self._held = "", ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        try:
            self._line = serial.serial_for_url(port, baud, timeout=_READ_S, exclusive=True, do_not_open=True)
            # Or opening the port would press EN or GPIO0 of a board with the auto-reset circuit.
            self._line.dtr = self._line.rts = False
            self._line.open()
        except (serial.SerialException, OSError) as error:
            raise explained(port, error) from error
        except (ValueError, OverflowError) as error:
            raise UserError(f"{port} cannot be opened at {baud} baud: {error}") from error
        self._opened = time.monotonic()
        try:
            self._press_en()
        except BaseException:
            self.close()
            raise

    @property
    def text(self) -> str:
        return self._text

    @property
    def now(self) -> float:
        return time.monotonic() - self._opened

    def write(self, data: str | bytes) -> None:
        try:
            self._line.write(data.encode() if isinstance(data, str) else data)
        except (serial.SerialException, OSError) as error:
            raise self._gone(error) from error

    def reset(self) -> None:
        if not self._press_en():
            pytest.skip(f"{self._port} has no line RTS that could press the reset button")

    def power_off(self) -> None:
        pytest.skip("nothing here can switch the power of a board: run this test on the twin")

    def power_on(self) -> None:
        pytest.skip("nothing here can switch the power of a board: run this test on the twin")

    def close(self) -> None:
        self._line.close()

    def _press_en(self) -> bool:
        """As esptool's HardReset: RTS pulls EN low; False if the port has no such line."""
        try:
            self._line.dtr = False
            self._line.rts = True
        except OSError:  # ENOTTY: a pty, some USB ports
            return False
        self._run(lambda: False, _RESET_S)  # and take in what was on its way
        self._skip()
        self._line.rts = False
        return True

    def _run(self, done: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() >= end:
                return False
            self._receive()
        return True

    def _receive(self) -> None:
        try:
            data = self._line.read(self._line.in_waiting or 1)
        except (serial.SerialException, OSError) as error:
            raise self._gone(error) from error
        text = self._held + self._decoder.decode(data)
        # The second half of a line's end may come with the next bytes.
        self._held = "\r" if text.endswith("\r") else ""
        self._text += text.removesuffix("\r").replace("\r\n", "\n")

    def _gone(self, error: Exception) -> UserError:
        return UserError(
            f"{self._port} went away in the middle of the test: plug the board in again ({error})"
        )

    def _doubt(self) -> str:
        recent = self._text[-1000:]
        if not recent or recent.count("\ufffd") < _GARBLED * len(recent):
            return ""
        return f" (its text is garbled: is {self._baud} its baud rate? name it with --baud)"
