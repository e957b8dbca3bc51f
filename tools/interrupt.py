"""Ctrl-C that cannot get lost.

Python raises ``KeyboardInterrupt`` wherever the main thread happens to be. In a callback from C code (of
libsndfile, say) it is printed and forgotten, and the work goes on. So the key press is remembered, and long
work asks from time to time.
"""

from __future__ import annotations

import signal

_pressed = False


def install() -> None:
    """Take over Ctrl-C, and treat SIGTERM like it."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)


def check() -> None:
    """Raise ``KeyboardInterrupt`` if it was raised before and somebody swallowed it."""
    if _pressed:
        raise KeyboardInterrupt


def _interrupt(number: int, frame: object) -> None:
    global _pressed
    _pressed = True
    raise KeyboardInterrupt
