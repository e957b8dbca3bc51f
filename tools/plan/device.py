"""The device's own check of a plan, run on the host."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from cicada.tools.board import load_module
from cicada.tools.paths import FIRMWARE


def check_plan(
    plan: Mapping[str, Any], board: ModuleType, interrupt: Callable[[str], int | None]
) -> str | None:
    """What of a plan a board cannot do, as a sentence, or None (``node.plan.wakes.check``).

    Args:
        plan: the configuration's section ``plan``.
        board: the board's description.
        interrupt: pin of a sensor's interrupt by the sensor's name.
    """
    folder = FIRMWARE / "app" / "node"
    node = ModuleType("node")
    node.ulp = load_module(folder / "ulp.py", "cicada_plan_ulp")
    before = sys.modules.get("node")
    sys.modules["node"] = node  # what "from node import ulp" finds
    try:
        return load_module(folder / "plan" / "wakes.py", "cicada_plan_wakes").check(plan, board, interrupt)
    finally:
        if before is None:
            del sys.modules["node"]
        else:
            sys.modules["node"] = before
