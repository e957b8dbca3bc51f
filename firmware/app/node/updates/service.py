"""What the application knows of updates: open the model, look for news, prove what is on trial."""

import sys
import time

import board
import machine
from micropython import const

from node import log, updates
from node.identity import DEVELOPMENT, KEYS
from node.net import LinkError
from node.updates import journal as j
from node.updates.models import Models
from node.updates.release import Refused, verify

_DAY_S = const(86400)
_TRIAL_S = const(120)
_WATCHDOG_MS = const(60000)  # while something is fetched: longer than any wait for the network
_CRASHES = (machine.WDT_RESET, machine.HARD_RESET)


class Service:
    """Updates of one run of the node.

    Args:
        memory: the :class:`node.memory.Memory`, loaded.
        name: of the model that is updated; None for none.
        woken: whether this boot is a wake from deep sleep with a memory to trust. Nothing sleeps that is on
            trial, so the journal is not read before it is needed.
        about: the configuration's ``updates``; None for no updates.
        wifi: ``{"ssid", "key"}``; None without a network.
    """

    def __init__(self, memory, name, woken, about, wifi):
        self._memory = memory
        self._wifi = wifi
        self._config = about
        self._woken = woken
        self._firmware = self._journal = None
        self._models = Models(KEYS, name)
        if not woken:
            self._look()
        if DEVELOPMENT:
            log.warn("trusts a development key: whoever has that build folder can update this device")
        if self.too_old:
            log.error("firmware below the security floor: updating is all it will do")

    def _look(self):
        """Read the journal, if that was not done."""
        if self._firmware is None:
            self._firmware = updates.slots()
            if self._firmware:
                self._journal = self._models.journal = self._firmware.journal

    @property
    def too_old(self):
        """Whether this firmware must do nothing but update."""
        return bool(self._firmware) and self._firmware.too_old

    @property
    def on_trial(self):
        """Whether the firmware or the model that runs must prove itself, before anything sleeps."""
        return bool(self._firmware) and (self._firmware.on_trial or self._models.on_trial)

    @property
    def firmware_on_trial(self):
        """Whether the firmware is; if it fails, the chip is reset."""
        return bool(self._firmware) and self._firmware.on_trial

    @property
    def model_waits(self):
        """Whether a new model waits until the firmware has proved itself."""
        return not self.on_trial and self._journal is not None and bool(self._journal.staged[j.MODEL])

    @property
    def trial_ms(self):
        """How long what is on trial must run without a crash."""
        return 1000 * self._number("trial_s", _TRIAL_S)

    def _number(self, key, default):
        value = (self._config or {}).get(key, default)
        return value if isinstance(value, int) and value >= 0 else default

    def open_model(self):
        """``(manifest, nn.Model)`` of the best model; after deep sleep the one from before it."""
        memory = self._memory
        if not self._woken:
            if machine.reset_cause() != machine.WDT_RESET:
                memory.checked = 0  # a reset is a good time to look for updates, unless looking hung
            if memory.busy and machine.reset_cause() in _CRASHES:
                strikes = memory.strikes + 1
                # Before the model is given up: a reset then must not count against the next one.
                memory.strikes = memory.busy = 0
                memory.save()
                if self._models.struck(strikes):
                    memory.crashes = 0  # they were its own; what runs instead begins with none
                else:
                    memory.strikes = strikes
        memory.busy = 1  # a crash while the model is opened and tested is laid at its door, too
        memory.save()
        opened = self._models.reopen(memory.model_slot) if self._woken else None
        self._woken = False
        if not opened:
            self._look()
            opened = self._models.open(not (self._firmware and self._firmware.on_trial))
            memory.model_slot = self._models.slot
        memory.busy = 0
        memory.save()
        return opened

    def models(self):
        """Models that could run: see node.updates.models.Models.all."""
        self._look()
        return self._models.all() if self._journal else []

    def use_model(self, name, slot):
        """Let another model that was confirmed here run from the next boot on.

        Args:
            name: of the model.
            slot: "0", "1" or "built-in".

        Raises:
            ValueError: there is no such model.
        """
        self._look()
        slots = {"0": 0, "1": 1, "built-in": j.NO_SLOT}
        if name != self._models.name or slot not in slots or not self._journal:
            raise ValueError("there is no model '%s' in slot '%s'" % (name, slot))
        try:
            self._models.use(slots[slot])
        except Refused as why:
            raise ValueError("slot %s: %s" % (slot, why))
        self._memory.model_slot = slots[slot]

    def due(self):
        """Whether it is time to look for updates."""
        if self._config is None or self.on_trial:
            return False
        if not self._memory.checked or self.too_old:
            return True
        passed = time.time() - self._memory.checked
        return not 0 <= passed < self._number("every_s", _DAY_S)

    def check(self):
        """Look for updates. New firmware resets the chip; True means a new model is to be opened."""
        self._look()
        if self._journal is None:
            return False
        machine.WDT(timeout=_WATCHDOG_MS)
        self._memory.checked = max(int(time.time()), 1)
        self._memory.save()
        try:
            return self._with_updater(lambda updater: updater.check())
        except LinkError as error:
            log.warn("update: %s" % error)
        except Exception as error:
            # A defect here must not cost the node its hearing.
            sys.print_exception(error)
            log.error("update: broken off by an error")
        return False

    def _with_updater(self, use):
        """Call ``use`` with an updater while the link is up."""
        from node.net.link import Link
        from node.updates.updater import Updater

        watchdog = machine.WDT(timeout=_WATCHDOG_MS)
        link = Link(self._wifi or {}, self._time_server(), watchdog.feed)
        transport = None
        try:
            link.up()
            transport = _transport(self._config, self._about)
            return use(
                Updater(
                    self._journal,
                    self._firmware,
                    self._models,
                    updates.identity(),
                    KEYS,
                    transport,
                    watchdog.feed,
                )
            )
        finally:
            if transport:
                transport.close()
            link.down()

    def _about(self, envelope):
        """Kind, name and serial of a release that was signed by somebody who is trusted; None otherwise."""
        try:
            found = verify(envelope, KEYS, self._journal.revoked)
        except Refused:
            return None
        return j.KINDS[found.kind], found.manifest["name"], found.serial

    def _time_server(self):
        """Who is asked for the time, where something has dates to check; else None."""
        about = self._config
        secure = str(about.get("url")).startswith("https") or (about.get("mqtt") or {}).get("tls")
        return about.get("ntp", "pool.ntp.org" if secure else None)

    # On trial

    def probe(self):
        """What can be tried at once: sensors answer, and so does the server if that is asked for.

        Raises:
            ValueError: a sensor does not answer, or the model says something else than where it was made.
            LinkError: the server does not answer.
        """
        if not self._models.sound:
            raise ValueError("the model fails its self-test")
        devices = board.I2C_DEVICES
        if devices:
            pins = board.I2C
            bus = machine.I2C(pins["id"], scl=machine.Pin(pins["scl"]), sda=machine.Pin(pins["sda"]))
            there = bus.scan()
            for device in devices:
                if device["address"] not in there:
                    raise ValueError("the %s at 0x%02x does not answer" % (device["kind"], device["address"]))
        if self._config is not None and self._config.get("require_uplink", True):
            self._with_updater(lambda updater: updater.reach())

    def confirm(self, events, score):
        """It has proved itself.

        Args:
            events, score: how many it reported on trial, and the mean of their scores, 0 to 255.
        """
        if self._firmware.on_trial:
            kind, serial = j.FIRMWARE, self._staged_serial()
            self._firmware.confirm()
        else:
            kind, serial = j.MODEL, self._models.serial
            self._models.confirm()
        log.info("update: %s confirmed" % j.KINDS[kind])
        about = {"kind": j.KINDS[kind], "result": "confirmed", "events": events, "score": score * 100 // 255}
        log.event("update", serial, about)
        if self._config is None or not serial:
            return
        try:
            self._with_updater(lambda updater: updater.report(kind, serial, "confirmed"))
        except LinkError as error:
            log.warn("update: not reported: %s" % error)

    def _staged_serial(self):
        staged = self._journal.staged[j.FIRMWARE]
        return staged.serial if staged else 0

    def fail(self, why, events=0, score=0):
        """It has not. Firmware goes back by a reset; after a model another one is to be opened.

        Args:
            why: text or exception.
            events, score: as for :meth:`confirm`.
        """
        if self._firmware.on_trial:
            self._firmware.fail(why)
        else:
            self._models.fail("%s (%d events, mean score %d)" % (why, events, score * 100 // 255))


def _transport(about, verify):
    """The transport that the configuration names."""
    kind = about.get("transport", "http")
    try:
        if kind == "http":
            from node.net.http_transport import HttpTransport

            return HttpTransport(about)
        if kind == "mqtt":
            from node.net.mqtt_transport import MqttTransport

            return MqttTransport(about)
        if kind == "hawkbit":
            from node.net.hawkbit import HawkbitTransport

            return HawkbitTransport(about, verify)
    except (KeyError, TypeError, AttributeError):
        raise LinkError("the configuration of transport '%s' is incomplete" % kind)
    raise LinkError("there is no transport '%s'" % kind)
