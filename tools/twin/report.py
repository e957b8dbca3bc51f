"""What a run of the twin cost: time and charge by state, battery life, and a picture of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from rich.console import Console
from rich.table import Table

from cicada.tools.errors import UserError
from cicada.tools.twin.chip import DEEPSLEEP_RESET, PWRON_RESET
from cicada.tools.twin.power import BUSY, IDLE, battery_hours
from cicada.tools.twin.report_figures import LOADS, STATES, Course, draw
from cicada.tools.twin.twin import Twin

_MA_S_PER_MAH = 3600.0


@dataclass(frozen=True)
class Share:
    """One row: how long something lasted and what it drew.

    Attributes:
        name: state, or what draws current.
        seconds: how long; for a load, how long it drew anything.
        mah: charge, mAh.
    """

    name: str
    seconds: float
    mah: float


@dataclass(frozen=True)
class Work:
    """What kept the CPU busy: how many of them, and the virtual seconds they took together."""

    name: str
    count: int | None
    seconds: float


@dataclass(frozen=True)
class Report:
    """Figures of one run.

    Attributes:
        title: of the board.
        seconds: virtual time.
        states: one row for each state that occurred; together the whole of time and charge.
        parts: the same charge by what drew it: the chip, microphone, Wi-Fi, sensors.
        work: what the CPU was busy with, as far as the chip counts it; together about its busy time.
        average_ma: average current.
        awake_ma: average current while the CPU runs, busy or idle; None if it never did.
        battery: the board's battery, in words.
        battery_hours: how long it lasts if the run goes on for ever as it was; None without any current.
        marks: moments (s) of boots by cause, of events and of power cuts.
        assumptions: what the figures stand on, a sentence each.
        picture: the PNG.
    """

    title: str
    seconds: float
    states: list[Share]
    parts: list[Share]
    work: list[Work]
    average_ma: float
    awake_ma: float | None
    battery: str
    battery_hours: float | None
    marks: dict[str, list[float]]
    assumptions: list[str]
    picture: Path

    @property
    def mah(self) -> float:
        """Charge of the whole run, mAh."""
        return sum(state.mah for state in self.states)


def report(twin: Twin, path: Path) -> Report:
    """Figures and picture of a twin that has run.

    Args:
        twin: the twin; the time from its first power-on until now is reported.
        path: the PNG to write.

    Raises:
        UserError: the twin has not run yet, or the picture cannot be written.
    """
    if not twin.chip.meter.stretches:
        raise UserError("the twin has not run yet, so there is nothing to report: let some virtual time pass")
    board = twin.board
    course = _course(twin)
    spans = np.diff(course.times)
    charge = spans * course.current
    states = [
        Share(name, float(spans[chosen].sum()), float(charge[chosen].sum()) / _MA_S_PER_MAH)
        for number, name in enumerate(STATES.values())
        if (chosen := course.state == number).any()
    ]
    chip = sum(course.parts[name] for name in STATES.values())
    parts = [
        Share(name, float(spans[drawn > 0].sum()), float((spans * drawn).sum()) / _MA_S_PER_MAH)
        for name, drawn in {"chip": chip, **{name: course.parts[name] for name in LOADS.values()}}.items()
        if drawn.any()
    ]
    awake = np.isin(course.state, [list(STATES).index(state) for state in (BUSY, IDLE)])
    average = float(charge.sum()) / course.seconds
    hours = battery_hours(board.BATTERY, average) if average > 0 else None
    marks = _marks(twin)
    title = f"{board.TITLE}: {span(course.seconds)}, {_current(average)} on average"
    draw(path, course, marks, title)
    return Report(
        title=board.TITLE,
        seconds=course.seconds,
        states=states,
        parts=parts,
        work=_work(twin, float(spans[course.state == list(STATES).index(BUSY)].sum())),
        average_ma=average,
        awake_ma=float(charge[awake].sum() / spans[awake].sum()) if awake.any() else None,
        battery=board.BATTERY["title"],
        battery_hours=hours,
        marks=marks,
        assumptions=_assumptions(board),
        picture=path,
    )


def print_report(made: Report, console: Console | None = None) -> None:
    """Print a report as tables and sentences."""
    console = console or Console(highlight=False)
    table = Table(title=f"{made.title}: {span(made.seconds)} of virtual time", min_width=60)
    for heading in ("state", "time", "share of time", "charge", "share of charge"):
        table.add_column(heading, justify="left" if heading == "state" else "right")
    for row in made.states:
        table.add_row(row.name, span(row.seconds), *_shares(made, row))
    table.add_section()
    for row in made.parts:
        table.add_row(f"by {row.name}", span(row.seconds), *_shares(made, row))
    table.add_section()
    table.add_row("all", span(made.seconds), "100.0%", _charge(made.mah), "100.0%" if made.mah else "")
    console.print(table)
    facts = Table(show_header=False, min_width=60)
    facts.add_row("average current", _current(made.average_ma))
    facts.add_row("while awake", _current(made.awake_ma) if made.awake_ma is not None else "never awake")
    life = f"{span(made.battery_hours * 3600)} on a {made.battery}" if made.battery_hours else "no end"
    facts.add_row("battery life", life)
    for work in made.work:
        number = f"{work.count:,} taking " if work.count is not None else ""
        facts.add_row(f"CPU: {work.name}", f"{number}{span(work.seconds)}")
    for name, times in made.marks.items():
        if times:
            facts.add_row(name, f"{len(times):,} times" if len(times) > 1 else "once")
    console.print(facts)
    console.print(f"picture: {made.picture}", soft_wrap=True)
    for line in made.assumptions:
        console.print(f"- {line}", soft_wrap=True)


def span(seconds: float) -> str:
    """A length of time for people: 1.2 ms, 3.4 s, 5.6 min, 7.8 h or 9.1 days."""
    for limit, unit, name in ((86400 * 2, 86400, "days"), (7200, 3600, "h"), (300, 60, "min"), (1, 1, "s")):
        if seconds >= limit:
            return f"{seconds / unit:,.1f} {name}"
    return f"{seconds * 1000:.1f} ms"


def _course(twin: Twin) -> Course:
    stretches = twin.chip.meter.stretches
    count = len(stretches)
    ends = np.fromiter((s.end for s in stretches), np.float64, count)
    numbers = {state: number for number, state in enumerate(STATES)}
    state = np.fromiter((numbers[s.state] for s in stretches), np.int64, count)
    current = np.fromiter((s.current for s in stretches), np.float64, count)
    parts = {
        shown: np.fromiter((s.loads.get(name, 0.0) for s in stretches), np.float64, count)
        for name, shown in LOADS.items()
    }
    chip = current - sum(parts.values())
    parts |= {name: np.where(state == number, chip, 0.0) for number, name in enumerate(STATES.values())}
    times = np.concatenate([[stretches[0].start], ends]) / 1e6
    return Course(times, current, state, parts)


def _marks(twin: Twin) -> dict[str, list[float]]:
    named = {"power on": [], "wake": [], "other reset": []}
    for at, cause in twin.resets:
        names = {PWRON_RESET: "power on", DEEPSLEEP_RESET: "wake"}
        named[names.get(cause, "other reset")].append(at)
    named["event"] = [at for at, _ in twin.events]
    named["power cut"] = [at for at, _ in twin.cuts]
    return named


def _work(twin: Twin, busy: float) -> list[Work]:
    """The CPU's busy seconds; the chip counts inferences, frames and boots, what is left has no counter."""
    neural = twin.chip.parts["neural"]
    counted = [
        Work("inferences", len(neural.scores), neural.invoking_us / 1e6),
        Work("feature frames", neural.frames, neural.featuring_us / 1e6),
        Work("boots", len(twin.resets), len(twin.resets) * twin.board.BOOT_MS / 1000),
    ]
    rest = max(busy - sum(work.seconds for work in counted), 0.0)
    return [*counted, Work("flash and calls", None, rest)]


def _assumptions(board: ModuleType) -> list[str]:
    return [
        "Not run on hardware: every figure is an estimate.",
        f"Currents, CPU cycles and the boot time are those of boards/{board.NAME}/board.py, whose comments"
        " name their sources.",
        f"Inferences cost {board.CYCLES['per_instruction']} CPU cycles for each RV32IMC instruction that the"
        f" packed model predicts, or {board.CYCLES['per_mac']} a multiply-accumulate under TFLM; feature"
        f" frames {board.CYCLES['per_frame']:,} cycles each; interpreted code costs nothing.",
        "Battery life takes this run, repeated as it was for ever, and"
        f" {board.BATTERY['usable']:.0%} of {board.BATTERY['mah']} mAh; self-discharge is not counted.",
    ]


def _shares(made: Report, row: Share) -> tuple[str, str, str]:
    of_charge = f"{row.mah / made.mah:.1%}" if made.mah else ""
    return f"{row.seconds / made.seconds:.1%}", _charge(row.mah), of_charge


def _charge(mah: float) -> str:
    return f"{mah:,.2f} mAh" if mah >= 1 else f"{mah * 1000:,.2f} µAh"


def _current(ma: float) -> str:
    return f"{ma:.1f} mA" if ma >= 1 else f"{ma * 1000:.1f} µA"
