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


@lru_cache
def modules() -> SimpleNamespace:
    """``schema``, ``shape`` and ``check`` of ``node.config``, and ``fusion`` with the check of rules."""
    with _device():
        found = {
            name: importlib.import_module(f"node.config.{name}") for name in ("schema", "shape", "check")
        }
        return SimpleNamespace(**found, fusion=importlib.import_module("node.fusion"))


@contextmanager
def _device() -> Iterator[None]:
    """The application's modules can be imported, and leave no trace under their names."""
    stand_in = ModuleType("micropython")
    stand_in.const = lambda value: value
    stand_in.native = stand_in.viper = lambda function: function
    before = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] in ("node", "micropython")
    }
    for name in before:
        del sys.modules[name]
    sys.modules["micropython"] = stand_in
    sys.path.insert(0, str(FIRMWARE / "app"))
    try:
        yield
    finally:
        sys.path.remove(str(FIRMWARE / "app"))
        for name in [name for name in sys.modules if name.partition(".")[0] in ("node", "micropython")]:
            del sys.modules[name]
        sys.modules.update(before)


def check(document: Any) -> tuple[dict[str, Any], list[str]]:
    """A configuration with its defaults, and sentences about what is wrong in it."""
    device = modules()
    return device.check.document(document, device.fusion.check)


def read(path: Path) -> dict[str, Any]:
    """The configuration in a file, complete.

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
    found, errors = check(document)
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise UserError(f"{path}: {errors[0]}{more}")
    return found
