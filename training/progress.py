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


@contextmanager
def bar(what: str, total: int, console: Console | None = None) -> Iterator[Advance]:
    """Show a bar named ``what`` with ``total`` steps while the body runs.

    Yields:
        ``advance(steps=1, note="")``, to be called from one thread.
    """
    console = console or Console(file=sys.stderr)
    began = time.monotonic()
    last = ""
    with Progress(
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(what, total=total, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            nonlocal last
            interrupt.check()
            last = note or last
            progress.update(task, advance=steps, note=last)

        yield advance
    if not console.is_terminal:
        seconds = time.monotonic() - began
        console.print(f"{what}: {total} in {seconds:.1f} s" + (f", {last}" if last else ""), highlight=False)
