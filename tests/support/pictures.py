"""What a camera shows in tests, and scripts for the module ``cam`` with what they must print."""

from __future__ import annotations

import binascii

import numpy as np

from cicada.tools import engine

#: Some wiring; that of the ESP-EYE.
PINS = (
    "{'d0': 34, 'd1': 13, 'd2': 14, 'd3': 35, 'd4': 39, 'd5': 38, 'd6': 37, 'd7': 36, 'xclk': 4, 'pclk': 25,"
    " 'vsync': 5, 'href': 27, 'sda': 18, 'scl': 23, 'pwdn': None, 'reset': None}"
)
#: The script's jobs: frame, grayscale, width, height, crop, signed.
JOBS = (
    ("QVGA", True, 96, 96, None, False),
    ("QVGA", True, 96, 96, None, True),
    ("QVGA", True, 160, 40, None, False),
    ("QVGA", True, 31, 17, (1, 2, 300, 200), True),
    ("QVGA", True, 1, 1, (319, 239, 1, 1), False),
    ("QQVGA", True, 160, 120, None, False),
    ("QQVGA", True, 96, 64, (0, 0, 48, 32), False),
    ("QVGA", False, 48, 48, None, False),
    ("96X96", False, 32, 24, (8, 8, 80, 60), False),
)
#: Calls that must be refused, and how. `c` is a grayscale camera of QQVGA, `b` a bytearray of 64 bytes.
REFUSED = (
    ("c.capture_into(b, 0, 8)", "ValueError width and height must be 1 to 4096"),
    ("c.capture_into(b, 8, 4097)", "ValueError width and height must be 1 to 4096"),
    ("c.capture_into(b, 8, -8)", "ValueError width and height must be 1 to 4096"),
    ("c.capture_into(b, 8, 9)", "ValueError buffer must be 72 bytes, not 64"),
    ("c.capture_into(b, 8, 7)", "ValueError buffer must be 56 bytes, not 64"),
    ("c.capture_into(b, 8, 8, (0, 0, 161, 120))", "ValueError crop must lie within the frame"),
    ("c.capture_into(b, 8, 8, (1, 0, 160, 120))", "ValueError crop must lie within the frame"),
    ("c.capture_into(b, 8, 8, (0, -1, 8, 8))", "ValueError crop must lie within the frame"),
    ("c.capture_into(b, 8, 8, (0, 0, 8, 0))", "ValueError crop must lie within the frame"),
    ("c.capture_into(b, 8, 8, (0, 5000, 8, 8))", "ValueError crop must lie within the frame"),
    ("c.capture_into(b, 8, 8, (1, 2, 3))", "ValueError requested length 4 but object has length 3"),
    ("c.capture_into(bytes(64), 8, 8)", "TypeError object with buffer protocol required"),
    ("cam.Camera(P)", "OSError (16, 'the camera is in use')"),
)
#: Arguments with which no camera opens, and how they are refused. `P` is a right wiring.
SETTINGS = (
    ("None", "TypeError pins must be a dict"),
    ("{}", "ValueError pins: 'd0' is missing"),
    ("dict(P, d3=None)", "TypeError can't convert NoneType to int"),
    ("dict(P, href=-1)", "ValueError pins: 'href' must be a pin's number"),
    ("dict(P, scl=64)", "ValueError pins: 'scl' must be a pin's number"),
    ("dict(P, d8=1)", "ValueError pins: unknown name"),
    ("P, frame='QXGA'", "ValueError unknown frame 'QXGA'"),
    ("P, xclk_hz=999999", "ValueError xclk_hz must be 1000000 to 40000000"),
    ("P, xclk_hz=40000001", "ValueError xclk_hz must be 1000000 to 40000000"),
    ("P, buffers=0", "ValueError buffers must be 1 or 2"),
    ("P, buffers=3", "ValueError buffers must be 1 or 2"),
)
SIZES = {"QVGA": (320, 240), "QQVGA": (160, 120), "96X96": (96, 96)}


def pattern(width: int, height: int, n: int = 0) -> np.ndarray:
    """uint8[height, width]: frame ``n`` of the camera in tests/modules/cam_testing."""
    y, x = np.mgrid[:height, :width]
    return ((7 * x + 13 * y + 29 * n) % 256).astype(np.uint8)


def pattern565(width: int, height: int, n: int = 0) -> np.ndarray:
    """uint8[height, width, 2]: the same in RGB565, high byte first."""
    y, x = np.mgrid[:height, :width]
    high, low = 5 * x + 11 * y + 29 * n, 3 * x + 17 * y + 29 * n
    return (np.stack([high, low], -1) % 256).astype(np.uint8)


def script(jobs=JOBS) -> str:
    """MicroPython that does ``jobs`` and prints a CRC of each result; it calls ``still()`` before each."""
    lines = [f"import binascii, cam\nP = {PINS}"]
    for frame, grayscale, width, height, crop, signed in jobs:
        lines.append(
            f"still()\nb = bytearray({width * height * (1 if grayscale else 2)})\n"
            f"c = cam.Camera(P, frame={frame!r}, grayscale={grayscale})\n"
            f"c.capture_into(b, {width}, {height}, {crop}, signed={signed})\n"
            "print(c.width, c.height, c.grayscale, binascii.crc32(b))\nc.deinit()"
        )
    return "\n".join(lines) + "\n"


def printed(jobs=JOBS) -> str:
    """What :func:`script` must print when the camera shows frame 0."""
    lines = []
    for frame, grayscale, width, height, crop, signed in jobs:
        size = SIZES[frame]
        shown = pattern(*size) if grayscale else pattern565(*size)
        form = "rgb565" if not grayscale else "int8" if signed else "gray"
        result = engine.scale_frame(shown, width, height, crop, form)
        lines.append(f"{size[0]} {size[1]} {grayscale} {binascii.crc32(result.tobytes())}\n")
    return "".join(lines)


def refusals() -> str:
    """MicroPython that tries everything in :data:`SETTINGS` and :data:`REFUSED`, and a camera that is off."""
    lines = [
        f"import cam\nP = {PINS}\nb = bytearray(64)",
        "def t(f):\n    try:\n        print('took it', f())\n    except Exception as e:",
        "        print(type(e).__name__, e)",
        *(f"t(lambda: cam.Camera({arguments}))" for arguments, _ in SETTINGS),
        "c = cam.Camera(P, frame='QQVGA')",
        *(f"t(lambda: {call})" for call, _ in REFUSED),
        "c.deinit()\nc.deinit()",
        "t(lambda: c.capture_into(b, 8, 8))\nt(lambda: c.set(vflip=True))",
        "c = cam.Camera(P, frame='QQVGA', grayscale=False)",
        "t(lambda: c.capture_into(b, 8, 4, signed=True))\nt(lambda: c.capture_into(b, 8, 8))\nc.deinit()",
    ]
    return "\n".join(lines) + "\n"


def refused() -> list[str]:
    """Lines that :func:`refusals` must print."""
    off = "OSError [Errno 19] ENODEV: the camera is off"
    colour = ["ValueError signed pixels are grayscale ones", "ValueError buffer must be 128 bytes, not 64"]
    return [how for _, how in (*SETTINGS, *REFUSED)] + [off, off] + colour
