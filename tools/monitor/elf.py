"""What the addresses of a firmware mean: functions and source lines from the ELF file's DWARF.

Formats: DWARF 4 and 5 (dwarfstd.org), read by pyelftools. No toolchain is needed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.die import DIE
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from cicada.tools.errors import UserError, from_os_error
from cicada.tools.monitor.lines import LineTable

_FUNCTIONS = ("DW_TAG_subprogram", "DW_TAG_inlined_subroutine")
_SCOPES = (
    *_FUNCTIONS,
    "DW_TAG_lexical_block",
    "DW_TAG_namespace",
    "DW_TAG_structure_type",
    "DW_TAG_class_type",
)
_NAMED = ("DW_TAG_namespace", "DW_TAG_structure_type", "DW_TAG_class_type")


@dataclass(frozen=True)
class Place:
    """One function at an address.

    Attributes:
        function: its name, with namespaces and class as in C++; ``??`` if unknown.
        file: source file as the compiler knew it; empty if unknown.
        line: in that file, from 1; 0 if unknown.
    """

    function: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        if not self.file:
            return self.function
        return f"{self.function} at {_short(self.file)}:{self.line or '?'}"


class Elf:
    """A firmware's ELF file, read once and whole, so that a new build does not disturb it.

    Args:
        path: of the file.

    Raises:
        UserError: if it cannot be read or is no ELF file.

    Attributes:
        sha256: of the file, 64 hexadecimal digits; ESP-IDF prints its first ones as ``ELF file SHA256``.
        dwarf: pyelftools' view of the debug information; None if there is none.
    """

    def __init__(self, path: Path) -> None:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise from_os_error(error, "reading the firmware's ELF file") from error
        self.sha256 = hashlib.sha256(data).hexdigest()
        try:
            self._elf = ELFFile(io.BytesIO(data))
            self._code = sorted(
                (section["sh_addr"], section["sh_addr"] + section["sh_size"])
                for section in self._elf.iter_sections()
                if section["sh_flags"] & SH_FLAGS.SHF_EXECINSTR and section["sh_size"]
            )
            self.dwarf = self._elf.get_dwarf_info() if self._elf.has_dwarf_info() else None
        except Exception as error:  # pyelftools raises many kinds over a damaged file
            raise UserError(
                f"{path} is no ELF file, or is damaged: build the firmware again, or name another with --elf"
            ) from error
        self.places = lru_cache(maxsize=4096)(self._places)
        self._line_table = lru_cache(maxsize=64)(lambda unit: LineTable(self.dwarf, unit))

    def is_code(self, address: int) -> bool:
        """Whether ``address`` lies in an executable section."""
        at = bisect_right(self._code, (address, 1 << 64)) - 1
        return at >= 0 and address < self._code[at][1]

    def _places(self, address: int) -> tuple[Place, ...]:
        """Functions at ``address``: the innermost inlined one first, the one that was called last.

        Empty if nothing is known. Damaged debug information counts as none; pyelftools raises many kinds of
        exceptions over it.
        """
        with contextlib.suppress(Exception):
            found = self._by_dwarf(address)
            if found:
                return found
        with contextlib.suppress(Exception):
            name = self._symbol(address)
            return (Place(name),) if name else ()
        return ()

    def _by_dwarf(self, address: int) -> tuple[Place, ...]:
        starts, units = self._units
        at = bisect_right(starts, address) - 1
        if at < 0 or address >= units[at][0]:
            return ()
        unit = units[at][1]
        table = self._line_table(unit)
        file, line = table.at(address)
        chain = list(self._scopes(unit.get_top_DIE(), address))
        places = []
        for die in reversed(chain):
            places.append(Place(self._name(die), file, line))
            if die.tag == "DW_TAG_inlined_subroutine":
                file = table.file(_value(die, "DW_AT_call_file", 0))
                line = _value(die, "DW_AT_call_line", 0)
        if not places and line:  # assembly has lines but no functions
            places = [Place(self._symbol(address) or "??", file, line)]
        return tuple(places)

    @cached_property
    def _units(self) -> tuple[list[int], list[tuple[int, CompileUnit]]]:
        """Where compilation units begin, sorted, and where they end.

        Not from ``.debug_aranges``: there a function that the linker dropped looks like the end of the list.
        """
        found = []
        for unit in self.dwarf.iter_CUs() if self.dwarf else ():
            for start, end in self._ranges(unit.get_top_DIE()):
                if self.is_code(start) and start < end:
                    found.append((start, end, unit))
        found.sort(key=lambda entry: entry[:2])
        return [start for start, _, _ in found], [(end, unit) for _, end, unit in found]

    def _scopes(self, parent: DIE, address: int) -> Iterator[DIE]:
        """Functions around ``address`` below ``parent``, the outermost first."""
        for die in parent.iter_children():
            if die.tag not in _SCOPES:
                continue
            if die.tag in _NAMED:
                inner = list(self._scopes(die, address)) if die.has_children else []
                if inner:
                    yield from inner
                    return
            elif any(start <= address < end for start, end in self._ranges(die)):
                if die.tag in _FUNCTIONS:
                    yield die
                yield from self._scopes(die, address)
                return

    def _ranges(self, die: DIE) -> Iterator[tuple[int, int]]:
        """First and behind-last addresses of ``die`` (DWARF 5, section 2.17)."""
        if "DW_AT_ranges" in die.attributes:
            base = _value(die.cu.get_top_DIE(), "DW_AT_low_pc", 0)
            offset = die.attributes["DW_AT_ranges"].value
            for entry in self.dwarf.range_lists().get_range_list_at_offset(offset, die.cu):
                if hasattr(entry, "base_address"):
                    base = entry.base_address
                else:
                    start = 0 if entry.is_absolute else base
                    yield start + entry.begin_offset, start + entry.end_offset
        elif "DW_AT_high_pc" in die.attributes:
            low, high = _value(die, "DW_AT_low_pc", 0), die.attributes["DW_AT_high_pc"]
            yield low, high.value if high.form == "DW_FORM_addr" else low + high.value

    def _name(self, die: DIE) -> str:
        """Name of a function; its DIE may refer to its declaration, which has the name."""
        for link in ("DW_AT_abstract_origin", "DW_AT_specification"):
            if link in die.attributes:
                die = die.get_DIE_from_attribute(link)
        names = [_value(die, "DW_AT_name", b"??").decode(errors="replace")]
        parent = die.get_parent()
        while parent is not None and parent.tag in _NAMED:
            name = _value(parent, "DW_AT_name", b"(anonymous namespace)")
            names.append(name.decode(errors="replace"))
            parent = parent.get_parent()
        return "::".join(reversed(names))

    @cached_property
    def _symbols(self) -> tuple[list[int], list[tuple[int, str]]]:
        """Addresses of functions, sorted, and their ends and names."""
        found: dict[int, tuple[int, str]] = {}
        for section in self._elf.iter_sections():
            if not isinstance(section, SymbolTableSection):
                continue
            for symbol in section.iter_symbols():
                kind, start = symbol["st_info"]["type"], symbol["st_value"]
                # Compilers' own labels (.L5, $x) are no names.
                if kind not in ("STT_FUNC", "STT_NOTYPE") or symbol.name[:1] in ("", ".", "$"):
                    continue
                if symbol["st_shndx"] in ("SHN_UNDEF", "SHN_ABS") or not self.is_code(start):
                    continue
                if start not in found or kind == "STT_FUNC":
                    found[start] = (start + symbol["st_size"], symbol.name)
        starts = sorted(found)
        return starts, [found[start] for start in starts]

    def _symbol(self, address: int) -> str:
        starts, named = self._symbols
        at = bisect_right(starts, address) - 1
        if at < 0:
            return ""
        end, name = named[at]
        # Labels of assembly often have no size: they reach to the next one.
        return name if address < end or end == starts[at] else ""


def _value(die: DIE, name: str, default):
    attribute = die.attributes.get(name)
    return default if attribute is None else attribute.value


def _short(path: str) -> str:
    """``path`` seen from the working folder if it lies below it."""
    path = os.path.normpath(path)
    here = os.getcwd() + os.sep
    return path[len(here) :] if path.startswith(here) else path
