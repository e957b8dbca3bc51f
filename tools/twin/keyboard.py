"""What is typed at the console, and when the interpreter gets it."""

from __future__ import annotations

import time

from cicada.tools.twin.child import Child
from cicada.tools.twin.chip import Chip

_CTRL_C = 3
_PATIENCE_S = 0.3  # for a program to ask something after Ctrl-C, before it gets the signal


class Keyboard:
    """Keys on their way to the interpreter.

    A Ctrl-C that would interrupt the program goes with the answer to its next request, so that it never falls
    into the middle of one; only a program that asks nothing gets the signal.

    Args:
        chip: whose answers carry the Ctrl-C.
    """

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self._keys = bytearray()
        self._typed_at = self._asked_at = 0.0

    def type(self, keys: bytes) -> None:
        """Press keys; they wait until somebody takes them."""
        self._keys += keys
        self._typed_at = time.monotonic()

    def asked(self) -> None:
        """The program made a request."""
        self._asked_at = time.monotonic()

    def quiet_s(self) -> float:
        """Wall seconds since the last key."""
        return time.monotonic() - self._typed_at

    def deliver(self, child: Child, answering: bool) -> None:
        """Hand over what can be.

        Args:
            child: the interpreter.
            answering: whether it waits for the answer to a request.
        """
        if self._keys and not self._chip.parts["keys"].interrupts:
            child.heed(False)
        while self._keys and not self._chip.break_requested:
            at = self._keys.find(_CTRL_C) if child.interruptible() else -1
            if at:
                plain = self._keys if at < 0 else self._keys[:at]
                child.type(bytes(plain))
                del self._keys[: len(plain)]
                continue
            del self._keys[0]
            soon = time.monotonic() - max(self._typed_at, self._asked_at) < _PATIENCE_S
            if answering or (soon and not child.waiting()):
                self._chip.break_requested = self._chip.wake_sleeper = True
            else:
                child.type(b"\x03")
