"""Picture of a budget: who takes how much, and the current over one cycle."""

from __future__ import annotations

from pathlib import Path

from cicada.tools.plan.batteries import Battery
from cicada.tools.plan.budget import DAY, Budget
from cicada.training.figures import FAINT, INK, figure

_BAR = "#0072B2"
_SHOWN = 12  # bars; the rest together make one more


def draw(path: Path, made: Budget, battery: Battery) -> None:
    """Draw a budget as a PNG.

    Args:
        path: the PNG.
        made: the budget.
        battery: whose self-discharge is a bar, too.
    """
    rows = {name: charge / DAY * 1000 for name, charge in made.charges.items()}
    rows["self-discharge"] = battery.self_discharge_ma * 1000
    ordered = sorted(rows.items(), key=lambda row: -row[1])
    if len(ordered) > _SHOWN + 1:
        ordered = [*ordered[:_SHOWN], ("all others", sum(value for _, value in ordered[_SHOWN:]))]
    whole = sum(rows.values())
    with figure(path, (10.5, 1.4 + 0.3 * max(len(ordered), 8)), ncols=2) as (drawn, (bars, course)):
        places = range(len(ordered))
        bars.barh(places, [value for _, value in ordered], color=_BAR)
        bars.set_yticks(places, [name for name, _ in ordered], fontsize=8)
        bars.invert_yaxis()
        for place, (_, value) in zip(places, ordered, strict=True):
            bars.text(value + 0.01 * ordered[0][1], place, f"{value / whole:.1%}", va="center", fontsize=8)
        bars.set_xlim(0, 1.18 * ordered[0][1])
        bars.set_xlabel("µA on average")
        bars.grid(axis="x", color=FAINT, linewidth=0.7)
        bars.set_axisbelow(True)
        _course(course, made)
        average = made.average_ma * 1000
        size = f"{average / 1000:.1f} mA" if average >= 1000 else f"{average:.0f} µA"
        drawn.suptitle(f"{made.title}: {size} on average", x=0.01, ha="left", fontweight="bold", fontsize=11)


def _course(axis, made: Budget) -> None:
    """Current over one wake; the sleep after it is cut short, and its length written into it."""
    awake = sum(phase.seconds for phase in made.cycle[:-1])
    tail = 0.25 * awake
    at, edges, values = 0.0, [0.0], []
    for phase in made.cycle:
        at += min(phase.seconds, tail) if phase is made.cycle[-1] else phase.seconds
        edges.append(at)
        values.append(phase.ma)
    axis.stairs(values, edges, baseline=0.001, fill=True, color="#c8c8c8", linewidth=0)
    axis.stairs(values, edges, baseline=None, color=INK, linewidth=1.2)
    low = 0.0
    for phase, high in zip(made.cycle[:-1], edges[1:-1], strict=True):
        if high - low > 0.045 * edges[-1]:
            text = phase.name.replace("sampling: ", "")
            axis.text((low + high) / 2, 0.0013, text, rotation=90, ha="center", va="bottom", fontsize=8)
        low = high
    sleep = made.cycle[-1]
    if sleep.seconds:
        text = f"{sleep.name}\n{sleep.seconds:,.0f} s"
        axis.text((low + edges[-1]) / 2, 1.3 * sleep.ma, text, ha="center", va="bottom", fontsize=8)
    axis.set_yscale("log")
    axis.set_ylim(0.001, 400)
    ticks = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
    axis.set_yticks(ticks, ["1 µA", "10 µA", "100 µA", "1 mA", "10 mA", "100 mA"])
    axis.minorticks_off()
    axis.set_xlim(0, edges[-1])
    axis.grid(axis="y", color=FAINT, linewidth=0.7)
    axis.set_axisbelow(True)
    axis.set_xlabel(f"s of one wake, of which there are {made.cycles:,.0f} a day")
