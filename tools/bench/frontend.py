"""What a frame of the front end costs a small CPU: instructions counted, not estimated.

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
from cicada.tools.engine import CHANNELS, ENGINE, RATE
from cicada.tools.errors import UserError
from cicada.tools.stages import hash_files, stage

#: Cycles an ESP32 takes for one RV32IMC instruction: ``per_instruction`` of boards/twin/board.py, which
#: gives its source.
CYCLES_PER_INSTRUCTION = 1.57
#: Longest sound the harness has room for, seconds.
LONGEST_S = 16

_HARNESS = "frontend.c"
_USED = ("fe_init", "fe_push")  # what a node calls


@dataclass(frozen=True)
class Frames:
    """What the emulated machine reported for one sound.

    Attributes:
        instructions: ``uint32[frames]``: one ``fe_push`` of one step of samples into a window of 49 rows,
            C library included.
        features: ``uint16[frames, 40]``, as :meth:`cicada.tools.engine.FrontEnd.feed` gives them.
        rows: ``int8[frames, 40]``, the same quantised.
        state_bytes: ``sizeof(fe_state)`` on this machine.
        nops: instructions counted for :data:`cicada.tools.bench.machine.NOPS` that do nothing.
        stack_bytes: of ``fe_push``, what it calls included.
    """

    instructions: NDArray[np.uint32]
    features: NDArray[np.uint16]
    rows: NDArray[np.int8]
    state_bytes: int
    nops: int
    stack_bytes: int


@dataclass(frozen=True)
class Counts:
    """Cost of the front end on RV32IMC (GCC, -O2).

    Attributes:
        instructions_per_frame: mean over :func:`speech_like`.
        instructions_max: the most a frame of it took.
        instructions_silence: mean over digital silence, where much is left out.
        code_bytes: machine code of the engine's objects, without the C library.
        table_bytes: their constants.
        flash_bytes: of it in a program, without the C library.
        state_bytes: RAM of one stream.
        stack_bytes: of ``fe_push``.
    """

    instructions_per_frame: float
    instructions_max: int
    instructions_silence: float
    code_bytes: int
    table_bytes: int
    flash_bytes: int
    state_bytes: int
    stack_bytes: int

    @property
    def cycles_per_frame(self) -> int:
        """Estimated cycles a frame takes on an ESP32, see :data:`CYCLES_PER_INSTRUCTION`."""
        return round(self.instructions_per_frame * CYCLES_PER_INSTRUCTION)


def speech_like(seconds: int = 8, seed: int = 1) -> NDArray[np.int16]:
    """Loud noise that comes and goes like syllables, three a second and then a pause, over faint hiss.

    Made of integers alone, so that it is the same on every machine.

    Returns:
        ``int16[seconds * 16000]``.
    """
    rng = np.random.default_rng(seed)
    count = seconds * RATE
    noise = rng.integers(-32768, 32768, count + 1)
    low = (noise[1:] + noise[:-1]) // 2
    at = np.arange(count)
    quarter = RATE // 4
    swell = np.maximum(0, 1200 - np.abs(at % quarter - 1200)) * (at // quarter % 4 != 3)
    loudness = rng.integers(100, 1000, count // quarter)[at // quarter]
    return (low * swell // 1200 * loudness // 1000 + rng.integers(-8, 9, count)).astype(np.int16)


def build() -> Path:
    """Compile the front end and its harness for RV32IMC, unless that is done; the folder of ``harness.elf``.

    Raises:
        UserError: a program is missing or the compiler failed.
    """
    inputs = {
        "objects": machine.objects("frontend").name,
        "sources": hash_files(
            [ENGINE / "frontend", *machine.HARNESSES.glob("*.[ch]"), Path(machine.__file__)]
        ),
    }

    def make(folder: Path) -> None:
        machine.harness(_HARNESS, "frontend", folder)

    return stage("bench-frontend-harness", inputs, make)


def write_input(folder: Path, pcm: NDArray[np.int16], step_ms: int) -> None:
    """Write ``pcm`` as the file ``input`` that the harness reads from its current folder."""
    (folder / "input").write_bytes(np.uint32(step_ms).astype("<u4").tobytes() + pcm.astype("<i2").tobytes())


def read_output(folder: Path) -> Frames:
    """Read the file ``output`` that the harness wrote; ``frontend.c`` gives its layout.

    Raises:
        UserError: it is missing or not whole.
    """
    path = folder / "output"
    data = path.read_bytes() if path.exists() else b""
    head = np.frombuffer(data[:16], "<u4") if len(data) >= 16 else np.zeros(4, np.uint32)
    state_bytes, nops, count, stack = map(int, head)
    features_at, rows_at = 16 + 4 * count, 16 + (4 + 2 * CHANNELS) * count
    if state_bytes == 0 or len(data) != rows_at + CHANNELS * count:
        raise UserError(f"the emulated front end wrote no whole result to {folder}: check free disk space")
    return Frames(
        np.frombuffer(data[16:features_at], "<u4"),
        np.frombuffer(data[features_at:rows_at], "<u2").reshape(count, CHANNELS),
        np.frombuffer(data[rows_at:], np.int8).reshape(count, CHANNELS),
        state_bytes,
        nops,
        stack,
    )


def measure(pcm: NDArray[np.int16], step_ms: int) -> Frames:
    """Run the front end over ``pcm`` on the emulated machine, from a fresh state.

    Args:
        pcm: ``int16[n]`` at 16 kHz, at most :data:`LONGEST_S` seconds.
        step_ms: milliseconds from frame to frame, 10 or 20.

    Raises:
        ValueError: another step, or too long a sound.
        UserError: a program is missing or failed.
    """
    if step_ms not in (10, 20):
        raise ValueError(f"step_ms must be 10 or 20, not {step_ms}")
    if len(pcm) > LONGEST_S * RATE:
        raise ValueError(f"the harness takes {LONGEST_S} s of sound, not {len(pcm) / RATE:.1f} s")
    elf = build() / "harness.elf"
    with tempfile.TemporaryDirectory(prefix="cicada-bench-") as name:
        folder = Path(name)
        shutil.copy(elf, folder)
        write_input(folder, pcm, step_ms)
        machine.execute(folder)
        return read_output(folder)


def count_frontend(step_ms: int) -> Counts:
    """Count what a frame costs when frames come every ``step_ms`` (10 or 20) milliseconds.

    Raises:
        ValueError: another step.
        UserError: a program is missing or failed.
    """
    loud = measure(speech_like(), step_ms)
    silence = measure(np.zeros(RATE, np.int16), step_ms)
    code, tables = machine.sizes("frontend")
    return Counts(
        float(loud.instructions.mean()),
        int(loud.instructions.max()),
        float(silence.instructions.mean()),
        code,
        tables,
        machine.flash("frontend", _USED),
        loud.state_bytes,
        loud.stack_bytes,
    )
