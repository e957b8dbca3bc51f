"""Serial console: what the board says to the screen, what is typed to the board."""

from __future__ import annotations

import os
import selectors
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from cicada.tools.ports import explained

_QUIT = b"\x1d"  # Ctrl-]


def monitor(port: str, baud: int, seconds: float | None = None) -> int:
    """Show the console of ``port`` until Ctrl-] (or ``seconds`` have passed, or the port goes away).

    Ctrl-C is sent to the board, where it interrupts the program.

    Raises:
        UserError: if the port is missing, forbidden or in use.
    """
    import serial

    try:
        line = serial.Serial(port, baud, timeout=0, exclusive=True)
    except serial.SerialException as error:
        raise explained(port, error) from error
    typing = sys.stdin.isatty()
    if typing:
        sys.stderr.write(f"--- {port} at {baud} baud, Ctrl-] quits, Ctrl-C goes to the board\n")
    end = time.monotonic() + seconds if seconds is not None else None
    with line, _raw_keyboard(typing), selectors.DefaultSelector() as selector:
        selector.register(line.fileno(), selectors.EVENT_READ, "board")
        if typing:
            selector.register(sys.stdin.fileno(), selectors.EVENT_READ, "keyboard")
        while end is None or time.monotonic() < end:
            wait = None if end is None else max(0.0, end - time.monotonic())
            for key, _ in selector.select(wait):
                if key.data == "board":
                    try:
                        data = line.read(4096)
                    except (serial.SerialException, OSError):
                        data = b""
                    if not data:
                        sys.stderr.write(f"\r\n--- {port} is gone\r\n")
                        return 1
                    os.write(1, data)
                else:
                    keys = os.read(sys.stdin.fileno(), 256)
                    if not keys or _QUIT in keys:
                        return 0
                    line.write(keys)
    return 0


@contextmanager
def _raw_keyboard(typing: bool) -> Iterator[None]:
    """Pass every key on as it is typed, and give the terminal back as it was."""
    if not typing:
        yield
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setraw(terminal)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
