"""``nn.VibrationFrontEnd``: the engine's vibration front end, run beside the chip."""

from __future__ import annotations

import errno
import struct

import numpy as np

from cicada.tools.twin.chip import Chip, Peripheral, ops
from cicada.tools.vibration import VibrationFrontEnd, instructions


class Vibrating(Peripheral):
    """Attributes:
    windows: completed so far.
    featuring_us: virtual time they took.
    """

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self.windows = self.featuring_us = 0
        self._fronts: list[VibrationFrontEnd] = []
        self.operations = {
            ops.VIB_OPEN: self._open,
            ops.VIB_FEED: self._feed,
            ops.VIB_RESET: self._reset,
            ops.VIB_SPEED: self._speed,
        }

    def reset(self, cause: int) -> None:
        self._fronts.clear()

    def _open(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self._fronts.append(VibrationFrontEnd(*struct.unpack("<HHHH", payload)))
        return len(self._fronts) - 1, b""

    def _feed(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        front = self._at(argument)
        if len(payload) % (2 * front.axes):
            raise ValueError("frames have 2 bytes for each axis, and the last one is not whole")
        frames = np.frombuffer(payload, "<i2")
        windows = front.feed(frames if front.axes == 1 else frames.reshape(-1, front.axes))
        cost = instructions(front.samples, front.bands, front.axes, front.envelope)
        before = self.chip.meter.now
        self.chip.work(round(windows * cost * self.chip.board.CYCLES["per_instruction"]))
        self.windows += windows
        self.featuring_us += self.chip.meter.now - before
        return windows, front.features.tobytes()

    def _reset(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        front = self._at(argument)
        front.reset()
        return 0, front.features.tobytes()

    def _speed(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        rate, speed = struct.unpack("<II", payload)
        self._at(argument).speed(rate / 10, speed / 10)
        return 0, b""

    def _at(self, handle: int) -> VibrationFrontEnd:
        if handle >= len(self._fronts):
            raise OSError(errno.EINVAL, "no such handle")
        return self._fronts[handle]
