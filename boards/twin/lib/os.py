"""``os`` with the chip's random numbers and name."""

import _chip
import _ops
from uos import *  # noqa: F403


def urandom(n):
    return _chip.call(_ops.RANDOM, n)[1]


def uname():
    import sys

    release = ".".join(str(part) for part in sys.implementation[1][:3])
    return ("esp32", "esp32", release, sys.version, "Cicada twin with ESP32")
