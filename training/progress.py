"""Progress bars for everything that takes more than a moment.

On a terminal a live bar; elsewhere (CI, a pipe) one line at the end of each step.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cicada.tools import interrupt

#: ``advance(steps, note)``: ``steps`` more are done; ``note`` is shown behind the bar.
Advance = Callable[..., None]

_shown: Progress | None = None  # what is on the screen: a terminal has room for one display


@contextmanager
def _display(console: Console) -> Iterator[Progress]:
    """A display for bars; the one that is there already if a bar is shown in the body of another."""
    global _shown
    if _shown is not None:
        yield _shown
        return
    with Progress(
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        _shown = progress
        try:
            yield progress
        finally:
            _shown = None


@contextmanager
def bar(what: str, total: int, console: Console | None = None) -> Iterator[Advance]:
    """Show a bar named ``what`` with ``total`` steps while the body runs.

    A bar within the body of another one stands below that for as long as it is there.

    Yields:
        ``advance(steps=1, note="")``, to be called from one thread.
    """
    console = console or Console(file=sys.stderr)
    began = time.monotonic()
    last = ""
    within = _shown is not None
    with _display(console) as progress:
        task = progress.add_task(what, total=total, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            nonlocal last
            interrupt.check()
            last = note or last
            progress.update(task, advance=steps, note=last)

        try:
            yield advance
        finally:
            if within:  # what is done makes room for what comes next
                progress.remove_task(task)
    if not console.is_terminal:
        seconds = time.monotonic() - began
        console.print(f"{what}: {total} in {seconds:.1f} s" + (f", {last}" if last else ""), highlight=False)
