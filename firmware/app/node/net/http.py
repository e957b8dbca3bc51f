"""HTTP for one request at a time: what comes is bounded in bytes and in time.

    from node.net import http
    body = http.get("https://updates.example.org/esp32/firmware.payload", offset=4096, ca="/ca.pem")
    while body.readinto(buf):
        ...
    body.close()

Every connection serves one request. Redirects are not followed, chunked bodies are refused. Nothing that goes
wrong between here and the server comes out as anything but a :class:`node.net.LinkError`.
"""

import select
import time

from node.net import LinkError
from node.net.head import MAX_LINE, Head, parse_url
from node.net.line import Line

_PIECE = 512  # bytes that are read at once while it is not known where the body begins, or thrown away


class StatusError(LinkError):
    """The server answered, and the answer is no.

    Attributes:
        status: the HTTP status, such as 404.
    """

    def __init__(self, status):
        super().__init__("the server answered with status %d" % status)
        self.status = status


def get(url, offset=0, ca=None, headers=None, timeout_s=10):
    """Ask for a file and return its :class:`Body` from ``offset`` on.

    A server that ignores the range sends the whole file; its beginning is read and thrown away.

    Args:
        url: what :func:`node.net.head.parse_url` takes.
        offset: first byte wanted.
        ca: name of the file with the certificates an https server is checked against; https needs it.
        headers: further headers, ``{name: value}``.
        timeout_s: for the connection, for the head of the answer, and for each ``readinto``.

    Raises:
        StatusError: if the server answers with anything but the file.
        LinkError: if no answer comes, or none that can be used.
    """
    more = dict(headers or {})
    if offset:
        more["Range"] = "bytes=%d-" % offset
    stream, head = _ask("GET", url, "1.1", None, ca, more, timeout_s)
    try:
        if head.status == 206 and offset:
            size = head.last + 1 - head.first
            if head.first != offset or head.length not in (-1, size):
                raise LinkError("the server sent another range than the one asked for")
            return Body(stream, size)
        if head.status != 200:
            raise StatusError(head.status)
        body = Body(stream, head.length)
        if offset:
            body.skip(offset)
        return body
    except LinkError:
        stream.close()
        raise


def fetch_small(url, limit, ca=None, headers=None, timeout_s=10):
    """The whole of a small answer, bytes.

    It is asked for as HTTP/1.0: answers that a server makes on the spot come in chunks otherwise.

    Args:
        limit: most bytes it may have.
        url, ca, headers, timeout_s: as for :func:`get`.

    Raises:
        StatusError, LinkError: as for :func:`get`, and if the answer is longer than ``limit``.
    """
    return _small("GET", url, None, limit, ca, headers, timeout_s)


def post(url, body, limit=1024, ca=None, headers=None, timeout_s=10, method="POST"):
    """Send ``body`` (bytes) and return the answer, at most ``limit`` bytes; otherwise as :func:`fetch_small`.

    Statuses 200, 201, 202 and 204 mean that it went well. ``method`` may be ``PUT``.
    """
    return _small(method, url, body, limit, ca, headers, timeout_s)


class Body:
    """The bytes of an answer, read once from front to back.

    Attributes:
        size: how many there are, from the offset that was asked for on; -1 if the server did not say, and
            the end of the connection is the end.
    """

    def __init__(self, stream, size):
        self.size = self._left = size
        self._stream = stream

    def readinto(self, buf):
        """Fill ``buf``, with less only at the end, and return how many bytes came; 0 is the end.

        It may take ``timeout_s``, and a millisecond more for each byte.

        Raises:
            LinkError: if the connection breaks or ends early, or the bytes do not come in time.
        """
        size = len(buf) if self._left < 0 else min(len(buf), self._left)
        stream = self._stream
        stream.begin(size)
        view = memoryview(buf)
        done = 0
        while done < size:
            count = stream.some(view[done:size])
            if not count:
                if self._left >= 0:
                    raise LinkError("the connection ended %d bytes early" % (self._left - done))
                break
            done += count
        if self._left > 0:
            self._left -= done
        return done

    def skip(self, count):
        """Throw the next ``count`` bytes away, which must be there; :attr:`size` is what remains."""
        if 0 <= self.size < count:
            raise LinkError("the file is shorter than what is here already")
        scratch = memoryview(bytearray(_PIECE))
        self._stream.begin(count)
        left = count
        while left:
            got = self._stream.some(scratch[: min(left, _PIECE)])
            if not got:
                raise LinkError("the connection ended %d bytes early" % left)
            left -= got
        if self.size > 0:
            self.size -= count
            self._left = self.size

    def close(self):
        """End the connection; again does nothing."""
        self._stream.close()


class _Stream:
    """A connection, and what was read from it too early.

    Sockets' own timeouts begin anew with each byte; here there is a deadline for all of an operation.
    """

    def __init__(self, secure, host, port, ca, timeout_s):
        self._timeout = int(timeout_s * 1000)
        self._rest = b""
        self._line = Line(host, port, self._timeout, (ca, None, None) if secure else None)

    def begin(self, size):
        """The next operation begins, and will move ``size`` bytes."""
        self._until = time.ticks_add(time.ticks_ms(), self._timeout + size)

    def some(self, view):
        """Read into ``view`` what is there, at least one byte; 0 at the end."""
        if self._rest:
            count = min(len(view), len(self._rest))
            view[:count] = self._rest[:count]
            self._rest = self._rest[count:]
            return count
        while True:
            count = self._line.some(view)
            if count is not None:
                return count
            if not self._line.wait(select.POLLIN, self._until):
                raise LinkError("the server did not answer in time")

    def write(self, data):
        """Send all of ``data``; what is read next is its answer."""
        self._line.send(data, self._timeout)
        self.begin(0)

    def line(self):
        """The next line of a head, without its end."""
        scratch = bytearray(_PIECE)
        while True:
            end = self._rest.find(b"\r\n")
            if 0 <= end <= MAX_LINE:
                line, self._rest = self._rest[:end], self._rest[end + 2 :]
                return line
            if len(self._rest) > MAX_LINE + 1:
                raise LinkError("the server sent a header that is too long")
            rest, self._rest = self._rest, b""
            count = self.some(memoryview(scratch))
            if not count:
                raise LinkError("the connection ended before an answer")
            self._rest = rest + bytes(scratch[:count])

    def close(self):
        self._line.close()


def _ask(method, url, version, body, ca, headers, timeout_s):
    """Send a request and read the head of its answer; ``(_Stream, Head)``."""
    secure, host, port, path = parse_url(url)
    if secure and not ca:
        raise LinkError("https needs a CA certificate")
    place = host if port == (443 if secure else 80) else "%s:%d" % (host, port)
    lines = ["%s %s HTTP/%s" % (method, path, version), "Host: " + place, "Connection: close"]
    if body is not None:
        lines.append("Content-Length: %d" % len(body))
    for name, value in headers.items():
        line = "%s: %s" % (name, value)
        if "\r" in line or "\n" in line:
            raise LinkError("the value for %s has a line break" % name.strip())
        lines.append(line)
    stream = _Stream(secure, host, port, ca, timeout_s)
    try:
        stream.write(("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b""))
        head = Head()
        while not head.feed(stream.line()):
            pass
    except LinkError:
        stream.close()
        raise
    return stream, head


def _small(method, url, body, limit, ca, headers, timeout_s):
    stream, head = _ask(method, url, "1.0", body, ca, headers or {}, timeout_s)
    try:
        if head.status == 204 and body is not None:
            return b""
        if head.status != 200 and (body is None or head.status not in (201, 202)):
            raise StatusError(head.status)
        return read_all(Body(stream, head.length), limit)
    finally:
        stream.close()


def read_all(body, limit):
    """The rest of ``body``, at most ``limit`` bytes; it is not closed.

    Raises:
        LinkError: if there are more, or as ``readinto`` does.
    """
    if body.size > limit:
        raise LinkError("the server sent %d bytes where %d are the most" % (body.size, limit))
    buf = bytearray(limit + 1 if body.size < 0 else body.size)
    count = body.readinto(buf)
    if count > limit:
        raise LinkError("the server sent more than %d bytes" % limit)
    return bytes(memoryview(buf)[:count])
