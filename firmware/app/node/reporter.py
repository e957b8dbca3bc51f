"""From an event to the broker: rules, filters, the outbox on flash, and now and then a session.

reporter = Reporter(found, mqtt, wifi, memory, woken, app)
reporter.take({"event": "keyword", "source": "kws", "word": "yes", "score": 93})
reporter.deliver()          # if it is time for it
reporter.keep()             # before deep sleep

Nothing of it is loaded that the configuration does not ask for; without a broker nothing is kept on flash.
"""

import struct
import time

import machine
from esp32 import Partition
from micropython import const

from node import VERSION, log, records
from node import memory as m
from node.health import LEVELS
from node.net import LinkError

_PATIENT_MS = const(60000)  # of the watchdog in a session: longer than any wait in it
_WAITING = "<BHBI"  # version, records, highest priority or 255, erases
_VERSION = 1


class Waiting:
    """The outbox, opened when somebody needs more than what was known of it before the sleep.

    A node that wakes 144 times a day to find that nothing happened must not read its flash for that.

    Args:
        kept: what :meth:`state` gave before the sleep; empty bytes if that is not to be trusted.
    """

    def __init__(self, kept):
        self._box = None
        self._known = None
        if len(kept) == struct.calcsize(_WAITING) and kept[0] == _VERSION:
            self._known = struct.unpack(_WAITING, kept)[1:]

    def state(self):
        """What is known of it, for after the sleep."""
        if self._box is None and self._known is None:
            return b""
        highest = self.highest()
        return struct.pack(
            _WAITING, _VERSION, self.pending(), 255 if highest is None else highest, self.erases[0]
        )

    def _open(self):
        if self._box is None:
            from node.outbox import Outbox

            self._box = Outbox(Partition.find(Partition.TYPE_DATA, label="outbox")[0])
            self._known = None
        return self._box

    def pending(self):
        """Number of records that wait."""
        return self._known[0] if self._known else self._open().pending()

    def highest(self):
        """The highest priority of those that wait; None if none do."""
        if self._known:
            return None if self._known[1] == 255 else self._known[1]
        return self._open().highest()

    @property
    def erases(self):
        """``(of all sectors, of the most worn one)`` so far."""
        return (self._known[2], 0) if self._known else self._open().erases

    def put(self, kind, priority, data):
        """As of node.outbox.Outbox, like all that follow."""
        return self._open().put(kind, priority, data)

    def oldest(self, limit):
        return self._open().oldest(limit)

    def done(self, sequence):
        self._open().done(sequence)

    @property
    def generation(self):
        return self._open().generation

    @property
    def dropped(self):
        return self._open().dropped


class Reporter:
    """What a node has to say, until somebody has it.

    Args:
        found: the configuration, complete.
        mqtt: its broker, with the secrets; None without one.
        wifi: network and key; None without one.
        memory: the node.memory.Memory, loaded.
        woken: whether it is a memory from before a sleep, in which nobody wrote to the flash.
        app: the node.app.App, for what the uplink asks of it.

    Attributes:
        outbox: what waits; None without a broker, or on a board without its partition.
        uplink: the node.uplink.Uplink; None without a broker.
        urgent: whether it is time for a session, as of the last ``poll``.
    """

    def __init__(self, found, mqtt, wifi, memory, woken, app):
        self._memory = memory
        self._app = app
        self._fusion = self._filters = self._link = self.outbox = self.uplink = None
        self._linger_ms = 0
        self.urgent = False
        if found["rules"]:
            from node.fusion import Fusion

            self._fusion = Fusion(found["rules"])
            self._fusion.restore(memory.section(m.FUSION))
        if mqtt and wifi and Partition.find(Partition.TYPE_DATA, label="outbox"):
            from node.filters import Filters
            from node.net.link import Link
            from node.uplink import Uplink

            self._filters = Filters(found["report"])
            self._filters.restore(memory.section(m.FILTERS))
            self.outbox = Waiting(memory.section(m.OUTBOX) if woken else b"")
            if not woken:
                self._open()
            self._linger_ms = mqtt["linger_ms"]
            self._link = Link(wifi, mqtt["ntp"], self.feed)
            self.uplink = Uplink(mqtt, found["report"], self.outbox, self._link, self)
            self.uplink.restore(memory.section(m.UPLINK))

    def _open(self):
        """Open the outbox before anything listens: making it takes most of a second, and sound is lost."""
        try:
            self.outbox.pending()
        except OSError as error:
            log.error("outbox: %s" % error)

    # What happened

    def take(self, record):
        """Take in an event or a reading, and what the rules make of it.

        Args:
            record: dict, see docs/node.md.
        """
        self._offer(record)
        if self._fusion:
            self._raise(self._fusion.feed(record, int(time.time())))

    def _raise(self, alarms):
        for alarm in alarms:
            self._memory.events += 1
            shown = {name: alarm[name] for name in alarm if name != "event"}
            log.event("alarm", self._memory.events, shown)
            self._offer(alarm)

    def _offer(self, record):
        if self._filters:
            priority = self._filters.wants(record, int(time.time()))
            if priority is not None:
                self.put(records.kind_of(record), priority, record)

    def put(self, kind, priority, fields):
        """Keep a record until it is delivered; it is on the flash when this returns.

        Args:
            kind, priority: constants of node.records.
            fields: dict of JSON values.
        """
        if self.outbox:
            try:
                self.outbox.put(kind, priority, records.encode(self._memory.boots, fields))
            except (OSError, ValueError) as error:
                log.error("outbox: %s" % error)

    def tell_battery(self):
        """The battery has passed one of its limits."""
        health = self._app.health
        level = LEVELS[health.level]
        log.warn("the battery is %s: %d mV" % (level, health.mv))
        self._memory.events += 1
        about = {"source": "battery", "state": level, "mv": health.mv}
        log.event("battery", self._memory.events, about)
        about["event"] = "battery"
        self.take(about)

    def tell_update(self, firmware, result, why=None):
        """What was on trial has proved itself, or not.

        Args:
            firmware: whether it is firmware; else a model.
            result: "confirmed" or "failed".
            why: for a failure.
        """
        found = {"update": "firmware" if firmware else "model", "result": result, "version": VERSION}
        if not firmware and self._app.manifest:
            found["version"] = self._app.manifest["version"]
        if why is not None:
            found["why"] = str(why)[:128]
        self.put(records.UPDATE, records.HIGH, found)

    def tell_health(self):
        """Put a health record into the outbox."""
        self.put(records.HEALTH, records.NORMAL, self.health_record())
        self._app.health.told()

    def health_record(self):
        """How the node is: node.health's figures and those of its parts."""
        found = self._app.health.record()
        found["safe"] = self._app.safe
        found.update(self.figures())
        return found

    # Sessions

    def deliver(self, even_so=False):
        """Hold a session with the broker if it is time for one.

        Args:
            even_so: whether it is time or not.

        Returns:
            True if the broker was reached, False if not, None if it was not time.
        """
        if not self.uplink or not (even_so or self.uplink.due(int(time.time()))):
            return None
        return self.uplink.session(self._linger_ms)

    def poll(self):
        """Now and then while the node works: rules that wait, a connection that stays, whether one is due."""
        if self._fusion:
            self._raise(self._fusion.tick(int(time.time())))
        if self.uplink:
            if self.uplink.connected:
                self.uplink.poll()
            self.urgent = self.uplink.due(int(time.time()))

    def leave(self):
        """End a connection that stays, before a sleep, a reset or something else that needs the radio."""
        if self.uplink:
            try:
                self.uplink.leave()
            except LinkError as error:
                log.warn("uplink: %s" % error)

    # What the uplink asks of the node

    def status(self):
        """For the retained status."""
        return self._app.control.status()

    def command(self, envelope):
        """A command came; its answer as bytes, or None."""
        return self._app.commands.network(envelope)

    def feed(self):
        """The watchdog's."""
        machine.WDT(timeout=_PATIENT_MS).feed()

    def about(self):
        """What node.net.discovery tells about this node."""
        return self._app.control.about()

    # What there is to tell of it

    def link_figures(self):
        """For the status: dict."""
        found = {}
        if self._link and self._link.rssi is not None:
            found["rssi"] = self._link.rssi
        return found

    def figures(self):
        """For a health record: dict."""
        found = self.link_figures()
        if self.uplink:
            uplink, outbox = self.uplink, self.outbox
            found["waiting"] = outbox.pending()
            found["flash_erases"] = outbox.erases[0]
            found["flash_erases_most"] = outbox.erases[1]
            found["dropped"] = sum(outbox.dropped)
            found["sessions"] = uplink.sessions
            found["sessions_failed"] = uplink.failures
            found["delivered"] = uplink.delivered
            found["radio_s"] = uplink.radio_ms // 1000
            if uplink.last_error:
                found["link_error"] = uplink.last_error
        return found

    def keep(self):
        """Put what must outlive the sleep into the node's memory, whose ``save`` writes it."""
        for section, part in (
            (m.FUSION, self._fusion),
            (m.FILTERS, self._filters),
            (m.UPLINK, self.uplink),
            (m.OUTBOX, self.outbox),
        ):
            if part:
                self._memory.put(section, part.state())
