"""The node's state machine: BOOT -> LISTEN -> SLEEP, and round again.

It listens until nothing but silence was heard for ``QUIET_MS``, then sleeps deeply for ``SLEEP_MS``
and wakes by the timer. What it counted survives in RTC memory. Now and then it looks for updates before it
sleeps; what is on trial must prove itself by listening, and nothing sleeps before that is decided.
"""

import errno
import gc
import sys
import time

import board
import machine
import nn
from micropython import const

from node import VERSION, log
from node.memory import Memory
from node.microphone import Microphone
from node.net import LinkError
from node.smoother import Smoother
from node.updates.service import Service

QUIET_MS = const(5000)  # of silence before going to sleep
SLEEP_MS = const(10000)
_WATCHDOG_MS = const(8000)
# After a reset the front end's noise estimate starts from nothing and everything sounds loud.
_SETTLE_FRAMES = const(25)
_CONSOLE_MS = const(3600000)  # of peace from the watchdog after Ctrl-C; it cannot be switched off
_DEAF_MS = const(5000)  # between two tries with a microphone that does not run; less than the watchdog's
_DEAF_TRIES = const(20)
_HOLD_OFF_MS = const(2000)  # before a restart after a crash, so that the console can be read
_RETRY_MS = const(60000)  # between two looks for an update by firmware that must do nothing else
_MODEL = "kws"

_RESETS = {
    machine.PWRON_RESET: "power on",
    machine.HARD_RESET: "hard reset",
    machine.WDT_RESET: "watchdog",
    machine.DEEPSLEEP_RESET: "deep sleep",
    machine.SOFT_RESET: "soft reset",
}


class App:
    """One run of the node, from reset to deep sleep."""

    def __init__(self):
        self.memory = Memory(machine.RTC())
        self.manifest = None
        self.model = None
        self.updates = None
        self._heard = False  # whether the microphone has sent anything but zeros
        self._scores = self._words = 0  # sum and number of the scores of this run

    def run(self):
        """Boot, listen, sleep. A crash is reported and answered with a reset; Ctrl-C is not."""
        try:
            self.boot()
            while self.updates.too_old:
                self.update()
                machine.WDT(timeout=2 * _RETRY_MS)
                time.sleep_ms(_RETRY_MS)
            self.prove()
            self.update()
            for _ in range(_DEAF_TRIES):
                if self._listened():
                    break
            self.update()
            self.sleep()
        except KeyboardInterrupt:
            machine.WDT(timeout=_CONSOLE_MS)
            self.memory.busy = 0  # a reset from the console is no crash of the model
            self.memory.save()
            log.warn("stopped from the console; machine.reset() starts again")
            raise
        except Exception as exception:
            log.error("stopped by an error, resetting")
            sys.print_exception(exception)
            if self.updates and self.updates.on_trial:
                self.updates.fail(exception)
            time.sleep_ms(_HOLD_OFF_MS)
            machine.reset()

    def boot(self):
        """Say who is there and why, then open the model."""
        kept = self.memory.load()
        self.memory.boots += 1
        cause = machine.reset_cause()
        log.info("Cicada %s on %s" % (VERSION, board.TITLE))
        log.info("boot %d, cause: %s" % (self.memory.boots, _RESETS.get(cause, "unknown")))
        if cause == machine.DEEPSLEEP_RESET:
            if not kept:
                log.warn("what was kept for the sleep is gone, counting from zero")
            by = "timer" if machine.wake_reason() == machine.TIMER_WAKE else "pin"
            log.info(
                "woken by %s, slept %d ms in all, %d events so far"
                % (by, self.memory.slept_ms, self.memory.events)
            )
        woken = cause == machine.DEEPSLEEP_RESET and kept and self.memory.asleep
        self.memory.asleep = 0
        self.updates = Service(self.memory, _MODEL, woken)
        self._open()

    def _open(self):
        """Open the model that is to run now."""
        if self.model:
            self.model.deinit()
            self.manifest = self.model = None
            gc.collect()
        self.manifest, self.model = self.updates.open_model()
        m = self.manifest
        log.info(
            "model %s %s: %s, %d bytes, arena %d, %s"
            % (
                m["name"],
                m["version"],
                " ".join(m["labels"]),
                self.model.size,
                self.model.arena_size,
                self.model.engine,
            )
        )

    def update(self):
        """Look for updates if it is time to; a new model proves itself at once."""
        if self.updates.due() and self.updates.check():
            self._open()
            self.prove()

    def prove(self):
        """Let what is on trial show that it works: sensors, the link, and listening without a crash."""
        while self.updates.on_trial:
            log.info("on trial for %d ms" % self.updates.trial_ms)
            try:
                self._heard = False
                self._words = self._scores = 0
                self.listen(self.updates.trial_ms)
                if not self._heard:
                    raise ValueError("the microphone sends nothing")
                self.updates.probe()
            except (OSError, ValueError, RuntimeError, MemoryError, LinkError) as error:
                self.updates.fail(error, self._words, self._scores // max(self._words, 1))
                self._open()
            else:
                self.updates.confirm(self._words, self._scores // max(self._words, 1))
                if self.updates.model_waits:
                    self._open()

    def listen(self, trial_ms=None):
        """Detect words until it has been quiet for ``QUIET_MS``, or for ``trial_ms`` in any case."""
        front = self.manifest["frontend"]
        decision = self.manifest["decision"]
        labels = self.manifest["labels"]
        hop = decision["hop_frames"]
        features = nn.AudioFrontEnd(front["step_ms"], front["frames"])
        smoother = Smoother(len(labels), decision["window"], decision["threshold"], decision["refractory_ms"])
        watchdog = machine.WDT(timeout=_WATCHDOG_MS)
        microphone = Microphone(board.MICROPHONE)
        led = machine.Pin(board.LED, machine.Pin.OUT, value=0)
        model = self.model
        # The window must be full of heard audio before the model's word counts.
        missing = front["frames"] + _SETTLE_FRAMES
        fresh = 0  # frames that the model has not seen
        checked = False
        quiet_since = began = time.ticks_ms()
        gc.collect()
        self.memory.busy = 1
        self.memory.save()
        log.info("listening")
        try:
            while True:
                microphone.read()
                fresh += features.feed(microphone.buffer)
                if fresh < hop:
                    continue
                heard = time.ticks_ms()
                watchdog.feed()
                self._heard = self._heard or microphone.span > 0
                if trial_ms is not None and checked and time.ticks_diff(heard, began) >= trial_ms:
                    break  # not before the model has run on what was heard
                if missing > 0:
                    missing -= fresh
                    fresh = 0
                    quiet_since = heard
                    continue
                fresh -= hop
                if not checked:
                    checked = True
                    if not self._heard:
                        log.warn("the microphone sends nothing: check its wiring and board.MICROPHONE")
                hit = smoother.update(model.invoke(features.window), heard)
                if hit is not None:
                    now = time.ticks_ms()
                    led.value(1)
                    self._detected(labels[hit[0]], hit[1], time.ticks_diff(now, heard))
                    quiet_since = now
                elif not smoother.quiet():
                    led.value(0)
                    quiet_since = heard
                elif trial_ms is None and time.ticks_diff(heard, quiet_since) >= QUIET_MS:
                    break
            self.memory.busy = self.memory.strikes = 0
            self.memory.save()
        finally:
            led.value(0)
            microphone.close()

    def _listened(self):
        """``listen``, or False after a pause if the microphone's bus does not run.

        A reset would not help, and would take the console away from whoever comes to look.
        """
        try:
            self.listen()
            return True
        except OSError as error:
            if error.errno != errno.ETIMEDOUT:
                raise
        log.error("the microphone's bus stands still, trying again in %d ms" % _DEAF_MS)
        time.sleep_ms(_DEAF_MS)
        return False

    def sleep(self):
        """Sleep deeply; the next thing to happen is a boot."""
        self.memory.sleeps += 1
        self.memory.slept_ms += SLEEP_MS
        self.memory.asleep = 1
        self.memory.save()
        log.info("quiet for %d ms, deep sleep for %d ms" % (QUIET_MS, SLEEP_MS))
        machine.deepsleep(SLEEP_MS)

    def _detected(self, word, score, latency):
        # In the event the score is in whole percent: floats print differently from port to port.
        self.memory.events += 1
        self._words += 1
        self._scores += score
        log.info('heard "%s"  score %.2f  latency %d ms' % (word, score / 255, latency))
        log.event(
            "keyword",
            self.memory.events,
            {"word": word, "score": score * 100 // 255, "latency_ms": latency},
        )
