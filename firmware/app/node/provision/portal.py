"""The node's own access point and the page on it.

One connection at a time, everything bounded: a request has at most 8 KB and 5 seconds. Whoever is on this
network had its key, so the page asks for no password; the form carries a token all the same, so that no page
from elsewhere can send it through a phone's browser, and only requests for 192.168.4.1 see the page at all.
"""

import binascii
import gc
import os
import select
import socket
import time

import network
from micropython import const

from node import log
from node.net import LinkError
from node.provision import names, page
from node.provision.apply import Invalid, check, commit, credentials
from node.provision.attempt import attempt
from node.provision.form import MOST_BODY, MOST_HEAD, Refused, Request, fields

HERE = "192.168.4.1"
_ADDRESS = b"\xc0\xa8\x04\x01"
_WAIT_MS = const(100)  # between two looks at everything else
_FIRST_MS = const(
    500
)  # for the first byte, if somebody else waits: browsers open connections that they never use
_REQUEST_MS = const(5000)  # for all of a request, and again for its answer
_DRAIN_MS = const(300)
_SHOW_MS = const(20000)  # for the phone to learn that it worked
_NETWORKS = const(16)
_LONGEST = 3  # times the time-out, at most, however busy somebody is
_CLIENTS = const(4)
_WAITING = const(4)  # connections; browsers open several
_PIECE = const(512)

_HEADERS = (
    "HTTP/1.1 %d %s\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n"
    "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'self'; frame-ancestors 'none'\r\n%s\r\n"
)


class _Gone(Exception):
    """The browser does not send, or does not take, what it should."""


class Portal:
    """An access point with a page.

    Args:
        name, key: of the access point; WPA2.
        secrets, config: where it goes (node.provision.apply.commit).
        meanwhile: called about every 100 ms; ends the portal by returning True.

    Attributes:
        stored: whether something was.
    """

    def __init__(self, name, key, secrets, config, meanwhile):
        self.name = name
        self.stored = False
        self._key = key
        self._secrets = secrets
        self._config = config
        self._meanwhile = meanwhile
        self._token = binascii.hexlify(os.urandom(16)).decode()
        self._networks = []
        self._before = {}
        self._error = None
        self._trying = None  # settings and name of the network, while and until they are tried
        self._told = False
        self._ended = False

    def run(self, timeout_s, ready):
        """Serve until something is stored, or for ``timeout_s`` after the last form that was sent.

        Args:
            timeout_s: see above.
            ready: called once everything is up.

        Returns:
            whether something was stored.
        """
        self._ap = network.WLAN(network.WLAN.IF_AP)
        self._sta = network.WLAN(network.WLAN.IF_STA)
        self._web = self._dns = None
        self._buf = bytearray(MOST_HEAD + MOST_BODY)
        try:
            self._sta.active(True)
            self._ap.active(True)
            self._ap.config(
                ssid=self.name, security=network.WLAN.SEC_WPA2, key=self._key, max_clients=_CLIENTS
            )
            self._scan()
            self._listen()
            ready()
            self._serve(timeout_s * 1000)
        finally:
            self._close()
        return self.stored

    def _listen(self):
        self._web = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._web.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._web.bind(("0.0.0.0", 80))
        self._web.listen(_WAITING)
        self._web.setblocking(False)
        self._dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._dns.bind(("0.0.0.0", 53))
        self._dns.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._web, select.POLLIN)
        self._poll.register(self._dns, select.POLLIN)

    def _close(self):
        for line in (self._web, self._dns):
            if line is not None:
                line.close()
        for wlan in (self._sta, self._ap):
            try:
                wlan.active(False)
            except OSError:
                pass  # it never was
        self._buf = None

    def _serve(self, timeout_ms):
        began = asked = time.ticks_ms()
        while not self._ended:
            self._tick(_WAIT_MS)
            now = time.ticks_ms()
            if self.stored:
                if self._told or time.ticks_diff(now, self._done) >= _SHOW_MS:
                    # The answer that says so must still get out.
                    self._wait(None, _DRAIN_MS)
                    return
            elif self._trying:
                self._try()
                asked = time.ticks_ms()
            elif (
                time.ticks_diff(now, asked) >= timeout_ms
                or time.ticks_diff(now, began) >= _LONGEST * timeout_ms
            ):
                log.warn("set up: nobody came in %d s, going on without it" % (timeout_ms // 1000))
                return

    def _tick(self, wait_ms=0):
        """Look at everything once."""
        if self._meanwhile():
            self._ended = True
        if self._poll.poll(wait_ms):
            self._name()
            self._answer()

    def _name(self):
        try:
            packet, where = self._dns.recvfrom(names.MOST)
            said = names.answer(packet, _ADDRESS)
            if said:
                self._dns.sendto(said, where)
        except OSError:
            pass  # nobody asked, or nobody is there any more

    def _scan(self):
        """Look for networks; takes two seconds, in which a phone may lose us for a moment."""
        self._meanwhile()
        best = {}
        try:
            for found in self._sta.scan():
                try:
                    ssid = found[0].decode()
                except UnicodeError:
                    continue  # cannot be stored as text; such a name can be typed neither
                if ssid and (ssid not in best or best[ssid][0] < found[3]):
                    best[ssid] = (found[3], found[4] != 0)
        except OSError:
            log.warn("set up: the radio finds no networks")
        rows = [(ssid, best[ssid][0], best[ssid][1]) for ssid in best]
        rows.sort(key=lambda row: -row[1])
        self._networks = rows[:_NETWORKS]

    # Trying

    def _try(self):
        settings, ssid = self._trying
        try:
            old = credentials(self._config.data, self._secrets)
            attempt(settings, self._tick, lambda what: log.info("set up: " + what), old)
            self._meanwhile()
            commit(settings, self._secrets, self._config)
        except LinkError as error:
            self._error = str(error)
        except OSError:
            self._error = "the flash does not take it: nothing was changed"
        except ValueError as error:
            self._error = str(error)
        else:
            self.stored = True
            self._done = time.ticks_ms()
            self._said = ssid
        self._trying = None
        log.info("set up: " + ("stored" if self.stored else self._error))
        if not self.stored and not self._ended:
            self._sta.active(True)  # for the next look for networks

    # The page

    def _answer(self):
        """Serve one connection, whatever it does."""
        try:
            line, _ = self._web.accept()
        except OSError:
            return
        try:
            line.setblocking(False)
            try:
                self._request(line)
            except MemoryError:
                gc.collect()
                self._refuse(line, Refused(503, "Service Unavailable"))
            except Refused as refused:
                self._refuse(line, refused)
        except (OSError, _Gone):
            pass
        finally:
            line.close()

    def _refuse(self, line, refused):
        self._send(line, refused.args, (b"",))
        self._drain(line)

    def _request(self, line):
        limit = time.ticks_add(time.ticks_ms(), _REQUEST_MS)
        size = self._head(line, limit)
        head, at = size
        request = Request(memoryview(self._buf)[:head])
        body = head + 4
        while request.method == "POST" and at - body < request.length:
            at += self._receive(line, memoryview(self._buf)[at : body + request.length], limit)
        if request.host != HERE:
            # Whatever it looks for, this is where it finds something: phones open the page when they see
            # this.
            self._send(line, (302, "Found"), (b"",), "Location: http://%s/\r\n" % HERE)
        elif request.method == "POST":
            if request.path != "/save":
                raise Refused(404, "Not Found")
            self._save(line, fields(memoryview(self._buf)[body : body + request.length]))
        elif request.path in ("/", "/result"):
            self._show(line, request.path == "/result")
        else:
            raise Refused(404, "Not Found")

    def _head(self, line, limit):
        """Where the head ends in the buffer, and what came."""
        count = 0
        while True:
            first = min(limit, time.ticks_add(time.ticks_ms(), _FIRST_MS)) if not count else limit
            more = self._receive(line, memoryview(self._buf)[count:MOST_HEAD], limit, not count and first)
            start = max(count - 3, 0)
            count += more
            end = bytes(memoryview(self._buf)[start:count]).find(b"\r\n\r\n")
            if end >= 0:
                return start + end, count
            if count == MOST_HEAD:
                raise Refused(431, "Request Header Fields Too Large")

    def _receive(self, line, view, limit, impatient=None):
        """Some bytes; ``impatient``: from then on, whoever waits for us comes first."""
        while True:
            count = line.readinto(view)
            if count:
                return count
            if count == 0:
                raise _Gone
            now = time.ticks_ms()
            if time.ticks_diff(limit, now) <= 0:
                raise Refused(408, "Request Timeout")
            if impatient and time.ticks_diff(impatient, now) <= 0 and self._web_waits():
                raise _Gone
            self._wait(line, _WAIT_MS, select.POLLIN)

    def _web_waits(self):
        poll = select.poll()
        poll.register(self._web, select.POLLIN)
        return bool(poll.poll(0))

    def _wait(self, line, ms, flag=select.POLLIN):
        """Until ``line`` is ready, or so long; names are answered meanwhile."""
        self._ended = self._meanwhile() or self._ended
        poll = select.poll()
        poll.register(self._dns, select.POLLIN)
        if line is not None:
            poll.register(line, flag)
        poll.poll(ms)
        self._name()

    def _send(self, line, status, pieces, more=""):
        limit = time.ticks_add(time.ticks_ms(), _REQUEST_MS)
        # In portions, as each would be a packet of its own.
        pending = (_HEADERS % (status[0], status[1], more)).encode()
        for piece in pieces:
            pending += piece
            if len(pending) >= _PIECE:
                self._write(line, pending, limit)
                pending = b""
        self._write(line, pending, limit)

    def _write(self, line, data, limit):
        view = memoryview(data)
        while view:
            count = line.write(view)
            if count:
                view = view[count:]
            else:
                if time.ticks_diff(limit, time.ticks_ms()) <= 0:
                    raise _Gone
                self._wait(line, _WAIT_MS, select.POLLOUT)

    def _drain(self, line):
        """Read on for a moment: closing with bytes unread would take the answer from who sent too much."""
        limit = time.ticks_add(time.ticks_ms(), _DRAIN_MS)
        while time.ticks_diff(limit, time.ticks_ms()) > 0:
            if line.readinto(memoryview(self._buf)) == 0:
                return
            self._wait(line, _WAIT_MS)

    def _show(self, line, result):
        if self.stored:
            title, text = (
                "It works",
                "This device is in %s now. Your phone can go back to its own network." % self._said,
            )
            if not self._said:
                title, text = (
                    "Done",
                    "This device works without a network. Hold its button to come back here.",
                )
            pieces = page.told(title, text, False)
            self._send(line, (200, "OK"), pieces)
            self._told = True
            return
        if self._trying:
            pieces = page.trying(self._trying[1])
        elif result and self._error:
            pieces = page.told("That did not work", self._error + ". Nothing was changed.", True)
        else:
            pieces = page.form(self.name, self._token, self._networks, self._before, self._error)
        self._send(line, (200, "OK"), pieces)

    def _save(self, line, given):
        if given.get("token") != self._token:
            raise Refused(403, "Forbidden")
        if self._trying or self.stored:
            self._show(line, True)
            return
        self._error = None
        self._before = {key: given[key] for key in given if key not in ("key", "password", "token", "do")}
        what = given.get("do")
        if what == "scan":
            self._scan()
        else:
            try:
                settings = {"standalone": True} if what == "alone" else _settings(given)
                has_ca = bool((self._config.data.get("mqtt") or {}).get("ca"))
                self._trying = check(settings, has_ca), settings.get("ssid")
            except Invalid as invalid:
                self._error = str(invalid)
            else:
                self._send(line, (303, "See Other"), (b"",), "Location: /result\r\n")
                return
        self._show(line, False)


def _settings(given):
    """The form's fields as node.provision.apply.check takes them."""
    net = given.get("net", "")
    try:
        ssid = given.get("ssid", "") if net in ("", "-") else binascii.unhexlify(net).decode()
        port = int(given["port"]) if given.get("port") else None
    except (ValueError, UnicodeError):
        raise Invalid("port", "a port is a number from 1 to 65535")
    if not ssid:
        raise Invalid("ssid", "choose a network, or type the name of another one")
    settings = {"ssid": ssid, "key": given.get("key"), "name": given.get("name")}
    if given.get("host"):
        settings["host"] = given["host"].strip()
        settings["port"] = port
        settings["tls"] = given.get("tls") == "1"
        for key in ("user", "password", "ca"):
            settings[key] = given.get(key)
    return settings
