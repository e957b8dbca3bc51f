"""A bare RV32IMC machine: what is compiled for it, how it runs, and what a program takes of its flash.

The machine is QEMU's ``virt``. With ``-icount shift=0`` QEMU counts each executed instruction, so the same
compiler gives the same figures on every run and every machine. Compilers are GCC 12.2 and picolibc of
Debian 12; flags are those of a device: ``-O2``, a section for each function and datum, unused ones dropped.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cicada.tools.engine import ENGINE, FLAGS
from cicada.tools.errors import UserError
from cicada.tools.stages import hash_files, stage

#: Folder of the harnesses' C sources.
HARNESSES = Path(__file__).parent
#: Instructions that do nothing in ``bare.h``; a right counter counts exactly these.
NOPS = 1000
#: What the engine uses of the C library; chips have it in ROM.
LIBRARY = ("memcpy", "memmove", "memset")

_GCC, _SIZE, _QEMU = "riscv64-unknown-elf-gcc", "riscv64-unknown-elf-size", "qemu-system-riscv32"
_TARGET = (
    *("-march=rv32imc", "-mabi=ilp32", *(flag for flag in FLAGS if flag != "-fPIC")),
    *("-ffunction-sections", "-fdata-sections"),
)
# The C library's "release" build copies memory by words, as those of the chips do; its default copies bytes.
_LIBRARY = ("--specs=picolibc.specs", "--picolibc-buildtype=release")
_HOSTED = ("--crt0=semihost", "--oslib=semihost")
_TABLE = "kernels"
# RAM of QEMU's virt machine starts at 0x80000000 (QEMU, hw/riscv/virt.c); code below, data above. The flash's
# place and size are bare.h's too.
_MEMORY = (
    *("-Wl,--gc-sections", "-Wl,--defsym=__flash=0x80000000", "-Wl,--defsym=__flash_size=4M"),
    *("-Wl,--defsym=__ram=0x80400000", "-Wl,--defsym=__ram_size=4M"),
)
#: Starts QEMU on the file ``harness.elf`` of the current folder, one counted instruction a nanosecond.
EMULATOR = (
    *(_QEMU, "-M", "virt", "-bios", "none", "-nographic", "-monitor", "none", "-serial", "none"),
    *("-icount", "shift=0", "-semihosting-config", "enable=on,target=native", "-kernel", "harness.elf"),
)


def available() -> str | None:
    """``None`` if all needed programs are there, else a sentence naming the Debian packages to install."""
    missing = []
    if not (shutil.which(_GCC) and shutil.which(_SIZE)):
        missing = ["gcc-riscv64-unknown-elf", "picolibc-riscv64-unknown-elf"]
    elif not Path(output(_GCC, "-print-file-name=picolibc.specs").strip()).is_absolute():
        missing = ["picolibc-riscv64-unknown-elf"]
    if not shutil.which(_QEMU):
        missing.append("qemu-system-misc")
    if not missing:
        return None
    return f"counting instructions needs programs that are not here: apt install {' '.join(missing)}"


def objects(part: str) -> Path:
    """Compile one folder of the engine, unless that is done; returns the folder of its ``*.o``.

    Args:
        part: folder below ``firmware/engine``, such as "frontend".

    Raises:
        UserError: a program is missing or the compiler failed.
    """
    problem = available()
    if problem:
        raise UserError(problem)
    sources = sorted((ENGINE / part).glob("*.c"))
    inputs = {
        "sources": hash_files([*sources, *(ENGINE / part).glob("*.h")]),
        "flags": [*_TARGET, *_LIBRARY],
        # The macros tell the versions of the compiler and of the C library.
        "versions": output(_GCC, _LIBRARY[0], "-dM", "-E", "-include", "picolibc.h", "-x", "c", "/dev/null"),
    }

    def make(folder: Path) -> None:
        for source in sources:
            output(_GCC, *_TARGET, _LIBRARY[0], "-c", source, "-o", folder / f"{source.stem}.o")

    return stage(f"bench-{part}", inputs, make)


def harness(source: str, part: str, to: Path, parts: Sequence[str | Path] = ()) -> Path:
    """Link a harness of this package with a part of the engine.

    Args:
        source: name of the harness, such as "frontend.c".
        part: as in :func:`objects`.
        to: folder that gets ``harness.elf``.
        parts: more arguments for the compiler: definitions, sources.

    Returns:
        The file.

    Raises:
        UserError: as :func:`objects`.
    """
    elf = to / "harness.elf"
    include = f"-I{ENGINE / part}"
    output(
        *(_GCC, *_TARGET, *_LIBRARY, *_HOSTED, *_MEMORY, include, *parts),
        *("-o", elf, HARNESSES / source, *_linked(part)),
    )
    return elf


def execute(folder: Path) -> None:
    """Run ``harness.elf`` in its folder.

    Raises:
        UserError: the emulator is missing, or the program failed or faulted.
    """
    output(*EMULATOR, folder=folder)


def flash(
    part: str, functions: Sequence[str], parts: Sequence[str | Path] = (), library: bool = False
) -> int:
    """Bytes of flash that a program takes which uses some functions of a part of the engine.

    That is code and constants of these functions and of everything they use, the compiler's own functions
    included, and nothing else: no start-up code, and without ``library`` nothing of the C library.

    Args:
        part: as in :func:`objects`.
        functions: names of the functions that are used.
        parts: more arguments for the compiler.
        library: count :data:`LIBRARY`, too.

    Raises:
        UserError: as :func:`objects`, or the part has data to write, which the engine must not have.
    """
    needed = [f"-Wl,-u,{name}" for name in functions]
    # Where a call is as long as any other in a program of this size.
    elsewhere = [] if library else [f"-Wl,--defsym={name}=0x80080000" for name in LIBRARY]
    with tempfile.TemporaryDirectory(prefix="cicada-bench-") as name:
        elf = Path(name) / "part.elf"
        output(
            *(_GCC, *_TARGET, *_LIBRARY, *_MEMORY, "-nostartfiles", "-Wl,-e,0", *needed, *elsewhere),
            *(f"-I{ENGINE / part}", *parts, "-o", elf, *_linked(part)),
        )
        listing = output(_SIZE, "-A", elf)
    sections = dict(re.findall(r"^(\.[\w.]+)\s+(\d+)", listing, re.M))
    if any(int(sections.get(section, 0)) for section in (".data", ".bss", ".sdata", ".sbss")):
        raise UserError(f"firmware/engine/{part} has data to write: make it constant")
    return sum(int(size) for section, size in sections.items() if section in (".text", ".rodata", ".init"))


def _linked(part: str) -> list[Path]:
    """The objects of a part, but for the runtime's table of all kernels: a build may have its own."""
    return [path for path in sorted(objects(part).glob("*.o")) if path.stem != _TABLE]


def sizes(part: str) -> tuple[int, int]:
    """Code and constants of a part of the engine in bytes, all of it and without the C library."""
    listing = output(_SIZE, "-A", *sorted(objects(part).glob("*.o")))
    found = re.findall(r"^\.(text|s?rodata)\S*\s+(\d+)", listing, re.M)
    code = sum(int(size) for name, size in found if name == "text")
    return code, sum(int(size) for name, size in found) - code


def output(*command: str | Path, folder: Path | None = None) -> str:
    """Run a program in ``folder`` and return what it printed.

    Raises:
        UserError: it failed or did not end within two minutes; the message carries its first error.
    """
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
