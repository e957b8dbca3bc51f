"""``cicada flash``: a build onto a board."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.flashing import plan
from cicada.tools.flashing.finding import find_port
from cicada.tools.flashing.firmware import Firmware, folder_of, read
from cicada.tools.flashing.link import Link, LinkError, connect
from cicada.tools.flashing.plan import Known, Step
from cicada.tools.stages import write_atomic

#: Fast, and within what every common USB bridge does.
BAUD = 460800


@dataclass
class Outcome:
    """What was done to a board.

    Attributes:
        written: bytes by region, in the order of writing.
        kept: bytes that were there already.
    """

    written: dict[str, int]
    kept: int


def flash(
    board: str,
    port: str | None = None,
    baud: int = BAUD,
    repartition: bool = False,
    line: Any = None,
    folder: Path | None = None,
) -> Outcome:
    """Write the build of ``board`` to the board, only where it differs, verify it and start it.

    Args:
        board: name of a folder in ``boards/``.
        port: serial port; None to find it.
        baud: bits per second while writing.
        repartition: whether the partition table on the board may be replaced by another one.
        line: an open pyserial port to use instead of ``port``.
        folder: of the build (default: ``build/firmware/<board>``).

    Raises:
        UserError: if anything is wrong with the build, the port, the chip or its flash. Before the first byte
            is written, if that can be known; else the board boots what it had, or waits in its ROM loader.
    """
    description = load_board(board)
    folder = folder or folder_of(board)
    firmware = read(board, description, folder)
    port = find_port(board, port, reset_lines=True)
    console = Console(highlight=False)
    known = _remembered(folder)
    before = list(known.images)
    started = time.monotonic()
    try:
        with connect(port, firmware.chip, board, line) as link:
            link.prepare(baud)
            _suits(firmware, link, board)
            console.print(f"{board}: {link.title}, {link.flash_size >> 20} MB of flash, at {port}")
            outcome = _write(firmware, link, known, repartition, console)
            link.restart()
    except LinkError as error:
        raise UserError(
            f"{error}: see to its cable and power, then run the same command, which goes on where it was"
        ) from error
    finally:
        if known.images != before:
            write_atomic(_notes(folder), json.dumps(known.images).encode())
    spent = time.monotonic() - started
    total = sum(outcome.written.values())
    console.print(
        f"wrote {total:,} bytes, {outcome.kept:,} were there already, verified, started ({spent:.1f} s)"
    )
    return outcome


def _suits(firmware: Firmware, link: Link, board: str) -> None:
    """Refuse a chip of another revision, or with too little flash."""
    image = firmware.image
    if not image.min_revision <= link.revision <= image.max_revision:
        low, high = _revision(image.min_revision), _revision(image.max_revision)
        raise UserError(
            f"the firmware of '{board}' is for chip revisions {low} to {high}, this is {link.title}: "
            "nothing was written; build it for this revision"
        )
    if link.flash_size < firmware.flash_end:
        raise UserError(
            f"the firmware of '{board}' needs {firmware.flash_end / 2**20:g} MB of flash, the chip at "
            f"{link.port} has {link.flash_size / 2**20:g} MB: nothing was written; choose another BOARD"
        )


def _revision(number: int) -> str:
    return f"v{number // 100}.{number % 100}"


def _write(firmware: Firmware, link: Link, known: Known, repartition: bool, console: Console) -> Outcome:
    with console.status("comparing with what is on the board"):
        order = plan.steps(firmware, link, known, repartition)
        work = [(step, plan.differences(step, link.md5)) for step in order]
    outcome = Outcome({}, 0)
    for step, runs in work:
        size = sum(size for _, size in runs)
        outcome.kept += step.size - size
        if not runs:
            continue
        with _bar(console, step.name, size) as advance:
            for at, size in runs:
                _write_run(link, step, at, size, advance)
                outcome.written[step.name] = outcome.written.get(step.name, 0) + size
        if link.md5(step.at, step.size) != step.digest:
            raise UserError(
                f"{step.name} was written to {link.port}, but reads back differently: "
                "the flash is worn out or its supply is poor; run the same command again"
            )
        if step.name == firmware.slot.label:
            length = firmware.image.length
            known.add(length, hashlib.md5(step.data[:length], usedforsecurity=False).hexdigest())
    return outcome


def _write_run(link: Link, step: Step, at: int, size: int, advance: Any) -> None:
    if step.data is None:
        link.erase(at, size)
        advance(size)
        return
    done = 0

    def progress(share: float) -> None:
        nonlocal done
        now = round(share * size)
        advance(now - done)
        done = now

    link.write(at, step.data[at - step.at :][:size], progress)


@contextlib.contextmanager
def _bar(console: Console, name: str, size: int) -> Iterator[Any]:
    """A progress bar on a terminal, a line elsewhere."""
    if not console.is_terminal:
        console.print(f"{name}: {size:,} bytes")
        yield lambda count: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(name, total=size)
        yield lambda count: progress.advance(task, count)


def _notes(folder: Path) -> Path:
    return folder / "flashed.json"


def _remembered(folder: Path) -> Known:
    """Images that were on boards before; a file that cannot be read is an empty one."""
    try:
        return Known(
            [(int(length), str(digest)) for length, digest in json.loads(_notes(folder).read_text())]
        )
    except (OSError, ValueError, TypeError):
        return Known()
