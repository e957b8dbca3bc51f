"""ELF files of small firmwares, made by real compilers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

RISCV = "riscv64-unknown-elf-"
COMPILERS = {
    RISCV: ["-march=rv32imc", "-mabi=ilp32", "-Wl,--no-relax"],
    "xtensa-lx106-elf-": ["-mlongcalls"],
}
HEADER = """
static inline __attribute__((always_inline)) int both(volatile int *p) { *p = 3; return p[1]; }
"""
SOURCE = """
#include "part/inline.h"
volatile int g[4];
__attribute__((noinline)) static int leaf(int a) { g[0] = a; return g[1]; }

static inline __attribute__((always_inline)) int middle(int a)
{
    g[3] = a;
    return leaf(a + 1) + both(g);
}

__attribute__((noinline, noclone)) int top(int a)
{
    return middle(a) * 2;
}

int unused(int a) { return a; }
void _start(void) { g[3] = top(g[2]); for (;;); }
"""


def needs(*programs):
    """Skip, or fail where all tools must be there, if a program is missing."""
    missing = [name for name in programs if not shutil.which(name)]
    if missing:
        reason = f"needs {', '.join(missing)}"
        (pytest.fail if os.environ.get("CICADA_REQUIRE_TOOLS") == "1" else pytest.skip)(reason)


def link(folder, sources, prefix=RISCV, *options):
    """ELF file of ``sources`` (texts by file name) at ESP32-C3's flash addresses."""
    compiler = prefix + ("g++" if any(name.endswith(".cc") for name in sources) else "gcc")
    needs(compiler, prefix + "addr2line", prefix + "readelf")
    for name, text in sources.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    files = [name for name in sources if not name.endswith(".h")]
    base = ["-ffreestanding", "-nostdlib", "-nostartfiles", "-ffunction-sections", "-fno-exceptions"]
    layout = ["-Wl,-Ttext=0x42001000", "-Wl,--gc-sections", "-Wl,--build-id=none"]
    options = options or ("-Os", "-g")
    command = [compiler, *base, *COMPILERS[prefix], *layout, *options, "-o", "firmware.elf", *files, "-lgcc"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "firmware.elf"


def functions(elf, prefix):
    """Size of every function by its address, as binutils see it."""
    table = subprocess.run(
        [prefix + "readelf", "-sW", elf], capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(r"(?m)^ +\d+: (\w+) +(\d+) FUNC", table)
    return {int(address, 16): int(size) for address, size in found}
