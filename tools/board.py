"""Read a board's folder on the host."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from cicada.tools.errors import UserError
from cicada.tools.paths import board_dir

_KEYS = (
    "NAME TITLE CHIP UNIQUE_ID FLASH_SIZE CPU_HZ HEAP ARENA MICROPHONE LED I2C I2C_DEVICES BATTERY_ADC "
    "FRAME_US POWER POWER_AT_MHZ FLASH_US CYCLES BOOT_MS BATTERY"
).split()
#: What a board may have; these stand where it says nothing.
_OPTIONAL = {
    "PSRAM_SIZE": 0,
    "CAMERA": None,
    "BUTTON": None,
    "SOUND_ADC": None,
    "REGULATOR_MA": 0.0,
    "LIGHT_SLEEP_US": 1000,
}


def load_module(path: Path, name: str) -> ModuleType:
    """Import one Python file by its path, under a name of its own."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_board(name: str) -> ModuleType:
    """The ``board.py`` of board ``name``; missing keys are named in the error, optional ones filled in."""
    path = board_dir(name) / "board.py"
    try:
        board = load_module(path, f"cicada_board_{name}")
    except Exception as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    missing = [key for key in _KEYS if not hasattr(board, key)]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}: add them as in boards/twin/board.py")
    for key, value in _OPTIONAL.items():
        if not hasattr(board, key):
            setattr(board, key, value)
    return board
