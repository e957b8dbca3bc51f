"""``cicada flash``, ``cicada erase`` and ``cicada size``: their command lines."""

from __future__ import annotations

import argparse


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the three commands to the main parser's."""
    flash = commands.add_parser("flash", help="write a build to a board, only where it differs, and start it")
    _board(flash)
    flash.add_argument("--baud", type=int, help="bits per second while writing (default: 460800)")
    flash.add_argument(
        "--repartition", action="store_true", help="replace the board's partition table by another one"
    )
    flash.set_defaults(run=_flash)

    erase = commands.add_parser("erase", help="erase a board's flash, or one partition")
    _board(erase)
    erase.add_argument("--partition", metavar="NAME", help="only this one, e.g. vfs")
    erase.add_argument("--yes", action="store_true", help="do not ask")
    erase.set_defaults(run=_erase)

    size = commands.add_parser("size", help="what takes the room in a build, by component")
    size.add_argument("--board", default="esp32")
    size.add_argument("--all", action="store_true", help="every component, not only the largest")
    size.set_defaults(run=_size)


def _board(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--board", default="esp32", help="folder in boards/; 'twin' is started if none runs")
    parser.add_argument("--port", help="serial port or URL (default: the only board that is attached)")


def _flash(options: argparse.Namespace) -> int:
    from cicada.tools.flashing.flash import BAUD, flash

    port = options.port
    if options.board == "twin":
        from cicada.tools.flashing.twin import ensure_twin, make_twin

        port = port or ensure_twin()
        make_twin()
    flash(options.board, port, options.baud or BAUD, options.repartition)
    return 0


def _erase(options: argparse.Namespace) -> int:
    from cicada.tools.flashing.erase import erase

    return erase(options.board, options.port, options.partition, options.yes)


def _size(options: argparse.Namespace) -> int:
    from cicada.tools.flashing.size import size

    return size(options.board, options.all)
