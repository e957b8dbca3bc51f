"""Programs of the ULP whose outcome is known without running them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType

from cicada.tools.board import load_module
from cicada.tools.paths import FIRMWARE


@dataclass(frozen=True)
class Known:
    """The application's program.

    It wakes the chip when a burst's highest and lowest reading of ``channel`` lie ``counts`` or more apart.
    Runs that do not take equally long whatever they read, and no run knows of the ones before it.
    """

    channel: int
    counts: int


@lru_cache
def _application() -> ModuleType:
    return load_module(FIRMWARE / "app" / "node" / "ulp.py", "cicada_node_ulp")


def wakes_from(memory: bytes, entry: int) -> Known | None:
    """Which known program lies in RTC memory, ready to run from ``entry``; None if it is another.

    What can differ from program to program is read out of it; the same program made again must be the same
    word for word.
    """
    ulp = _application()
    length = len(ulp.program(0, 0))
    if entry:
        return None
    words = list(struct.unpack_from(f"<{length}I", memory))
    known = Known((words[2] >> 2 & 15) - 1, words[17] & 0xFFFF)
    if known.channel not in range(8):
        return None
    again = ulp.program(known.channel, known.counts)
    return known if words[: ulp.SPAN] == again[: ulp.SPAN] else None
