"""The device's own code for configurations, run here: what passes here passes there."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from cicada.tools.errors import UserError, from_os_error
from cicada.tools.paths import FIRMWARE

#: Largest file that a device reads, bytes (node/config/store.py).
LARGEST = 8192
_THEIRS = ("node", "micropython", "machine")


@lru_cache
def modules() -> SimpleNamespace:
    """``schema``, ``shape`` and ``check`` of ``node.config``, ``fusion`` with the check of rules, ``wakes``
    with that of plans, and ``sensors``.
    """
    names = ("config.schema", "config.shape", "config.check", "fusion", "plan.wakes", "sensors")
    with _device():
        found = {name.rpartition(".")[2]: importlib.import_module(f"node.{name}") for name in names}
        return SimpleNamespace(**found)


@contextmanager
def _device() -> Iterator[None]:
    """The application's modules can be imported, and leave no trace under their names."""
    stand_in = ModuleType("micropython")
    stand_in.const = lambda value: value
    stand_in.native = stand_in.viper = lambda function: function
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in _THEIRS}
    for name in before:
        del sys.modules[name]
    sys.modules["micropython"] = stand_in
    sys.modules["machine"] = ModuleType("machine")  # imported, not used, by what is needed here
    sys.path.insert(0, str(FIRMWARE / "app"))
    try:
        yield
    finally:
        sys.path.remove(str(FIRMWARE / "app"))
        for name in [name for name in sys.modules if name.partition(".")[0] in _THEIRS]:
            del sys.modules[name]
        sys.modules.update(before)


def check(document: Any, board: ModuleType | None = None) -> tuple[dict[str, Any], list[str]]:
    """A configuration with its defaults, and sentences about what is wrong in it.

    Args:
        document: what the JSON says.
        board: the board's description; without it what the chip cannot do is not looked at.
    """
    device = modules()

    def impossible(data: dict[str, Any]) -> str | None:
        interrupt = device.sensors.Sensors(data["sensors"], board).interrupt
        with _device():  # it imports what it needs when it needs it
            return device.wakes.check(data["plan"], board, interrupt)

    return device.check.document(document, device.fusion.check, impossible if board else None)


def read(path: Path, board: ModuleType | None = None) -> dict[str, Any]:
    """The configuration in a file, complete.

    Args:
        path: of the file.
        board: as for :func:`check`.

    Raises:
        UserError: it is none that a device would take.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
    if len(data) > LARGEST:
        raise UserError(f"{path} has {len(data)} bytes, a device reads {LARGEST}: make it shorter")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {error}") from error
    found, errors = check(document, board)
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise UserError(f"{path}: {errors[0]}{more}")
    return found
