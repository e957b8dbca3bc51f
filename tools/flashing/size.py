"""``cicada size``: what takes the room in a build."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.flashing.firmware import APP, folder_of, parts, slot_of
from cicada.tools.flashing.quiet import quiet
from cicada.tools.flashing.sizes import COLUMNS, Sizes, measure
from cicada.tools.stages import write_atomic

_SHOWN = 15
_SPARE = 0.05  # of a slot, which updates to come will want


def size(board: str, everything: bool = False, folder: Path | None = None) -> int:
    """Print the budget of a build, and what changed since the build before.

    Args:
        board: name of a folder in ``boards/``.
        everything: list every component, not only the largest.
        folder: of the build (default: ``build/firmware/<board>``).

    Raises:
        UserError: if there is no build or no linker map.
    """
    folder = folder or folder_of(board)
    description = load_board(board)
    found = parts(board, folder)
    _, slot = slot_of(found, board, description)
    map_file = folder / "cicada.map"
    if not map_file.is_file():
        why = "the twin's image is not linked" if board == "twin" else "the build has no linker map"
        what = "choose a chip's board" if board == "twin" else f"make it with 'make firmware BOARD={board}'"
        raise UserError(f"there is no {map_file}: {why}; {what}")
    with quiet():
        now = measure(map_file, found.chip)
    before = _recorded(folder, map_file, now)
    console = Console(highlight=False)
    console.print(_components(board, now, before, everything))
    console.print(_memories(now))
    image = len(found.named[APP].data)
    spare = 1 - image / slot.size
    note = "" if spare >= _SPARE else ": it does not fit" if spare < 0 else f": less than {_SPARE:.0%}"
    console.print(f"image: {image:,} of {slot.size:,} bytes in {slot.label}, {spare:.1%} spare{note}")
    return 0


def _components(board: str, now: Sizes, before: Sizes | None, everything: bool) -> Table:
    used = [column for column in range(len(COLUMNS)) if now.total[column]]
    table = Table(title=f"{board}: bytes by component")
    table.add_column("component")
    for heading in (*(COLUMNS[column] for column in used), "in all", *(["change"] if before else [])):
        table.add_column(heading, justify="right")
    names = sorted(now.components, key=lambda name: -sum(now.components[name]))
    shown = names if everything else names[:_SHOWN]
    rows = [(name, now.components[name]) for name in shown]
    if len(names) > len(shown):
        others = [now.components[name] for name in names[len(shown) :]]
        rows.append((f"{len(others)} others", tuple(map(sum, zip(*others, strict=True)))))
    rows.append(("total", now.total))
    old = {**before.components, "total": before.total} if before else {}
    for name, row in rows:
        cells = [f"{value:,}" if value else "" for value in (*(row[column] for column in used), sum(row))]
        if before:
            change = sum(row) - sum(old.get(name, ()))
            cells.append(f"{change:+,}" if change and not name.endswith(" others") else "")
        table.add_row(name, *cells, end_section=name == rows[-2][0])
    gone = [name for name in old if name not in now.components and name != "total"]
    if gone:
        table.caption = "gone: " + ", ".join(f"{name} ({sum(old[name]):,})" for name in sorted(gone))
    return table


def _memories(now: Sizes) -> Table:
    table = Table(title="memory of the chip")
    for heading in ("memory", "used", "of", ""):
        table.add_column(heading, justify="left" if heading == "memory" else "right")
    for name, (used, size) in now.memories.items():
        if name.startswith("Flash"):  # an address window, far larger than the slot
            continue
        table.add_row(name, f"{used:,}", f"{size:,}" if size else "", f"{used / size:.0%}" if size else "")
    return table


def _recorded(folder: Path, map_file: Path, now: Sizes) -> Sizes | None:
    """Sizes of the build before this one; this one's are written down."""
    notes = folder / "sizes.json"
    digest = hashlib.sha256(map_file.read_bytes()).hexdigest()
    try:
        kept = json.loads(notes.read_text())
        last, before = kept["now"], kept["before"]
        if last["digest"] != digest:
            before = last
        old = Sizes.from_json(before["sizes"]) if before else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        before = old = None
    record = {"now": {"digest": digest, "sizes": now.to_json()}, "before": before}
    write_atomic(notes, json.dumps(record).encode())
    return old
