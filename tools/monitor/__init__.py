"""Serial console of a board: source lines for addresses, times, filter, log, and waiting for the port."""

from __future__ import annotations

from cicada.tools.monitor.session import monitor

__all__ = ["monitor"]
