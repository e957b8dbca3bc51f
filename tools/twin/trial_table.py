"""The table of a trial: candidate, running model and the change, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from cicada.tools.twin.trial_result import Count, Figures, Measured, Trial


def table(made: Trial) -> Table:
    """Table of a trial; what could not be measured is a dash."""
    out = Table(title="Candidate against the running model")
    for heading in ("", "candidate", "running", "change"):
        out.add_column(heading, justify="left" if not heading else "right")
    new, old = made.candidate, made.running
    out.add_row("model", _title(new), _title(old), "")
    out.add_row("model bytes", *_bytes(new.model_bytes, old.model_bytes))
    out.add_row("arena bytes", *_bytes(new.arena_bytes, old.arena_bytes))
    if new.measured and old.measured:
        out.add_section()
        _measured(out, new.measured, old.measured)
    heard = f"; {new.measured.hours * 60:.1f} min of sound" if new.measured else ""
    out.caption = f"arena limit {made.arena_limit:,} bytes{heard}; in brackets 95 % intervals"
    return out


def _measured(out: Table, new: Measured, old: Measured) -> None:
    for label in new.clips:
        out.add_row(f"clips {label}", *_counts(new.clips[label], old.clips[label]))
    out.add_row("clips, all", *_counts(new.all_clips, old.all_clips))
    out.add_section()
    out.add_row("words detected", *_counts(new.words, old.words))
    out.add_row("of them in sleep", str(new.asleep), str(old.asleep), f"{new.asleep - old.asleep:+}")
    change = f"{new.false_an_hour[0] - old.false_an_hour[0]:+.1f} /h"
    out.add_row("false accepts", _false(new), _false(old), change)
    known = new.latency_ms is not None and old.latency_ms is not None
    change = f"{new.latency_ms - old.latency_ms:+.0f} ms" if known else ""
    out.add_row("latency", _latency(new), _latency(old), change)
    out.add_row("restarts", str(new.crashes), str(old.crashes), f"{new.crashes - old.crashes:+}")
    lost = new.lost_samples, old.lost_samples
    out.add_row("samples lost", f"{lost[0]:,}", f"{lost[1]:,}", f"{lost[0] - lost[1]:+,}")
    out.add_section()
    for name, a, b, unit in (
        ("inference", new.inference_ms, old.inference_ms, "ms"),
        ("energy of it", new.inference_mj, old.inference_mj, "mJ"),
        ("average current", new.average_ma, old.average_ma, "mA"),
        ("battery life", new.battery_hours / 24, old.battery_hours / 24, "days"),
    ):
        out.add_row(
            name, f"{a:.2f} {unit}", f"{b:.2f} {unit}", f"{round(a - b, 2) + 0.0:+.2f} {unit}"
        )  # + 0.0: no "-0.00"


def _title(figures: Figures) -> str:
    return f"{figures.name} {figures.version}"


def _bytes(new: int | None, old: int | None) -> tuple[str, str, str]:
    if new is None or old is None:
        return "-", f"{old:,}" if old is not None else "-", ""
    return f"{new:,}", f"{old:,}", f"{new - old:+,}"


def _counts(new: Count, old: Count) -> tuple[str, str, str]:
    return _count(new), _count(old), f"{(new.share - old.share) * 100:+.1f} points"


def _count(count: Count) -> str:
    low, high = count.interval
    return f"{count.right}/{count.of} ({low * 100:.0f}-{high * 100:.0f} %)"


def _false(measured: Measured) -> str:
    _, low, high = measured.false_an_hour
    return f"{measured.false_accepts} ({low:.0f}-{high:.0f} /h)"


def _latency(measured: Measured) -> str:
    return "-" if measured.latency_ms is None else f"{measured.latency_ms:.0f} ms"
