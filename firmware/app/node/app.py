"""The node's state machine: BOOT -> PROVE -> WORK -> REPORT -> SLEEP, and round again.

docs/node.md has the chart. What it works at, when, and what wakes it is the configuration's business;
without one it listens until nothing but silence was heard for 5 s, then sleeps deeply for 10 s and wakes by
the timer.
What is on trial must prove itself, and nothing sleeps before that is decided.
"""

import errno
import struct
import time

import board
import machine
from micropython import const

from node import VERSION, log
from node import memory as m
from node.config import Config
from node.health import CRITICAL, Health
from node.memory import Memory
from node.net import LinkError
from node.plan import CHECK, SESSION, Plan
from node.provision.apply import credentials, recover
from node.reporter import Reporter
from node.secrets import Secrets
from node.sensors import Sensors
from node.updates.service import Service
from node.work import Work

_WATCHDOG_MS = const(8000)
_PATIENT_MS = const(60000)  # of the watchdog while the network is used: longer than any wait for it
_CONSOLE_MS = const(3600000)  # of peace from the watchdog after Ctrl-C; it cannot be switched off
_DEAF_MS = const(5000)  # between two tries with a sensor that does not answer; less than the watchdog's
_DEAF_TRIES = const(20)
_HOLD_OFF_MS = const(2000)  # before a restart after a crash, so that the console can be read
_RETRY_MS = const(60000)  # between two looks for an update by firmware that must do nothing else
_STEP_MS = const(250)
_CRITICAL_MS = const(3600000)  # between two looks at a battery that is almost empty
_ATTENTION_MS = const(30000)  # awake for whoever has typed a command

_RESETS = {
    machine.PWRON_RESET: "power on",
    machine.HARD_RESET: "hard reset",
    machine.WDT_RESET: "watchdog",
    machine.DEEPSLEEP_RESET: "deep sleep",
    machine.SOFT_RESET: "soft reset",
}
# What this module keeps over a sleep: CRC of the configuration that was checked or 0; when it fell asleep, s,
# and for how long, ms.
_SLEPT = "<III"


class App:
    """One run of the node, from reset to deep sleep.

    Attributes:
        memory, health, config, sensors, plan, updates, reporter, work: its parts, see their modules.
        manifest, model: the model that is updated over the air; None where no pipeline has one.
        why: what the next run of the pipelines answers: what woke it, a word of node.plan, or "done".
        woken_by: what woke it.
        pressing: whether there is something to do for which a node that never sleeps should stop listening.
        asked: what is to be done when there is a moment: "reboot", "reload", "update", "setup", "factory".
    """

    def __init__(self):
        self.memory = Memory(machine.RTC())
        self.health = self.config = self.sensors = self.plan = self.updates = self.reporter = None
        self.commands = self.control = self.console = self.work = None
        self.manifest = self.model = self.model_name = None
        self.why = self.woken_by = ""
        self.asked = None
        self.safe = self.pressing = False
        self._button = None
        self._typed = None  # when a command was typed last, ticks
        self._checked = 0

    def run(self):
        """Boot, work, sleep. A crash is reported and answered with a reset; Ctrl-C is not."""
        try:
            self.boot()
            self.serve()
        except KeyboardInterrupt:
            machine.WDT(timeout=_CONSOLE_MS)
            self.memory.busy = 0  # a reset from the console is no crash of the model
            if self.health:
                self.health.plan("console")
            log.warn("stopped from the console; machine.reset() starts again")
            raise
        except Exception as exception:
            log.error("stopped by an error, resetting")
            text, digest = log.crash(exception)
            if self.health:
                self.health.failed(digest, text)
                self.health.keep()
                self.memory.save()
            if self.updates and self.updates.on_trial:
                self.updates.fail(exception)
            time.sleep_ms(_HOLD_OFF_MS)
            machine.reset()

    # BOOT

    def boot(self):
        """Say who is there and why, then get everything ready that the configuration asks for."""
        memory = self.memory
        kept = memory.load()
        memory.boots += 1
        cause = machine.reset_cause()
        woken = cause == machine.DEEPSLEEP_RESET and kept and memory.asleep
        memory.asleep = 0
        self.health = Health(memory, board)
        self.safe = self.health.boot(cause, woken)
        if not woken:
            from node.reset import unfinished

            unfinished()
        checked, since, slept_ms = self._before(woken)
        self.config = Config(checked)
        self._checked = self.config.checked or 0
        secrets = Secrets()
        if not woken:
            if self.config.tried():  # before anything of it can crash
                self.reset("command")
            recover(secrets, self.config)
        self.sensors = Sensors(self.config.data["sensors"], board)
        self.plan = Plan(self.config.data["plan"], board, self.sensors)
        if self.plan.wrong:
            log.warn("plan: %s" % self.plan.wrong)
        self.plan.restore(memory.section(m.PLAN) if woken else b"")
        self.why = self.woken_by = self.plan.woken(cause, machine.wake_reason(), _wake_pins())
        if woken:
            # Nobody counts while it sleeps: the timer's time is known, anything else by the clock.
            memory.slept_ms += slept_ms if self.why == "timer" else 1000 * max(int(time.time()) - since, 0)
        self._greet(cause, kept)
        wifi, mqtt = credentials(self.config.data, secrets)
        for about in self.config.data["pipelines"]:
            self.model_name = self.model_name or about["model"]
        self.updates = Service(memory, self.model_name, woken, self.config.data.get("updates"), wifi)
        # Firmware that came to cure a crash loop gets its trial.
        self.safe = self.safe and not self.updates.firmware_on_trial
        self.reporter = Reporter(self.config.data, mqtt, wifi, memory, woken, self)
        self._listen_to_console()
        if self.model_name and not self.safe:
            self._open()

    def _before(self, woken):
        """What this module kept over the sleep."""
        data = self.memory.section(m.APP) if woken else b""
        if len(data) != struct.calcsize(_SLEPT):
            return None, int(time.time()), 0
        checked, since, slept_ms = struct.unpack(_SLEPT, data)
        return checked or None, since, slept_ms

    def _greet(self, cause, kept):
        memory = self.memory
        log.info("Cicada %s on %s" % (VERSION, board.TITLE))
        log.info("boot %d, cause: %s" % (memory.boots, _RESETS.get(cause, "unknown")))
        if cause == machine.DEEPSLEEP_RESET:
            if not kept:
                log.warn("what was kept for the sleep is gone, counting from zero")
            log.info(
                "woken by %s, slept %d ms in all, %d events so far"
                % (self.why, memory.slept_ms, memory.events)
            )

    def _listen_to_console(self):
        from node.button import Button
        from node.commands import Commands
        from node.console import Console
        from node.control import Control
        from node.identity import DEVELOPMENT

        self._button = Button(getattr(board, "BUTTON", None), machine.Pin(board.LED, machine.Pin.OUT))
        self.control = Control(self)
        self.commands = Commands(self.control)
        self.console = Console(self.commands, locked=not DEVELOPMENT)

    def _open(self):
        """Open the model that is to run now."""
        if self.model:
            self.model.deinit()
            self.manifest = self.model = None
        self.manifest, self.model = self.updates.open_model()
        about = self.manifest
        log.info(
            "model %s %s: %s, %d bytes, arena %d, %s"
            % (
                about["name"],
                about["version"],
                " ".join(about.get("labels", ())),
                self.model.size,
                self.model.arena_size,
                self.model.engine,
            )
        )

    # What it does then

    def serve(self):
        """Everything between boot and deep sleep."""
        while self.updates.too_old:
            self.update()
            machine.WDT(timeout=2 * _RETRY_MS)
            time.sleep_ms(_RETRY_MS)
        if self.safe:
            from node.safe import mend

            mend(self)
        from node.provision import wanted

        if wanted(machine.reset_cause()):
            self.set_up()
        self.prove()
        while True:
            if self.plan.stage(self.why) != CHECK:  # what is to be heard does not wait for a server
                self.update()
            self._work()
            self.why = "done"
            self._obey()
            self.report()
            self._obey()
            self.update()
            if self.plan.kind != "listen" or self.config.data["plan"]["quiet_s"]:
                self.sleep()

    def update(self):
        """Look for updates if it is time to; a new model proves itself at once."""
        if self.updates.due():
            self.reporter.leave()
            self.health.plan("update")  # new firmware resets the chip
            new_model = self.updates.check()
            self.health.plan("")
            if new_model and self.model_name:
                self._open()
                self.prove()

    def prove(self):
        """Let what is on trial show that it works: sensors, the link, and working without a crash."""
        while self.updates.on_trial:
            log.info("on trial for %d ms" % self.updates.trial_ms)
            work = self._new_work()
            try:
                work.run(self.updates.trial_ms)
                if not work.heard:
                    raise ValueError("a sensor sends nothing" if self.config.data["sensors"] else _SILENT)
                self.updates.probe()
            except (OSError, ValueError, RuntimeError, MemoryError, LinkError) as error:
                self.reporter.tell_update(self.updates.firmware_on_trial, "failed", error)
                if self.updates.firmware_on_trial:
                    self.health.plan("update")
                self.updates.fail(error, work.words, work.mean_score)
                self._open()
            else:
                self.reporter.tell_update(self.updates.firmware_on_trial, "confirmed")
                self.updates.confirm(work.words, work.mean_score)
                self.health.well()
                if self.updates.model_waits:
                    self._open()

    def _new_work(self):
        self.work = Work(self)
        return self.work

    def _work(self):
        """Run the pipelines for as long as the plan says.

        A microphone that does not run is tried again after a pause: a reset would not help, and would take
        the console away from whoever comes to look.
        """
        if self.health.level == CRITICAL:
            self.idle()
            return
        if self.plan.stage(self.why) == SESSION:
            self.asked = self.asked or "report"
            return
        for _ in range(_DEAF_TRIES):
            try:
                self._new_work().run()
                self.health.well()
                return
            except OSError as error:
                if error.errno != errno.ETIMEDOUT:
                    raise
            log.error("the microphone's bus stands still, trying again in %d ms" % _DEAF_MS)
            self.attend(_DEAF_MS)

    def idle(self):
        """Between two things: console, button, battery, broker; True if the work should end.

        Called about every 250 ms. Without somebody at the console it allocates nothing.
        """
        self.health.look()
        if self.health.sank(self.config.data["battery"]):
            self.reporter.tell_battery()
        if self.console.poll():
            self._typed = time.ticks_ms()
        held = self._button.poll()
        if held == "short":
            held = "report"
        self.asked = held or self.asked
        self.reporter.poll()
        self.pressing = self._presses()
        return self.asked is not None

    def _presses(self):
        """Whether something is due for which a node that never sleeps has to stop listening."""
        reporter = self.reporter
        if reporter.uplink and (
            reporter.urgent or self.config.on_trial or self.health.due(self.config.data["report"]["health_s"])
        ):
            return True
        return self.updates.due()

    def attend(self, ms=None):
        """Stay awake for ``ms``, or as long as somebody types commands."""
        watchdog = machine.WDT(timeout=_WATCHDOG_MS)
        began = time.ticks_ms()
        while True:
            now = time.ticks_ms()
            typing = self._typed is not None and time.ticks_diff(now, self._typed) < _ATTENTION_MS
            if not typing and (ms is None or time.ticks_diff(now, began) >= ms):
                break
            watchdog.feed()
            if self.idle():
                self._obey()
                watchdog = machine.WDT(timeout=_WATCHDOG_MS)
            time.sleep_ms(_STEP_MS)
        self._typed = None

    def _obey(self):
        """Do what a command or the button asked for."""
        asked, self.asked = self.asked, None
        if asked is None:
            return
        self.reporter.leave()
        if asked == "update":
            self.memory.checked = 0
            self.update()
        elif asked == "report":
            self.report(True)
        elif asked == "setup":
            self.set_up()
        elif asked == "factory":
            from node.reset import factory

            factory(machine.WDT(timeout=_PATIENT_MS).feed)
        else:
            log.info("starting again, as asked")
            self.reset("command")

    def reset(self, why):
        """Start again.

        Args:
            why: of node.health.PLANNED.
        """
        if self.reporter:
            self.keep()
        self.health.plan(why)
        machine.reset()

    def set_up(self):
        """Offer the access point, then start again with what was told."""
        from node.provision import run

        feed = machine.WDT(timeout=_PATIENT_MS).feed
        if run(feed, self.console.poll, config=self.config, ended=lambda: self.asked is not None):
            self.reset("setup")

    # REPORT

    def report(self, even_so=False):
        """Tell the broker what there is to tell, if it is time to.

        Args:
            even_so: whether it is time or not.
        """
        config, reporter = self.config, self.reporter
        if not reporter.uplink:
            if config.on_trial:
                config.keep()  # it worked; there is nobody else to ask
            return
        if self.health.due(config.data["report"]["health_s"]):
            self.reporter.tell_health()
        machine.WDT(timeout=_PATIENT_MS)
        reached = reporter.deliver(even_so or config.on_trial)
        if config.on_trial and reached is not None:
            if reached:
                config.keep()
            elif config.tried():
                reporter.uplink.forgive()
                self.reset("command")

    # SLEEP

    def sleep(self):
        """Sleep deeply until what the plan has armed; the next thing to happen is a boot."""
        self.attend()
        self.reporter.leave()
        # What is left of the battery is for saying so, and for coming back when it is charged.
        ms = _CRITICAL_MS if self.health.level == CRITICAL else self.plan.arm()
        self.sensors.close()
        if self.plan.kind == "listen":
            quiet_ms = 1000 * self.config.data["plan"]["quiet_s"]
            log.info("quiet for %d ms, deep sleep for %d ms" % (quiet_ms, ms))
        else:
            log.info("deep sleep" + (" for %d ms" % ms if ms else ""))
        self.fall_asleep(ms)

    def fall_asleep(self, ms):
        """Keep everything, and sleep deeply for ``ms``; None: until something else wakes the chip."""
        memory = self.memory
        memory.sleeps += 1
        memory.asleep = 1
        self.keep(ms or 0)
        memory.save()
        if ms is None:
            machine.deepsleep()
        machine.deepsleep(ms)

    def keep(self, sleep_ms=0):
        """Put what must survive into RTC memory, whose ``save`` writes it."""
        memory = self.memory
        memory.put(m.APP, struct.pack(_SLEPT, self._checked, int(time.time()) & 0xFFFFFFFF, sleep_ms))
        memory.put(m.PLAN, self.plan.state())
        if self.work:
            memory.put(m.PIPELINES, self.work.state())
        self.reporter.keep()
        self.health.keep()


_SILENT = "the microphone sends nothing"


def _wake_pins():
    """Pins that woke the chip through ext1, where the port tells."""
    return machine.wake_pins() if hasattr(machine, "wake_pins") else ()
