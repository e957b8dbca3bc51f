"""A TCP connection, with TLS where that is asked for, on which nothing waits longer than it was told to.

Sockets' own timeouts begin anew with each byte, so a peer that drips could hold the node for hours, above all
in the handshake of TLS. Here the socket never waits; what waits is a poll with a deadline for all of an
operation, and the watchdog is fed meanwhile.
"""

import gc
import select
import socket
import time

from micropython import const

from node.net import LinkError, tls

_HANDSHAKE = const(3)  # times as long as anything else: certificates over a slow link, seconds of arithmetic
_SLICE_MS = const(1000)  # between two feedings of the watchdog


class Line:
    """A connection.

    Raises LinkError in every method, with one sentence, when the connection breaks; close it then.

    Args:
        host, port: where to.
        timeout_ms: for the connection to come about; looking up the name takes as long as it takes.
        secure: None, or ``(ca, cert, key)`` as node.net.tls has them. The handshake is part of the first
            ``send``, so that it is bounded, too.
        feed: called every second or so of waiting.
    """

    def __init__(self, host, port, timeout_ms=10000, secure=None, feed=None):
        self._host = host
        self._feed = feed
        self._secure = secure
        self._shaken = not secure
        self._sock = None
        try:
            address = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)[0]
        except OSError:
            raise LinkError("the name %s was not found" % host)
        if feed:
            feed()
        try:
            self._sock = self._line = sock = socket.socket(address[0])
            sock.settimeout(timeout_ms / 1000)
            sock.connect(address[-1])
            sock.setblocking(False)
            if secure:
                gc.collect()  # certificates want room in one piece
                self._line = tls.wrap(sock, host, *secure)
            self._poll = select.poll()
            self._poll.register(self._line, select.POLLIN)
        except OSError as error:
            self.close()
            raise LinkError("no connection to %s (error %s)" % (host, error.errno))
        except LinkError:
            self.close()
            raise

    def some(self, view):
        """Read into ``view`` what is there: how many bytes, 0 at the end, None if there is nothing now."""
        try:
            return self._line.readinto(view)
        except (OSError, ValueError) as error:
            raise self._broken(error)

    def send(self, data, timeout_ms):
        """Send all of ``data``; LinkError if that takes longer, or three times as long with a handshake."""
        until = time.ticks_add(time.ticks_ms(), timeout_ms * (1 if self._shaken else _HANDSHAKE))
        view = memoryview(data)
        while view:
            try:
                count = self._line.write(view)
            except (OSError, ValueError) as error:
                raise self._broken(error)
            if count is None:
                if not self.wait(select.POLLOUT, until):
                    what = "take what is sent" if self._shaken else "finish the handshake of TLS"
                    raise LinkError("%s does not %s" % (self._host, what))
            else:
                self._shaken = True
                view = view[count:]

    def wait(self, flag, until):
        """Whether the line is ready for ``flag`` (of ``select``) before ``until``, of ``time.ticks_ms()``."""
        try:
            self._poll.modify(self._line, flag)
            while True:
                left = time.ticks_diff(until, time.ticks_ms())
                for _ in self._poll.ipoll(max(0, min(left, _SLICE_MS))):
                    return True
                if self._feed:
                    self._feed()
                if left <= _SLICE_MS:
                    return False
        except OSError as error:
            raise self._broken(error)

    def close(self):
        """End the connection; again does nothing."""
        for one in (self._line, self._sock) if self._sock else ():
            try:
                one.close()
            except OSError:
                pass  # it is closed already
        self._sock = None

    def _broken(self, error):
        if not self._shaken:
            text = tls.explain(error, self._host, *self._secure)
            if text:
                return LinkError(text)
        number = error.errno if isinstance(error, OSError) else error
        return LinkError("the connection broke (error %s)" % number)
