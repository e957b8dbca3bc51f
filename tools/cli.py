"""The command line: ``cicada COMMAND``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cicada.tools import interrupt
from cicada.tools.adapting.command import add_parser as add_adapt
from cicada.tools.choice import Choice, add_options
from cicada.tools.errors import UserError, from_os_error
from cicada.tools.firmware.commands import add_parser as add_firmware
from cicada.tools.flashing.commands import add_parser as add_flashing
from cicada.tools.micropython.commands import add_parser as add_modules
from cicada.tools.monitor.commands import add_parser as add_monitor
from cicada.tools.node.commands import add_parser as add_node
from cicada.tools.plan.commands import add_parser as add_plan
from cicada.tools.powercut.commands import add_parser as add_powercut
from cicada.tools.provision.commands import add_parser as add_provision
from cicada.tools.release.commands import add_parser as add_release
from cicada.tools.twin.commands import add_parser as add_twin
from cicada.training.commands import add_parser as add_train
from cicada.training.pack.commands import add_parser as add_pack


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; every foreseeable fault is one line on standard error and a non-zero code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    interrupt.install()
    try:
        return options.run(options) or 0
    except UserError as error:
        return _fail(str(error), error.code)
    except KeyboardInterrupt:
        return _fail("stopped; the same command goes on where it was", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except OSError as error:
        return _fail(str(from_os_error(error, f"running 'cicada {options.command}'")), 2)


def _fail(text: str, code: int) -> int:
    sys.stderr.write(f"cicada: {text}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    # All commands fit a screen: the title stands for a description too, and --help does not explain itself.
    parser = argparse.ArgumentParser(prog="cicada", add_help=False)
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(
        dest="command",
        required=True,
        metavar="COMMAND [-h]",
        title="TinyML firmware that listens: train, build, flash, watch",
    )

    demo = commands.add_parser("demo", help="train a model and hear it work on the twin")
    add_options(demo)
    demo.set_defaults(run=_demo)

    add_train(commands)

    add_pack(commands)

    add_twin(commands)

    add_firmware(commands)
    add_flashing(commands)
    add_monitor(commands)
    add_provision(commands)
    add_node(commands)
    add_plan(commands)
    add_adapt(commands)
    add_release(commands)
    add_powercut(commands)

    data = commands.add_parser("data", help="get or make recordings")
    actions = data.add_subparsers(dest="action", required=True, metavar="ACTION")
    fetch = actions.add_parser("fetch", help="download a public data set")
    fetch.add_argument("name", choices=["speech-commands"])
    fetch.add_argument("--to", type=Path, help="folder (default: build/data/<name>)")
    fetch.set_defaults(run=_fetch)

    bench = commands.add_parser("bench", help="what things cost: instructions of the engine, or updates")
    bench.add_argument(
        "what",
        nargs="?",
        choices=["engine", "updates"],
        default="engine",
        help="engine: instructions, RAM and flash on a small CPU (default); updates: on the twin",
    )
    bench.add_argument("--write", action="store_true", help="put the figures into docs/bench.md")
    bench.add_argument("--json", action="store_true", help="engine: print JSON")
    bench.add_argument("--models", type=Path, metavar="FOLDER", help="engine: published models, too")
    bench.add_argument("--host", action="store_true", help="engine: a quick look at times on this machine")
    bench.set_defaults(run=_bench)

    engine = commands.add_parser("engine")  # not listed: everything that needs it builds it
    engine.set_defaults(run=_engine)

    add_modules(commands)
    return parser


def _demo(options: argparse.Namespace) -> int:
    from cicada.tools.demo import demo

    return demo(Choice.of(options))


def _fetch(options: argparse.Namespace) -> int:
    from cicada.tools.paths import BUILD
    from cicada.training.corpora.fetch import fetch_speech_commands

    target = options.to or BUILD / "data" / "speech_commands"
    fetch_speech_commands(target)
    print(f"ready in {target}: train on it with  make demo DATA={target}")
    return 0


def _bench(options: argparse.Namespace) -> int:
    if options.what == "updates":
        from cicada.tools.bench.updates import updates

        if options.json or options.host or options.models:
            raise UserError("--json, --host and --models are for the engine: leave out 'updates'")
        return updates(options.write)
    from cicada.tools.bench.command import bench

    return bench(options.write, options.json, options.host, options.models)


def _engine(options: argparse.Namespace) -> int:
    from cicada.tools import engine

    print(engine.build())
    return 0


if __name__ == "__main__":
    sys.exit(main())
