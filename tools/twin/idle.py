"""Time that passes for an interpreter that asks nothing of its chip."""

from __future__ import annotations

import time

from cicada.tools.twin.child import Child
from cicada.tools.twin.power import BUSY, IDLE

_HANG_S = 0.5  # CPU time without a request, after which time passes for a program that only computes
_LEAP_US = (1_000_000, 3_600_000_000)  # of one that waits for a keyboard nobody has: ever longer


class Idle:
    """Watches one interpreter between its requests.

    One that waits for keys lives in real time while somebody could press them, and leaps ahead otherwise. One
    that computes is charged its CPU time, but only after a while, so that a slow machine changes nothing.

    Args:
        child: the interpreter.
    """

    def __init__(self, child: Child) -> None:
        self._child = child
        self._asked = True
        self._cpu_s = self._looked = 0.0
        self._leap = _LEAP_US[0]

    def asked(self) -> None:
        """It made a request."""
        self._asked = True

    def look(self, attended: bool, speed: float) -> tuple[int, str]:
        """How long (us) it has been at what (a state of the power meter) since the last look or request.

        Args:
            attended: whether somebody may press a key.
            speed: times real time.
        """
        now = time.monotonic()
        if self._asked:
            self._asked = False
            self._looked, self._cpu_s, self._leap = now, self._child.cpu_s(), _LEAP_US[0]
            return 0, IDLE
        passed, self._looked = now - self._looked, now
        if not self._child.waiting():
            used = self._child.cpu_s() - self._cpu_s
            if used <= _HANG_S:
                return 0, BUSY
            self._cpu_s += used
            return round(used * 1e6), BUSY
        if attended:
            return round(passed * 1e6 * speed), IDLE
        leap, self._leap = self._leap, min(2 * self._leap, _LEAP_US[1])
        return leap, IDLE
