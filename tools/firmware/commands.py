"""``cicada firmware``: its command line."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command to the main parser's ``commands``."""
    firmware = commands.add_parser("firmware", help="build the image of a board with ESP-IDF")
    firmware.add_argument("--board", default="esp32", help="folder in boards/ (default: esp32)")
    firmware.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="model container to build in (default: the trained one, else the one that comes with Cicada)",
    )
    firmware.add_argument("--idf-path", type=Path, metavar="DIR", help="ESP-IDF (default: IDF_PATH)")
    firmware.add_argument(
        "--micropython-dir", type=Path, metavar="DIR", help="MicroPython (default: MICROPYTHON_DIR)"
    )
    firmware.add_argument(
        "--components",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="local components, or a folder of them; nothing is downloaded then",
    )
    firmware.add_argument(
        "--signed", type=Path, metavar="KEY", help="sign the image; only signed updates boot afterwards"
    )
    firmware.add_argument(
        "--identity",
        action="store_true",
        help="only write who the image is and whose updates it takes, for a build by hand with idf.py",
    )
    firmware.set_defaults(run=_firmware)


def _firmware(options: argparse.Namespace) -> int:
    from cicada.tools.firmware.build import build, build_twin, check_fit
    from cicada.tools.flashing.firmware import folder_of

    if options.identity:
        return _identity(options.board)
    if options.board == "twin":
        image = build_twin(options.model)
    else:
        image = build(
            options.board,
            options.model,
            options.idf_path,
            options.micropython_dir,
            options.components,
            options.signed,
        )
    size, slot = check_fit(image)
    print(
        f"{folder_of(options.board) / 'cicada.bin'}: {size:,} bytes, {1 - size / slot:.1%} of its slot free"
    )
    print(f"put it on a board with  make flash BOARD={options.board}")
    return 0


def _identity(board: str) -> int:
    from cicada.tools.firmware import checks, identity
    from cicada.tools.flashing.firmware import folder_of

    checks.check_board(board)
    print(identity.write(board, folder_of(board)) / "node" / "identity.py")
    return 0
