"""Who the images built here are and whose updates they take: ``node/identity.py`` for each board."""

from __future__ import annotations

from pathlib import Path

from cicada.tools.release import identity, keys
from cicada.tools.stages import write_atomic

#: Folder in a chip's build folder that the module ``node/identity.py`` is frozen from.
FOLDER = "identity"


def text(board: str) -> str:
    """Source of ``node/identity.py``: this application's version, and the keys that are trusted now.

    Raises:
        UserError: the key store is damaged.
    """
    return identity.source(board, keys.trusted())


def write(board: str, build: Path) -> Path:
    """Write :func:`text` into a chip's build folder, where it differs from what is there.

    Args:
        board: name of a folder in ``boards/``.
        build: the build folder, made if need be.

    Returns:
        the folder to give CMake as ``CICADA_IDENTITY_DIR``.
    """
    folder = build / FOLDER
    path = folder / "node" / "identity.py"
    data = text(board).encode("ascii")
    # A new date would have it compiled again.
    if not path.is_file() or path.read_bytes() != data:
        write_atomic(path, data)
    return folder
