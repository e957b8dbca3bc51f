"""Scripts run by MicroPython interpreters that carry our C modules (``cicada.tools.micropython``)."""

from __future__ import annotations

import functools
import os
import struct
import subprocess
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from cicada.tools.micropython.build import build
from cicada.tools.micropython.source import ToolMissing
from cicada.tools.twin import romfs

#: Where a script and its data lie in the RV32 machine's memory: behind everything its linker script uses.
_DATA = 0x81000000
#: Entry of the table there: label, address, size (tests/modules/nn_testing/partitions.c reads it).
_ENTRY = "<16sII"
#: QEMU ends when this word is written here (QEMU, hw/misc/sifive_test.c).
_FINISH = "import machine; machine.mem32[0x100000] = 0x5555"


class Interpreter:
    """One interpreter.

    Attributes:
        name: key of :data:`cicada.tools.micropython.build.PORTS`.
        bits: of its machine word.
        path: its file.
    """

    def __init__(self, name: str, bits: int) -> None:
        self.name, self.bits, self.path = name, bits, build(name)

    def run(
        self,
        source: str,
        *,
        modules: Mapping[str, str] | None = None,
        partitions: Mapping[str, bytes] | None = None,
        timeout: float = 60,
    ) -> str:
        """Run a script in a fresh interpreter; what it printed.

        Args:
            source: the script; indentation that all its lines share is taken away.
            modules: further modules it may import, by name.
            partitions: what ``nn.map_partition`` finds, by label (at most 15 characters), memory-mapped. Also
                the way in for data too large for the script.
            timeout: seconds.

        Raises:
            AssertionError: the script raised (the message is its traceback), died or took too long.
        """
        with tempfile.TemporaryDirectory(prefix="cicada-interpreter-") as folder:
            return self._run(Path(folder), textwrap.dedent(source), modules or {}, partitions or {}, timeout)

    def _run(
        self,
        folder: Path,
        source: str,
        modules: Mapping[str, str],
        partitions: Mapping[str, bytes],
        timeout: float,
    ) -> str:
        raise NotImplementedError


class Unix(Interpreter):
    """A process of this machine."""

    def _run(self, folder, source, modules, partitions, timeout):
        (folder / "main.py").write_text(source)
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(text)
        for label, data in partitions.items():
            (folder / f"{label}.partition").write_bytes(data)
        environment = {
            **os.environ,
            "MICROPYPATH": str(folder),
            "CICADA_PARTITIONS": str(folder),
            # The collector's memory is never returned, by design.
            "ASAN_OPTIONS": "detect_leaks=0",
        }
        code, out, err = _process([self.path, folder / "main.py"], b"", timeout, environment)
        assert code == 0, f"{err or out} (exit code {code})"
        return out


class Rv32(Interpreter):
    """QEMU's bare ``virt`` machine; script, modules and partitions lie in its memory when it starts."""

    def _run(self, folder, source, modules, partitions, timeout):
        rom = romfs.pack({f"{name}.py": text.encode() for name, text in modules.items()})
        image, at = memory_image({**partitions, "@modules": rom, "@script": source.encode()})
        (folder / "memory").write_bytes(image)
        script = f"uctypes.bytearray_at({at['@script']}, {len(source.encode())})"
        start = (
            "import sys, uctypes, vfs\n"
            f"vfs.mount(vfs.VfsRom(uctypes.bytearray_at({at['@modules']}, {len(rom)})), '/rom')\n"
            "sys.path.append('/rom')\n"
            f"exec({script}, {{'__name__': '__main__'}})\n"
        )
        command = (
            *("qemu-system-riscv32", "-machine", "virt", "-bios", "none", "-display", "none"),
            *("-monitor", "none", "-serial", "stdio", "-kernel", self.path),
            *("-device", f"loader,file={folder / 'memory'},addr={_DATA:#x},force-raw=on"),
        )
        # Ctrl-A: MicroPython's raw REPL (docs/reference/repl.rst): OK, output, Ctrl-D, error, Ctrl-D.
        typed = f"\1{start}\4{_FINISH}\4".encode()
        _, out, err = _process(command, typed, timeout, dict(os.environ))
        parts = out.partition("raw REPL; CTRL-B to exit\n>OK")[2].split("\4")
        assert len(parts) >= 3, f"the machine did not come to the script's end: {out}{err}"
        assert not parts[1], parts[1]
        return parts[0]


def memory_image(contents: Mapping[str, bytes]) -> tuple[bytes, dict[str, int]]:
    """Lay out ``contents`` behind a table of them; the image for :data:`_DATA` and each one's address.

    Everything is aligned to 64 bytes, as what is mapped from flash is aligned to its pages.
    """
    table, body, addresses = b"", b"", {}
    start = -(-(len(contents) + 1) * struct.calcsize(_ENTRY) // 64) * 64
    for label, data in contents.items():
        addresses[label] = _DATA + start + len(body)
        table += struct.pack(_ENTRY, label.encode(), addresses[label], len(data))
        body += data + bytes(-len(data) % 64)
    return table.ljust(start, b"\0") + body, addresses


def _process(command, typed: bytes, timeout: float, environment: dict[str, str]) -> tuple[int, str, str]:
    """Run a program; exit code and the texts it wrote, with newlines of one kind."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            input=typed,
            capture_output=True,
            timeout=timeout,
            env=environment,
        )
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"no end after {timeout} s; so far: {(late.stdout or b'').decode()}") from None
    out, err = (text.decode("utf-8", "replace").replace("\r\n", "\n") for text in (done.stdout, done.stderr))
    return done.returncode, out, err


@functools.cache
def get(name: str) -> Interpreter:
    """The interpreter ``name``, built first if need be.

    Where a program for it is missing the test is skipped; with ``CICADA_REQUIRE_TOOLS=1`` it fails.
    """
    try:
        return Rv32(name, 32) if name == "rv32" else Unix(name, 64)
    except ToolMissing as missing:
        if os.environ.get("CICADA_REQUIRE_TOOLS") == "1":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
