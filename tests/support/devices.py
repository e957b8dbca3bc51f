"""Single modules of the device's application under CPython."""

from __future__ import annotations

import sys
from types import ModuleType
from unittest import mock

from cicada.tools.board import load_module
from cicada.tools.paths import FIRMWARE


def device_module(path: str) -> ModuleType:
    """Import ``firmware/app/node/<path>``, which needs nothing of MicroPython but ``const``."""
    micropython = ModuleType("micropython")
    micropython.const = lambda value: value
    name = "node_" + path.removesuffix(".py").replace("/", "_")
    with mock.patch.dict(sys.modules, {"micropython": micropython}):
        return load_module(FIRMWARE / "app" / "node" / path, name)
