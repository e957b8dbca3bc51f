"""MQTT 3.1.1 for a node that talks to its broker now and then.

Section numbers are those of the OASIS standard "MQTT Version 3.1.1" (29 October 2014).

from node.net.mqtt import Client
client = Client("broker.example.org", 8883, "node1", "user", "password", True, "/ca.pem")
client.connect()
client.subscribe("some/topic")
message = client.wait(3000)       # (topic, payload) or None
client.publish("other/topic", b"{}")
client.disconnect()
"""

import binascii
import json
import select
import socket
import struct
import time

import machine
from micropython import const

from node.net import LinkError, tls
from node.net.http_transport import HttpTransport

_PACKET = const(4096)  # bytes of a packet after its fixed header; a broker may send 256 MB
_TOPIC = const(128)  # bytes
_WAITING = const(4)  # messages that came while an answer was awaited
_KEEP_ALIVE_S = const(60)
_ENVELOPE = const(2128)
_RETAINED_MS = const(2000)  # from SUBACK to the retained message: a broker without one says nothing

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

# Return codes of CONNACK (3.2.2.3)
_REFUSALS = ("", "protocol version", "client id", "out of service", "user or password", "not authorised")


class Client:
    """One connection, with a clean session (3.1.2.4): what comes while nobody is connected is lost.

    Every method raises LinkError if the link, the broker or what it sent is not as it should be; the
    connection is closed then.

    Args:
        host, port: of the broker.
        client_id: 1 to 23 letters and digits, which every broker takes (3.1.3.1). A second connection with
            the same one ends the first.
        user, password: None for none.
        encrypt: use TLS.
        ca: for TLS: file with the CA's certificate (node.net.tls).
        timeout_s: for the connection, for each wait of the TLS handshake, for each packet that is sent or
            awaited, and once more for the rest of a packet that has begun to come.
    """

    def __init__(self, host, port, client_id, user=None, password=None, encrypt=False, ca=None, timeout_s=10):
        self._host = host
        self._port = port
        self._id = client_id
        self._user = user
        self._password = password
        self._encrypt = encrypt
        self._ca = ca
        self._timeout_s = timeout_s
        self._timeout_ms = int(timeout_s * 1000)
        self._line = None
        self._poll = None
        self._number = 0
        self._messages = []

    def connect(self):
        """Connect and log in (3.1, 3.2)."""
        flags = 0x02  # clean session
        who = _text(self._id)
        if self._user is not None:
            flags |= 0x80
            who += _text(self._user)
            if self._password is not None:
                flags |= 0x40
                who += _text(self._password)
        self._open()
        self._send(_CONNECT, _text("MQTT") + struct.pack(">BBH", 4, flags, _KEEP_ALIVE_S) + who)
        answer = self._answer(_CONNACK, 2)
        code = answer[1]
        if code:
            self._fail("broker refused: " + (_REFUSALS[code] if code < len(_REFUSALS) else str(code)))
        if answer[0]:  # a session that we did not ask for (3.2.2.2)
            self._fail("malformed CONNACK")

    def subscribe(self, topic):
        """Ask for the messages of one topic, at QoS 1 (3.8, 3.9)."""
        number = self._next()
        self._send(_SUBSCRIBE, number + _text(topic) + b"\x01")
        answer = self._answer(_SUBACK, 3)
        if answer[:2] != number:
            self._fail("SUBACK for something else")
        if answer[2] > 1:
            self._fail("subscription refused")

    def wait(self, timeout_ms):
        """The next message, ``(topic, payload)``, or None if none begins to come in time.

        Whoever waits for minutes calls ``ping`` in between: a broker drops a client that was silent for a
        minute and a half (3.1.2.10).
        """
        if not self._messages:
            kind, body = self._packet(timeout_ms)
            if kind is None:
                return None
            self._message(kind, body)
        return self._messages.pop(0)

    def publish(self, topic, payload, qos=1, retain=False):
        """Send a message; at QoS 1 it has arrived at the broker when this returns (3.3, 3.4).

        Args:
            payload: bytes, at most 4096 with the topic and 4 more.
            qos: 0 or 1.
        """
        if qos not in (0, 1):
            raise ValueError("qos is 0 or 1")
        number = self._next() if qos else b""
        self._send(_PUBLISH | qos << 1 | bool(retain), _text(topic) + number + payload)
        if qos and self._answer(_PUBACK, 2) != number:
            self._fail("PUBACK for something else")

    def ping(self):
        """Tell the broker that we are there, and learn whether it is (3.12, 3.13)."""
        self._send(_PINGREQ, b"")
        self._answer(_PINGRESP, 0)

    def disconnect(self):
        """Take leave (3.14) and close; harmless when there is no connection."""
        if self._line is not None:
            try:
                self._send(_DISCONNECT, b"")
            except LinkError:
                return
            self.close()

    def close(self):
        """Close without a word."""
        line, self._line, self._poll = self._line, None, None
        if line is not None:
            try:
                line.close()
            except OSError:
                pass

    def _fail(self, what):
        self.close()
        raise LinkError("MQTT: " + what)

    def _open(self):
        self.close()
        self._messages = []
        try:
            address = socket.getaddrinfo(self._host, self._port, 0, socket.SOCK_STREAM)[0][-1]
            self._line = sock = socket.socket()
            sock.settimeout(self._timeout_s)
            sock.connect(address)
            if self._encrypt:
                self._line = tls.wrap(sock, self._host, self._ca)
            # From now on every wait is ours, so that bytes that come one by one cannot hold us up for long.
            self._line.setblocking(False)
        except LinkError:
            self.close()
            raise
        except OSError as error:
            self._fail("no connection to %s:%s (%s)" % (self._host, self._port, error.errno))
        self._poll = select.poll()
        self._poll.register(self._line, select.POLLIN)

    def _next(self):
        """A packet identifier, which is never 0 (2.3.1)."""
        self._number = self._number % 0xFFFF + 1
        return struct.pack(">H", self._number)

    def _ready(self, flag, deadline):
        """Whether the line is ready before the deadline."""
        left = time.ticks_diff(deadline, time.ticks_ms())
        try:
            self._poll.modify(self._line, flag)
            return bool(self._poll.poll(max(left, 0)))
        except OSError as error:
            self._fail("link lost (%s)" % error.errno)

    def _pass(self, flag, transfer, data, deadline):
        """Let all of ``data`` through ``transfer``, which takes what it can; False if that takes too long."""
        view = memoryview(data)
        while view:
            if not self._ready(flag, deadline):
                return False
            try:
                done = transfer(view)
            except OSError as error:
                self._fail("link lost (%s)" % error.errno)
            if done == 0:
                self._fail("the broker closed the connection")
            # None: TLS needs more before there is anything for us.
            view = view[done or 0 :]
        return True

    def _send(self, kind, body):
        size = len(body)
        if size > _PACKET:
            raise ValueError("packet too long")
        # Remaining length: 7 bits a byte, lowest first (2.2.3)
        head = bytes((kind, size)) if size < 128 else bytes((kind, size & 127 | 128, size >> 7))
        line = self._connected()
        deadline = time.ticks_add(time.ticks_ms(), self._timeout_ms)
        if not self._pass(select.POLLOUT, line.write, head + body, deadline):
            self._fail("the broker takes nothing")

    def _packet(self, patience_ms):
        """First byte and body of the next packet; None twice if it does not begin in time."""
        one = bytearray(1)
        line = self._connected()
        deadline = time.ticks_add(time.ticks_ms(), patience_ms)
        if not self._pass(select.POLLIN, line.readinto, one, deadline):
            return None, None
        kind = one[0]
        deadline = time.ticks_add(time.ticks_ms(), self._timeout_ms)
        size = shift = 0
        while True:
            self._receive(one, deadline)
            size |= (one[0] & 127) << shift
            shift += 7
            if not one[0] & 128:
                break
            if shift == 28:
                self._fail("malformed length")
        if size > _PACKET:
            self._fail("packet of %d bytes" % size)
        body = bytearray(size)
        self._receive(body, deadline)
        return kind, body

    def _receive(self, data, deadline):
        if not self._pass(select.POLLIN, self._line.readinto, data, deadline):
            self._fail("the broker stopped in the middle")

    def _connected(self):
        if self._line is None:
            raise LinkError("MQTT: not connected")
        return self._line

    def _answer(self, kind, size):
        """Body of the one packet that may come now; messages that come before it are kept (3.8.4)."""
        while True:
            got, body = self._packet(self._timeout_ms)
            if got is None:
                self._fail("the broker does not answer")
            if got == kind and len(body) == size:
                return body
            if len(self._messages) == _WAITING:
                self._fail("too many messages at once")
            self._message(got, body)

    def _message(self, flags, body):
        """Take a PUBLISH apart (3.3) and acknowledge it."""
        if flags & 0xF0 != _PUBLISH:
            self._fail("unexpected packet %02x of %d bytes" % (flags, len(body)))
        qos = flags >> 1 & 3
        size = struct.unpack_from(">H", body)[0] if len(body) >= 2 else 0
        at = 2 + size + 2 * qos
        if qos > 1 or not 0 < size <= _TOPIC or at > len(body):
            self._fail("malformed message")
        number = bytes(body[2 + size : at])
        if number == b"\0\0":
            self._fail("message without a number")
        try:
            topic = bytes(body[2 : 2 + size]).decode()
        except ValueError:
            self._fail("malformed topic")
        if "\0" in topic or "#" in topic or "+" in topic:
            self._fail("malformed topic")
        if qos:
            self._send(_PUBACK, number)
        self._messages.append((topic, bytes(body[at:])))


def _text(text):
    """A string as MQTT has it (1.5.3)."""
    data = text.encode() if isinstance(text, str) else text
    return struct.pack(">H", len(data)) + data


class MqttTransport:
    """Releases are announced by MQTT and fetched by HTTP.

    A release announced for ``product``, ``board`` is the retained message of
    ``cicada/<product>/<board>/firmware`` or ``cicada/<product>/<board>/model/<name>``.

    Args:
        config: settings of the device for updates: ``mqtt`` (``host``, ``port``, ``user``, ``password``,
            ``tls``), ``url`` of the releases, ``ca``.
    """

    def __init__(self, config):
        self._config = config
        self._files = HttpTransport(config)

    def newest(self, board, product, kind, name):
        """Envelope of the release that is announced, or None.

        Raises:
            LinkError: see Client; or what is announced cannot be a release.
        """
        topic = "cicada/%s/%s/%s" % (product, board, kind if kind == "firmware" else kind + "/" + name)
        client = self._client()
        client.connect()
        try:
            client.subscribe(topic)
            message = client.wait(_RETAINED_MS)
        finally:
            client.disconnect()
        if message is None or not message[1]:  # an empty one takes a retained one back (3.3.1.3)
            return None
        if message[0] != topic or len(message[1]) > _ENVELOPE:
            raise LinkError("MQTT: not an announcement")
        return message[1]

    def open(self, board, file, offset):
        """The node.net.http.Body of one of the release's files from ``offset`` on."""
        return self._files.open(board, file, offset)

    def report(self, kind, serial, result, text):
        """Say how it goes, in JSON, at ``cicada/<product>/<board>/<device id>/updates``.

        Args:
            result: "started", "confirmed", "failed" or "refused".
            text: why.
        """
        # Only an image has this module, it is written for each.
        from node.identity import IDENTITY

        who = json.loads(IDENTITY[len("CICADA-IDENTITY ") : -1])
        topic = "cicada/%s/%s/%s/updates" % (who["product"], who["board"], _device())
        said = {"schema": 1, "kind": kind, "serial": serial, "result": result, "text": text}
        client = self._client()
        client.connect()
        try:
            client.publish(topic, json.dumps(said).encode())
        finally:
            client.disconnect()

    def close(self):
        """Nothing stays open between two calls."""

    def _client(self):
        at = self._config["mqtt"]
        return Client(
            at["host"],
            at["port"],
            "cicada" + _device(),
            at.get("user"),
            at.get("password"),
            at.get("tls", False),
            self._config.get("ca"),
        )


def _device():
    return binascii.hexlify(machine.unique_id()).decode()
