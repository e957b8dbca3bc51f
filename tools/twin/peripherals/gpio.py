"""Pins: what the program drives, what the world drives, and interrupts when it changes."""

from __future__ import annotations

from collections.abc import Callable

from cicada.tools.twin.chip import SOFT_RESET, Chip, Due, Peripheral, ops

_OUT, _OPEN_DRAIN, _PULL_UP = 2, 4, 2  # bits of the mode and of the pull, as machine.Pin has them
RISING, FALLING = 1, 2


class Gpio(Peripheral):
    """Attributes:
    levels: level of every pin the program ever drove.
    """

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self.levels: dict[int, int] = {}
        self._setup: dict[int, tuple[int, int]] = {}
        self._watched: dict[int, tuple[int, int, Due | None]] = {}  # pin -> trigger, handle, what is due
        self.operations = {
            ops.PIN_SETUP: self._set_up,
            ops.PIN_WRITE: self._write,
            ops.PIN_READ: lambda argument, payload: (self.level(argument), b""),
            ops.PIN_IRQ: self._irq,
        }

    def reset(self, cause: int) -> None:
        for _, _, due in self._watched.values():
            if due:
                due.cancelled = True
        self._watched.clear()
        if cause != SOFT_RESET:
            self.sleep()

    def sleep(self) -> None:
        """Outputs let go of their pins; what listens there is pulled high."""
        self.levels.clear()
        self._setup.clear()
        for sink in self.chip.fitted_sinks.values():
            sink(1)
        self._microphone(0)

    def level(self, pin: int) -> int:
        """What can be read at a pin now: the program's level, the world's, or the pull's."""
        mode, pull = self._setup.get(pin, (0, 0))
        driven = self.levels.get(pin, 0)
        if mode & _OUT and not (mode & _OPEN_DRAIN and driven):
            return driven
        if pin in self.chip.world.levels:
            return int(self.chip.world.levels[pin].at(self.chip.meter.now))
        if pin in self.chip.fitted_sources:
            return self.chip.fitted_sources[pin].level(self.chip.meter.now)
        return 1 if pull & _PULL_UP else 0

    def when(self, pin: int, level: int, after_us: int) -> int | None:
        """From when on a pin driven from outside has ``level``; None if never."""
        if pin in self.chip.world.levels:
            return self.chip.world.levels[pin].when(level, after_us)
        if pin in self.chip.fitted_sources:
            return self.chip.fitted_sources[pin].when(level, after_us)
        return after_us if self.level(pin) == level else None

    def _set_up(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        mode, pull = payload
        before = self._setup.get(argument, (0, 0))
        self._setup[argument] = (before[0] if mode == 255 else mode, before[1] if pull == 255 else pull)
        return 0, b""

    def _write(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self.drive(argument, payload[0])
        return 0, b""

    def drive(self, pin: int, level: int) -> None:
        """The program gives a pin a level."""
        self.levels[pin] = level
        if pin in self.chip.fitted_sinks:
            self.chip.fitted_sinks[pin](level)
        if pin == self.chip.board.MICROPHONE.get("enable"):
            self._microphone(level)

    def _microphone(self, on: int) -> None:
        name = "microphone_on" if on else "microphone_off"
        self.chip.meter.loads["microphone"] = self.chip.board.POWER[name]

    def _irq(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        """Watch a pin: payload is the trigger and the handle (two bytes); trigger 0 ends it."""
        _, _, due = self._watched.pop(argument, (0, 0, None))
        if due:
            due.cancelled = True
        trigger, handle = payload[0], payload[1] | payload[2] << 8
        if trigger:
            self._watched[argument] = (trigger, handle, None)
            self._watch(argument)
        return 0, b""

    def _watch(self, pin: int) -> None:
        """Put the next edge of a watched pin on the agenda."""
        trigger, handle, _ = self._watched[pin]
        level = self.level(pin)
        at = self.when(pin, 1 - level, self.chip.meter.now)

        def edge() -> None:
            if trigger & (RISING if level == 0 else FALLING):
                self.chip.interrupt(handle)
            self._watch(pin)

        due = None if at is None or at <= self.chip.meter.now else self.chip.at(at, edge)
        self._watched[pin] = (trigger, handle, due)


class Source:
    """A pin driven by a sensor.

    Args:
        level: of the pin at a virtual time, us.
        when: from when on, ``after_us`` or later, the pin has a level; None if never.
    """

    def __init__(self, level: Callable[[int], int], when: Callable[[int, int], int | None]) -> None:
        self.level, self.when = level, when
