"""What a model costs on each board: time, CPU and charge, from the boards' figures; not run on hardware."""

from __future__ import annotations

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
    """One model on one board, listening or feeling without a pause.

    Attributes:
        board: its title.
        inference_ms: time of one inference.
        cpu: share of the CPU that inferences and features take; above 1 it cannot keep up.
        average_ma: current of chip and sensor, awake all the time.
        mwh_per_hour: energy of an hour of that.
    """

    board: str
    inference_ms: float
    cpu: float
    average_ma: float
    mwh_per_hour: float


def costs(instructions: int, per_s: float, feature_cycles: dict[str, float]) -> list[Cost]:
    """What a model costs on every board that the firmware is for.

    Args:
        instructions: of one inference (RV32IMC, packed).
        per_s: inferences a second.
        feature_cycles: CPU cycles a second that the features take, by the board's folder; and what of sensors
            is on is in the board's own figures.
    """
    made = []
    for name in boards():
        board = load_board(name)
        cycles = instructions * board.CYCLES["per_instruction"]
        share = (cycles * per_s + feature_cycles[name]) / board.CPU_HZ
        busy, idle = board.POWER["cpu_busy"], board.POWER["cpu_idle"]
        current = idle + (busy - idle) * min(share, 1.0) + board.POWER.get("microphone_on", 0.0)
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


def table(made: list[Cost]) -> Table:
    """The costs as a table."""
    rows = [
        [
            cost.board,
            f"{cost.inference_ms:.1f} ms",
            f"{cost.cpu:.0%}" if cost.cpu < 1 else f"{cost.cpu:.0%}, too slow",
            f"{cost.average_ma:.1f} mA",
            f"{cost.mwh_per_hour:.0f} mWh",
        ]
        for cost in made
    ]
    columns = ["board", "an inference", "CPU", "awake all the time", "an hour"]
    return Table(columns, rows, "On the boards", NOTE)


def as_json(made: list[Cost]) -> list[dict[str, Any]]:
    """JSON-able costs."""
    return [asdict(cost) for cost in made]
