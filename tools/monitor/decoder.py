"""Finds addresses in what a board says and says which source lines they are.

Formats: ESP-IDF v5.5, ``components/esp_system/panic.c``, ``port/arch/{riscv,xtensa}/panic_arch.c``,
``port/arch/xtensa/debug_helpers.c`` and ``components/newlib/src/abort.c``.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cicada.tools.monitor.elf import Elf
    from cicada.tools.monitor.unwind import Unwinder

# ``Backtrace: 0x400d1234:0x3ffb1230 ...``, ``MEPC    : 0x42001234``, ``abort() was called at PC 0x...``
_ADDRESS = re.compile(r"0x([0-9a-fA-F]{8})(?![0-9a-fA-F])")
_REGISTERS = re.compile(r"Core +\d+ register dump:")
_REGISTER = re.compile(r"([A-Z][A-Z0-9/]*) *: 0x([0-9a-f]{8})")
_STACK = re.compile(r"^Stack memory:")
_STACK_LINE = re.compile(r"^([0-9a-f]{8}): ((?:0x[0-9a-f]{8} ?)+)$")
# The boot log's line has three dots behind the digits.
_SHA256 = re.compile(r"ELF file SHA256: +([0-9a-f]{6,64})")


class Decoder:
    """Knows the firmware's ELF file, and takes it anew when a build has replaced it.

    Args:
        path: of the ELF file.

    Raises:
        UserError: if it is missing or no ELF file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._warned: set[str] = set()
        self._panic = _Panic()
        self._stamp = self._when()
        self._elf: Elf
        self._unwinder: Unwinder | None
        self._load()

    def feed(self, line: str) -> list[str]:
        """What to show below one line (without its end and without colours); often nothing."""
        if self._panic.feed(line):
            return []  # words of the stack say little one by one
        below, stack = [], self._panic.take()
        if stack:
            below += self._calls(*stack)
        addresses = [int(digits, 16) for digits in _ADDRESS.findall(line)]
        if addresses:
            self._renew()
        for address in dict.fromkeys(addresses):
            if self._elf.is_code(address):
                below += self._says(address, address)
        return below

    def check(self, line: str) -> str:
        """A warning if ``line`` says that the board runs another build, once for each; else nothing."""
        said = _SHA256.search(line)
        if not said:
            return ""
        self._renew()
        runs, here = said[1], self._elf.sha256[: len(said[1])]
        if runs == here or runs in self._warned:
            return ""
        self._warned.add(runs)
        return (
            f"the board runs another build (ELF {runs}) than {self._path} ({here}): "
            "source lines here will be wrong; flash it, or name its file with --elf"
        )

    def _says(self, address: int, within: int) -> list[str]:
        """One line for the function at ``within``, and one for each that it was inlined into."""
        places = self._elf.places(within)
        if not places:
            return []
        return [f"0x{address:08x}: {places[0]}", *(f"  (inlined by) {place}" for place in places[1:])]

    def _calls(self, registers: dict[str, int], stack: dict[int, int]) -> list[str]:
        """Lines for the functions that were running when a RISC-V chip panicked."""
        from cicada.tools.monitor.unwind import REGISTERS, Unwinder

        self._renew()
        numbered = {REGISTERS[name]: value for name, value in registers.items() if name in REGISTERS}
        calls, whole = [registers.get("MEPC", 0)], False
        with contextlib.suppress(Exception):  # pyelftools raises many kinds over damaged debug information
            if self._unwinder is None:
                self._unwinder = Unwinder(self._elf)
            calls, whole = self._unwinder.calls(calls[0], numbered, stack)
        lines = []
        for n, address in enumerate(calls):
            lines += self._says(address, address - 1 if n else address) or [f"0x{address:08x}: ??"]
        if not whole:
            known = {*calls, *registers.values()}
            rest = [word for word in dict.fromkeys(stack.values()) if word not in known]
            old = [line for word in rest if self._elf.is_code(word) for line in self._says(word, word - 1)]
            lines += (
                ["no further; code addresses on the stack, some left from earlier calls:", *old]
                if old
                else []
            )
        return ["Backtrace from the stack:", *lines]

    def _renew(self) -> None:
        """Read the file again if it has changed; keep what is there while a build is replacing it."""
        from cicada.tools.errors import UserError

        now = self._when()
        if now is None or now == self._stamp:
            return
        try:
            self._load()
            self._stamp = now
        except UserError:
            pass

    def _load(self) -> None:
        from cicada.tools.monitor.elf import Elf

        self._elf, self._unwinder = Elf(self._path), None

    def _when(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size


class _Panic:
    """Collects the registers and the stack of a RISC-V panic."""

    def __init__(self) -> None:
        self._registers: dict[str, int] = {}
        self._stack: dict[int, int] = {}
        self._reading_registers = self._reading_stack = False

    def feed(self, line: str) -> bool:
        """Take in a line; True if it belongs to the stack."""
        if _REGISTERS.search(line):
            self._registers, self._stack = {}, {}
            self._reading_registers, self._reading_stack = True, False
        elif self._reading_registers and _STACK.match(line):
            self._reading_registers, self._reading_stack = False, True
            return True
        elif self._reading_registers:
            self._registers.update({name: int(value, 16) for name, value in _REGISTER.findall(line)})
        elif self._reading_stack:
            row = _STACK_LINE.match(line.rstrip())
            if row:
                start, words = int(row[1], 16), row[2].split()
                self._stack.update({start + 4 * n: int(word, 16) for n, word in enumerate(words)})
                return True
            self._reading_stack = False
        return False

    def take(self) -> tuple[dict[str, int], dict[int, int]] | None:
        """Registers by name and stack by address once both are complete; then None again."""
        if self._reading_stack or not self._stack:
            return None
        found = self._registers, self._stack
        self._registers, self._stack = {}, {}
        return found
