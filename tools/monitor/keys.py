"""The keyboard: every key goes to the board, except those of the monitor (the same as IDF Monitor's)."""

from __future__ import annotations

import contextlib
import enum
import os
import termios
from collections.abc import Iterator
from contextlib import contextmanager

_QUIT, _MENU = 0x1D, 0x14  # Ctrl-] and Ctrl-T
HELP = """\
Ctrl-]         quit
Ctrl-C         goes to the board, where it interrupts the program; quits while there is no board
Ctrl-T Ctrl-R  reset the board through DTR and RTS
Ctrl-T Ctrl-L  start or stop the log file
Ctrl-T Ctrl-Y  hide or show what the board says; the log goes on
Ctrl-T Ctrl-H  this help
Ctrl-T Ctrl-T  send Ctrl-T to the board; Ctrl-T Ctrl-] sends Ctrl-]"""


class Action(enum.Enum):
    """What the monitor is to do."""

    QUIT = enum.auto()
    RESET = enum.auto()
    LOG = enum.auto()
    PAUSE = enum.auto()
    HELP = enum.auto()
    UNKNOWN = enum.auto()


_ACTIONS = {ord("R") - 64: Action.RESET, ord("L") - 64: Action.LOG, ord("Y") - 64: Action.PAUSE}
_ACTIONS |= {ord("H") - 64: Action.HELP, ord("h"): Action.HELP, ord("?"): Action.HELP}


class Keys:
    """Sorts keys into those for the board and those for the monitor."""

    def __init__(self) -> None:
        self._menu = False

    def feed(self, typed: bytes) -> list[bytes | Action]:
        """What the keys mean, in their order."""
        found: list[bytes | Action] = []
        for key in typed:
            if self._menu:
                self._menu = False
                found.append(bytes([key]) if key in (_MENU, _QUIT) else _ACTIONS.get(key, Action.UNKNOWN))
            elif key == _MENU:
                self._menu = True
            elif key == _QUIT:
                found.append(Action.QUIT)
            elif found and isinstance(found[-1], bytes):
                found[-1] += bytes([key])
            else:
                found.append(bytes([key]))
        return found


@contextmanager
def raw(terminal: int) -> Iterator[None]:
    """Have a terminal pass on every key as it is typed, and give it back as it was.

    Its output is left alone, so that other programs behind a pipe still write whole lines.

    Args:
        terminal: its file number.
    """
    before = termios.tcgetattr(terminal)
    mode = termios.tcgetattr(terminal)
    mode[0] &= ~(
        termios.BRKINT | termios.ICRNL | termios.INLCR | termios.IGNCR | termios.ISTRIP | termios.IXON
    )
    mode[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    try:
        termios.tcsetattr(terminal, termios.TCSADRAIN, mode)
        yield
    finally:
        with contextlib.suppress(termios.error):  # its window may have been closed
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def read(terminal: int) -> bytes:
    """What was typed; empty if the terminal is gone."""
    try:
        return os.read(terminal, 256)
    except OSError:
        return b""
