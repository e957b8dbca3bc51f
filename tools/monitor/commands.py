"""``cicada monitor``: its command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from cicada.tools.paths import BUILD


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command to the main parser."""
    parser = commands.add_parser("monitor", help="serial console of a board or of the twin")
    parser.add_argument("--board", default="esp32", help="folder in boards/, or 'twin'")
    parser.add_argument("--port", help="serial port or URL (default: the only board that is attached)")
    parser.add_argument("--baud", type=int, default=115200)
    parser.add_argument("--reset", action="store_true", help="restart the board first, to see it boot")
    parser.add_argument("--filter", metavar="RULES", default="", help="log lines to show: 'node:I *:W'")
    parser.add_argument(
        "--timestamps", nargs="?", const="local", choices=["local", "start"], help="time before each line"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="append everything to a file")
    parser.add_argument(
        "--elf", type=Path, metavar="FILE", help="for source lines (default: the board's build)"
    )
    parser.add_argument("--seconds", type=float, help="stop after this long")
    parser.set_defaults(run=_monitor)


def _monitor(options: argparse.Namespace) -> int:
    from cicada.tools.flashing.finding import find_port
    from cicada.tools.monitor.session import monitor

    built = BUILD / "firmware" / options.board / "cicada.elf"
    return monitor(
        find_port(options.board, options.port, options.reset),
        options.baud,
        options.seconds,
        elf=options.elf or (built if built.is_file() else None),
        timestamps=options.timestamps,
        log=options.log,
        rules=options.filter,
        reset=options.reset,
    )
