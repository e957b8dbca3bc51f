"""``cam``: the frames of the world's camera, cropped and scaled by the engine."""

from __future__ import annotations

import errno
import struct

import numpy as np

from cicada.tools.engine import centred_crop, scale_frame
from cicada.tools.twin.chip import Chip, Peripheral, ops
from cicada.tools.twin.power import IDLE
from cicada.tools.twin.sensors.camera import GRAYSCALE, RGB565

#: Cycles for each pixel of the crop, gray and RGB565: instructions of the engine's ``scale.c`` on RV32IMAC
#: (GCC 12, -Os) from 240 x 240 to 96 x 96 pixels, counted by QEMU, one a cycle.
_CYCLES = {True: 18.4, False: 45.0}


class CameraPort(Peripheral):
    """The camera as ``cam.Camera`` has switched it on."""

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self._frame: tuple[int, int, bool] | None = None  # width, height, grayscale; None while off
        self._flips = [0, 0]  # upside down, mirrored
        self.operations = {
            ops.CAM_OPEN: self._open,
            ops.CAM_CAPTURE: self._capture,
            ops.CAM_SET: self._set,
            ops.CAM_CLOSE: self._close,
        }

    def reset(self, cause: int) -> None:
        self._frame = None

    def _open(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        width, height, grayscale = struct.unpack("<HHB", payload)
        if self._frame is not None:
            raise OSError(errno.EBUSY, "the camera is in use")
        if self.chip.world.camera is None:
            raise OSError(errno.ENODEV, "no camera")
        self._frame, self._flips = (width, height, bool(grayscale)), [0, 0]
        return 0, b""

    def _opened(self) -> tuple[int, int, bool]:
        if self._frame is None:
            raise OSError(errno.ENODEV, "the camera is off")
        return self._frame

    def _capture(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        width, height, *crop, signed = struct.unpack("<HHHHHHB", payload)
        columns, rows, grayscale = self._opened()
        self.chip.advance(self.chip.board.FRAME_US, IDLE)
        shown = self.chip.world.camera.frame(
            self.chip.meter.now, columns, rows, GRAYSCALE if grayscale else RGB565
        )
        frame = np.frombuffer(shown, np.uint8).reshape((rows, columns) if grayscale else (rows, columns, 2))
        frame = frame[:: -1 if self._flips[0] else 1, :: -1 if self._flips[1] else 1]
        if not any(crop):
            crop = centred_crop(columns, rows, width, height)
        form = "rgb565" if not grayscale else "int8" if signed else "gray"
        pixels = scale_frame(frame, width, height, tuple(crop), form)
        self.chip.work(crop[2] * crop[3] * _CYCLES[grayscale])
        return 0, pixels.tobytes()

    def _set(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self._opened()
        for which, value in enumerate(payload):
            if value != 255:
                self._flips[which] = value
        return 0, b""

    def _close(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self._frame = None
        return 0, b""
