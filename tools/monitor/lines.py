"""Source lines of one compilation unit, from its DWARF line table."""

from __future__ import annotations

import os
from bisect import bisect_right

from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.dwarfinfo import DWARFInfo


class LineTable:
    """Line table of one compilation unit (DWARF 5, section 6.2).

    Args:
        dwarf: debug information of the file.
        unit: the compilation unit.
    """

    def __init__(self, dwarf: DWARFInfo, unit: CompileUnit) -> None:
        self._program = dwarf.line_program_for_CU(unit)
        top = unit.get_top_DIE().attributes
        self._folder = top["DW_AT_comp_dir"].value.decode(errors="replace") if "DW_AT_comp_dir" in top else ""
        self._starts: list[int] = []
        self._rows: list[tuple[int, int]] = []  # file and line; (0, 0) behind the end of a sequence
        for address, file, line in sorted(self._sequences(), key=lambda row: row[0]):
            if self._starts and self._starts[-1] == address:
                # Of several rows at one address the last counts, but an end never hides a beginning.
                if line:
                    self._rows[-1] = (file, line)
            else:
                self._starts.append(address)
                self._rows.append((file, line))

    def at(self, address: int) -> tuple[str, int]:
        """File and line of ``address``; ``("", 0)`` if unknown."""
        at = bisect_right(self._starts, address) - 1
        file, line = self._rows[at] if at >= 0 else (0, 0)
        return (self.file(file), line) if line else ("", 0)

    def file(self, number: int) -> str:
        """Path of the file with this number in the table, empty if there is none.

        Numbers begin at 1 up to DWARF 4 and at 0 from DWARF 5 on; so do those of folders, where 0 stands for
        the folder of the compilation in both.
        """
        if self._program is None:
            return ""
        header = self._program.header
        old = header["version"] < 5
        files, folders = header["file_entry"], header["include_directory"]
        if not 0 <= number - old < len(files):
            return ""
        entry = files[number - old]
        folder = self._folder
        if entry.dir_index - old >= 0:
            folder = os.path.join(folder, folders[entry.dir_index - old].decode(errors="replace"))
        return os.path.join(folder, entry.name.decode(errors="replace"))

    def _sequences(self) -> list[tuple[int, int, int]]:
        rows = []
        for entry in self._program.get_entries() if self._program else ():
            state = entry.state
            if state is not None:
                rows.append((state.address, state.file, 0 if state.end_sequence else state.line))
        return rows
