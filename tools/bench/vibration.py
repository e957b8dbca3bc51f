"""What a window of the vibration front end costs a small CPU: instructions counted, not estimated.

The features come back too: they must be those of the engine on this machine.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cicada.tools.bench import machine
from cicada.tools.engine import ENGINE
from cicada.tools.errors import UserError
from cicada.tools.stages import hash_files, stage
from cicada.tools.vibration import STATISTICS

#: Most samples the harness has room for, of all axes together.
LONGEST = 16384

_HARNESS, _PART = "vibration.c", "vibration"
#: What it shares with the audio front end: the bit lengths and the logarithm's table.
_SHARED = ENGINE / "frontend" / "tables.c"


@dataclass(frozen=True)
class Windows:
    """What the emulated machine reported.

    Attributes:
        instructions: ``uint32[windows]``: one ``vib_feed`` of the frames of one window.
        features: ``int8[windows, axes * (bands + 3 + envelope)]``.
        nops: instructions counted for :data:`cicada.tools.bench.machine.NOPS` that do nothing.
        state_bytes: RAM of a stream.
        stack_bytes: of ``vib_feed``, what it calls included.
    """

    instructions: NDArray[np.uint32]
    features: NDArray[np.int8]
    nops: int
    state_bytes: int
    stack_bytes: int


def measure(frames: NDArray[np.int16], samples: int, bands: int, envelope: int = 0) -> Windows:
    """Run the front end over ``frames`` on the emulated RV32IMC machine.

    Args:
        frames: ``int16[n, axes]``, at most :data:`LONGEST` samples.
        samples, bands, envelope: as for :class:`cicada.tools.vibration.VibrationFrontEnd`.

    Raises:
        ValueError: too many frames.
        UserError: a program is missing or failed.
    """
    if frames.size > LONGEST:
        raise ValueError(f"the harness takes {LONGEST} samples, not {frames.size}")
    axes = frames.shape[1]
    elf = _build() / "harness.elf"
    with tempfile.TemporaryDirectory(prefix="cicada-bench-") as name:
        folder = Path(name)
        shutil.copy(elf, folder)
        head = np.array([samples, bands, axes, envelope], "<u4").tobytes()
        (folder / "input").write_bytes(head + frames.astype("<i2").tobytes())
        machine.execute(folder)
        return _read(folder / "output", axes * (bands + STATISTICS + envelope))


def flash_bytes() -> int:
    """Code and tables in a program that uses the front end, those shared with the audio front end included.

    Raises:
        UserError: as :func:`measure`.
    """
    return machine.flash(_PART, ("vib_init", "vib_feed"), [_SHARED])


def _build() -> Path:
    inputs = {
        "objects": machine.objects(_PART).name,
        "sources": hash_files(
            [_SHARED, machine.HARNESSES / _HARNESS, machine.HARNESSES / "bare.h", Path(machine.__file__)]
        ),
    }

    def make(folder: Path) -> None:
        machine.harness(_HARNESS, _PART, folder, [_SHARED])

    return stage("bench-vibration-harness", inputs, make)


def _read(path: Path, width: int) -> Windows:
    data = path.read_bytes() if path.exists() else b""
    nops, size, stack, count = map(int, np.frombuffer(data[:16].ljust(16, b"\0"), "<u4"))
    if size == 0 or len(data) != 16 + (4 + width) * count:
        raise UserError(f"the emulated front end wrote no whole result to {path}: check free disk space")
    rows = np.frombuffer(data[16 + 4 * count :], np.int8).reshape(count, width)
    return Windows(np.frombuffer(data[16 : 16 + 4 * count], "<u4"), rows, nops, size, stack)
