"""Who called whom, from the registers and the stack that a RISC-V chip prints when it panics.

ESP-IDF's panic handler for RISC-V prints 1024 bytes of stack and no backtrace (``components/esp_system/port/
arch/riscv/panic_arch.c`` of v5.5). The ELF file's call frame information says where each function keeps its
caller's registers (DWARF 5, section 6.4), so no debugger is needed to follow it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

from elftools.dwarf.callframe import FDE, CFARule

from cicada.tools.monitor.elf import Elf

_RA, _SP = 1, 2
_DEEPEST = 100  # frames; ESP-IDF's own limit for Xtensa
#: Numbers of the registers that ESP-IDF prints, by name (RISC-V psABI, "Register Convention").
REGISTERS = {
    name: number
    for number, name in enumerate(
        "RA SP GP TP T0 T1 T2 S0/FP S1 A0 A1 A2 A3 A4 A5 A6 A7 "
        "S2 S3 S4 S5 S6 S7 S8 S9 S10 S11 T3 T4 T5 T6".split(),
        start=1,
    )
}


class Unwinder:
    """Follows the calls of one firmware.

    Args:
        elf: its ELF file.
    """

    def __init__(self, elf: Elf) -> None:
        dwarf, entries = elf.dwarf, []
        if dwarf and dwarf.has_CFI():
            entries += dwarf.CFI_entries()
        if dwarf and dwarf.has_EH_CFI():
            entries += dwarf.EH_CFI_entries()
        # Functions that the linker dropped stay here, at address 0.
        found = [e for e in entries if isinstance(e, FDE) and elf.is_code(e["initial_location"])]
        self._entries = sorted(found, key=lambda entry: entry["initial_location"])
        self._starts = [entry["initial_location"] for entry in self._entries]

    def calls(
        self, pc: int, registers: Mapping[int, int], stack: Mapping[int, int]
    ) -> tuple[list[int], bool]:
        """Addresses of the running instruction and of those to which the functions would have returned.

        Args:
            pc: where it happened.
            registers: by number, of which RA and SP are needed.
            stack: 32-bit words by address.

        Returns:
            The addresses, the innermost first, and whether the last one is the first function of its task;
            if not, the information or the printed stack ended before.
        """
        registers = dict(registers)
        found, at = [pc], pc
        while len(found) < _DEEPEST:
            rules = self._rules(at)
            if rules is None:
                # A jump into nowhere, or assembly that says nothing: RA is still that of the caller.
                if len(found) > 1 or self._rules(registers.get(_RA, 0) - 1) is None:
                    return found, False
            else:
                before = registers.get(_SP)
                registers, known = _caller(registers, rules, stack)
                if not known:
                    return found, False
                if len(found) > 1 and registers[_SP] == before and registers[_RA] == found[-1]:
                    return found, False  # it would go round for ever
            if not registers.get(_RA):
                return found, True
            found.append(registers[_RA])
            at = registers[_RA] - 1  # the call, not what follows it
        return found, False

    def _rules(self, address: int) -> dict | None:
        """How to get from ``address`` to the caller; None if the ELF file does not say."""
        at = bisect_right(self._starts, address) - 1
        if at < 0 or address >= self._starts[at] + self._entries[at]["address_range"]:
            return None
        rows = self._entries[at].get_decoded().table
        return next((row for row in reversed(rows) if row["pc"] <= address), None)


def _caller(
    registers: Mapping[int, int], rules: Mapping, stack: Mapping[int, int]
) -> tuple[dict[int, int], bool]:
    """Registers as the caller has them, and whether its address could be found."""
    rule: CFARule = rules["cfa"]
    if rule.reg is None or rule.reg not in registers:
        return {}, False
    frame = (registers[rule.reg] + rule.offset) & 0xFFFFFFFF
    before = dict(registers)
    for number, how in rules.items():
        if not isinstance(number, int):
            continue
        if how.type == "OFFSET":
            address = (frame + how.arg) & 0xFFFFFFFF
            if address in stack:
                before[number] = stack[address]
            else:
                before.pop(number, None)
        elif how.type == "UNDEFINED":
            before[number] = 0 if number == _RA else before.get(number, 0)
    before[_SP] = frame
    return before, _RA in before
