"""``machine.Timer``: four hardware timers and as many virtual ones as one likes."""

from __future__ import annotations

import struct

from cicada.tools.twin.chip import Chip, Due, Peripheral, ops


class Timers(Peripheral):
    """They stop at every reset, a soft one included."""

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self._running: dict[int, Due] = {}
        self.operations = {ops.TIMER_START: self._start, ops.TIMER_STOP: self._stop}

    def reset(self, cause: int) -> None:
        for handle in list(self._running):
            self._stop(handle, b"")

    def _start(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        """Argument: the handler's handle; payload: period in us (u64), whether it repeats (u8)."""
        self._stop(argument, b"")
        period, repeat = struct.unpack("<QB", payload)
        self._arm(argument, self.chip.meter.now + period, period, bool(repeat))
        return 0, b""

    def _arm(self, handle: int, at: int, period: int, repeat: bool) -> None:
        def fire() -> None:
            del self._running[handle]
            self.chip.interrupt(handle)
            if repeat:
                self._arm(handle, at + period, period, repeat)

        self._running[handle] = self.chip.at(at, fire)

    def _stop(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        due = self._running.pop(argument, None)
        if due:
            due.cancelled = True
        return 0, b""
