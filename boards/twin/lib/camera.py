"""``camera`` after micropython-camera-API: ``Camera().capture()`` gives one frame."""

import struct

import _chip
import _ops


class PixelFormat:
    RGB565 = 0
    GRAYSCALE = 3


class FrameSize:
    R96X96 = 0
    QQVGA = 1
    R240X240 = 4
    QVGA = 6
    VGA = 10


_SIZES = {0: (96, 96), 1: (160, 120), 4: (240, 240), 6: (320, 240), 10: (640, 480)}


class Camera:
    def __init__(self, *, pixel_format=PixelFormat.GRAYSCALE, frame_size=FrameSize.QQVGA, init=True, **pins):
        if frame_size not in _SIZES or pixel_format not in (PixelFormat.RGB565, PixelFormat.GRAYSCALE):
            raise ValueError("invalid frame_size or pixel_format")
        self._size = _SIZES[frame_size]
        self._form = 1 if pixel_format == PixelFormat.RGB565 else 0

    def init(self):
        pass

    def deinit(self):
        pass

    def free_buffer(self):
        pass

    def capture(self):
        return memoryview(_chip.call(_ops.CAMERA, 0, struct.pack("<HHB", *self._size, self._form))[1])

    def get_pixel_width(self):
        return self._size[0]

    def get_pixel_height(self):
        return self._size[1]
