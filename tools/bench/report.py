"""The figures of :mod:`cicada.tools.bench.suite` as tables, beside what they are compared with."""

from __future__ import annotations

from cicada.tools.bench.baseline import (
    FLASH_TARGET,
    FLOOR,
    FRONTEND,
    FRONTEND_FLASH_TARGET,
    FRONTEND_RAM_TARGET,
    FRONTEND_TARGET,
    LOAD_TARGET,
)
from cicada.tools.bench.blob import KINDS
from cicada.tools.bench.frontend import CYCLES_PER_INSTRUCTION
from cicada.tools.bench.machine import LIBRARY
from cicada.tools.bench.page import Sheet
from cicada.tools.bench.suite import Model, Suite

#: The line of docs/bench.md behind which the figures stand.
BEGIN = "<!-- cicada bench --write -->\n"


def parts(suite: Suite) -> list[Sheet | str]:
    """Tables and sentences, for :func:`cicada.tools.bench.page.show` or ``markdown``."""
    return [
        Sheet(
            (
                "instructions an inference",
                "MACs",
                "TFLM (a)",
                "ESP-NN (b)",
                "Cicada",
                "a MAC",
                "target",
                "of b",
            ),
            [_instructions(model) for model in suite.models],
        ),
        Sheet(
            ("bytes of RAM", "arena, b", "arena", "target", "structure", "stack"),
            [_memory(model) for model in suite.models],
        ),
        Sheet(
            (
                "bytes of flash",
                "file, b",
                "file",
                "target",
                "runtime, b",
                "runtime, its kernels",
                "load, b",
                "load",
            ),
            [_flash(model) for model in suite.models],
        ),
        "The runtime with all kernels, but for those that only builds with accelerated ones need, takes"
        f" {suite.flash_bytes:,} bytes of flash; the target is {FLASH_TARGET:,}. What it uses of the C"
        f" library, {', '.join(LIBRARY)}, is not in it; picolibc's take {suite.library_bytes:,} bytes more."
        " Loading is checking everything and opening, in instructions; for models of a wake word's size"
        f" the target is {LOAD_TARGET:,}.",
        _kernels(suite),
        f"Instructions a multiply-accumulate of each kernel, and in brackets its share of the inference. The"
        f" floor is about {FLOOR}; the last column is everything above it as a share of the inference.",
        _frontend(suite),
        _missed(suite),
    ]


def _missed(suite: Suite) -> str:
    """Which targets are not reached, and by how much."""
    figures: list[tuple[str, float, int | None]] = [("the runtime's flash", suite.flash_bytes, FLASH_TARGET)]
    for model in suite.models:
        if model.reference:
            cost, wanted = model.cost, model.reference
            figures += [
                (f"{model.name}'s instructions", cost.instructions, wanted.target),
                (f"{model.name}'s arena", cost.arena_bytes, wanted.arena_target),
                (f"{model.name}'s file", cost.file_bytes, wanted.file_target),
            ]
    for step, counts in suite.frontend.items():
        if step == 10:
            figures += [
                ("the front end's instructions", counts.instructions_per_frame, FRONTEND_TARGET),
                ("the front end's flash", counts.flash_bytes, FRONTEND_FLASH_TARGET),
                ("the front end's RAM", counts.state_bytes + counts.stack_bytes, FRONTEND_RAM_TARGET),
            ]
    missed = [
        f"{name} by {value / target - 1:.1%}" for name, value, target in figures if target and value > target
    ]
    return f"Targets not reached: {', '.join(missed)}." if missed else "All targets are reached."


def _or_blank(number: float | None) -> str:
    return "" if number is None else f"{number:,.0f}"


def _instructions(model: Model) -> list[str]:
    cost, reference = model.cost, model.reference
    mine = f"{cost.instructions:,.0f}", f"{cost.instructions / cost.macs:.2f}"
    if not reference:
        return [model.name, f"{cost.macs:,}", "", "", *mine, "", ""]
    return [
        *(model.name, f"{cost.macs:,}", f"{reference.tflm:,}", f"{reference.espnn:,}", *mine),
        *(f"{reference.target:,}", f"{cost.instructions / reference.espnn:.0%}"),
    ]


def _memory(model: Model) -> list[str]:
    cost, reference = model.cost, model.reference
    return [
        *(model.name, _or_blank(reference and reference.arena), f"{cost.arena_bytes:,}"),
        *(_or_blank(reference and reference.arena_target), f"{cost.model_bytes:,}", f"{cost.stack_bytes:,}"),
    ]


def _flash(model: Model) -> list[str]:
    cost, reference = model.cost, model.reference
    return [
        *(model.name, f"{model.tflite_bytes:,}", f"{cost.file_bytes:,}"),
        *(_or_blank(reference and reference.file_target), _or_blank(reference and reference.flash)),
        *(f"{cost.flash_bytes:,}", _or_blank(reference and reference.load), f"{cost.load:,}"),
    ]


def _kernels(suite: Suite) -> Sheet:
    summing = [
        kind
        for kind in KINDS
        if any(model.cost.kinds[kind].macs for model in suite.models if kind in model.cost.kinds)
    ]
    rows = []
    for model in suite.models:
        cost, row = model.cost, [model.name]
        for kind in summing:
            mine = cost.kinds.get(kind)
            row.append(
                f"{mine.instructions / mine.macs:.2f} ({mine.instructions / cost.instructions:.0%})"
                if mine
                else ""
            )
        other = cost.instructions - sum(
            cost.kinds[kind].instructions for kind in summing if kind in cost.kinds
        )
        row += [f"{other / cost.instructions:.0%}", f"{1 - FLOOR * cost.macs / cost.instructions:.0%}"]
        rows.append(row)
    return Sheet(("kernels", *summing, "others", "above the floor"), rows)


def _frontend(suite: Suite) -> Sheet:
    shows = (
        ("instructions a frame, loud", lambda c: f"{c.instructions_per_frame:,.0f}", f"{FRONTEND_TARGET:,}"),
        ("most in a frame", lambda c: f"{c.instructions_max:,}", ""),
        ("in digital silence", lambda c: f"{c.instructions_silence:,.0f}", ""),
        (f"cycles on ESP32, at {CYCLES_PER_INSTRUCTION}", lambda c: f"{c.cycles_per_frame:,}", ""),
        ("code, bytes", lambda c: f"{c.code_bytes:,}", ""),
        ("tables, bytes", lambda c: f"{c.table_bytes:,}", ""),
        ("flash, bytes", lambda c: f"{c.flash_bytes:,}", f"{FRONTEND_FLASH_TARGET:,}"),
        ("RAM a stream, bytes", lambda c: f"{c.state_bytes:,}", f"{FRONTEND_RAM_TARGET:,}"),
        ("stack, bytes", lambda c: f"{c.stack_bytes:,}", ""),
    )
    before = {0: f"{FRONTEND:,}"}
    counts = suite.frontend.values()
    return Sheet(
        (
            "front end",
            "microfrontend, 10 ms",
            *(f"every {step} ms" for step in suite.frontend),
            "target, 10 ms",
        ),
        [
            [title, before.get(number, ""), *(show(c) for c in counts), target]
            for number, (title, show, target) in enumerate(shows)
        ],
    )
