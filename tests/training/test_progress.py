"""Progress bars: one display, also where a long step has bars of its own."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from cicada.training import progress


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120)


def plain(console: Console) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())


def test_a_bar_within_another_stands_below_it_and_goes():
    outer, inner = terminal(), terminal()
    with progress.bar("Search", 2, outer) as advance:
        with progress.bar("Training", 3, inner) as step:
            step(3, "epoch 1")
            progress._shown.refresh()
        advance(2)
    shown = plain(outer)
    assert re.search(r"Search .* 0/2.*\n.*Training .* 3/3 .*epoch 1", shown)
    assert "Training" not in shown.rstrip().splitlines()[-1], "only what still goes on is left"
    assert plain(inner) == ""


def test_a_bar_that_fails_leaves_room_for_the_next():
    with pytest.raises(ValueError, match="broken"), progress.bar("One", 1, terminal()):
        raise ValueError("broken")
    console = terminal()
    with progress.bar("Two", 1, console) as advance:
        advance()
    assert "Two" in plain(console)


def test_where_nobody_watches_each_bar_is_a_line():
    console = Console(file=io.StringIO(), force_terminal=False, width=120)
    with progress.bar("Search", 1, console) as advance:
        with progress.bar("Training", 3, console) as step:
            step(3, "epoch 1")
        advance()
    first, second = console.file.getvalue().splitlines()
    assert re.fullmatch(r"Training: 3 in \d+\.\d s, epoch 1", first) and second.startswith("Search: 1 in")
