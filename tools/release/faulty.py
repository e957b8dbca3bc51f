"""A release server on which the next answers go wrong as they are told to, for tests and power-cut campaigns.

    with FaultyServer(root, ["truncate:1000", "500"]) as server:
        ...  # the first request for a payload breaks off, the second fails, the third is served

======================  =========================================================================
fault                   what a request for a payload gets
======================  =========================================================================
``200``                 the whole file, whatever range was asked for
``wrong-range``         a range that starts a byte later than the one that was asked for
``stale-etag``          the right sizes, with other bytes and another entity tag
``truncate:N``          N bytes of body where more were promised, then the end of the connection
``reset:N``             the same, with a TCP reset
``endless``             a body without a length that does not end
``too-long``            a body that says it is 2 GB long, and does not end
``chunked``             the right bytes in chunks (RFC 9112, section 7.1)
``huge-header``         a header line of 100,000 bytes
``many-headers``        10,000 headers
``garbage``             bytes that are no HTTP
``slow:MS``             MS milliseconds of real time before each 1024 bytes of body (``slow``: 20)
``404``, ``500``, ...   that status
``ok``                  what it asked for
======================  =========================================================================
"""

from __future__ import annotations

import os
import re
import socket
import struct
import threading
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path

from cicada.tools.release.files import FileHandler, parse_range
from cicada.tools.release.serve import ReleaseServer

_KNOWN = re.compile(
    r"ok|200|[45][0-9][0-9]|wrong-range|stale-etag|endless|too-long|chunked|huge-header|many-headers|garbage"
    r"|slow(:[0-9]+)?|(truncate|reset):[0-9]+"
)
_OTHER = bytes(range(255, -1, -1))  # for bytes.translate: every bit turned over
_NOISE = bytes(range(128, 256)) * 16


class _FaultyHandler(FileHandler):
    def do_GET(self) -> None:
        faulty: FaultyServer = self.server.faulty
        payload = self.path.partition("?")[0].endswith(".payload")
        fault = faulty.take(self.path, payload)
        if fault == "ok":
            super().do_GET()
            return
        self.close_connection = True
        name, _, number = fault.partition(":")
        if name.isdigit() and name != "200":
            self._refuse(int(name), b"", body=False)
        elif name == "garbage":
            self.wfile.write(_NOISE)
        else:
            self._file(name, int(number or 20))

    def _file(self, name: str, number: int) -> None:
        file = self._open()
        if file is None:
            self._refuse(HTTPStatus.NOT_FOUND, b"", body=False)
            return
        with file:
            data = file.read()
        span = parse_range(self.headers.get("Range"), len(data)) or None
        if name == "200":
            span = None
        first, last = span or (0, len(data) - 1)
        if name == "wrong-range":
            first, last, span = first + 1, last, (first, last)
        body = data[first : last + 1]
        self.send_response(HTTPStatus.PARTIAL_CONTENT if span else HTTPStatus.OK)
        if span:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        getattr(self, "_" + name.replace("-", "_"), self._plain)(body, number)

    def _plain(self, body: bytes, number: int) -> None:
        self._begin(len(body))
        self.wfile.write(body)

    def _stale_etag(self, body: bytes, number: int) -> None:
        self.send_header("ETag", '"' + "0" * 64 + '"')
        self._plain(body.translate(_OTHER), number)

    def _truncate(self, body: bytes, number: int) -> None:
        self._begin(len(body))
        self.wfile.write(body[:number])

    def _reset(self, body: bytes, number: int) -> None:
        self._truncate(body, number)
        # Closing a socket that may not linger sends RST instead of FIN (socket(7), SO_LINGER).
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def _endless(self, body: bytes, number: int) -> None:
        self.end_headers()
        self._on_and_on(body)

    def _too_long(self, body: bytes, number: int) -> None:
        self._begin(2**31 - 1)
        self._on_and_on(body)

    def _chunked(self, body: bytes, number: int) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

    def _huge_header(self, body: bytes, number: int) -> None:
        self.send_header("X-Huge", "a" * 100_000)
        self._plain(body, number)

    def _many_headers(self, body: bytes, number: int) -> None:
        for i in range(10_000):
            self.send_header("X-Header", str(i))
        self._plain(body, number)

    def _slow(self, body: bytes, number: int) -> None:
        self._begin(len(body))
        for at in range(0, len(body), 1024):
            if self.server.faulty.ended.wait(number / 1000):
                return
            self.wfile.write(body[at : at + 1024])

    def _begin(self, length: int) -> None:
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _on_and_on(self, body: bytes) -> None:
        self.wfile.write(body)
        while not self.server.faulty.ended.is_set():
            self.wfile.write(_NOISE)


class FaultyServer(ReleaseServer):
    """Serves like :class:`ReleaseServer`, except for the faults, one for each request for a payload.

    Args:
        root: folder to offer.
        faults: what goes wrong, in order; after the last one nothing does.

    Attributes:
        faults: those that are still to come.
        requests: target of every GET so far.
        payloads: how many of them asked for a payload.
        ended: set when the server closes.

    Raises:
        ValueError: for a fault that is not in the table.
    """

    handler = _FaultyHandler

    def __init__(self, root: Path, faults: Iterable[str] = (), **options: object) -> None:
        self.faults = list(faults)
        for fault in self.faults:
            if not _KNOWN.fullmatch(fault):
                raise ValueError(f"there is no fault {fault!r}")
        self.requests: list[str] = []
        self.payloads = 0
        self.ended = threading.Event()
        self._lock = threading.Lock()
        super().__init__(root, **options)
        self._server.faulty = self

    def take(self, target: str, payload: bool) -> str:
        """Count a request and say what it gets."""
        with self._lock:
            self.requests.append(target)
            if not payload:
                return "ok"
            self.payloads += 1
            return self.faults.pop(0) if self.faults else "ok"

    def __exit__(self, *exception: object) -> None:
        self.ended.set()
        super().__exit__(*exception)
