"""Interpreters with our C modules: MicroPython's unix port, and a bare RV32 machine for QEMU.

The second has 32-bit words, a heap as small as a chip's and no operating system. Both carry what
``tests/modules/*/micropython.mk`` adds: an engine and partitions made for tests.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cicada.tools.engine import ENGINE, compiler
from cicada.tools.errors import UserError
from cicada.tools.micropython.source import Source, ToolMissing, find, find_mbedtls
from cicada.tools.paths import BUILD, FIRMWARE, ROOT
from cicada.tools.stages import hash_files, key, stage

MODULES = FIRMWARE / "modules"
#: Modules that only tests have.
TESTING = ROOT / "tests" / "modules"
#: Heap of the RV32 machine, bytes: about what a chip without PSRAM leaves to the program.
RV32_HEAP = 96 * 1024


@dataclass(frozen=True)
class Port:
    """How one interpreter is made.

    Attributes:
        folder: of the port in MicroPython's tree.
        product: file the port's makefile makes.
        settings: variables of its command line.
        environment: variables it appends to.
        programs: what must be installed, and the Debian package it is in.
    """

    folder: str
    product: str
    settings: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)
    programs: Mapping[str, str] = field(default_factory=dict)


_UNIX = {
    "VARIANT": "standard",
    "FROZEN_MANIFEST": "",
    "MICROPY_PY_FFI": "0",
    "MICROPY_PY_BTREE": "0",
    "MICROPY_PY_SSL": "0",
    # As on ESP32: only with a lock is there something to release in a long call.
    "MICROPY_PY_THREAD_GIL": "1",
}
# MicroPython's collector reads stacks and registers, so use-after-return must be off. Leaving out
# nonnull-attribute is what its own CI does (tools/ci.sh).
_SANITIZE = (
    "-fsanitize=address,undefined --param asan-use-after-return=0"
    " -fno-sanitize=nonnull-attribute -fno-sanitize-recover=undefined"
)
#: By name.
PORTS = {
    "unix": Port("ports/unix", "micropython", _UNIX, programs={"make": "make"}),
    "unix-sanitized": Port(
        "ports/unix",
        "micropython",
        {**_UNIX, "CFLAGS_EXTRA": _SANITIZE, "LDFLAGS_EXTRA": _SANITIZE, "STRIP": ""},
        programs={"make": "make"},
    ),
    "rv32": Port(
        "ports/qemu",
        "firmware.elf",
        {
            "BOARD": "VIRT_RV32",
            "FROZEN_MANIFEST": "",
            "MICROPY_HEAP_SIZE": str(RV32_HEAP),
            # GCC finds its libraries by this name, and not by the port's default, rv32imac_zicsr.
            "RV32_ARCH": "rv32imac",
        },
        # In the instruction sets of that version, control registers need no extension.
        environment={"AFLAGS": "-misa-spec=2.2"},
        programs={
            "make": "make",
            "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf and picolibc-riscv64-unknown-elf",
            "qemu-system-riscv32": "qemu-system-misc",
        },
    ),
}


def build(name: str) -> Path:
    """Build interpreter ``name`` (a key of :data:`PORTS`) unless that is done already; its file.

    Raises:
        ToolMissing: a program or the sources are missing; the message says what to install.
        UserError: the build failed.
    """
    port = PORTS[name]
    for program, package in port.programs.items():
        if not shutil.which(program):
            raise ToolMissing(
                f"{program} is missing, which interpreter '{name}' needs: apt install {package}"
            )
    source, mbedtls = find(), find_mbedtls()
    how = {"port": name, "source": source.identity, "settings": [port.settings, port.environment]}
    how["mbedtls"] = hash_files([mbedtls / "library", mbedtls / "include"])
    if port.folder == "ports/unix":
        how["compiler"] = [*compiler(), _first_line(compiler()[0], "--version")]
    else:
        how["compiler"] = _first_line("riscv64-unknown-elf-gcc", "--version")
    modules = _modules()
    inputs = {**how, "modules": hash_files([ENGINE, *modules, *_headers()])}

    def make(folder: Path) -> None:
        # Objects are kept, so that a changed module costs seconds; all else that matters is in the name.
        objects = BUILD / "micropython" / f"{name}-{key(how)[:8]}"
        with _locked(objects):
            _link_modules(objects / "modules", modules)
            _run_make(name, port, source, mbedtls, objects)
            shutil.copy2(objects / "objects" / port.product, folder / port.product)

    return stage(f"micropython-{name}", inputs, make) / port.product


def _modules() -> list[Path]:
    """Folders of the modules to build in."""
    return sorted(
        makefile.parent for root in (MODULES, TESTING) for makefile in root.glob("*/micropython.mk")
    )


def _headers() -> list[Path]:
    """Headers beside the modules."""
    return sorted(MODULES.glob("*.h"))


def _link_modules(folder: Path, modules: list[Path]) -> None:
    """Make ``folder`` what ``USER_C_MODULES`` wants: one folder with a subfolder for each module."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for module in modules:
        (folder / module.name).symlink_to(module)


def _run_make(name: str, port: Port, source: Source, mbedtls: Path, folder: Path) -> None:
    settings = {
        **port.settings,
        "CICADA_MBEDTLS": mbedtls,  # for tests/modules/trust_testing
        "BUILD": folder / "objects",
        "USER_C_MODULES": folder / "modules",
    }
    if port.folder == "ports/unix":
        settings["CC"] = " ".join(compiler())
    command = ["make", "-C", source.path / port.folder, f"-j{os.cpu_count() or 1}"]
    result = subprocess.run(
        [str(part) for part in command] + [f"{variable}={value}" for variable, value in settings.items()],
        # Its version header would otherwise take the tag of the repository this folder happens to lie in.
        env={**os.environ, **port.environment, "GIT_CEILING_DIRECTORIES": str(source.path.parent)},
        capture_output=True,
        text=True,
        errors="replace",
    )
    log = folder / "make.log"
    log.write_text(result.stdout + result.stderr)
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines() or ["it gave no message"]
        first = next((line for line in lines if "error" in line.lower()), lines[0]).strip()
        raise UserError(f"building interpreter '{name}' failed: {first} (all of it in {log})")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of ``folder`` meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _first_line(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, errors="replace")
    return (result.stdout.splitlines() or [""])[0]
