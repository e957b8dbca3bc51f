"""The wake plan: why the chip woke, what answers that, how long it may take, and what wakes it next.

    plan = Plan(config["plan"], board, sensors)
    plan.restore(memory.section(PLAN))
    why = plan.woken(machine.reset_cause(), machine.wake_reason(), None)
    runner.run(plan.until(why))
    sleep_ms = plan.arm()
    memory.put(PLAN, plan.state())
    machine.deepsleep(sleep_ms) if sleep_ms else machine.deepsleep()

=========  =========================================  ==================================================
kind       sleeps                                     wakes
=========  =========================================  ==================================================
listen     after quiet_s of quiet, for sleep_s        to listen again; earlier by its wake sources
sample     until the next multiple of every_s         to run the pipelines for for_ms
event      until something happens                    by its wake sources; every every_s for a sample
=========  =========================================  ==================================================
"""

import struct
import time

import machine
from micropython import const

from node import log
from node.drivers import SensorError
from node.plan.wakes import assign, check  # noqa: F401

_VERSION = const(1)
# A sound woke it: so long it may take until the gate or the first model hears one, too.
_CHECK_MS = const(1500)
_HUSH_MS = const(500)  # of quiet after that, and it was for nothing
_LEAST_MS = const(20)  # to sleep
_RESCUE_MS = const(3600000)  # sleep of a plan whose every wake source has failed

# What answers a wake.
SESSION = "session"  # status, commands, delivery: no pipeline runs
CHECK = "check"  # the cheap stages listen for a moment, and the pipelines run on if they hear something
SAMPLE = "sample"  # the pipelines run for ``for_ms``
LISTEN = "listen"  # they run until it is quiet
_STAGES = {"button": SESSION, "sound": CHECK, "motion": SAMPLE, "pin": SAMPLE}


class Plan:
    """What the configuration's section ``plan`` comes to.

    Args:
        about: that section, with its defaults.
        board: the board's description.
        sensors: a ``node.sensors.Sensors``; None where no wake source is motion.

    Attributes:
        kind: "listen", "sample" or "event".
        mhz: the CPU's frequency while it waits for sound, or None: as booted. To be set before the
            microphone is opened: changing it stops the PLL for a moment.
        wrong: why its wake sources cannot be armed, a sentence, or None; then the timer alone wakes.
    """

    def __init__(self, about, board, sensors):
        self._about = about
        self._board = board
        self._sensors = sensors
        self.kind = about["kind"]
        self.mhz = about.get("cpu_mhz")
        self.wrong = None
        self._armed = None
        self._due = None  # when the timer is to wake it, ms by the real-time clock
        try:
            self._armed = assign(about, board, sensors.interrupt if sensors else lambda name: None)
        except ValueError as error:
            self.wrong = str(error)

    def woken(self, cause, reason, pins=None):
        """Why this run began.

        Args:
            cause: ``machine.reset_cause()``.
            reason: ``machine.wake_reason()``.
            pins: which pins woke it, where the chip tells; None: who still has the level that wakes is taken.

        Returns:
            "timer", "button", "motion", "sound", "pin", "power on" or "reset".
        """
        armed = self._armed
        if armed and armed.sound:
            from node import ulp

            ulp.stop()  # the ADC is the CPU's again
        if cause != machine.DEEPSLEEP_RESET:
            return "power on" if cause == machine.PWRON_RESET else "reset"
        if reason == machine.TIMER_WAKE:
            return "timer"
        if reason == machine.ULP_WAKE:
            return "sound"
        if not armed:
            return "pin"
        if reason == machine.EXT0_WAKE and armed.ext0:
            return armed.meanings[armed.ext0[0]]
        watched, level = armed.ext1 or armed.gpio or ((), 0)
        for pin in watched:
            if pins is not None:
                hit = pin in pins
            else:
                hit = len(watched) == 1 or machine.Pin(pin, machine.Pin.IN).value() == level
            if hit:
                return armed.meanings[pin]
        return "pin"

    def stage(self, why):
        """Which stage answers a wake: SESSION, CHECK, SAMPLE or LISTEN."""
        if why in _STAGES and (self.kind != "listen" or why == "button"):
            return _STAGES[why]
        return LISTEN if self.kind == "listen" else SAMPLE

    def until(self, why):
        """What ends the pipelines' run: a function of the milliseconds they ran and those of quiet."""
        stage = self.stage(why)
        quiet = self._about["quiet_s"] * 1000
        least = self._about["for_ms"]
        if stage == SESSION:
            return lambda elapsed_ms, quiet_ms: True
        if stage == SAMPLE:
            return lambda elapsed_ms, quiet_ms: elapsed_ms >= least
        if stage == CHECK:
            return _checking(quiet or _CHECK_MS)
        return lambda elapsed_ms, quiet_ms: quiet > 0 and quiet_ms >= quiet

    def arm(self):
        """Arm what is to wake the chip, as the last thing before ``machine.deepsleep``.

        Returns:
            For how long to sleep, ms; None: until one of the wake sources wakes it.
        """
        alive = self._sources() if self._armed else 0
        every = self._about["sleep_s" if self.kind == "listen" else "every_s"] * 1000
        if not every:
            return None if alive else _RESCUE_MS
        if self.kind == "listen":
            return max(every, _LEAST_MS)
        now = time.time_ns() // 1000000
        if self._due is None or self._due - now > every:  # or the clock was set back: the rhythm starts anew
            self._due = now + every
        elif self._due - now < _LEAST_MS:
            self._due += ((now - self._due) // every + 1) * every
        return max(self._due - now, _LEAST_MS)

    def _sources(self):
        """Arm pins and sound; returns how many work."""
        import esp32

        armed, alive = self._armed, 0
        for wake in self._about["wake"]:
            if wake["on"] == "motion" and not self._motion(wake):
                pin = self._sensors.interrupt(wake["sensor"])
                log.warn("nothing moves pin %d: sensor '%s' is missing" % (pin, wake["sensor"]))
                continue
            alive += 1
        if armed.ext1:
            esp32.wake_on_ext1(
                [machine.Pin(pin, machine.Pin.IN) for pin in armed.ext1[0]], bool(armed.ext1[1])
            )
        if armed.gpio:
            esp32.wake_on_gpio(
                [machine.Pin(pin, machine.Pin.IN) for pin in armed.gpio[0]], bool(armed.gpio[1])
            )
        if armed.ext0:
            pin, level = armed.ext0
            # ext0 keeps the pull-up alive in deep sleep. Pins from 34 on have none.
            pull = machine.Pin.PULL_UP if not level and pin < 34 else None
            esp32.wake_on_ext0(machine.Pin(pin, machine.Pin.IN, pull), bool(level))
        if armed.sound:
            from node import ulp

            ulp.start(armed.sound["pin"], armed.sound["threshold_mv"], armed.sound["every_ms"])
            esp32.wake_on_ulp(True)
        return alive

    def _motion(self, wake):
        """Arm an accelerometer; False if it does not answer."""
        try:
            sensor = self._sensors.get(wake["sensor"])
            if sensor is None:
                return False
            sensor.cleared()
            sensor.wake_on(wake["threshold_g"])
            return True
        except (SensorError, OSError) as error:
            log.warn("sensor '%s' cannot wake: %s" % (wake["sensor"], error))
            return False

    @property
    def light_ms(self):
        """The shortest wait, ms, in which light sleep pays; not for sound, as I2S stands still in it.

        It saves the idle CPU's current for that long, and costs ``board.LIGHT_SLEEP_US`` of the busy one's:
        it has to save twice what it costs.
        """
        power = self._board.POWER
        cost = 2 * power["cpu_busy"] * self._board.LIGHT_SLEEP_US / 1000
        return int(cost / (power["cpu_idle"] - power["light_sleep"])) + 1

    def state(self):
        """What must survive sleep."""
        return struct.pack("<Bq", _VERSION, -1 if self._due is None else self._due)

    def restore(self, data):
        """Take up what ``state`` gave; anything else means to start afresh."""
        self._due = None
        if len(data) == 9 and data[0] == _VERSION:
            due = struct.unpack("<Bq", data)[1]
            self._due = due if due >= 0 else None


def _checking(long_ms):
    """What ends the check of a sound: a moment of quiet, or ``long_ms`` of it once there was something.

    A keyword pipeline is not quiet before its window is full.
    """
    before = 0
    heard = False

    def enough(elapsed_ms, quiet_ms):
        nonlocal before, heard
        if quiet_ms < before:  # something broke the quiet
            heard = True
        before = quiet_ms
        return elapsed_ms >= _CHECK_MS and quiet_ms >= (long_ms if heard else _HUSH_MS)

    return enough
