"""The device's classes that learn, imported from the application."""

from __future__ import annotations

from functools import cache

from cicada.tools.board import load_module
from cicada.tools.paths import FIRMWARE


@cache
def baseline() -> type:
    """``node.adapt.Baseline``."""
    return load_module(FIRMWARE / "app" / "node" / "adapt" / "baseline.py", "cicada_node_baseline").Baseline


@cache
def prototypes() -> type:
    """``node.adapt.Prototypes``."""
    path = FIRMWARE / "app" / "node" / "adapt" / "prototypes.py"
    return load_module(path, "cicada_node_prototypes").Prototypes
