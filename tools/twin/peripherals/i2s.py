"""The I2S microphone, and the picking of its slot."""

from __future__ import annotations

import errno
import struct

import numpy as np

from cicada.tools.engine import mono16
from cicada.tools.twin.chip import Chip, Peripheral, ops, told
from cicada.tools.twin.power import IDLE
from cicada.tools.twin.sound import RATE

# MicroPython v1.28 (ports/esp32/machine_i2s.c) always receives stereo frames of 32 bits, in DMA buffers of
# 256 frames: `ibuf` divided by their size, at least two. The format asked for is picked out of them.
_FRAME_BYTES = 8
_DMA_FRAMES = 256


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
            ops.I2S_READY: self._ready,
            ops.MONO16: self._mono16,
        }

    def reset(self, cause: int) -> None:
        self._open.clear()

    def _start(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        about = told(payload, dict)
        described = self.chip.board.MICROPHONE
        if argument != described["id"] or argument in self._open:
            raise ValueError("invalid id")
        wired = all(about[pin] == described[pin] for pin in ("sck", "ws", "sd"))
        if about["bits"] not in (16, 32):
            raise ValueError("invalid bits")
        if about["rate"] != RATE:
            raise ValueError("the twin's microphone supplies 16 kHz only")
        ring = max(about["ibuf"] // (_DMA_FRAMES * _FRAME_BYTES), 2) * _DMA_FRAMES
        self._open[argument] = about | {
            "start": self.chip.meter.now,
            "taken": 0,
            "wired": wired,
            "ring": ring,
            "bytes": about["bits"] // 8 * (2 if about["stereo"] else 1),
        }
        return 0, b""

    def _stream(self, argument: int) -> dict:
        """An open stream, after its DMA ring has overwritten what nobody took in time."""
        if argument not in self._open:
            raise OSError(errno.ENODEV, "I2S is not open")
        stream = self._open[argument]
        late = self._received(stream) - stream["taken"] - stream["ring"]
        if late > 0:
            lost = -(-late // _DMA_FRAMES) * _DMA_FRAMES
            stream["taken"] += lost
            self.overruns += lost
        return stream

    def _received(self, stream: dict) -> int:
        """Frames in full DMA buffers; a program can take no part of one that is being filled."""
        heard = (self.chip.meter.now - stream["start"]) * RATE // 1_000_000
        return heard // _DMA_FRAMES * _DMA_FRAMES

    def _ready(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        stream = self._stream(argument)
        return max(self._received(stream) - stream["taken"], 0), b""

    def _read(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        stream = self._stream(argument)
        count = struct.unpack("<I", payload)[0] // stream["bytes"]
        end = stream["taken"] + count
        self.chip.advance(stream["start"] + -(-end * 1_000_000 // RATE) - self.chip.meter.now, IDLE)
        first = stream["start"] * RATE // 1_000_000 + stream["taken"]
        stream["taken"] = end
        return 0, self._frames(stream, first, count).tobytes()

    def _frames(self, stream: dict, first: int, count: int) -> np.ndarray:
        """What the driver makes of ``count`` frames of the bus: ``int16`` or ``int32[count, 1 or 2]``."""
        about = self.chip.board.MICROPHONE
        enable = about.get("enable")
        bus = np.zeros((count, 2), np.int32)
        if stream["wired"] and (enable is None or self.chip.parts["gpio"].levels.get(enable)):
            sound = self.chip.world.sound.samples(first, count)
            # A recording is as loud as it is after the board's gain.
            bus[:, about["slot"] or 0] = sound.astype(np.int32) << (16 - about["gain_bits"])
        if stream["bits"] == 16:
            bus = bus >> 16
        return bus[:, : 2 if stream["stereo"] else 1].astype("<i2" if stream["bits"] == 16 else "<i4")

    def _mono16(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        if not payload[0] & 0x80:
            samples, span = mono16(np.frombuffer(payload[1:], "<i4").reshape(-1, 2), argument, payload[0])
            return span, samples.tobytes()
        level = np.frombuffer(payload[1:5], "<i4").copy()
        frames = np.frombuffer(payload[5:], "<i4").reshape(-1, 2)
        samples, span = mono16(frames, argument, payload[0] & 0x7F, level)
        return span, level.tobytes() + samples.tobytes()

    def _stop(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self._open.pop(argument, None)
        return 0, b""
