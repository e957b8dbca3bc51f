"""``cicada twin ...``: the command line of the twin."""

from __future__ import annotations

import argparse
from pathlib import Path

from cicada.tools.choice import Choice, add_options
from cicada.tools.paths import BUILD


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add ``twin`` and its actions to the main parser's ``commands``."""
    twin = commands.add_parser("twin", help="a board made of software: run, watch, measure, compare")
    actions = twin.add_subparsers(dest="action", required=True, metavar="ACTION")

    start = actions.add_parser("start", help="leave a twin running in the background, in real time")
    add_options(start)
    start.set_defaults(run=_start)

    stop = actions.add_parser("stop", help="end it")
    stop.set_defaults(run=_stop)

    status = actions.add_parser("status", help="say whether one runs, and its ports")
    status.set_defaults(run=_status)

    run = actions.add_parser(
        "run", help="run a scenario and check what it expects; without one, the demo's scene"
    )
    run.add_argument("scenario", type=Path, nargs="?", help="TOML file, see docs/twin.md")
    run.add_argument("--seconds", type=float, help="virtual seconds (default: the scenario's, else for ever)")
    run.add_argument(
        "--speed", type=float, help="times real time, 0 for no limit (default: 0 with a scenario, else 1)"
    )
    run.add_argument("--report", type=Path, metavar="PNG", help="draw current over time")
    run.add_argument("--quiet", action="store_true", help="do not show the console")
    run.add_argument("--fresh", action="store_true", help="forget what an earlier run left in the flash")
    add_options(run)
    run.set_defaults(run=_run)

    fleet = actions.add_parser("fleet", help="run many twins at once and say how each fared")
    fleet.add_argument("count", type=int, help="how many")
    fleet.add_argument(
        "scenario", type=Path, nargs="?", help="TOML file; its seed counts up from twin to twin"
    )
    fleet.add_argument("--seconds", type=float, help="virtual seconds (default: the scenario's, else 60)")
    fleet.add_argument("--speed", type=float, default=0.0, help="times real time, 0 (default) for no limit")
    add_options(fleet)
    fleet.set_defaults(run=_fleet)

    report = actions.add_parser("report", help="current over time and battery life of a run")
    report.add_argument("scenario", type=Path, nargs="?", help="TOML file; without one, the demo's scene")
    report.add_argument("--seconds", type=float, help="virtual seconds (default: the scenario's, else 60)")
    report.add_argument("--out", type=Path, default=BUILD / "twin" / "report.png", metavar="PNG")
    add_options(report)
    report.set_defaults(run=_report)

    attempt = actions.add_parser("try", help="compare a candidate model with the one that runs now")
    attempt.add_argument("candidate", type=Path, help="model container (.cmod)")
    attempt.add_argument("--against", type=Path, help="container of the running model (default: build/kws)")
    attempt.add_argument(
        "--data", type=Path, help="recordings, Speech Commands layout (default: synthesised)"
    )
    attempt.add_argument("--words", help="words to test, e.g. yes,no (default: all that both models know)")
    attempt.add_argument("--minutes", type=float, default=10.0, help="listening on the twin (default: 10)")
    attempt.add_argument("--seed", type=int, default=1)
    attempt.add_argument("--json", type=Path, metavar="FILE", help="write the result there, too")
    attempt.set_defaults(run=_try)


def _start(options: argparse.Namespace) -> int:
    from cicada.tools.twin import service

    return service.start(Choice.of(options))


def _stop(options: argparse.Namespace) -> int:
    from cicada.tools.twin import service

    return service.stop()


def _status(options: argparse.Namespace) -> int:
    from cicada.tools.twin import service

    return service.status()


def _run(options: argparse.Namespace) -> int:
    if options.scenario:
        from cicada.tools.twin.rehearsal import run_scenario

        return run_scenario(
            options.scenario, options.seconds, options.speed or 0.0, options.report, not options.quiet
        )
    from cicada.tools.twin import service

    speed = 1.0 if options.speed is None else options.speed
    return service.run(Choice.of(options), options.seconds, speed, options.report, options.fresh)


def _fleet(options: argparse.Namespace) -> int:
    from cicada.tools.twin.rehearsal import run_fleet_of

    return run_fleet_of(options.count, options.scenario, options.seconds, options.speed, Choice.of(options))


def _report(options: argparse.Namespace) -> int:
    if options.scenario:
        from cicada.tools.twin.rehearsal import run_scenario

        return run_scenario(options.scenario, options.seconds, 0.0, options.out, show=False)
    from cicada.tools.twin import service

    seconds = 60.0 if options.seconds is None else options.seconds
    return service.report_scene(Choice.of(options), seconds, options.out)


def _try(options: argparse.Namespace) -> int:
    from cicada.tools.twin.trial import try_model

    words = [w.strip() for w in options.words.split(",") if w.strip()] if options.words else None
    return try_model(
        options.candidate,
        options.data,
        options.against,
        words,
        options.seed,
        minutes=options.minutes,
        json_file=options.json,
    )
