"""The I2S microphone."""

from __future__ import annotations

import errno
import struct

import numpy as np

from cicada.tools.twin.chip import Chip, Peripheral, ops, told
from cicada.tools.twin.power import IDLE
from cicada.tools.twin.sound import RATE


class I2s(Peripheral):
    """Attributes:
    overruns: samples lost because the program read too late.
    """

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self.overruns = 0
        self._open: dict[int, dict] = {}
        self.operations = {
            ops.I2S_OPEN: self._start,
            ops.I2S_READ: self._read,
            ops.I2S_CLOSE: self._stop,
        }

    def reset(self, cause: int) -> None:
        self._open.clear()

    def _start(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        about = told(payload, dict)
        described = self.chip.board.MICROPHONE
        if argument != described["id"] or argument in self._open:
            raise ValueError("invalid id")
        wired = all(about[pin] == described[pin] for pin in ("sck", "ws", "sd"))
        if about["rate"] != RATE or about["bits"] != 16 or about["stereo"]:
            raise ValueError("the twin's microphone supplies 16 kHz, 16 bits, mono only")
        self._open[argument] = about | {"start": self.chip.meter.now, "taken": 0, "wired": wired}
        return 0, b""

    def _read(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        if argument not in self._open:
            raise OSError(errno.ENODEV, "I2S is not open")
        stream, now = self._open[argument], self.chip.meter.now
        count = struct.unpack("<I", payload)[0] // 2
        heard = (now - stream["start"]) * RATE // 1_000_000
        lost = heard - stream["taken"] - stream["ibuf"] // 2
        if lost > 0:  # the DMA ring overwrote its oldest samples
            stream["taken"] += lost
            self.overruns += lost
        end = stream["taken"] + count
        self.chip.advance(stream["start"] + -(-end * 1_000_000 // RATE) - now, IDLE)
        first = stream["start"] * RATE // 1_000_000 + stream["taken"]
        stream["taken"] = end
        enable = self.chip.board.MICROPHONE.get("enable")
        on = stream["wired"] and (enable is None or self.chip.parts["gpio"].levels.get(enable))
        pcm = self.chip.world.sound.samples(first, count) if on else np.zeros(count, np.int16)
        return 0, pcm.astype("<i2").tobytes()

    def _stop(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self._open.pop(argument, None)
        return 0, b""
