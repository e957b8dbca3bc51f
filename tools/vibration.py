"""The vibration front end on this machine: the C that devices link (``engine/vibration``), by ctypes.

What the features are is in ``vibration.h``.
"""

from __future__ import annotations

import ctypes
import functools

import numpy as np
from numpy.typing import NDArray

from cicada.tools import engine

#: Features of an axis beside its bands: level, crest, kurtosis.
STATISTICS = 3
#: Tenths of a sample rate or a speed stay below it.
LIMIT = 10**9
#: Samples a window may have.
SAMPLES = (256, 512, 1024)


@functools.cache
def library() -> ctypes.CDLL:
    """The engine with the functions of the vibration front end declared, built if need be.

    Raises:
        UserError: no compiler, or it failed.
    """
    lib = engine.library()
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint
    for name, result, arguments in (
        ("vib_size", size, [number] * 4),
        ("vib_init", ctypes.c_bool, [pointer, *[number] * 4]),
        ("vib_set_speed", ctypes.c_bool, [pointer, ctypes.c_uint32, ctypes.c_uint32]),
        ("vib_reset", None, [pointer]),
        ("vib_features", size, [pointer]),
        ("vib_feed", size, [pointer, pointer, size, pointer]),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class VibrationFrontEnd:
    """One stream of an accelerometer through the front end; any number may run side by side.

    Attributes:
        features: ``int8[axes, bands + 3 + envelope]`` of the newest window, -128 before the first: the bands
            from low to high, then level, crest and kurtosis, then the bands of the envelope's spectrum.
        samples, bands, axes, envelope: as given.
    """

    def __init__(self, samples: int, bands: int, axes: int, envelope: int = 0) -> None:
        """Start a stream.

        Args:
            samples: of a window: 256, 512 or 1024. The next window begins where one ends.
            bands: of an axis, 8 to 32.
            axes: 1 or 3.
            envelope: bands of the envelope's spectrum, 8 to 32, or 0 for none.

        Raises:
            ValueError: any other number.
        """
        # Checked here, because ctypes would take a large or negative number modulo 2^32.
        if samples not in SAMPLES or not 8 <= bands <= 32 or axes not in (1, 3):
            raise ValueError("samples must be 256, 512 or 1024, bands 8 to 32 and axes 1 or 3")
        if envelope != 0 and not 8 <= envelope <= 32:
            raise ValueError("envelope must be 0 or 8 to 32")
        self.samples, self.bands, self.axes, self.envelope = samples, bands, axes, envelope
        self._lib = library()
        # Of 64-bit words, so that it is aligned for the C structures.
        self._state = np.zeros((state_size(samples, bands, axes, envelope) + 7) // 8, np.uint64)
        self._lib.vib_init(self._state.ctypes.data, samples, bands, axes, envelope)
        self.features = np.empty((axes, bands + STATISTICS + envelope), np.int8)
        self.reset()

    def feed(self, frames: NDArray[np.int16]) -> int:
        """Take frames; returns how many windows they completed. ``features`` are those of the last one.

        Args:
            frames: ``int16[n, axes]``, or ``int16[n]`` for one axis; any n, also 0.

        Raises:
            ValueError: another dtype or shape.
        """
        shape = (len(frames), self.axes)
        if frames.dtype != np.int16 or frames.shape not in (shape, shape[: self.axes]):
            raise ValueError(f"frames must be int16[n, {self.axes}], not {frames.dtype}{list(frames.shape)}")
        frames = np.ascontiguousarray(frames)
        return self._lib.vib_feed(
            self._state.ctypes.data, frames.ctypes.data, len(frames), self.features.ctypes.data
        )

    def speed(self, rate_hz: float, rpm: float) -> None:
        """Let the envelope's bands follow the orders of a shaft, from the next window on.

        They are 3/4 to 24 orders then, evenly spaced by the logarithm; ``vibration.h`` has the rule.

        Args:
            rate_hz: sample rate; both numbers are rounded to tenths.
            rpm: revolutions of the shaft a minute; 0 where it is not known, which brings the fixed bands
                back.

        Raises:
            ValueError: no envelope, or a number out of range.
        """
        rate, speed = int(10 * rate_hz + 0.5), int(10 * rpm + 0.5)
        if self.envelope == 0:
            raise ValueError("only the bands of an envelope follow the speed: envelope must be 8 to 32")
        if not 1 <= rate < LIMIT or not 0 <= speed < LIMIT:
            raise ValueError("rate_hz must be 0.1 to 1e8 and rpm 0 to 1e8")
        self._lib.vib_set_speed(self._state.ctypes.data, rate, speed)

    def reset(self) -> None:
        """Forget the frames of the window that is not complete, and set ``features`` to -128."""
        self._lib.vib_reset(self._state.ctypes.data)
        self.features.fill(-128)


def state_size(samples: int, bands: int, axes: int, envelope: int = 0) -> int:
    """Bytes of RAM that one stream takes (``vib_size``), 0 for numbers that the front end refuses."""
    return library().vib_size(samples, bands, axes, envelope)


def instructions(samples: int, bands: int, axes: int, envelope: int = 0) -> int:
    """Instructions that a window takes an RV32IMC core, within 1 % (GCC, -O2, counted in QEMU).

    The FFTs take N log2(N) of them; a test measures whether the numbers still hold.
    """
    bits = samples.bit_length() - 1
    per_axis = samples * (5 * bits + 114.4) + 80 * bands
    if envelope:
        per_axis += samples * (8.35 * bits + 132.1) + 108 * envelope
    return round(axes * per_axis)


def features(
    frames: NDArray[np.int16],
    samples: int,
    bands: int,
    envelope: int = 0,
    rate_hz: float | None = None,
    rpm: float | None = None,
) -> NDArray[np.int8]:
    """Features of all whole windows of a recording.

    Args:
        frames: ``int16[n, axes]`` or ``int16[n]``.
        samples, bands, envelope: as for :class:`VibrationFrontEnd`.
        rate_hz, rpm: as for its :meth:`~VibrationFrontEnd.speed`; None where the speed is not known.

    Returns:
        ``int8[n // samples, axes * (bands + 3 + envelope)]``.

    Raises:
        ValueError: as :class:`VibrationFrontEnd`, its :meth:`~VibrationFrontEnd.feed` and its
            :meth:`~VibrationFrontEnd.speed`; ``rpm`` without ``rate_hz``.
    """
    axes = 1 if frames.ndim == 1 else frames.shape[1]
    front = VibrationFrontEnd(samples, bands, axes, envelope)
    if rpm is not None:
        if rate_hz is None:
            raise ValueError("rpm needs rate_hz: orders are turns a frame")
        front.speed(rate_hz, rpm)
    rows = np.empty((len(frames) // samples, front.features.size), np.int8)
    for row, at in zip(rows, range(0, len(frames), samples), strict=False):
        front.feed(frames[at : at + samples])
        row[:] = front.features.ravel()
    return rows
