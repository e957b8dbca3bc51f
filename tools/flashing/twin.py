"""The twin as a board to flash: its build in ESP-IDF's shape, and a twin to put it on."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

from cicada.tools.board import load_board
from cicada.tools.choice import Choice
from cicada.tools.errors import UserError
from cicada.tools.flashing.finding import find_port
from cicada.tools.flashing.firmware import APP, OTADATA, TABLE, folder_of
from cicada.tools.paths import BUILD, FIRMWARE
from cicada.tools.stages import write_atomic
from cicada.tools.twin import partitions
from cicada.tools.twin.image import app_image, partition_table

_STARTING_S = 10.0


def build_twin(models: dict[str, bytes], version: str, folder: Path | None = None) -> Path:
    """The twin's firmware as files and ``flasher_args.json``, as ESP-IDF leaves a chip's.

    The twin's boot loader is no file: it is part of the chip (``tools/twin/boot.py``).

    Args:
        models: containers by name, built into the image.
        version: of the application.
        folder: where to (default: ``build/firmware/twin``), which is returned.
    """
    folder = folder or folder_of("twin")
    board = load_board("twin")
    table = partition_table("twin")
    entries = partitions.parse(table.ljust(partitions.TABLE_SIZE, b"\xff"), board.FLASH_SIZE)
    slot = partitions.ota_slots(entries)[0]
    otadata = partitions.find(entries, partitions.DATA, partitions.OTADATA)
    image = app_image("twin", models, version)
    parts = {
        TABLE: (partitions.TABLE, "partition_table/partition-table.bin", table),
        OTADATA: (otadata.offset, "ota_data_initial.bin", b"\xff" * otadata.size),
        APP: (slot.offset, "cicada.bin", image),
    }
    for _, name, data in parts.values():
        write_atomic(folder / name, data)
    settings = {"flash_mode": "dio", "flash_size": f"{board.FLASH_SIZE >> 20}MB", "flash_freq": "40m"}
    about = {
        "write_flash_args": [word for key, value in settings.items() for word in (f"--{key}", value)],
        "flash_settings": settings,
        "flash_files": {hex(at): name for at, name, _ in parts.values()},
    }
    about |= {
        key: {"offset": hex(at), "file": name, "encrypted": "false"} for key, (at, name, _) in parts.items()
    }
    about["extra_esptool_args"] = {
        "after": "hard_reset",
        "before": "default_reset",
        "stub": True,
        "chip": board.CHIP,
    }
    write_atomic(folder / "flasher_args.json", json.dumps(about, indent=1).encode())
    return folder


def make_twin() -> Path:
    """:func:`build_twin` with the model that was trained last, or else the one in ``firmware/models``."""
    trained = BUILD / "kws" / "kws.cmod"
    model = trained if trained.is_file() else FIRMWARE / "models" / "kws.cmod"
    return build_twin({"kws": model.read_bytes()}, importlib.metadata.version("cicada"))


def ensure_twin() -> str:
    """URL of the running twin's port for esptool; one is started in the background if none runs.

    Raises:
        UserError: if none runs, and starting one would train another model than the one there is.
    """
    if not _answers():
        choice = _choice()
        if choice is None:
            raise UserError("no twin is running: start one with 'make twin', then run the same command again")
        from cicada.tools.twin import service

        service.start(choice)
        end = time.monotonic() + _STARTING_S
        while not _answers():
            if time.monotonic() > end:
                raise UserError("the twin was started, but does not answer: see build/twin/twin.log")
            time.sleep(0.1)
    return find_port("twin", None, reset_lines=True)


def _choice() -> Choice | None:
    """What a twin started now may run: what was trained last. None if only the user can say how."""
    if importlib.util.find_spec("tensorflow") is None:
        return None
    try:
        result = json.loads((BUILD / "kws" / "result.json").read_text())
        ours = result["source"].startswith("synthesised")
        words = tuple(label for label in result["labels"] if not label.startswith("_"))
        return Choice(words=words, engine=result["engine"].lower()) if ours else None
    except FileNotFoundError:
        return Choice()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _answers() -> bool:
    """Whether somebody listens where the last twin said it does."""
    try:
        url = urlsplit(find_port("twin", None, reset_lines=True))
        with socket.create_connection((url.hostname, url.port), timeout=1):
            return True
    except (UserError, OSError):
        return False
