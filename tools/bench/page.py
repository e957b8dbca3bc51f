"""Tables for people: on the screen, and in docs/bench.md between the lines that mark a command's place."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cicada.tools.errors import UserError
from cicada.tools.paths import ROOT
from cicada.tools.stages import write_atomic

#: The page with the figures, and the line at which each command's part of it ends.
PAGE = ROOT / "docs" / "bench.md"
END = "<!-- end of what it wrote -->\n"


@dataclass(frozen=True)
class Sheet:
    """A table: a head and rows of as many cells; the first column names the rows, the others are numbers."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def show(parts: Iterable[Sheet | str]) -> None:
    """Print tables and sentences."""
    console = Console(highlight=False, soft_wrap=True)
    # Rather wider than the screen than without a figure's last digits.
    console.width = max(console.width, 110)
    for part in parts:
        if isinstance(part, str):
            console.print(part)
            continue
        table = Table(*part.head)
        for column in table.columns[1:]:
            column.justify = "right"
        for row in part.rows:
            table.add_row(*row)
        console.print(table)


def markdown(parts: Iterable[Sheet | str]) -> str:
    """The same as Markdown."""
    blocks = []
    for part in parts:
        if isinstance(part, str):
            blocks.append("\n".join(textwrap.wrap(part, 110, break_long_words=False, break_on_hyphens=False)))
            continue
        lines = ["| " + " | ".join(part.head) + " |", "|---" + "|---:" * (len(part.head) - 1) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in part.rows]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def put(page: Path, begin: str, text: str) -> None:
    """Replace what stands in ``page`` between the line ``begin`` and the next :data:`END`.

    Raises:
        UserError: the page has no such lines, or cannot be written.
    """
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, end, after = rest.partition(END)
    if not found or not end:
        raise UserError(f"{page} has no lines {begin.strip()} and {END.strip()}: put them back")
    write_atomic(page, (before + found + text + end + after).encode())
