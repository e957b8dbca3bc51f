"""``cicada erase``: a board's flash, or one partition of it."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.flashing.finding import find_port
from cicada.tools.flashing.flash import BAUD
from cicada.tools.flashing.link import Link, LinkError, connect
from cicada.tools.flashing.plan import device_table


def erase(
    board: str, port: str | None = None, partition: str | None = None, sure: bool = False, line: Any = None
) -> int:
    """Erase, after asking, and restart the board.

    Args:
        board: name of a folder in ``boards/``.
        port: serial port; None to find it.
        partition: label of the only partition to erase; None for the whole flash.
        sure: do not ask.
        line: an open pyserial port to use instead of ``port``.

    Returns:
        0, or 1 if the answer was no.

    Raises:
        UserError: if there is nobody to ask, or anything is wrong with port, chip or partition.
    """
    chip = load_board(board).CHIP
    port = find_port(board, port, reset_lines=True)
    if not sure and not sys.stdin.isatty():
        raise UserError("erasing cannot be undone and there is nobody to ask: say --yes if it is meant")
    console = Console(highlight=False)
    try:
        with connect(port, chip, board, line) as link:
            link.prepare(BAUD)
            at, size, what = _area(link, partition)
            if not sure and not _agreed(f"erase {what} of the {link.title} at {port}?"):
                console.print("nothing was erased")
                return 1
            with console.status(f"erasing {what}"):
                if partition:
                    link.erase(at, size)
                else:
                    link.erase_all()
            link.restart()
    except LinkError as error:
        raise UserError(f"{error}: see to its cable and power, then run the same command again") from error
    console.print(f"erased {what}")
    return 0


def _area(link: Link, label: str | None) -> tuple[int, int, str]:
    """Address, size and description of what is to be erased."""
    if label is None:
        return 0, link.flash_size, f"all {link.flash_size >> 20} MB"
    table = device_table(link)
    if table is None:
        raise UserError(
            f"the board at {link.port} has no partition table: leave --partition out to erase it all"
        )
    found = next((p for p in table if p.label == label), None)
    if found is None:
        raise UserError(
            f"the board at {link.port} has no partition '{label}': it has {', '.join(p.label for p in table)}"
        )
    return found.offset, found.size, f"{label} ({found.size // 1024} KiB at 0x{found.offset:x})"


def _agreed(question: str) -> bool:
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
