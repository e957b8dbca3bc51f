"""The device's C engine on this machine: compiled once, called through ctypes.

Training, the twin and the tests get their features here, from the very sources the device links
(``firmware/engine``); there is no second implementation. What the features are is in docs/frontend.md.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cicada.tools.errors import UserError
from cicada.tools.paths import FIRMWARE
from cicada.tools.stages import hash_files, stage

#: Folder of the C sources.
ENGINE = FIRMWARE / "engine"
#: Samples a second the front end expects.
RATE = 16000
#: Samples a frame looks at (30 ms).
WINDOW = 480
#: Features a frame.
CHANNELS = 40

FLAGS = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-fPIC")
SANITIZE = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")


def compiler() -> list[str]:
    """The C compiler as the start of a command line: ``$CC``, or else the first of cc, gcc and clang.

    Raises:
        UserError: there is none.
    """
    chosen = shlex.split(os.environ.get("CC", ""))
    candidates = [chosen] if chosen else [["cc"], ["gcc"], ["clang"]]
    for command in candidates:
        if shutil.which(command[0]):
            return command
    missing = f"$CC names '{chosen[0]}', which is not there" if chosen else "no C compiler found"
    hint = "xcode-select --install" if sys.platform == "darwin" else "apt install gcc"
    raise UserError(f"building the engine: {missing}; install gcc or clang (for instance: {hint})")


def run_compiler(arguments: Sequence[str | Path]) -> None:
    """Run the C compiler.

    Raises:
        UserError: it failed; the message carries its first line.
    """
    command = [*compiler(), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines()
        errors = [line for line in lines if "error" in line] or lines or ["it gave no message"]
        raise UserError(f"building the engine with '{command[0]}' failed: {errors[0].strip()}")


def sources() -> list[Path]:
    """The engine's C files."""
    return sorted(ENGINE.rglob("*.c"))


def build(sanitize: bool = False) -> Path:
    """Compile the engine to a shared library, unless that is done already, and return its path.

    Args:
        sanitize: with AddressSanitizer and UndefinedBehaviorSanitizer, which end the process at the
            first fault. Such a library is for linking into a sanitised program.

    Raises:
        UserError: no compiler, or it failed.
    """
    flags = [*FLAGS, *(SANITIZE if sanitize else ())]
    name = "libcicada_engine" + (".dylib" if sys.platform == "darwin" else ".so")
    version = subprocess.run([*compiler(), "--version"], capture_output=True, text=True, errors="replace")
    inputs = {
        "sources": hash_files([*sources(), *ENGINE.rglob("*.h")]),
        "command": [*compiler(), *flags],
        "compiler": version.stdout,
    }

    def make(folder: Path) -> None:
        run_compiler([*flags, "-shared", "-o", folder / name, *sources()])

    return stage("engine-sanitized" if sanitize else "engine", inputs, make) / name


class _Rect(ctypes.Structure):
    """``img_rect`` of ``image/scale.h``."""

    _fields_ = [(name, ctypes.c_uint32) for name in ("x", "y", "width", "height")]


def load(path: Path) -> ctypes.CDLL:
    """Open a library made by :func:`build` and declare its functions."""
    library = ctypes.CDLL(str(path))
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    for name, result, arguments in (
        ("fe_sizeof", size, []),
        ("fe_init", ctypes.c_bool, [pointer, ctypes.c_uint]),
        ("fe_reset", None, [pointer]),
        ("fe_frames", size, [pointer, size]),
        ("fe_quantise", None, [pointer, pointer, size]),
        ("fe_push", size, [pointer, pointer, size, pointer, size]),
        ("fe_batch", size, [pointer, pointer, size, pointer, pointer, size]),
        ("delta_add", None, [pointer, pointer, size]),
        ("pcm_mono16", ctypes.c_uint32, [pointer, size, ctypes.c_uint, ctypes.c_uint, pointer]),
        (
            "pcm_mono16_centred",
            ctypes.c_uint32,
            [pointer, size, ctypes.c_uint, ctypes.c_uint, pointer, pointer],
        ),
        ("img_centred", _Rect, [ctypes.c_uint32] * 4),
        ("img_fits", ctypes.c_bool, [ctypes.c_uint32, ctypes.c_uint32, pointer, *[ctypes.c_uint32] * 2]),
        (
            "img_scale",
            None,
            [pointer, ctypes.c_uint32, pointer, pointer, *[ctypes.c_uint32] * 2, ctypes.c_int],
        ),
        ("cpm_check", ctypes.c_char_p, [pointer, size]),
        ("cpm_open", None, [pointer, pointer, pointer]),
        ("cpm_reset", None, [pointer]),
        ("cpm_input", pointer, [pointer]),
        ("cpm_output", pointer, [pointer]),
        ("cpm_invoke", None, [pointer]),
        ("cpm_selftest", ctypes.c_bool, [pointer]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


@functools.cache
def library() -> ctypes.CDLL:
    """The engine with its functions declared, built if need be.

    Raises:
        UserError: no compiler, or it failed.
    """
    return load(build())


class FrontEnd:
    """One stream of sound through the log-mel front end; any number may run side by side.

    The GIL is released while C code runs. One instance serves one thread at a time.
    """

    def __init__(self, step_ms: int = 20) -> None:
        """Start a stream that gives a frame every ``step_ms`` milliseconds (10 or 20).

        Raises:
            UserError: any other step.
        """
        self._lib = library()
        # Of 64-bit words, so that it is aligned for the C structure.
        self._state = np.zeros((state_size() + 7) // 8, np.uint64)
        # Checked here, because ctypes would take a large or negative number modulo 2^32.
        if step_ms not in (10, 20) or not self._lib.fe_init(self._state.ctypes.data, int(step_ms)):
            raise UserError(f"the front end cannot step by {step_ms} ms: choose 10 or 20")

    def reset(self) -> None:
        """Forget all sound heard so far."""
        self._lib.fe_reset(self._state.ctypes.data)

    def feed(self, pcm: NDArray[np.int16]) -> NDArray[np.uint16]:
        """Take samples and return the frames they complete.

        Args:
            pcm: ``int16[n]`` at :data:`RATE`; any n, also 0.

        Returns:
            ``uint16[frames, 40]``: 64 times the natural logarithm of the normalised band amplitudes.

        Raises:
            TypeError: ``pcm`` is no int16 array.
            ValueError: it has not one dimension.
        """
        pcm = _samples(pcm)
        count = self._lib.fe_frames(self._state.ctypes.data, pcm.size)
        frames = np.empty((count, CHANNELS), np.uint16)
        self._lib.fe_batch(
            self._state.ctypes.data, pcm.ctypes.data, pcm.size, frames.ctypes.data, None, count
        )
        return frames

    def push(self, pcm: NDArray[np.int16], window: NDArray[np.int8]) -> int:
        """Take samples and roll each completed frame, quantised, into ``window``.

        Args:
            pcm: ``int16[n]`` at :data:`RATE`.
            window: ``int8[frames, 40]``, C-contiguous and writable; the newest frame is the last row.

        Returns:
            Number of new frames (may exceed ``frames``).

        Raises:
            TypeError: wrong dtype.
            ValueError: wrong shape, or a window that cannot be written in place.
        """
        pcm = _samples(pcm)
        if not isinstance(window, np.ndarray) or window.dtype != np.int8:
            raise TypeError(f"window must be an int8 array, not {_kind(window)}")
        if window.ndim != 2 or window.shape[1] != CHANNELS:
            raise ValueError(f"window must have the shape [frames, {CHANNELS}], not {list(window.shape)}")
        if not (window.flags.c_contiguous and window.flags.writeable):
            raise ValueError("window must be C-contiguous and writable")
        return self._lib.fe_push(
            self._state.ctypes.data, pcm.ctypes.data, pcm.size, window.ctypes.data, len(window)
        )


def state_size() -> int:
    """Bytes of RAM one stream takes (``sizeof(fe_state)`` on this machine)."""
    return library().fe_sizeof()


def quantise(features: NDArray[np.uint16]) -> NDArray[np.int8]:
    """Turn features into a model's int8 input: ``clamp(round(v * 5 / 13) - 128)``, any shape.

    Source of the scale: TFLM's micro_speech example (256 / (25.6 * 26)).

    Raises:
        TypeError: ``features`` is no uint16 array.
    """
    if not isinstance(features, np.ndarray) or features.dtype != np.uint16:
        raise TypeError(f"features must be a uint16 array, not {_kind(features)}")
    features = np.ascontiguousarray(features)
    out = np.empty(features.shape, np.int8)
    library().fe_quantise(features.ctypes.data, out.ctypes.data, out.size)
    return out


def features(pcm: NDArray[np.int16], step_ms: int = 20) -> NDArray[np.int8]:
    """Quantised features of a whole recording, from a fresh state.

    Args:
        pcm: ``int16[n]`` at :data:`RATE`.
        step_ms: milliseconds from frame to frame, 10 or 20.

    Returns:
        ``int8[frames, 40]`` with ``frames = 1 + (n - 480) // (16 * step_ms)``, none below 480 samples.

    Raises:
        TypeError, ValueError, UserError: as :class:`FrontEnd` and :meth:`FrontEnd.feed`.
    """
    return quantise(FrontEnd(step_ms).feed(pcm))


#: What :func:`mono16`'s ``level`` holds before the first sample.
NO_LEVEL = -(1 << 31)


def mono16(
    frames: NDArray[np.int32], slot: int, gain_bits: int, level: NDArray[np.int32] | None = None
) -> tuple[NDArray[np.int16], int]:
    """16-bit mono from the 32-bit stereo frames of an I2S microphone.

    Args:
        frames: ``int32[n, 2]``, samples left-justified.
        slot: the column that carries the microphone, 0 or 1.
        gain_bits: how many bits below the upper 16 are kept, 0 to 16; each doubles the sound, clipped.
        level: ``int32[1]``, the memory of the filter that takes out what is constant; changed. The gain is at
            most 8 then. Without it nothing is taken out.

    Returns:
        ``int16[n]``, and the distance from its lowest to its highest sample.

    Raises:
        ValueError: for any other dtype, shape, slot or gain.
    """
    if frames.dtype != np.int32 or frames.ndim != 2 or frames.shape[1] != 2:
        raise ValueError(f"frames must be int32[n, 2], not {frames.dtype}{list(frames.shape)}")
    if slot not in (0, 1) or not 0 <= gain_bits <= 16:
        raise ValueError(f"slot must be 0 or 1 and gain_bits 0 to 16, not {slot} and {gain_bits}")
    frames = np.ascontiguousarray(frames)
    out = np.empty(len(frames), np.int16)
    if level is None:
        span = library().pcm_mono16(frames.ctypes.data, len(frames), slot, gain_bits, out.ctypes.data)
        return out, span
    if level.dtype != np.int32 or level.shape != (1,) or gain_bits > 8:
        raise ValueError(
            f"level must be int32[1], not {level.dtype}{list(level.shape)}, and gain_bits 0 to 8"
        )
    span = library().pcm_mono16_centred(
        frames.ctypes.data, len(frames), slot, gain_bits, level.ctypes.data, out.ctypes.data
    )
    return out, span


def add(target: NDArray[np.uint8], difference: NDArray[np.uint8]) -> None:
    """Add ``difference`` to ``target`` in place, each byte modulo 256: what an update's differences are.

    Args:
        target: ``uint8[n]``, C-contiguous and writable.
        difference: ``uint8[n]``, C-contiguous; the same array or one that does not overlap it.

    Raises:
        ValueError: for any other dtype or shape, or a target that cannot be written in place.
    """
    for array in (target, difference):
        if array.dtype != np.uint8 or array.ndim != 1 or not array.flags.c_contiguous:
            raise ValueError(f"bytes must be contiguous uint8[n], not {array.dtype}{list(array.shape)}")
    if not target.flags.writeable or len(target) != len(difference):
        raise ValueError("target must be writable and as long as the difference")
    library().delta_add(target.ctypes.data, difference.ctypes.data, len(target))


#: Forms of a pixel, in the order of ``img_form`` (``image/scale.h``): gray byte, gray - 128 as int8, RGB565
#: with the high byte first.
FORMS = ("gray", "int8", "rgb565")


def centred_crop(columns: int, rows: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of the largest rectangle ``width:height`` in the middle of a frame.

    Raises:
        ValueError: a size is not 1 to 4096.
    """
    sizes = columns, rows, width, height
    # Checked here, because ctypes would take a large or negative number modulo 2^32.
    if not all(1 <= n <= 4096 for n in sizes):
        raise ValueError("sizes must be 1 to 4096")
    rect = library().img_centred(*sizes)
    return rect.x, rect.y, rect.width, rect.height


def scale_frame(
    frame: NDArray[np.uint8],
    width: int,
    height: int,
    crop: tuple[int, int, int, int] | None = None,
    form: str = "gray",
) -> NDArray[np.uint8]:
    """Crop a camera's frame and scale the crop: each result pixel is the mean of the area it covers.

    Args:
        frame: ``uint8[rows, columns]`` gray, or ``uint8[rows, columns, 2]`` for ``form="rgb565"``.
        width, height: pixels of the result.
        crop: left, top, width, height in pixels of the frame; without it the largest centred rectangle of the
            result's aspect ratio.
        form: one of :data:`FORMS`.

    Returns:
        ``uint8[height, width]`` or ``uint8[height, width, 2]``: the bytes a device writes.

    Raises:
        ValueError: a size is not 1 to 4096, or the crop leaves the frame.
    """
    frame = np.ascontiguousarray(frame, np.uint8)
    pixel = frame.shape[2:]
    if frame.ndim not in (2, 3) or pixel != ((2,) if form == "rgb565" else ()):
        raise ValueError(f"a frame of the form {form} cannot have the shape {list(frame.shape)}")
    rows, columns = frame.shape[:2]
    crop = crop or centred_crop(columns, rows, width, height)
    rect = _Rect(*crop)
    # As ctypes would take a large or negative number modulo 2^32.
    small = all(0 <= n <= 4096 for n in (*crop, width, height))
    if not small or not library().img_fits(columns, rows, ctypes.byref(rect), width, height):
        raise ValueError("sizes must be 1 to 4096, and the crop within the frame")
    out = np.empty((height, width, *pixel), np.uint8)
    library().img_scale(
        frame.ctypes.data, columns, ctypes.byref(rect), out.ctypes.data, width, height, FORMS.index(form)
    )
    return out


def _samples(pcm: object) -> NDArray[np.int16]:
    """``pcm`` checked and contiguous."""
    if not isinstance(pcm, np.ndarray) or pcm.dtype != np.int16:
        raise TypeError(f"samples must be an int16 array, not {_kind(pcm)}")
    if pcm.ndim != 1:
        raise ValueError(f"samples must have one dimension (mono), not the shape {list(pcm.shape)}")
    return np.ascontiguousarray(pcm)


def _kind(value: object) -> str:
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
