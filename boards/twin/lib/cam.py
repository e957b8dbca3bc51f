"""``cam``: frames of the world's camera, scaled by the engine beside the chip (see firmware/modules/cam.pyi).

The wiring is not checked, and an object that is forgotten without ``deinit`` keeps the camera.
"""

import struct

import _chip
import _ops
import uctypes

_SIZES = {
    "96X96": (96, 96),
    "QQVGA": (160, 120),
    "QCIF": (176, 144),
    "HQVGA": (240, 176),
    "240X240": (240, 240),
    "QVGA": (320, 240),
    "CIF": (400, 296),
    "HVGA": (480, 320),
    "VGA": (640, 480),
    "SVGA": (800, 600),
    "XGA": (1024, 768),
    "HD": (1280, 720),
    "SXGA": (1280, 1024),
    "UXGA": (1600, 1200),
}
_NEEDED = ("d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "pclk", "vsync", "href", "sda", "scl")
_SPARE = ("xclk", "pwdn", "reset")


class Camera:
    def __init__(self, pins, *, grayscale=True, frame="QVGA", xclk_hz=20_000_000, buffers=1):
        if not isinstance(pins, dict):
            raise TypeError("pins must be a dict")
        for name in _NEEDED + _SPARE:
            if name not in pins and name in _NEEDED:
                raise ValueError("pins: '%s' is missing" % name)
            number = pins.get(name)
            if number is None and name in _NEEDED:
                raise TypeError("can't convert NoneType to int")
            if number is not None and not 0 <= number <= 63:
                raise ValueError("pins: '%s' must be a pin's number" % name)
        for name in pins:
            if name not in _NEEDED and name not in _SPARE:
                raise ValueError("pins: unknown name")
        if frame not in _SIZES:
            raise ValueError("unknown frame '%s'" % frame)
        if not 1_000_000 <= xclk_hz <= 40_000_000:
            raise ValueError("xclk_hz must be 1000000 to 40000000")
        if buffers not in (1, 2):
            raise ValueError("buffers must be 1 or 2")
        self.width = _SIZES[frame][0]
        self.height = _SIZES[frame][1]
        self.grayscale = bool(grayscale)
        self._open = False
        settings = struct.pack("<HHB", self.width, self.height, self.grayscale)
        try:
            _chip.call(_ops.CAM_OPEN, 0, settings)
        except OSError as error:
            in_use = error.errno == 16
            raise OSError(
                error.errno, "the camera is in use" if in_use else "no camera answers at sda and scl"
            )
        self._open = True

    def _ready(self):
        if not self._open:
            raise OSError(19, "the camera is off")

    def capture_into(self, buffer, width, height, crop=None, *, signed=False):
        self._ready()
        if not (1 <= width <= 4096 and 1 <= height <= 4096):
            raise ValueError("width and height must be 1 to 4096")
        x = y = w = h = 0
        if crop is not None:
            if len(crop) != 4:
                raise ValueError("requested length 4 but object has length %d" % len(crop))
            x, y, w, h = crop
            if not (0 <= x <= self.width - w and 0 <= y <= self.height - h and w > 0 and h > 0):
                raise ValueError("crop must lie within the frame")
        if signed and not self.grayscale:
            raise ValueError("signed pixels are grayscale ones")
        size = width * height * (1 if self.grayscale else 2)
        view = memoryview(buffer)
        length = len(bytes(view))  # of whatever items it is
        try:
            view[:1] = view[:1]
        except TypeError:
            raise TypeError("object with buffer protocol required")
        if length != size:
            raise ValueError("buffer must be %d bytes, not %d" % (size, length))
        job = struct.pack("<HHHHHHB", width, height, x, y, w, h, signed)
        _chip.call(_ops.CAM_CAPTURE, 0, job, uctypes.bytearray_at(uctypes.addressof(view), size))

    def set(self, *, vflip=None, hmirror=None):
        self._ready()
        _chip.call(_ops.CAM_SET, 0, bytes(255 if v is None else bool(v) for v in (vflip, hmirror)))

    def deinit(self):
        if self._open:
            self._open = False
            _chip.call(_ops.CAM_CLOSE)
