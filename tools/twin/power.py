"""Virtual time and the charge it costs.

Every stretch of virtual time is spent in one state; the current in it is the sum of what the chip draws in
that state (``POWER`` of the board, mA at 3.3 V) and of what hangs on it: microphone, radio, sensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BUSY, IDLE = "cpu_busy", "cpu_idle"
LIGHT_SLEEP, DEEP_SLEEP, OFF = "light_sleep", "deep_sleep", "off"
_US_PER_HOUR = 3_600_000_000


@dataclass
class Stretch:
    """From ``start`` to ``end`` (virtual us) the board drew ``current`` mA in ``state``; ``loads`` of it, mA
    by name, was drawn by what hangs on the chip."""

    start: int
    end: int
    state: str
    current: float
    loads: Mapping[str, float]


class PowerMeter:
    """The twin's clock, which only advances by being spent.

    Args:
        power: the board's ``POWER``.

    Attributes:
        now: virtual time since the first power-on, us.
        power: current of the chip by state, mA; changed with the CPU's frequency.
        loads: what else draws current now, mA by name.
        stretches: what was drawn when, neighbours of equal current joined.
    """

    def __init__(self, power: Mapping[str, float]) -> None:
        self.power = power
        self.now = 0
        self.loads: dict[str, float] = {}
        self.stretches: list[Stretch] = []
        self._drawn = 0.0  # mA us

    def current(self, state: str) -> float:
        """Current in ``state`` with the loads as they are now, mA; nothing without power."""
        return 0.0 if state == OFF else self.power[state] + sum(self.loads.values())

    def spend(self, us: int, state: str) -> None:
        """Let ``us`` microseconds pass in ``state``."""
        if us <= 0:
            return
        current = self.current(state)
        self._drawn += current * us
        last = self.stretches[-1] if self.stretches else None
        loads = self.loads if state != OFF else {}
        if last and last.state == state and last.current == current and last.loads == loads:
            last.end += us
        else:
            self.stretches.append(Stretch(self.now, self.now + us, state, current, dict(loads)))
        self.now += us

    def charge_mah(self) -> float:
        """Charge drawn so far, mAh."""
        return self._drawn / _US_PER_HOUR

    def average_ma(self, awake_only: bool = False) -> float:
        """Average current, mA, over everything or over the time not in deep sleep."""
        chosen = [s for s in self.stretches if not (awake_only and s.state == DEEP_SLEEP)]
        time = sum(s.end - s.start for s in chosen)
        return sum((s.end - s.start) * s.current for s in chosen) / time if time else 0.0


def battery_hours(battery: Mapping[str, object], average_ma: float) -> float:
    """Hours a board's ``BATTERY`` lasts at ``average_ma``; self-discharge is not counted."""
    return float(battery["mah"]) * float(battery["usable"]) / average_ma
