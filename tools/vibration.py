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
        ("vib_size", size, [number] * 3),
        ("vib_init", ctypes.c_bool, [pointer, *[number] * 3]),
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
        features: ``int8[axes, bands + 3]`` of the newest window, -128 before the first: the bands from low to
            high, then level, crest and kurtosis.
        samples, bands, axes: as given.
    """

    def __init__(self, samples: int, bands: int, axes: int) -> None:
        """Start a stream.

        Args:
            samples: of a window: 256, 512 or 1024. The next window begins where one ends.
            bands: of an axis, 8 to 32.
            axes: 1 or 3.

        Raises:
            ValueError: any other number.
        """
        # Checked here, because ctypes would take a large or negative number modulo 2^32.
        if samples not in SAMPLES or not 8 <= bands <= 32 or axes not in (1, 3):
            raise ValueError("samples must be 256, 512 or 1024, bands 8 to 32 and axes 1 or 3")
        self.samples, self.bands, self.axes = samples, bands, axes
        self._lib = library()
        # Of 64-bit words, so that it is aligned for the C structures.
        self._state = np.zeros((state_size(samples, bands, axes) + 7) // 8, np.uint64)
        self._lib.vib_init(self._state.ctypes.data, samples, bands, axes)
        self.features = np.empty((axes, bands + STATISTICS), np.int8)
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

    def reset(self) -> None:
        """Forget the frames of the window that is not complete, and set ``features`` to -128."""
        self._lib.vib_reset(self._state.ctypes.data)
        self.features.fill(-128)


def state_size(samples: int, bands: int, axes: int) -> int:
    """Bytes of RAM that one stream takes (``vib_size``), 0 for numbers that the front end refuses."""
    return library().vib_size(samples, bands, axes)


def instructions(samples: int, bands: int, axes: int) -> int:
    """Instructions that a window takes an RV32IMC core, within 1 % (GCC, -O2, counted in QEMU).

    The FFT takes N log2(N) of them; a test measures whether the numbers still hold.
    """
    bits = samples.bit_length() - 1
    return round(axes * (samples * (5 * bits + 114.4) + 80 * bands))


def features(frames: NDArray[np.int16], samples: int, bands: int) -> NDArray[np.int8]:
    """Features of all whole windows of a recording.

    Args:
        frames: ``int16[n, axes]`` or ``int16[n]``.
        samples, bands: as for :class:`VibrationFrontEnd`.

    Returns:
        ``int8[n // samples, axes * (bands + 3)]``.

    Raises:
        ValueError: as :class:`VibrationFrontEnd` and its :meth:`~VibrationFrontEnd.feed`.
    """
    axes = 1 if frames.ndim == 1 else frames.shape[1]
    front = VibrationFrontEnd(samples, bands, axes)
    rows = np.empty((len(frames) // samples, axes * (bands + STATISTICS)), np.int8)
    for row, at in zip(rows, range(0, len(frames), samples), strict=False):
        front.feed(frames[at : at + samples])
        row[:] = front.features.ravel()
    return rows
