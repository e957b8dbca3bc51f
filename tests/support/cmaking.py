"""``firmware/CMakeLists.txt`` up to where ESP-IDF takes over: real CMake, and an ESP-IDF of two files."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from cicada.tools.paths import FIRMWARE

#: For tests that call :func:`configure`.
needs_cmake = pytest.mark.skipif(not shutil.which("cmake"), reason="needs cmake (Debian: apt install cmake)")

_PROJECT = """
function(idf_build_set_property name value)
    message(STATUS "property ${name}=${value}")
endfunction()
macro(project name)
    foreach(what IDF_TARGET PROJECT_VER EXTRA_COMPONENT_DIRS MICROPY_FROZEN_MANIFEST
            MICROPY_MANIFEST_CICADA_IDENTITY_DIR)
        message(STATUS "${name}: ${what}=${${what}}")
    endforeach()
    message(STATUS "${name}: environment=$ENV{MICROPYTHON_DIR}")
    message(STATUS "${name}: tflm=$ENV{CICADA_WITH_TFLM} without ${EXCLUDE_COMPONENTS}")
    _project(${name} NONE)
endmacro()
"""


def make_world(tmp_path):
    """Make an ESP-IDF and a MicroPython of the few files that are read; the variables that lead to them."""
    cmake = tmp_path / "idf" / "tools" / "cmake"
    cmake.mkdir(parents=True)
    (cmake / "project.cmake").write_text(_PROJECT)
    (cmake / "version.cmake").write_text(
        "set(IDF_VERSION_MAJOR 5)\nset(IDF_VERSION_MINOR 5)\nset(IDF_VERSION_PATCH 1)\n"
    )
    micropython = tmp_path / "micropython"
    (micropython / "py").mkdir(parents=True)
    parts = (("MAJOR", 1), ("MINOR", 28), ("MICRO", 0))
    (micropython / "py" / "mpconfig.h").write_text(
        "".join(f"#define MICROPY_VERSION_{name} {number}\n" for name, number in parts)
    )
    fragments = micropython / "ports" / "esp32" / "boards"
    fragments.mkdir(parents=True)
    (fragments.parent / "esp32_common.cmake").write_text("")
    for name in ("base", "240mhz", "spiram", "spiram_sx", "spiram_oct", "riscv"):
        (fragments / f"sdkconfig.{name}").write_text(f"# fragment {name}\n")
    return {"IDF_PATH": str(tmp_path / "idf"), "MICROPYTHON_DIR": str(micropython)}


def configure(world, tmp_path, *arguments, identity=True):
    """Output and success of CMake; warnings about the tiny project are of no interest.

    Without ``identity`` nobody has written the image's ``node/identity.py`` before.
    """
    if identity:
        board = next((word.split("=")[1] for word in arguments if "MICROPY_BOARD=" in word), "esp32")
        module = tmp_path / "build" / "identity" / "node" / "identity.py"
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text(f'IDENTITY = b\'CICADA-IDENTITY {{"board":"{board}"}}\\0\'\n')
    environment = {k: v for k, v in os.environ.items() if k not in ("IDF_PATH", "MICROPYTHON_DIR")} | world
    environment.pop("EXTRA_COMPONENT_DIRS", None)
    command = ["cmake", "-Wno-dev", "-S", str(FIRMWARE), "-B", str(tmp_path / "build"), *arguments]
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment | world, cwd=tmp_path
    )
    return ran.stdout + ran.stderr, ran.returncode == 0
