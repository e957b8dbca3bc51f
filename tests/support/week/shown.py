"""The week for people: a table and a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from cicada.tools.plan.batteries import battery
from cicada.tools.twin.chip import DEEPSLEEP_RESET, PWRON_RESET
from cicada.training.figures import INK, figure
from support.week import ledger, scene
from support.week.running import Lived
from support.week.scene import DAY

_REPORTED, _DELIVERED, _AWAY = "#D55E00", "#0072B2", "#c8c8c8"
_NAMED = "#606060"


def table(lived: Lived, console: Console) -> None:
    """Print what came of it."""
    week, found, spent = lived.week, ledger.delivered(lived), ledger.spent(lived)
    said = ledger.understood(lived)
    heard = sum(ok for *_, ok in said)
    clear = ledger.understood(lived, clear=True)
    voices = scene.VOICES * len(scene.WORDS)
    woken, causes = ledger.woken_by(lived), ledger.causes(lived)
    cell = battery("li-ion")
    rows = {
        "virtual time": f"{week.days:g} days, run in {lived.wall_s:.0f} s",
        "sounds": f"{week.sounds:,}: {week.faint:,} faint, {week.knocks:,} knocks, {week.words:,} words",
        "wakes": ", ".join(f"{count} by {why}" for why, count in woken.most_common()),
        "resets beside": f"{causes[PWRON_RESET]} by loss of power (one of them the first), "
        f"{sum(causes.values()) - causes[PWRON_RESET] - ledger.sleeps(lived)} others",
        "words understood": f"{heard} of {len(said)} ({heard / max(len(said), 1):.1%}), "
        f"{ledger.imagined(lived)} heard that nobody said",
        "of clear voices": f"{sum(ok for *_, ok in clear)} of {len(clear)}; clear are {len(lived.clear)} of "
        f"{voices} recordings: those that a node understands which only listens",
        "important events": f"{len(ledger.reported(lived))} reported, "
        f"{len(ledger.important(found))} delivered",
        "records": f"{len(found.records)} delivered, {found.again} of them a second time",
        "radio": f"{spent.sessions} sessions, {spent.searches} searches for a network that was away",
        "average current": f"{1000 * spent.twin_ma:.0f} µA on the twin, "
        f"{1000 * spent.planned_ma:.0f} µA planned ({spent.off:+.0%})",
        "battery life": f"{cell.hours(spent.twin_ma) / 24:.0f} days on a {cell.title}",
        "outbox": f"{sum(lived.erases)} erases, {max(lived.erases)} of the most worn sector",
    }
    shown = Table(title="A node on the twin", show_header=False, title_justify="left")
    for name, text in rows.items():
        shown.add_row(name, text)
    console.print(shown)
    parts = Table("cause", "µA", title="Planned for it", title_justify="left")
    for name, ma in sorted(spent.planned.items(), key=lambda item: -item[1]):
        parts.add_row(name, f"{1000 * ma:.1f}")
    console.print(parts)


def picture(lived: Lived, path: Path) -> None:
    """Draw it: current by the hour, events reported and delivered, battery, resets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    week = lived.week
    length, gap = ("A week", "two days") if week.days == 7 else (f"{24 * week.days:g} hours", "two sevenths")
    title = f"{length} on the twin: {week.sounds:,} sounds, {gap} without a network"
    sizes = {"nrows": 4, "sharex": True, "height_ratios": [1.6, 2.0, 0.9, 0.8]}
    with figure(path, (9.6, 6.6), **sizes) as (drawn, axes):
        for axis in axes:
            _away(axis, lived)
        _current(axes[0], lived)
        _events(axes[1], lived)
        _battery(axes[2], lived)
        _resets(axes[3], lived)
        axes[3].set_xlabel("virtual time (days)")
        axes[3].set_xlim(0, week.days)
        drawn.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=11)
        drawn.align_ylabels(axes)


def _away(axis, lived: Lived) -> None:
    """Shade the days without a network, and the broker's pause."""
    for start, end in (scene.NETWORK_GONE, scene.BROKER_GONE):
        low, high = (lived.week.at(day) / DAY for day in (start, end))
        axis.axvspan(low, high, color=_AWAY, alpha=0.45, linewidth=0)


def _current(axis, lived: Lived) -> None:
    ends = np.array([stretch.end for stretch in lived.stretches]) / 1e6
    drawn = np.array([(s.end - s.start) / 1e6 * s.current for s in lived.stretches])
    times, until = np.concatenate([[0], ends]), np.concatenate([[0], np.cumsum(drawn)])
    edges = np.linspace(0, lived.week.seconds, round(7 * 24) + 1)
    mean = np.diff(np.interp(edges, times, until)) / np.diff(edges)
    axis.stairs(1000 * mean, edges / DAY, color=INK, linewidth=0.9)
    axis.axhline(1000 * lived.average_ma, color=_NAMED, linewidth=0.9, linestyle="--")
    axis.set_ylabel("current (µA)")
    axis.set_ylim(0)


def _events(axis, lived: Lived) -> None:
    reported = sorted(at for at, _ in ledger.reported(lived))
    found = ledger.delivered(lived)
    arrived = [
        at
        for at, record in zip(found.when, found.records, strict=True)
        if record["kind"] == "event" and record["event"] in ledger.IMPORTANT
    ]
    for times, colour, name, width in (
        (reported, _REPORTED, "reported", 2.6),
        (arrived, _DELIVERED, "delivered", 1.3),
    ):
        steps = np.arange(1, len(times) + 1)
        axis.step(np.array(times) / DAY, steps, where="post", color=colour, linewidth=width, label=name)
    axis.set_ylabel("important\nevents")
    axis.legend(loc="upper left", frameon=False, fontsize=8)
    for day, text in ((scene.MODEL_RELEASED, "new model"), (scene.MACHINE_BREAKS, "machine breaks")):
        _name(axis, lived.week.at(day) / DAY, text)
    _name(axis, lived.week.at(scene.NETWORK_GONE[0]) / DAY, "no network")
    _name(axis, lived.week.at(scene.BROKER_GONE[0]) / DAY, "no broker")


def _name(axis, day: float, text: str) -> None:
    axis.axvline(day, color=_NAMED, linewidth=0.6)
    axis.annotate(
        text, (day, 0.03), xycoords=("data", "axes fraction"), rotation=90, fontsize=7.5, color=_NAMED,
        ha="left", va="bottom", xytext=(2, 0), textcoords="offset points",
    )  # fmt: skip


def _battery(axis, lived: Lived) -> None:
    curve = scene.battery(lived.week)
    days = np.linspace(0, lived.week.days, 300)
    axis.plot(days, [curve.at(round(day * DAY * 1e6)) for day in days], color=INK, linewidth=1.2)
    axis.axhline(scene.LOW_MV / 1000, color=_REPORTED, linewidth=0.8, linestyle="--")
    told = [at / DAY for at, event in lived.events if event["event"] == "battery"]
    axis.plot(told, [scene.LOW_MV / 1000] * len(told), "o", color=_REPORTED, markersize=5)
    axis.set_ylabel("battery (V)")


def _resets(axis, lived: Lived) -> None:
    rows = {"deep sleep": DEEPSLEEP_RESET, "power": PWRON_RESET}
    for row, (_, cause) in enumerate(rows.items()):
        times = [at / DAY for at, why in lived.resets if why == cause]
        axis.vlines(times, row - 0.36, row + 0.36, INK, linewidth=0.4 if row == 0 else 1.6)
    counts = ledger.causes(lived)
    axis.set_yticks(
        range(len(rows)), [f"{name} ({counts[cause]:,})" for name, cause in rows.items()], fontsize=8
    )
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_ylabel("resets")
    axis.tick_params(axis="y", length=0)
