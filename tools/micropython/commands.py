"""``cicada modules``: builds the interpreters with our C modules and says where they are."""

from __future__ import annotations

import argparse


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line's ``commands``."""
    parser = commands.add_parser("modules", help="MicroPython with our C modules, for this machine and RV32")
    parser.add_argument(
        "--sanitize", action="store_true", help="this machine's, with address and UB sanitizers"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from cicada.tools.micropython.build import build

    for name in ("unix-sanitized",) if options.sanitize else ("unix", "rv32"):
        print(f"{name}: {build(name)}")
    return 0
