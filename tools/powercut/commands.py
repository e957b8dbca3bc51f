"""``cicada powercut``: its command line."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from cicada.tools.errors import UserError


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add ``powercut`` to the main parser's ``commands``."""
    parser = commands.add_parser("powercut", help="cut the power at every step of every update, on the twin")
    parser.add_argument("--sample", type=_count, metavar="N", help="only about N cases (default: all)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the sample")
    parser.add_argument("--scenario", nargs="+", metavar="NAME", help="only these (default: all)")
    parser.add_argument("--depth", type=int, choices=(1, 2), default=2, help="interruptions in a row")
    parser.add_argument("--jobs", type=_count, metavar="N", help="processes (default: one for each CPU)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts and failures there, too")
    parser.add_argument(
        "--replay", metavar="ID", help="play one case again, SCENARIO/CUT[/CUT], and show its console"
    )
    parser.add_argument(
        "--mutants",
        nargs="*",
        metavar="NAME",
        help="instead plant these bugs (default: all), one at a time, and see that each is caught",
    )
    parser.set_defaults(run=_run)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 1 on")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    try:
        from cicada.tools.powercut import report
    except ImportError as error:
        raise UserError(
            f"{error.name} is missing: install it with pip install -e '.[twin,release]'"
        ) from error
    if options.mutants is not None:
        from cicada.tools.powercut import seeded

        return seeded.report(options.mutants, options.jobs or len(os.sched_getaffinity(0)))
    if options.replay:
        return report.show(options.replay, sys.stdout.write)
    jobs = options.jobs or len(os.sched_getaffinity(0))
    return report.campaign(options.scenario, options.depth, options.sample, options.seed, jobs, options.json)
