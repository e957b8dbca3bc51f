"""``cicada plan``: what a wake plan costs on a board."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cicada.tools.errors import UserError
from cicada.tools.plan.assumptions import Assumptions
from cicada.tools.plan.batteries import BATTERIES, Battery, battery

if TYPE_CHECKING:
    from cicada.tools.plan.budget import Budget
    from cicada.tools.plan.verify import Verified

_YEAR_H = 8760
_DAY_S = 86400


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add ``plan`` to the main parser's ``commands``."""
    plan = commands.add_parser("plan", help="what a wake plan draws, and how long a battery lasts")
    plan.add_argument("config", type=Path, nargs="?", help="configuration, as /cicada.json has it")
    plan.add_argument("--board", default="esp32", help="whose figures count (default: esp32)")
    plan.add_argument(
        "--battery", default="2aa-lithium", help=f"{', '.join(BATTERIES)} (default: 2aa-lithium)"
    )
    plan.add_argument("--all", action="store_true", help="compare five plans instead of a configuration")
    plan.add_argument(
        "--verify", action="store_true", help="run the application with it on the twin, too, and compare"
    )
    plan.add_argument("--png", type=Path, help="draw who takes how much")
    for one in fields(Assumptions):
        plan.add_argument(
            "--" + one.name.replace("_", "-"), type=float, default=one.default, metavar="N",
            help=f"{one.metadata['text']} (default: {one.default:g})",
        )  # fmt: skip
    plan.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from cicada.tools.board import load_board
    from cicada.tools.node.device import check, read
    from cicada.tools.plan.budget import budget
    from cicada.tools.plan.presets import presets

    board, cell = load_board(options.board), battery(options.battery)
    assumed = Assumptions(**{one.name: getattr(options, one.name) for one in fields(Assumptions)})
    if options.all:
        made, ran = {}, {}
        for title, document in presets(board.CHIP).items():
            config, errors = check(document, board)
            made[title] = errors[0].removeprefix("plan: ") if errors else budget(config, board, assumed)
            if options.verify and not errors:
                ran[title] = _ran(config, board, assumed)
        _print_all(made, board, cell)
        if ran:
            _print_ran(ran)
        _print_assumptions(board, cell, assumed)
        return 0 if all(isinstance(one, str) or one.holds for one in ran.values()) else 1
    if options.config is None:
        raise UserError("no configuration: name a file, or say --all to compare plans")
    config = read(options.config, board)
    made = budget(config, board, assumed)
    _print(made, cell)
    code = _verify(config, board, assumed) if options.verify else 0
    _print_assumptions(board, cell, assumed)
    if options.png:
        from cicada.tools.plan.picture import draw

        draw(options.png, made, cell)
        print(f"picture: {options.png}")
    return code


def _print(made: Budget, cell: Battery) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{made.title}: a day", min_width=60)
    for heading in ("what", "charge", "on average", "share"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    rows = {**made.charges, "self-discharge": cell.self_discharge_ma * _DAY_S}
    whole = sum(rows.values())
    for name, charge in sorted(rows.items(), key=lambda row: -row[1]):
        table.add_row(name, f"{charge / 3.6:,.1f} µAh", _current(charge / _DAY_S), f"{charge / whole:.1%}")
    table.add_section()
    table.add_row("all", f"{whole / 3.6:,.1f} µAh", _current(whole / _DAY_S), "100.0%")
    console = Console(highlight=False)
    console.print(table)
    life = _life(cell.hours(made.average_ma))
    print(f"average current {_current(made.average_ma)}, {cell.title}: {life}, self-discharge included")
    for note in made.notes:
        console.print(note, soft_wrap=True)


def _print_all(made: Mapping[str, Budget | str], board: ModuleType, cell: Battery) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{board.TITLE}, {cell.title}", min_width=60)
    for heading in ("plan", "average current", "battery life", "takes most"):
        table.add_column(heading, justify="left" if heading in ("plan", "takes most") else "right")
    for title, one in made.items():
        if isinstance(one, str):
            table.add_row(title, "-", "-", f"not on this board: {one}")
            continue
        most = max(one.charges, key=one.charges.get)
        share = one.charges[most] / sum(one.charges.values())
        life = _life(cell.hours(one.average_ma))
        table.add_row(title, _current(one.average_ma), life, f"{most}, {share:.0%}")
    Console(highlight=False).print(table)


def _ran(config: Mapping[str, Any], board: ModuleType, assumed: Assumptions) -> Verified | str:
    """The comparison with the twin, or why there is none."""
    from cicada.tools.plan.verify import verify

    try:
        return verify(config, board, assumed)
    except UserError as error:
        return str(error)


def _print_ran(ran: Mapping[str, Verified | str]) -> None:
    from rich.console import Console
    from rich.table import Table

    title = "The application on the twin, without interpreted code and the radio"
    table = Table(title=title, min_width=60)
    for heading in ("plan", "on the twin", "planned so", "off"):
        table.add_column(heading, justify="left" if heading == "plan" else "right")
    for name, one in ran.items():
        if isinstance(one, str):
            table.add_row(name, "-", "-", one)
        else:
            table.add_row(name, _current(one.twin_ma), _current(one.planned_ma), f"{one.off:+.1%}")
    Console(highlight=False).print(table)


def _verify(config: Mapping[str, Any], board: ModuleType, assumed: Assumptions) -> int:
    from cicada.tools.plan.verify import LIMIT, verify

    found = verify(config, board, assumed)
    says = "within" if found.holds else "beyond"
    print(
        f"the application on the twin, without interpreted code and the radio: {_current(found.twin_ma)} over"
        f" {found.seconds:,.0f} s with {found.wakes} wakes; planned the same way"
        f" {_current(found.planned_ma)}, {found.off:+.1%}, {says} {LIMIT:.0%}"
    )
    return 0 if found.holds else 1


def _print_assumptions(board: ModuleType, cell: Battery, assumed: Assumptions) -> None:
    print("Not run on hardware; what this stands on:")
    lines = [
        f"currents, cycles and boot time ({board.BOOT_MS} ms) of boards/{board.NAME}/board.py, whose comments"
        f" name their sources; {_current(board.REGULATOR_MA)} for the regulator, none of a bare module",
        f"{cell.title}: {cell.mah:g} mAh a cell at {cell.volts:g} V, {cell.usable:.0%} usable, converter"
        f" {cell.efficiency:.0%}, so {cell.mah_at_3v3:,.0f} mAh at 3.3 V; {cell.self_discharge:.0%} lost a"
        " year",
        f"batteries: {cell.source}",
        *assumed.sentences(),
    ]
    for line in lines:
        print(f"- {line}")


def _current(ma: float) -> str:
    return f"{ma:.1f} mA" if ma >= 1 else f"{ma * 1000:.1f} µA"


def _life(hours: float) -> str:
    if hours >= _YEAR_H:
        return f"{hours / _YEAR_H:.1f} years"
    return f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} h"
