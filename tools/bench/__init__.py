"""What the engine costs a small CPU: instructions counted, not estimated.

The front end is compiled for RV32IMC as a device would compile it, linked with ``harness.c`` and run on
QEMU's bare ``virt`` machine. With ``-icount shift=0`` QEMU counts each executed instruction, so the same
compiler gives the same figures on every run and every machine. The features come back too: they must be
those of the engine on this machine.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from cicada.tools.engine import CHANNELS, ENGINE, FLAGS, RATE, sources
from cicada.tools.errors import UserError
from cicada.tools.stages import hash_files, stage

#: Cycles an ESP32 takes for an instruction; the source is given with ``per_frame`` in boards/twin/board.py.
CYCLES_PER_INSTRUCTION = 1.22
#: Instructions that do nothing in ``harness.c``; a right counter counts exactly these.
NOPS = 1000
#: Longest sound the harness has room for, seconds.
LONGEST_S = 16

_GCC, _SIZE, _QEMU = "riscv64-unknown-elf-gcc", "riscv64-unknown-elf-size", "qemu-system-riscv32"
_HARNESS = Path(__file__).with_name("harness.c")
_TARGET = ("-march=rv32imc", "-mabi=ilp32", *(flag for flag in FLAGS if flag != "-fPIC"))
# The C library's "release" build copies memory by words, as those of the chips do; its default copies bytes.
_LIBRARY = ("--specs=picolibc.specs", "--picolibc-buildtype=release", "--crt0=semihost", "--oslib=semihost")
# RAM of QEMU's virt machine starts at 0x80000000 (QEMU, hw/riscv/virt.c); code below, data above.
_MEMORY = (
    *("-Wl,--defsym=__flash=0x80000000", "-Wl,--defsym=__flash_size=4M"),
    *("-Wl,--defsym=__ram=0x80400000", "-Wl,--defsym=__ram_size=4M"),
)
#: Starts QEMU on the file ``harness.elf`` of the current folder, one counted instruction a nanosecond.
EMULATOR = (
    *(_QEMU, "-M", "virt", "-bios", "none", "-nographic", "-monitor", "none", "-serial", "none"),
    *("-icount", "shift=0", "-semihosting-config", "enable=on,target=native", "-kernel", "harness.elf"),
)


@dataclass(frozen=True)
class Frames:
    """What the emulated machine reported for one sound.

    Attributes:
        instructions: ``uint32[frames]``: one ``fe_push`` of one step of samples into a window of 49 rows,
            C library included.
        features: ``uint16[frames, 40]``, as :meth:`cicada.tools.engine.FrontEnd.feed` gives them.
        rows: ``int8[frames, 40]``, the same quantised.
        state_bytes: ``sizeof(fe_state)`` on this machine.
        nops: instructions counted for :data:`NOPS` that do nothing.
    """

    instructions: NDArray[np.uint32]
    features: NDArray[np.uint16]
    rows: NDArray[np.int8]
    state_bytes: int
    nops: int


@dataclass(frozen=True)
class Counts:
    """Cost of the front end on RV32IMC (GCC, -O2).

    Attributes:
        instructions_per_frame: mean over :func:`speech_like`.
        instructions_max: the most a frame of it took.
        instructions_silence: mean over digital silence, where much is left out.
        code_bytes: machine code of the engine's objects, without the C library.
        table_bytes: their constants.
        state_bytes: RAM of one stream.
    """

    instructions_per_frame: float
    instructions_max: int
    instructions_silence: float
    code_bytes: int
    table_bytes: int
    state_bytes: int

    @property
    def cycles_per_frame(self) -> int:
        """Estimated cycles a frame takes on an ESP32, see :data:`CYCLES_PER_INSTRUCTION`."""
        return round(self.instructions_per_frame * CYCLES_PER_INSTRUCTION)


def available() -> str | None:
    """``None`` if all needed programs are there, else a sentence naming the Debian packages to install."""
    missing = []
    if not (shutil.which(_GCC) and shutil.which(_SIZE)):
        missing = ["gcc-riscv64-unknown-elf", "picolibc-riscv64-unknown-elf"]
    elif not Path(_output(_GCC, "-print-file-name=picolibc.specs").strip()).is_absolute():
        missing = ["picolibc-riscv64-unknown-elf"]
    if not shutil.which(_QEMU):
        missing.append("qemu-system-misc")
    if not missing:
        return None
    return f"counting instructions needs programs that are not here: apt install {' '.join(missing)}"


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
    """Compile engine and harness for RV32IMC, unless that is done; returns the folder of ``harness.elf``.

    The file ``sizes`` beside it is what ``size -A`` says of the engine's objects.

    Raises:
        UserError: a program is missing or the compiler failed.
    """
    problem = available()
    if problem:
        raise UserError(problem)
    inputs = {
        "sources": hash_files([*sources(), *ENGINE.rglob("*.h"), _HARNESS]),
        "flags": [*_TARGET, *_LIBRARY, *_MEMORY],
        # The macros tell the versions of the compiler and of the C library.
        "versions": _output(_GCC, _LIBRARY[0], "-dM", "-E", "-include", "picolibc.h", "-x", "c", "/dev/null"),
    }

    def make(folder: Path) -> None:
        objects = []
        for source in sources():
            objects.append(folder / f"{source.parent.name}_{source.stem}.o")
            _output(_GCC, *_TARGET, *_LIBRARY[:1], "-c", source, "-o", objects[-1])
        include = f"-I{ENGINE / 'frontend'}"
        elf = folder / "harness.elf"
        _output(_GCC, *_TARGET, *_LIBRARY, *_MEMORY, include, "-o", elf, _HARNESS, *objects)
        (folder / "sizes").write_text(_output(_SIZE, "-A", *objects))

    return stage("bench", inputs, make)


def write_input(folder: Path, pcm: NDArray[np.int16], step_ms: int) -> None:
    """Write ``pcm`` as the file ``input`` that the harness reads from its current folder."""
    (folder / "input").write_bytes(np.uint32(step_ms).astype("<u4").tobytes() + pcm.astype("<i2").tobytes())


def read_output(folder: Path) -> Frames:
    """Read the file ``output`` that the harness wrote; ``harness.c`` gives its layout.

    Raises:
        UserError: it is missing or not whole.
    """
    path = folder / "output"
    data = path.read_bytes() if path.exists() else b""
    head = np.frombuffer(data[:12], "<u4") if len(data) >= 12 else np.zeros(3, np.uint32)
    state_bytes, nops, count = map(int, head)
    features_at, rows_at = 12 + 4 * count, 12 + (4 + 2 * CHANNELS) * count
    if state_bytes == 0 or len(data) != rows_at + CHANNELS * count:
        raise UserError(f"the emulated front end wrote no whole result to {folder}: check free disk space")
    return Frames(
        np.frombuffer(data[12:features_at], "<u4"),
        np.frombuffer(data[features_at:rows_at], "<u2").reshape(count, CHANNELS),
        np.frombuffer(data[rows_at:], np.int8).reshape(count, CHANNELS),
        state_bytes,
        nops,
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
        _output(*EMULATOR, folder=folder)
        return read_output(folder)


def count_frontend(step_ms: int) -> Counts:
    """Count what a frame costs when frames come every ``step_ms`` (10 or 20) milliseconds.

    Raises:
        ValueError: another step.
        UserError: a program is missing or failed.
    """
    loud = measure(speech_like(), step_ms)
    silence = measure(np.zeros(RATE, np.int16), step_ms)
    sections = re.findall(r"^\.(text|s?rodata)\S*\s+(\d+)", (build() / "sizes").read_text(), re.M)
    return Counts(
        float(loud.instructions.mean()),
        int(loud.instructions.max()),
        float(silence.instructions.mean()),
        sum(int(size) for name, size in sections if name == "text"),
        sum(int(size) for name, size in sections if name != "text"),
        loud.state_bytes,
    )


def bench() -> int:
    """Print what the front end costs, for people, and return 0.

    Raises:
        UserError: a program is missing or failed.
    """
    steps = (10, 20)
    counts = [count_frontend(step) for step in steps]
    table = Table("front end on RV32IMC (GCC -O2)", *(f"every {step} ms" for step in steps))
    for column in table.columns[1:]:
        column.justify = "right"
    rows = (
        ("instructions a frame, loud", lambda c: f"{c.instructions_per_frame:,.0f}"),
        ("most in a frame", lambda c: f"{c.instructions_max:,}"),
        ("in digital silence", lambda c: f"{c.instructions_silence:,.0f}"),
        (f"cycles on ESP32, at {CYCLES_PER_INSTRUCTION}", lambda c: f"{c.cycles_per_frame:,}"),
        ("code, bytes", lambda c: f"{c.code_bytes:,}"),
        ("tables, bytes", lambda c: f"{c.table_bytes:,}"),
        ("RAM a stream, bytes", lambda c: f"{c.state_bytes:,}"),
    )
    for title, show in rows:
        table.add_row(title, *(show(c) for c in counts))
    Console(highlight=False).print(table)
    return 0


def _output(*command: str | Path, folder: Path | None = None) -> str:
    """Run a program in ``folder`` and return what it printed."""
    name = command[0]
    try:
        result = subprocess.run(
            [str(part) for part in command], cwd=folder, capture_output=True, text=True, timeout=120
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"counting instructions: {name} did not end within 120 s; try again") from None
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines() or ["it gave no message"]
        first = next((line for line in lines if "error" in line), lines[0]).strip()
        raise UserError(
            f"counting instructions: {name} failed ({result.returncode}): {first}; its version may differ"
            " from Debian 12's, with which this was made"
        )
    return result.stdout
