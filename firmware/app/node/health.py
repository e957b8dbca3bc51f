"""How the node is: counted from reset to reset, measured now and then, told as one record.

from node.health import Health
health = Health(memory, board)
safe = health.boot(machine.reset_cause(), woken)   # True: the node crashes again and again
health.look()                                      # now and then: heap, battery
record = health.record()                           # dict for a health record

Counts of resets outlive a loss of power in NVS; everything else is kept in RTC memory.
"""

import gc
import struct
import sys
import time
from array import array

import machine
from micropython import const

from node import memory as m

_VERSION = const(1)
#: Crashes in a row after which nothing is run but what can mend the node.
SAFE_FROM = const(5)
_DAYS = const(8)  # of battery voltages, one a day
_DAY_S = const(86400)
_LOOK_MS = const(60000)  # between two measurements of the battery
_READINGS = const(8)  # of the ADC, averaged
_BACK_MV = const(100)  # above a limit again before it counts as passed
_TEXT = const(64)  # bytes of the last error

# version, planned, level of the battery, digest of the last error, its text, awake s, inferences, ms in them,
# longest, overruns, lowest heap, since when this is counted, when it was told last, day of the newest voltage
_FORMAT = "<BBB8s64sIIIIIIIiI"
_VOLTS = struct.calcsize(_FORMAT)

#: States of the battery.
FINE = const(0)
LOW = const(1)
CRITICAL = const(2)
LEVELS = ("fine", "low", "critical")

#: Why the node resets itself, told in the next record.
PLANNED = ("", "command", "update", "console", "factory", "setup", "safe")

_CAUSES = {
    machine.PWRON_RESET: "power",
    machine.HARD_RESET: "hard",
    machine.WDT_RESET: "watchdog",
    machine.SOFT_RESET: "soft",
}


class Health:
    """Counters and measurements of one node.

    Args:
        memory: the node.memory.Memory, loaded.
        board: module ``board``; its ``BATTERY_ADC`` says where the battery is measured.

    Attributes:
        cause: of the last reset, as counted.
        mv: voltage of the battery, mV; None if none is measured.
        level: FINE, LOW or CRITICAL.
    """

    def __init__(self, memory, board):
        self._memory = memory
        self._ratio = board.BATTERY_ADC["ratio"]
        self._adc = None
        if board.BATTERY_ADC["pin"] is not None:
            self._adc = machine.ADC(machine.Pin(board.BATTERY_ADC["pin"]), atten=machine.ADC.ATTN_11DB)
        self.cause = ""
        self.mv = None
        self.level = FINE
        self._looked = None
        self._planned = 0
        self._digest = self._text = b""
        self._inferences = self._inference_ms = self._longest_ms = self._overruns = 0
        self._heap_low = gc.mem_free()
        self._since = int(time.time())
        self._told = -1  # not since the power came
        self._day = 0
        self._volts = array("H", bytes(2 * _DAYS))  # the newest first; 0: not measured
        self._awake_s = 0
        self._woken_ms = time.ticks_ms()
        self._restore(memory.section(m.HEALTH))

    def _restore(self, data):
        if len(data) != _VOLTS + 2 * _DAYS or data[0] != _VERSION:
            return
        f = struct.unpack_from(_FORMAT, data)
        self._planned, self.level = f[1:3]
        self._digest, self._text = f[3].rstrip(b"\0"), f[4].rstrip(b"\0")
        self._awake_s, self._inferences, self._inference_ms, self._longest_ms, self._overruns = f[5:10]
        self._heap_low = min(self._heap_low, f[10])
        self._since, self._told, self._day = f[11:]
        self._volts = array("H", data[_VOLTS:])

    def keep(self):
        """Put it into the node's memory, whose ``save`` writes it."""
        self._follow_clock()
        awake_s = self._awake_s + time.ticks_diff(time.ticks_ms(), self._woken_ms) // 1000
        head = struct.pack(
            _FORMAT,
            _VERSION,
            self._planned,
            self.level,
            self._digest,
            self._text,
            awake_s,
            self._inferences,
            self._inference_ms,
            self._longest_ms,
            self._overruns,
            self._heap_low,
            self._since & 0xFFFFFFFF,
            self._told,
            self._day,
        )
        self._memory.put(m.HEALTH, head + bytes(self._volts))

    # Resets

    def boot(self, cause, woken):
        """Count what this boot comes from.

        Args:
            cause: ``machine.reset_cause()``.
            woken: whether it is a wake from a sleep that the node chose.

        Returns:
            True if the node has crashed so often in a row that it should run nothing but what can mend it.
        """
        memory = self._memory
        planned, self._planned = self._planned, 0
        if woken:
            self.cause = "sleep"
            return memory.crashes >= SAFE_FROM
        self.cause = "planned" if planned else _CAUSES.get(cause, "sleep")
        if self.cause in ("hard", "watchdog"):
            memory.crashes = min(memory.crashes + 1, 255)
        if self.cause != "sleep":
            _count(self.cause)
        self.keep()
        memory.save()
        return memory.crashes >= SAFE_FROM

    def plan(self, why):
        """The node is about to reset itself.

        Args:
            why: one of ``PLANNED``; empty if it did not come to it.
        """
        self._planned = PLANNED.index(why)
        self.keep()
        self._memory.save()

    def well(self):
        """It ran as it should: crashes before this do not count any more."""
        if self._memory.crashes:
            self._memory.crashes = 0
            self._memory.save()

    def failed(self, digest, text):
        """Keep the last error for the next record.

        Args:
            digest: of its traceback, 8 characters.
            text: what it said.
        """
        self._digest = digest.encode()[:8]
        self._text = text.encode()[:_TEXT]

    # Measurements

    def look(self):
        """Measure what changes: the heap each time, the battery once a minute."""
        if gc.mem_free() < self._heap_low:
            gc.collect()  # garbage takes nothing from anybody
            self._heap_low = min(self._heap_low, gc.mem_free())
        if self._looked is None or time.ticks_diff(time.ticks_ms(), self._looked) >= _LOOK_MS:
            self._looked = time.ticks_ms()
            self._measure()

    def _measure(self):
        if self._adc is None:
            return
        uv = 0
        for _ in range(_READINGS):
            uv += self._adc.read_uv()
        self.mv = int(uv / _READINGS / 1000 / self._ratio)
        day = int(time.time()) // _DAY_S
        passed = day - self._day
        if not 0 <= passed < _DAYS:
            passed = _DAYS  # the first time, or the clock was set
        for _ in range(passed):
            for at in range(_DAYS - 1, 0, -1):
                self._volts[at] = self._volts[at - 1]
            self._volts[0] = 0
        if passed == _DAYS:
            for at in range(_DAYS):
                self._volts[at] = 0
        self._day = day
        self._volts[0] = self.mv

    def sank(self, limits):
        """Whether the battery has passed one of the limits since the last call, either way.

        Args:
            limits: the configuration's ``battery``: ``low_mv`` and ``critical_mv``, each may be None.
        """
        if self.mv is None:
            return False
        # One by one: a tuple of them would cost memory four times a second.
        before = self.level
        if self._below(limits["critical_mv"], before >= CRITICAL):
            level = CRITICAL
        elif self._below(limits["low_mv"], before >= LOW):
            level = LOW
        else:
            level = FINE
        self.level = level
        return level != before

    def _below(self, limit, before):
        return limit is not None and self.mv < limit + (_BACK_MV if before else 0)

    def trend(self):
        """mV that the battery gains a day, by least squares over up to eight days; None before the second."""
        known = [(-at, mv) for at, mv in enumerate(self._volts) if mv]
        n = len(known)
        if n < 2:
            return None
        mean_x = sum([x for x, _ in known]) / n
        mean_y = sum([y for _, y in known]) / n
        over = sum([(x - mean_x) * (y - mean_y) for x, y in known])
        return round(over / sum([(x - mean_x) ** 2 for x, _ in known]), 1)

    def ran(self, inferences, busy_ms, longest_ms, overruns):
        """Add what a run of the pipelines took.

        Args:
            inferences: how many there were.
            busy_ms: spent in them.
            longest_ms: of one.
            overruns: times that a sensor's buffer was full before it was read.
        """
        self._inferences += inferences
        self._inference_ms += busy_ms
        self._longest_ms = max(self._longest_ms, longest_ms)
        self._overruns += overruns

    # The record

    def _follow_clock(self):
        """Move what was noted by a clock that was set since."""
        clock = sys.modules.get("node.net.clock")
        if clock and clock.moved:
            self._since += clock.moved
            if self._told >= 0:
                self._told += clock.moved
            clock.moved = 0

    def due(self, every_s):
        """Whether it is time to tell; ``every_s`` 0: never."""
        self._follow_clock()
        passed = int(time.time()) - self._told
        return every_s > 0 and (self._told < 0 or not 0 <= passed < every_s)

    def told(self):
        """The record is in the outbox."""
        self._told = int(time.time())

    def record(self):
        """What there is to tell: dict of JSON values, flat but for ``resets``.

        Times are in s or ms as their names say, ``duty_percent`` is the share of the time awake since these
        counts began, memory in bytes, ``battery_mv_day`` what the battery gains a day.
        """
        gc.collect()
        self.look()
        free = gc.mem_free()
        self._follow_clock()
        memory = self._memory
        awake = self._awake_s + time.ticks_diff(time.ticks_ms(), self._woken_ms) // 1000
        passed = int(time.time()) - self._since
        found = {
            "uptime_s": passed if passed >= 0 else None,
            "awake_s": awake,
            "duty_percent": round(100 * awake / passed, 2) if passed > 0 else None,
            "boots": memory.boots,
            "sleeps": memory.sleeps,
            "cause": self.cause,
            "crashes": memory.crashes,
            "resets": resets(),
            "heap_free": free,
            "heap_low": min(self._heap_low, free),
            "inferences": self._inferences,
            "inference_ms": self._inference_ms // self._inferences if self._inferences else None,
            "inference_longest_ms": self._longest_ms,
            "overruns": self._overruns,
            "chip_c": chip_celsius(),
        }
        if self.mv is not None:
            found["battery_mv"] = self.mv
            found["battery_mv_day"] = self.trend()
        if self._digest:
            found["error"] = self._text.decode()
            found["error_digest"] = self._digest.decode()
        return found


def _counts():
    from esp32 import NVS

    return NVS("health")


def _count(cause):
    """One more reset of that kind, kept over a loss of power."""
    try:
        counts = _counts()
        try:
            before = counts.get_i32(cause)
        except OSError:
            before = 0
        counts.set_i32(cause, before + 1)
        counts.commit()
    except OSError:
        pass  # a full or broken partition must not stop the node


def resets():
    """Resets since the node was made, by cause: dict."""
    found = {}
    try:
        counts = _counts()
        for cause in ("power", "hard", "watchdog", "soft", "planned"):
            try:
                found[cause] = counts.get_i32(cause)
            except OSError:
                found[cause] = 0
    except OSError:
        pass
    return found


def chip_celsius():
    """Temperature of the chip, degrees Celsius, uncalibrated; None where it has no sensor.

    The ESP32's counts degrees Fahrenheit (MicroPython's quick reference for the ESP32).
    """
    import esp32

    if hasattr(esp32, "mcu_temperature"):
        return esp32.mcu_temperature()
    if hasattr(esp32, "raw_temperature"):
        return round((esp32.raw_temperature() - 32) * 5 / 9)
    return None
