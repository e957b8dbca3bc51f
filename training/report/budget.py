"""What a model costs on each board: time, CPU and charge, from the boards' figures; not run on hardware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cicada.tools.board import load_board
from cicada.tools.paths import ROOT
from cicada.training.report.page import Table

_VOLTS = 3.3
NOTE = (
    "Predicted from counted RV32IMC instructions and each board's figures (boards/*/board.py, which say where"
    " they are from); not run on hardware."
)


@dataclass(frozen=True)
class Cost:
    """One model on one board, at work without a pause.

    Attributes:
        board: its title.
        inference_ms: time of one inference.
        cpu: share of the CPU that inferences and features take; above 1 it cannot keep up.
        average_ma: current of the chip, awake all the time, and of the sensor where the board has a figure.
        mwh_per_hour: energy of an hour of that.
    """

    board: str
    inference_ms: float
    cpu: float
    average_ma: float
    mwh_per_hour: float


def costs(
    instructions: int, per_s: float, feature_cycles: dict[str, float], sensor: str | None = None
) -> list[Cost]:
    """What a model costs on every board that the firmware is for.

    Args:
        instructions: of one inference (RV32IMC, packed).
        per_s: inferences a second.
        feature_cycles: CPU cycles a second that the features take, by the board's folder.
        sensor: name of the sensor's current among the boards' figures; None where they have none.
    """
    made = []
    for name in boards():
        board = load_board(name)
        cycles = instructions * board.CYCLES["per_instruction"]
        share = (cycles * per_s + feature_cycles[name]) / board.CPU_HZ
        busy, idle = board.POWER["cpu_busy"], board.POWER["cpu_idle"]
        current = idle + (busy - idle) * min(share, 1.0)
        if sensor:
            current += board.POWER.get(sensor, 0.0)
        made.append(Cost(board.TITLE, 1000 * cycles / board.CPU_HZ, share, current, current * _VOLTS))
    return made


def boards() -> list[str]:
    """Folders of the boards that have figures, without the twin, which has those of an ESP32."""
    return sorted(
        path.parent.name for path in (ROOT / "boards").glob("*/board.py") if path.parent.name != "twin"
    )


def audio_cycles(step_ms: int) -> dict[str, float]:
    """Cycles a second of the audio front end, by board."""
    return {name: load_board(name).CYCLES["per_frame"] * 1000 / step_ms for name in boards()}


def instructed_cycles(instructions: float) -> dict[str, float]:
    """Cycles that so many RV32IMC instructions take, by board."""
    return {name: instructions * load_board(name).CYCLES["per_instruction"] for name in boards()}


def size(model: Mapping[str, Any]) -> Table:
    """What the model's forms need, from ``model`` of ``metrics.json``."""
    columns = ["engine", "bytes", "arena", "MACs an inference"]
    often = "macs_per_s" in model
    rows = [
        [
            name,
            f"{form['bytes']:,}",
            f"{form['arena']:,}",
            f"{model['macs']:,}",
            *([f"{model['macs_per_s']:,}"] if often else []),
        ]
        for name, form in model["forms"].items()
    ]
    note = "TFLM's arena is that of a 64-bit host."
    return Table(columns + ["MACs a second"] * often, rows, "The model", note)


def table(made: list[Cost], note: str = "") -> Table:
    """The costs as a table, and what else is to be known of them."""
    rows = [
        [
            cost.board,
            f"{cost.inference_ms:.1f} ms",
            f"{cost.cpu:.1%}" if cost.cpu < 1 else f"{cost.cpu:.0%}, too slow",
            f"{cost.average_ma:.1f} mA",
            f"{cost.mwh_per_hour:.0f} mWh",
        ]
        for cost in made
    ]
    columns = ["board", "an inference", "CPU", "awake all the time", "an hour"]
    return Table(columns, rows, "On the boards", f"{NOTE} {note}".strip())


def as_json(made: list[Cost]) -> list[dict[str, Any]]:
    """JSON-able costs."""
    return [asdict(cost) for cost in made]
