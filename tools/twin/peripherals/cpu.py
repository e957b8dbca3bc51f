"""Resets, sleep and what ends it, the clocks, RTC memory, the watchdog."""

from __future__ import annotations

import json
import struct

from cicada.tools.twin.chip import (
    DEEPSLEEP_RESET,
    PWRON_RESET,
    SOFT_RESET,
    Chip,
    Peripheral,
    Restart,
    ops,
    told,
)
from cicada.tools.twin.power import DEEP_SLEEP, IDLE, LIGHT_SLEEP

RTC_MEMORY = 2048
#: ``esp_sleep_wakeup_cause_t``, as ``machine.wake_reason()`` returns it.
EXT0_WAKE, EXT1_WAKE, TIMER_WAKE, TOUCH_WAKE, ULP_WAKE, GPIO_WAKE = 2, 3, 4, 5, 6, 7
_SLEEP_PIECE_US = 1_000_000  # so that a paced sleep stays open to the outside
_FOREVER = 2**62
#: How far a sensor looks ahead for what wakes the chip, at least; then it is asked again.
_LOOK_AGAIN_US = 3_600_000_000


class Cpu(Peripheral):
    """Attributes:
    started: whether the program has begun since the last reset.
    wakes: boots after deep sleep so far.
    rtc: contents of RTC memory.
    clock_us: what the real-time clock is ahead of the virtual time since power-on, us; its own epoch is
        2000-01-01 as in MicroPython's ESP32 port.
    """

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self.rtc = b""
        self.started = False
        self.wakes = 0
        self.clock_us = 0
        self._cause = PWRON_RESET
        self._woken_by, self._woken_pins = 0, ()
        self._sources: dict = {}
        self._look_us = 0
        self.operations = {
            ops.BOOT: self._boot,
            ops.CLOCK: lambda argument, payload: (0, b""),
            ops.SLEEP: self._sleep,
            ops.LIGHTSLEEP: self._lightsleep,
            ops.DEEPSLEEP: self._deepsleep,
            ops.RESET: self._reset,
            ops.RTC_READ: lambda argument, payload: (0, self.rtc),
            ops.RTC_WRITE: self._rtc_write,
            ops.DATETIME: self._datetime,
            ops.WDT: self._wdt,
            ops.FREQ: self._freq,
            ops.RANDOM: self._random,
            ops.CONSOLE: self._console,
            ops.STARTED: self._start,
        }

    def reset(self, cause: int) -> None:
        self.started = False
        if cause == PWRON_RESET:
            self.rtc = b""
            self.clock_us = -self.chip.meter.now
        if cause not in (DEEPSLEEP_RESET, SOFT_RESET):
            self._woken_by, self._woken_pins = 0, ()
        self._cause = cause

    def fall_asleep(self) -> int:
        """Begin the deep sleep the program asked for; returns when something will wake the chip."""
        self.chip.watchdog_us = None
        self.chip.parts["gpio"].sleep()
        self.chip.parts["networks"].radio(False)
        at, self._woken_by, self._woken_pins = self._first_wake()
        self._look_us = self.chip.meter.now + _LOOK_AGAIN_US
        return at

    def look_again(self, wakes_at: int) -> int:
        """When the chip will wake, by what the pins' sources know by now; ``wakes_at`` is what was known."""
        now = self.chip.meter.now
        if now < self._look_us:
            return wakes_at
        self._look_us = now + _LOOK_AGAIN_US
        at, woken_by, pins = min(self._pin_wakes(now), default=(_FOREVER, 0, ()))
        if at < wakes_at:
            self._woken_by, self._woken_pins = woken_by, pins
        return min(at, wakes_at)

    def sleep_on(self, until_us: int) -> None:
        """Spend a piece of the deep sleep, at most to ``until_us``."""
        left = until_us - self.chip.meter.now
        self.chip.advance(min(left, _SLEEP_PIECE_US), DEEP_SLEEP)

    def _boot(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        about = {
            "reset_cause": self._cause,
            "wake_reason": self._woken_by,
            "wake_pins": self._woken_pins,
            "unique_id": self.chip.board.UNIQUE_ID,
        }
        return 0, json.dumps(about).encode()

    def _sleep(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        """The program loops until its time is over, as interrupts end a sleep early unless it is deaf to them
        (argument 1)."""
        self.chip.advance(_u64(payload), IDLE, wakeable=argument == 0)
        return 0, b""

    def _lightsleep(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self._sources = told(payload, dict)
        at, self._woken_by, self._woken_pins = self._first_wake()
        self.chip.parts["networks"].radio(False)
        while self.chip.meter.now < at:
            self.chip.advance(int(min(at - self.chip.meter.now, _SLEEP_PIECE_US)), LIGHT_SLEEP)
        self.chip.parts["ulp"].awake()
        return self._woken_by, b""

    def _deepsleep(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self._sources = told(payload, dict)
        raise Restart(DEEPSLEEP_RESET)

    def _first_wake(self) -> tuple[int, int, tuple[int, ...]]:
        """When the armed sources wake the chip first, which one does, and by which pins."""
        now, asked, found = self.chip.meter.now, self._sources, []
        if asked.get("us") is not None:
            found.append((now + asked["us"], TIMER_WAKE, ()))
        found += self._pin_wakes(now)
        for name, cause, moments in (
            ("touch", TOUCH_WAKE, self.chip.world.touch),
            ("ulp", ULP_WAKE, self.chip.world.ulp),
        ):
            if asked.get(name):
                found.append((min((us for us in moments if us > now), default=_FOREVER), cause, ()))
        first = min(found, default=(_FOREVER, 0, ()))
        # The coprocessor listens, armed or not: its program may stop its timer, and it draws current.
        woke = self.chip.parts["ulp"].first_wake(first[0])
        return (woke, ULP_WAKE, ()) if woke is not None and woke < first[0] and asked.get("ulp") else first

    def _pin_wakes(self, now: int) -> list[tuple[int, int, tuple[int, ...]]]:
        """When the armed pins wake the chip."""
        asked, found = self._sources, []
        if asked.get("ext0") is not None:
            pin, level = asked["ext0"]
            found.append((self._level(pin, level, now), EXT0_WAKE, ()))
        pins, level = asked.get("ext1") or ((), 0)
        if pins and level:
            found += [(self._level(pin, 1, now), EXT1_WAKE, (pin,)) for pin in pins]
        elif pins:
            found.append((self._all_low(pins, now), EXT1_WAKE, tuple(pins)))
        pins, level = asked.get("gpio") or ((), 0)
        return found + [(self._level(pin, level, now), GPIO_WAKE, ()) for pin in pins]

    def _level(self, pin: int, level: int, after: int) -> int:
        at = self.chip.parts["gpio"].when(pin, level, after)
        return _FOREVER if at is None else at

    def _all_low(self, pins: list[int], after: int) -> int:
        at = after
        while True:
            latest = max(self._level(pin, 0, at) for pin in pins)
            if latest in (at, _FOREVER):
                return latest
            at = latest

    def _reset(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        raise Restart(argument)

    def _rtc_write(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        if len(payload) > RTC_MEMORY:
            raise ValueError("buffer too long")
        self.rtc = payload
        return 0, b""

    def _datetime(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        """Microseconds since 2000-01-01 by the real-time clock; with a payload it is set first."""
        if payload:
            self.clock_us = struct.unpack("<q", payload)[0] - self.chip.meter.now
        return 0, struct.pack("<q", self.clock_us + self.chip.meter.now)

    def _wdt(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self.chip.watchdog_us = self.chip.meter.now + _u64(payload)
        return 0, b""

    def _freq(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        if argument:
            if argument not in (20, 40, 80, 160, 240):
                raise ValueError("frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz")
            self.chip.cpu_hz = argument * 1_000_000
            self.chip.meter.power = dict(self.chip.board.POWER) | self.chip.board.POWER_AT_MHZ.get(
                max(argument, 80), {}
            )
        return self.chip.cpu_hz // 1_000_000, b""

    def _random(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        return 0, self.chip.random.randbytes(argument)

    def _start(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self.started = True
        return 0, b""

    def _console(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self.chip.console(payload)
        return 0, b""


def _u64(payload: bytes) -> int:
    return struct.unpack("<Q", payload)[0]
