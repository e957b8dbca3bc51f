"""Virtual time and the charge it costs.

Every stretch of virtual time is spent in one state; a state's current is the sum of what the chip and the
microphone draw in it (``POWER`` of the board, mA at 3.3 V).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BUSY, IDLE, DEEP_SLEEP = "cpu_busy", "cpu_idle", "deep_sleep"
_US_PER_HOUR = 3_600_000_000


@dataclass
class Stretch:
    """From ``start`` to ``end`` (virtual us) the board drew ``current`` mA in ``state``."""

    start: int
    end: int
    state: str
    current: float


class PowerMeter:
    """The twin's clock, which only advances by being spent.

    Args:
        power: the board's ``POWER``.

    Attributes:
        now: virtual time since the first power-on, us.
        microphone: whether the microphone is switched on.
        stretches: what was drawn when, neighbours of equal current joined.
    """

    def __init__(self, power: Mapping[str, float]) -> None:
        self._power = power
        self.now = 0
        self.microphone = False
        self.stretches: list[Stretch] = []

    def current(self, state: str) -> float:
        """Current in ``state`` with the microphone as it is now, mA."""
        microphone = "microphone_on" if self.microphone else "microphone_off"
        return self._power[state] + self._power[microphone]

    def spend(self, us: int, state: str) -> None:
        """Let ``us`` microseconds pass in ``state``."""
        if us <= 0:
            return
        current = self.current(state)
        last = self.stretches[-1] if self.stretches else None
        if last and last.state == state and last.current == current:
            last.end += us
        else:
            self.stretches.append(Stretch(self.now, self.now + us, state, current))
        self.now += us

    def charge_mah(self) -> float:
        """Charge drawn so far, mAh."""
        return sum((s.end - s.start) * s.current for s in self.stretches) / _US_PER_HOUR

    def average_ma(self, awake_only: bool = False) -> float:
        """Average current, mA, over everything or over the time not in deep sleep."""
        chosen = [s for s in self.stretches if not (awake_only and s.state == DEEP_SLEEP)]
        time = sum(s.end - s.start for s in chosen)
        return sum((s.end - s.start) * s.current for s in chosen) / time if time else 0.0


def battery_hours(battery: Mapping[str, object], average_ma: float) -> float:
    """Hours a board's ``BATTERY`` lasts at ``average_ma``; self-discharge is not counted."""
    return float(battery["mah"]) * float(battery["usable"]) / average_ma
