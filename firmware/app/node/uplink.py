"""The node's sessions with its broker: what waits in the outbox is delivered, commands are fetched.

    from node.uplink import Uplink
    uplink = Uplink(config["mqtt"], config["report"], outbox, link, hooks)
    if uplink.due(int(time.time())):
        uplink.session(config["mqtt"]["linger_ms"])

Records go out in order, a few at a time without waiting for each, and leave the outbox when the broker has
acknowledged them: at least once, never lost. Commands wait at the broker in a session that outlives the
connection. Neither time nor memory depends on what the broker does.
"""

import binascii
import json
import os
import struct
import sys
import time

import machine
from micropython import const

from node import log, records
from node.net import LinkError
from node.net.mqtt import Client
from node.updates.release import now

_VERSION = const(1)
_WINDOW = const(4)  # records in RAM, of 1 KB at most, sent and not yet acknowledged
_WINDOW_MS = const(60000)  # for all of a window, however much else the broker says
_SESSION_MS = const(300000)  # of delivering, after which a slow broker has to wait for the next session
_STEP_MS = const(250)
_TAKEN = const(64)  # messages in one session; the broker keeps the others
_LATER = const(2)  # messages put aside while something is sent in the middle of handling one
_ANSWER = const(1000)  # bytes of an answer that fits into the outbox
_BACKOFF_S = const(15)
_BACKOFF_MAX_S = const(3600)

# version, failures in a row, until when to hold off, last session, when the clock was set, digest of what
# discovery said, sessions, failures, delivered, ms of radio
_FORMAT = "<BBIIIIIIII"


class Uplink:
    """Everything between outbox and broker.

    Args:
        mqtt: the configuration's ``mqtt``, with all its keys; ``host`` must be there.
        report: its ``report``: ``batch``, ``every_s``, ``poll_s``, ``health_s``.
        outbox: node.outbox.Outbox.
        link: node.net.link.Link.
        hooks: what the node does for it: ``status()`` a dict for the retained status, ``command(data)`` the
            answer to a signed command, as JSON bytes, or None; ``feed()`` for a watchdog, which must bear
            20 s; ``about()`` what node.net.discovery wants, called only with ``discovery``.

    Attributes:
        last_error: one sentence about the last session, empty if it went well.
        sessions, failures, delivered, radio_ms: since power-on: sessions begun and failed, records delivered,
            milliseconds with the radio on.
        connected: whether a connection stays open.
    """

    #: Seconds without a word from the broker while something is awaited.
    TIMEOUT_S = 10

    def __init__(self, mqtt, report, outbox, link, hooks):
        self._mqtt = mqtt
        self._report = report
        self._outbox = outbox
        self._link = link
        self._hooks = hooks
        self._base = "%s/%s/" % (mqtt["prefix"], binascii.hexlify(machine.unique_id()).decode())
        self._client = None
        self._flying = {}  # number of a publish -> sequence of its record
        self._since = 0  # since when something is to be acknowledged
        self._heard = 0  # when the broker said something last, or a command was done
        self._own = set()  # numbers of what is no record, yet to be acknowledged
        self._later = []
        self._taken = 0
        self._busy = False
        self._radio = None
        self._failed = 0  # sessions in a row
        self._until = self._last = self._digest = 0
        self.last_error = ""
        self.sessions = self.failures = self.delivered = self.radio_ms = 0

    @property
    def connected(self):
        return self._client is not None

    # When

    def due(self, now_s):
        """Whether it is time for a session.

        Args:
            now_s: ``time.time()``, set or not: it only has to go on in deep sleep.
        """
        if self._client is not None:
            return False
        if self._failed and 0 < self._until - now_s <= _BACKOFF_MAX_S:
            return False
        passed = now_s - self._last
        if not self._last or passed < 0 or self._mqtt["stay"] or self._failed:
            return True  # the first one tells the broker that we want commands; the clock may have been set
        report, outbox = self._report, self._outbox
        if report["poll_s"] and passed >= report["poll_s"]:
            return True
        waiting = outbox.pending()
        return bool(waiting) and (
            outbox.highest() == records.HIGH or waiting >= report["batch"] or passed >= report["every_s"]
        )

    def _next_s(self):
        """Seconds to the next contact at the latest, 0 if there need not be one."""
        report = self._report
        if report["poll_s"]:
            return report["poll_s"]
        return report["health_s"] + report["every_s"] if report["health_s"] else 0

    def forgive(self):
        """Forget the sessions that failed: another broker is to be reached, and should be told of us."""
        self._failed = self._last = 0

    # A session

    def session(self, linger_ms):
        """Connect, deliver everything, take commands until none has come for ``linger_ms``, take leave.

        With ``stay`` the connection stays open, for ``poll``.

        Returns:
            True if the broker was reached: it let us in and has our status.
        """
        self.sessions += 1
        reached = False
        before = self.delivered
        try:
            if self._client is None:
                self._begin()
            reached = True
            self._exchange(linger_ms)
            if not self._mqtt["stay"]:
                self.leave()
            self._last = max(int(time.time()), 1)
            self._failed = 0
            self.last_error = ""
        except (LinkError, MemoryError) as error:
            self._broke(error, self.delivered > before)
        return reached

    def poll(self):
        """With ``stay``: look for commands and send what waits, without waiting; False if not connected."""
        if self._client is None:
            return False
        self._tally()
        before = self.delivered
        try:
            self._taken = 0
            self._fill()
            self._step(0)
            self._client.keep_alive()
        except (LinkError, MemoryError) as error:
            self._broke(error, self.delivered > before)
        self._last = max(int(time.time()), 1)
        return self._client is not None

    def leave(self):
        """End a connection properly, before a sleep or a reset; harmless without one.

        Raises:
            LinkError: the broker did not take it, and will say that we are lost.
        """
        if self._client is None:
            return
        within_s = self._next_s() or None
        at = now() + within_s if within_s and now() is not None else None
        self._busy = True  # commands that come now are for the next session
        try:
            self._await(self._say(state="asleep", next=at, within_s=within_s))
            self._client.disconnect()
        finally:
            self._close()

    def send(self, name, payload):
        """Send something that is no record, such as a part of a capture, while connected.

        Args:
            name: last part of the topic.
            payload: bytes, at most 4000.

        Raises:
            LinkError: there is no connection, or it broke.
        """
        if self._client is None:
            raise LinkError("there is no connection to the broker")
        if len(self._own) >= _WINDOW:
            self._await(None)
        if not self._own and not self._flying:
            self._since = self._heard = time.ticks_ms()
        self._own.add(self._client.start_publish(self._base + name, payload))

    def _begin(self):
        """Link, connection, subscription, status."""
        mqtt = self._mqtt
        self._radio = time.ticks_ms()
        self._link.up()
        self._hooks.feed()
        self._client = client = Client(
            mqtt["host"],
            mqtt["port"],
            # Another one than the updater's (node.net.mqtt_transport).
            "cicada" + binascii.hexlify(machine.unique_id()).decode(),
            mqtt["user"],
            mqtt["password"],
            (mqtt["ca"], mqtt["cert"], mqtt["key"]) if mqtt["tls"] else None,
            self.TIMEOUT_S,
            mqtt["keep_alive_s"],
            clean=False,
            will=(self._base + "status", b'{"v": 1, "state": "lost"}'),
            feed=self._hooks.feed,
        )
        self._taken = 0
        client.connect()
        self._own.add(client.start_subscribe(self._base + "command"))
        self._say(state="online")
        self._await(None)
        if mqtt["discovery"]:
            self._discover()

    def _say(self, **more):
        """Send the retained status; the number of the publish."""
        status = dict(self._hooks.status(), v=records.VERSION, **more)
        number = self._client.start_publish(self._base + "status", json.dumps(status).encode(), True)
        self._own.add(number)
        return number

    def _discover(self):
        """Tell Home Assistant what there is, if that is not what it was told last."""
        # Only nodes that are asked to need it.
        from node.net import discovery

        about = self._hooks.about()
        digest = discovery.digest(self._base, about)
        if digest == self._digest:
            return
        for topic, payload in discovery.messages(self._base, about):
            self._await(None)
            self._own.add(self._client.start_publish(topic, payload, True))
            self._hooks.feed()
        self._await(None)
        self._digest = digest

    def _exchange(self, linger_ms):
        """Deliver and take commands until all is done and it has been quiet for ``linger_ms``."""
        began = quiet = time.ticks_ms()
        taken = self._taken
        while True:
            self._fill()
            now_ms = time.ticks_ms()
            if self._taken != taken or self._flying:
                taken, quiet = self._taken, now_ms
            left = linger_ms - time.ticks_diff(now_ms, quiet)
            if not self._flying and not self._own and (left <= 0 or taken >= _TAKEN):
                return
            if time.ticks_diff(now_ms, began) > _SESSION_MS:
                raise LinkError("MQTT: the broker is too slow")
            self._step(max(1, min(_STEP_MS, left)))
            self._client.keep_alive()
            self._hooks.feed()

    def _fill(self):
        """Send the next records if everything before them has arrived."""
        if self._flying or self._own:
            self._patience()
            return
        outbox = self._outbox
        if not outbox.pending():
            return
        self._since = self._heard = time.ticks_ms()
        for sequence, kind, _, data in outbox.oldest(_WINDOW):
            payload = records.with_id(outbox.generation, sequence, data)
            self._flying[self._client.start_publish(self._base + records.KINDS[kind], payload)] = sequence
            self._hooks.feed()

    def _step(self, patience_ms):
        """Take one event, from the broker or from what was put aside."""
        if self._later and not self._busy:
            event = self._later.pop(0)
        else:
            event = self._client.poll(patience_ms)
        if event is not None:
            self._heard = time.ticks_ms()
        if isinstance(event, tuple):
            self._message(*event)
        elif event is not None:
            self._own.discard(event)
            sequence = self._flying.pop(event, None)
            if sequence is not None:
                self._outbox.done(sequence)
                self.delivered += 1

    def _await(self, number):
        """Until the broker has acknowledged that publish; with None everything but records."""
        self._since = self._heard = time.ticks_ms()
        while number in self._own if number else self._own:
            self._step(min(_STEP_MS, self._patience()))
            self._hooks.feed()

    def _patience(self):
        """Milliseconds left for what is to be acknowledged; LinkError when there are none."""
        now_ms = time.ticks_ms()
        left = 1000 * self.TIMEOUT_S - time.ticks_diff(now_ms, self._heard)
        if left <= 0 or time.ticks_diff(now_ms, self._since) > _WINDOW_MS:
            raise LinkError("MQTT: the broker does not acknowledge")
        return left

    def _message(self, topic, payload, number):
        """A message from the broker; what is not acknowledged is sent again in the next session."""
        if self._busy:
            if len(self._later) < _LATER:
                self._later.append((topic, payload, number))
            return
        if self._taken >= _TAKEN:
            return
        self._taken += 1
        if topic == self._base + "command":
            self._command(payload)
        # Not before it was handled: a reset meanwhile does not lose it. That a command runs twice is for
        # its signature's counter to prevent.
        self._client.acknowledge(number)

    def _command(self, payload):
        self._busy = True
        began = time.ticks_ms()
        try:
            answer = self._hooks.command(payload)
            if answer is None:
                return
            if len(answer) <= _ANSWER:
                self._outbox.put(records.ANSWER, records.HIGH, answer)
            else:
                self.send(records.KINDS[records.ANSWER], b'{"v": %d, %s' % (records.VERSION, answer[1:]))
        except LinkError:
            raise
        except Exception as error:
            # A defect must not come back with the command in every session.
            sys.print_exception(error)
            log.error("uplink: a command was broken off by an error")
        finally:
            self._busy = False
            # What a command takes is not the broker's fault.
            self._heard = time.ticks_ms()
            self._since = time.ticks_add(self._since, time.ticks_diff(self._heard, began))

    # Its end

    def _broke(self, error, progress):
        """The connection is gone, or did not come about."""
        self.failures += 1
        self.last_error = str(error) if isinstance(error, LinkError) else "not enough memory"
        log.warn("uplink: " + self.last_error)
        if progress:
            self._failed = 0
        self._failed = min(self._failed + 1, 255)
        wait = min(_BACKOFF_S << min(self._failed - 1, 8), _BACKOFF_MAX_S)
        # Not all nodes at once when a broker comes back: from three quarters of it to all.
        wait -= wait * os.urandom(1)[0] // 1024
        self._until = int(time.time()) + wait
        self._close()

    def _close(self):
        if self._client is not None:
            self._client.close()
            self._client = None
        self._flying.clear()
        self._own.clear()
        self._later.clear()
        self._busy = False
        self._link.down()
        self._tally()
        self._radio = None

    def _tally(self):
        """Count the radio's time; often enough for ``ticks_ms`` not to come round."""
        if self._radio is not None:
            now_ms = time.ticks_ms()
            self.radio_ms += time.ticks_diff(now_ms, self._radio)
            self._radio = now_ms

    # Through deep sleep

    def state(self):
        """What must survive a sleep, as bytes."""
        return struct.pack(
            _FORMAT,
            _VERSION,
            self._failed,
            self._until & 0xFFFFFFFF,
            self._last & 0xFFFFFFFF,
            self._link.clock_set & 0xFFFFFFFF,
            self._digest,
            self.sessions & 0xFFFFFFFF,
            self.failures & 0xFFFFFFFF,
            self.delivered & 0xFFFFFFFF,
            self.radio_ms & 0xFFFFFFFF,
        )

    def restore(self, data):
        """Go on from there; anything but a ``state()`` of this version is a fresh start."""
        if len(data) != struct.calcsize(_FORMAT) or data[0] != _VERSION:
            return
        fields = struct.unpack(_FORMAT, data)
        self._failed, self._until, self._last, self._link.clock_set, self._digest = fields[1:6]
        self.sessions, self.failures, self.delivered, self.radio_ms = fields[6:]
