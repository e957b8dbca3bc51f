"""A conversation with a node's console: a line is typed, one line ``ANSWER {json}`` comes back."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from cicada.tools.errors import UserError
from cicada.tools.monitor.link import Gone, Link

_COMMAND = "provision "
# A board keeps 260 bytes of what is typed (MICROPY_HW_STDIN_BUFFER of MicroPython's ESP32 port) and looks
# now and then; what it took it shows as a star.
_CHUNK = 120
_STAR = b"*"
_TAKES_S = 5.0
_QUIET_S = 0.05
_SETTLES_S = 2.0
_LEARNT = 16  # bytes of a line that are sent before stars must be seen


class Silent(Exception):
    """The node does not answer."""


class Console:
    """An open console.

    Args:
        port: serial port or URL.
        baud: bits a second.

    Raises:
        UserError: the port cannot be used.
    """

    def __init__(self, port: str, baud: int = 115200) -> None:
        self._port = port
        self._link = Link(port, baud)
        self._text = b""

    def __enter__(self) -> Console:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._link.close()

    def provision(self, action: Mapping[str, Any], wait_s: float = 10.0) -> dict[str, Any]:
        """Have the node do something (firmware/app/node/provision/serial.py has the actions).

        Args:
            action: ``{"do": ..., ...}``; never shown, as it may hold secrets.
            wait_s: for the answer, s.

        Returns:
            the answer.

        Raises:
            Silent: none came.
            UserError: the port is gone, or a REPL answers.
        """
        return self._ask(_COMMAND, json.dumps(action, separators=(",", ":")).encode(), wait_s)

    def command(self, line: str, wait_s: float = 10.0) -> dict[str, Any]:
        """Type a command without secrets. Errors: as for :meth:`provision`."""
        return self._ask(line, b"", wait_s)

    def _ask(self, command: str, secret: bytes, wait_s: float) -> dict[str, Any]:
        try:
            self._settle()
            self._write(command.encode())
            for at in range(0, len(secret), _CHUNK):
                self._write(secret[at : at + _CHUNK])
                self._taken(at + len(secret[at : at + _CHUNK]))
            self._write(b"\r")
            return self._answer(wait_s)
        except Gone:
            raise UserError(f"{self._port} is gone: was the board unplugged?") from None

    def _settle(self) -> None:
        """End a line that was begun, and pass over what was said before."""
        self._write(b"\r")
        end = time.monotonic() + _SETTLES_S
        while self._more(_QUIET_S) and time.monotonic() < end:
            if b"\n>>> " in self._text:
                raise _repl(self._port)
        self._text = b""

    def _write(self, data: bytes) -> None:
        if not self._link.write(data):
            raise Silent

    def _taken(self, count: int) -> None:
        """Until the node has shown a star for every byte but a few, so that none is lost."""
        end = time.monotonic() + _TAKES_S
        while self._text.count(_STAR) < count - _LEARNT:
            if time.monotonic() >= end:
                raise Silent
            self._more(_QUIET_S)
            self._look()

    def _answer(self, wait_s: float) -> dict[str, Any]:
        end = time.monotonic() + wait_s
        while True:
            found = self._look()
            if found is not None:
                return found
            left = end - time.monotonic()
            if left <= 0:
                raise Silent
            self._more(left)

    def _look(self) -> dict[str, Any] | None:
        """An answer among the whole lines that came; None so far."""
        *lines, _ = self._text.replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            if line.startswith(b"ANSWER "):
                try:
                    found = json.loads(line[7:])
                except ValueError:
                    continue
                if isinstance(found, dict):
                    return found
        if b"\n>>> " in self._text or b"raw REPL; CTRL-B to exit" in self._text:
            raise _repl(self._port)
        return None

    def _more(self, seconds: float) -> bool:
        """Take what comes within that time; False if nothing does."""
        if not select.select([self._link], [], [], max(seconds, 0.0))[0]:
            return False
        self._text += self._link.read()
        return True


def _repl(port: str) -> UserError:
    return UserError(
        f"at {port} MicroPython's prompt answers, not the application: type machine.reset() there (cicada "
        "monitor) or press the board's reset button, then try again"
    )
