"""MQTT 3.1.1 for a node that talks to its broker now and then.

Section numbers are those of the OASIS standard "MQTT Version 3.1.1" (29 October 2014).

    from node.net.mqtt import Client
    client = Client("broker.example.org", 8883, "node1", "user", "password", ("/ca.pem", None, None))
    client.connect()
    client.subscribe("some/topic")
    message = client.wait(3000)       # (topic, payload) or None
    client.publish("other/topic", b"{}")
    client.disconnect()

or, with several things under way at once::

    number = client.start_publish("other/topic", b"{}")
    event = client.poll(1000)         # None, number, or (topic, payload, number of the message)
    client.acknowledge(number of the message)

Why not a kept client: umqtt waits for ever on a link that has gone silent (``wait_msg`` makes the socket
block, whatever timeout it had), takes messages of any length, encrypts without verification when told
``ssl=True``, and has one unacknowledged message at a time. mqtt_as needs asyncio, reconnects by itself for as
long as it takes with the radio on, and allocates what the broker says a message is long.
"""

import select
import struct
import time

from micropython import const

from node.net import LinkError
from node.net.line import Line

_PACKET = const(4096)  # bytes of a packet after its fixed header; a broker may send 256 MB
_TOPIC = const(128)  # bytes
_WAITING = const(4)  # messages that came while an answer was awaited
_LEAVE_MS = const(500)
_PIECE = const(256)  # bytes that are read at once

# First byte of a packet: type and flags (2.2.1, 2.2.2)
_CONNECT = const(0x10)
_CONNACK = const(0x20)
_PUBLISH = const(0x30)
_PUBACK = const(0x40)
_SUBSCRIBE = const(0x82)
_SUBACK = const(0x90)
_PINGREQ = const(0xC0)
_PINGRESP = const(0xD0)
_DISCONNECT = const(0xE0)

_ANSWERS = (_CONNACK, _PUBACK, _SUBACK, _PINGRESP)
_SHORT = const(3)  # bytes of the longest of them

# Return codes of CONNACK (3.2.2.3)
_REFUSALS = ("", "protocol version", "client id", "out of service", "user or password", "not authorised")


class Client:
    """One connection.

    Every method raises LinkError if the link, the broker or what it sent is not as it should be; the
    connection is closed then.

    Args:
        host, port: of the broker.
        client_id: 1 to 23 letters and digits, which every broker takes (3.1.3.1). A second connection with
            the same one ends the first.
        user, password: None for none.
        secure: None, or ``(ca, cert, key)`` for TLS (node.net.tls).
        timeout_s: for the connection, for each packet that is sent or awaited, and once more for the rest of
            a packet that has begun to come.
        keep_alive_s: after one and a half times as long without a packet the broker takes us for lost.
        clean: begin without the broker's memory of an earlier connection (3.1.2.4). With False it keeps
            subscriptions, and the messages that come while nobody is connected. What we sent and it did not
            acknowledge is for the caller to send again.
        will: None, or ``(topic, payload)``: what the broker publishes, retained, when we are lost.
        feed: called every second or so of waiting.
    """

    def __init__(
        self,
        host,
        port,
        client_id,
        user=None,
        password=None,
        secure=None,
        timeout_s=10,
        keep_alive_s=60,
        clean=True,
        will=None,
        feed=None,
    ):
        self._place = host, port
        self._who = client_id, user, password
        self._secure = secure
        self._timeout_ms = int(timeout_s * 1000)
        self._keep_alive_s = keep_alive_s
        self._clean = clean
        self._will = will
        self._feed = feed
        self._line = None
        self._one = bytearray(1)
        self._piece = memoryview(bytearray(_PIECE))
        self._number = 0
        self._open = set()  # numbers that the broker has yet to acknowledge
        self._messages = []
        self._forget()

    def connect(self):
        """Connect and log in (3.1, 3.2); whether the broker remembers an earlier connection."""
        client_id, user, password = self._who
        flags = 0x02 if self._clean else 0
        who = _text(client_id)
        if self._will:
            flags |= 0x2C  # will, at QoS 1, retained
            who += _text(self._will[0]) + _text(self._will[1])
        if user is not None:
            flags |= 0x80
            who += _text(user)
            if password is not None:
                flags |= 0x40
                who += _text(password)
        self.close()
        self._line = Line(*self._place, self._timeout_ms, self._secure, self._feed)
        self._send(_CONNECT, _text("MQTT") + struct.pack(">BBH", 4, flags, self._keep_alive_s) + who)
        if not self._packet(self._timeout_ms, True):
            self._fail("the broker does not answer")
        answer = self._body
        if self._kind != _CONNACK or len(answer) != 2:
            self._unexpected()
        code = answer[1]
        if code:
            self._fail("broker refused: " + (_REFUSALS[code] if code < len(_REFUSALS) else str(code)))
        if answer[0] > (not self._clean):  # a session that we did not ask for (3.2.2.2)
            self._fail("malformed CONNACK")
        return bool(answer[0])

    # Several things under way

    def start_publish(self, topic, payload, retain=False):
        """Send a message at QoS 1 (3.3); its number, which ``poll`` returns when the broker has it.

        Args:
            payload: bytes, at most 4096 with the topic and 4 more.
        """
        number = self._next()
        head = _text(topic) + struct.pack(">H", number)
        self._send(_PUBLISH | 2 | bool(retain), head, payload)
        self._open.add(number)
        return number

    def start_subscribe(self, topic):
        """Ask for the messages of one topic, at QoS 1 (3.8); a number as of ``start_publish``."""
        number = self._next()
        self._send(_SUBSCRIBE, struct.pack(">H", number) + _text(topic) + b"\x01")
        self._open.add(number)
        return number

    def poll(self, patience_ms=0):
        """What came next, within ``patience_ms``: None, a number that is acknowledged, or a message.

        A message is ``(topic, payload, number)``; whoever has handled it calls ``acknowledge(number)``.
        What came in parts is kept, so with a patience of 0 nothing ever waits here.
        """
        if self._messages:
            return self._messages.pop(0)
        return self._event() if self._packet(patience_ms, False) else None

    def acknowledge(self, number):
        """Tell the broker that it need not send that message again (3.4); None is a message at QoS 0."""
        if number is not None:
            self._send(_PUBACK, struct.pack(">H", number))

    def keep_alive(self):
        """Ping when half of the time is over, and learn whether the broker is there (3.12); does not wait."""
        now = time.ticks_ms()
        if self._pinged is not None:
            if time.ticks_diff(now, self._pinged) > self._timeout_ms:
                self._fail("the broker does not answer")
        elif time.ticks_diff(now, self._sent) >= 500 * self._keep_alive_s:
            self._send(_PINGREQ, b"")
            self._pinged = now

    # One thing after the other

    def subscribe(self, topic):
        """Ask for the messages of one topic, at QoS 1 (3.8, 3.9), and wait until the broker agrees."""
        self._until(self.start_subscribe(topic))

    def wait(self, timeout_ms):
        """The next message, ``(topic, payload)``, acknowledged, or None if none begins to come in time."""
        if self._messages:
            event = self._messages.pop(0)
        else:
            event = self._event() if self._packet(timeout_ms, True) else None
        if not isinstance(event, tuple):
            return None
        self.acknowledge(event[2])
        return event[:2]

    def publish(self, topic, payload, qos=1, retain=False):
        """Send a message; at QoS 1 it has arrived at the broker when this returns (3.3, 3.4)."""
        if qos not in (0, 1):
            raise ValueError("qos is 0 or 1")
        if qos:
            self._until(self.start_publish(topic, payload, retain))
        else:
            self._send(_PUBLISH | bool(retain), _text(topic), payload)

    def ping(self):
        """Tell the broker that we are there, and learn whether it is (3.12, 3.13)."""
        self._send(_PINGREQ, b"")
        self._pinged = time.ticks_ms()
        self._until(None)

    def disconnect(self):
        """Take leave (3.14) and close; harmless when there is no connection."""
        if self._line is None:
            return
        try:
            self._send(_DISCONNECT, b"")
            # A connection closed with bytes unread is reset, and the broker may take us for lost.
            until = time.ticks_add(time.ticks_ms(), _LEAVE_MS)
            scratch = bytearray(64)
            while time.ticks_diff(until, time.ticks_ms()) > 0:
                count = self._line.some(scratch)
                if count == 0 or (count is None and not self._line.wait(select.POLLIN, until)):
                    break
        except LinkError:
            pass
        self.close()

    def close(self):
        """Close without a word."""
        line, self._line = self._line, None
        if line is not None:
            line.close()
        self._forget()

    def _forget(self):
        self._open.clear()
        self._messages.clear()
        self._body = self._kind = None
        self._head = self._got = 0  # bytes of the packet's head that came, and of its body
        self._from = self._to = 0  # what of the piece is still to be taken
        self._pinged = None
        self._sent = time.ticks_ms()

    def _fail(self, what):
        self.close()
        raise LinkError("MQTT: " + what)

    def _unexpected(self):
        self._fail("unexpected packet %02x of %d bytes" % (self._kind, len(self._body)))

    def _next(self):
        """A packet identifier, which is never 0 (2.3.1)."""
        self._number = self._number % 0xFFFF + 1
        return self._number

    def _connected(self):
        if self._line is None:
            raise LinkError("MQTT: not connected")
        return self._line

    def _send(self, kind, body, rest=b""):
        size = len(body) + len(rest)
        if size > _PACKET:
            raise ValueError("packet too long")
        # Remaining length: 7 bits a byte, lowest first (2.2.3)
        head = bytes((kind, size)) if size < 128 else bytes((kind, size & 127 | 128, size >> 7))
        line = self._connected()
        try:
            # In one piece, as each would be a record of TLS and a packet of its own.
            line.send(b"".join((head, body, rest)), self._timeout_ms)
        except LinkError:
            self.close()
            raise
        self._sent = time.ticks_ms()

    def _packet(self, patience_ms, finish):
        """Whether the next packet is here, in ``_kind`` and ``_body``.

        Args:
            patience_ms: for its beginning.
            finish: wait for the rest of one that has begun, whatever the patience.
        """
        line = self._connected()
        until = time.ticks_add(time.ticks_ms(), patience_ms)
        try:
            while not self._read(line):
                end, begun = until, self._head > 0
                if begun and (finish or time.ticks_diff(self._limit, until) < 0):
                    end = self._limit
                if time.ticks_diff(end, time.ticks_ms()) <= 0:
                    if begun and time.ticks_diff(self._limit, time.ticks_ms()) <= 0:
                        self._fail("the broker stopped in the middle")
                    return False
                line.wait(select.POLLIN, end)
        except LinkError:
            self.close()
            raise
        return True

    def _read(self, line):
        """Take what is there of a packet; True when it is whole."""
        if not self._head:
            self._body = None
        while self._body is None:
            if not self._some(line, self._one):
                return False
            byte = self._one[0]
            self._head += 1
            if self._head == 1:
                if byte & 0xF0 != _PUBLISH and byte not in _ANSWERS:
                    self._fail("unexpected packet %02x" % byte)
                self._kind, self._size = byte, 0
                self._limit = time.ticks_add(time.ticks_ms(), self._timeout_ms)
                continue
            self._size |= (byte & 127) << 7 * (self._head - 2)
            if byte & 128:
                if self._head == 5:
                    self._fail("malformed length")
                continue
            if self._size > (_SHORT if self._kind in _ANSWERS else _PACKET):
                self._fail("packet of %d bytes" % self._size)
            try:
                self._body = bytearray(self._size)
            except MemoryError:
                self._fail("no memory for a packet of %d bytes" % self._size)
            self._got = 0
        view = memoryview(self._body)
        while self._got < self._size:
            count = self._some(line, view[self._got :])
            if not count:
                return False
            self._got += count
        self._head = 0
        return True

    def _some(self, line, view):
        """Take some of what is there into ``view``; how many bytes, None if nothing is."""
        if self._from == self._to:
            large = len(view) >= _PIECE
            count = line.some(view if large else self._piece)
            if count == 0:
                self._fail("the broker closed the connection")
            if large or not count:
                return count
            self._from, self._to = 0, count
        count = min(len(view), self._to - self._from)
        view[:count] = self._piece[self._from : self._from + count]
        self._from += count
        return count

    def _event(self):
        """What the packet that came means, as ``poll`` returns it."""
        kind, body = self._kind, self._body
        if kind & 0xF0 == _PUBLISH:
            return self._message(kind, body)
        if kind == _PINGRESP and not body and self._pinged is not None:
            self._pinged = None
            return None
        if not (kind == _PUBACK and len(body) == 2 or kind == _SUBACK and len(body) == 3):
            self._unexpected()
        number = body[0] << 8 | body[1]
        if number not in self._open:
            self._fail(("PUBACK" if kind == _PUBACK else "SUBACK") + " for something else")
        if kind == _SUBACK and body[2] > 1:
            self._fail("subscription refused")
        self._open.remove(number)
        return number

    def _until(self, number):
        """Until the broker acknowledges that number, or with None the ping; messages are kept (3.8.4)."""
        until = time.ticks_add(time.ticks_ms(), self._timeout_ms)
        while True:
            left = time.ticks_diff(until, time.ticks_ms())
            if left <= 0 or not self._packet(left, True):
                self._fail("the broker does not answer")
            event = self._event()
            if isinstance(event, tuple):
                if len(self._messages) == _WAITING:
                    self._fail("too many messages at once")
                self._messages.append(event)
            elif event == number and (number is not None or self._pinged is None):
                return

    def _message(self, flags, body):
        """Take a PUBLISH apart (3.3)."""
        qos = flags >> 1 & 3
        size = body[0] << 8 | body[1] if len(body) >= 2 else 0
        at = 2 + size + 2 * qos
        if qos > 1 or not 0 < size <= _TOPIC or at > len(body):
            self._fail("malformed message")
        number = body[at - 2] << 8 | body[at - 1] if qos else None
        if number == 0:
            self._fail("message without a number")
        try:
            topic = bytes(body[2 : 2 + size]).decode()
        except ValueError:
            self._fail("malformed topic")
        if "\0" in topic or "#" in topic or "+" in topic:
            self._fail("malformed topic")
        return topic, bytes(memoryview(body)[at:]), number


def _text(text):
    """A string as MQTT has it (1.5.3)."""
    data = text.encode() if isinstance(text, str) else text
    return struct.pack(">H", len(data)) + data
