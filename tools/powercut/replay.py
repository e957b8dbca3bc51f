"""A case again, from its name: nothing is made up from logs, the twin is really cut."""

from __future__ import annotations

from collections.abc import Callable

from cicada.tools.errors import UserError
from cicada.tools.powercut.cuts import RESETS, Break, start_after
from cicada.tools.powercut.explore import Case, Explorer, Result
from cicada.tools.powercut.futures import MOST_SEGMENTS
from cicada.tools.powercut.lives import INTERRUPTED, RESET, Interrupted, Life, Segment, Setting, Start
from cicada.tools.powercut.states import State
from cicada.tools.twin.flash import Cut


def interrupted(
    setting: Setting,
    state: State,
    start: Start,
    cut: Break,
    on_text: Callable[[str], None] = lambda text: None,
) -> tuple[Segment, State, bool]:
    """Play a segment and interrupt it.

    Args:
        setting, state, start: as for :func:`cicada.tools.powercut.lives.play`.
        cut: where; its number counts from the beginning of the segment.
        on_text: called with every piece of console text.

    Returns:
        the segment, what the flash holds then, and whether the interruption came before its end.
    """

    def stop(number: int) -> None:
        if number == cut.number and cut.how in RESETS:
            raise Interrupted

    life = Life(setting, state, start, stop, on_text)
    if cut.how not in RESETS:
        life.flash.cut = Cut(cut.number, cut.how, cut.shape or "prefix", cut.seed)
    segment = life.live()
    came = segment.end == INTERRUPTED if cut.how in RESETS else life.flash.cut is None
    return segment, State.of(state.base, life.flash.view(0, life.flash.size)), came


def replay(
    explorer: Explorer,
    setting: Setting,
    path: tuple[str, ...],
    on_text: Callable[[str], None],
    case: Case | None = None,
) -> Result:
    """Play a case and judge it.

    Args:
        explorer: of its scenario.
        setting: where.
        path: its interruptions, as they are called.
        on_text: called with every piece of console text.
        case: a case without interruptions, to be played instead.

    Raises:
        UserError: if a run ends before its interruption.
    """
    if case is None:
        case = explorer.begin()
        for name in path:
            case = _cut(explorer, setting, case, Break.parse(name), on_text)
        case = Case(path, case.state, case.start, case.witness)
    asking = explorer.judge(case)
    try:
        state, start = next(asking)
        while True:
            if start.phase == len(explorer.scenario.roots) - 1 and case.kind == "cut":
                on_text("--- refused; the next release is offered ---\n")
            life = Life(setting, state, start, on_text=on_text)
            state, start = asking.send(life.live())
    except StopIteration as end:
        return end.value


def _cut(
    explorer: Explorer, setting: Setting, case: Case, cut: Break, on_text: Callable[[str], None]
) -> Case:
    """Play on from a case to an interruption; the case that begins there."""
    state, start, witness, left = case.state, case.start, case.witness, cut.number
    for _ in range(MOST_SEGMENTS):
        here = Break(left, cut.how, cut.shape, cut.seed)
        segment, found, came = interrupted(setting, state, start, here, on_text)
        if came:
            on_text(f"--- {cut} ---\n")
            begun = start_after(cut.how, start, segment, left + 1)
            seen, _ = explorer.oracle.follow(witness, segment, left + (cut.torn is None))
            return Case((), found, begun, seen)
        if segment.end != RESET:
            break
        witness, _ = explorer.oracle.follow(witness, segment)
        state, start, left = found, segment.next, left - len(segment.steps)
    raise UserError(f"the run is over before {cut}: is it the replay ID of another build?")
