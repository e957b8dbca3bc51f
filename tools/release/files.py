"""Answer requests for files as HTTP/1.1 wants it: ranges, entity tags, conditions.

Semantics of ranges, validators and their combinations: RFC 9110, sections 8.8, 13 and 14.
"""

from __future__ import annotations

import hashlib
import os
import re
import socketserver
import stat
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

#: Images are what the next delta is made from, and keys are secret: no device asks for either.
_KEPT_BACK = (".image", ".pem")
_PIECE = 1 << 16


class FileServer(ThreadingHTTPServer):
    """A thread for each connection.

    Attributes:
        root: folder that is offered, resolved.
        log: takes one line for each request.
    """

    daemon_threads = True
    root: Path
    log: Callable[[str], None]

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self._etags: dict[tuple[int, ...], str] = {}

    def server_bind(self) -> None:
        # HTTPServer asks the DNS for this machine's name here, which can take seconds and is not needed.
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: object, client_address: tuple[str, int]) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handle_error(request, client_address)  # a defect: with its traceback
            return
        self.log(f"{client_address[0]} went away: {error}")

    def etag(self, file: BinaryIO) -> str:
        """Strong entity tag of an open file: SHA-256 of its bytes."""
        about = os.fstat(file.fileno())
        key = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
        if key not in self._etags:
            digest = hashlib.sha256()
            file.seek(0)
            while piece := file.read(_PIECE):
                digest.update(piece)
            if len(self._etags) > 1000:
                self._etags.clear()
            self._etags[key] = f'"{digest.hexdigest()}"'
        return self._etags[key]


class FileHandler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "cicada", ""
    timeout = 30  # seconds without a byte
    server: FileServer

    def do_GET(self) -> None:
        self._offer(body=True)

    def do_HEAD(self) -> None:
        self._offer(body=False)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        asked = self.headers.get("Range", "") if hasattr(self, "headers") else ""
        self.log_message("%s %s %s", self.requestline, int(code), asked)

    def log_message(self, format: str, *arguments: object) -> None:
        text = (format % arguments).encode("unicode_escape").decode().rstrip()
        self.server.log(f"{time.strftime('%H:%M:%S')} {self.address_string()} {text}")

    def _offer(self, body: bool) -> None:
        if "content-length" in self.headers or "transfer-encoding" in self.headers:
            self.close_connection = True  # what follows is not a request
        file = self._open()
        if file is None:
            self._refuse(HTTPStatus.NOT_FOUND, b"There is no such file.\n", body)
            return
        with file:
            size, etag = os.fstat(file.fileno()).st_size, self.server.etag(file)
            if _names(self.headers.get("If-None-Match"), etag):
                self.send_response(HTTPStatus.NOT_MODIFIED)
                self._validators(etag)
                self.end_headers()
                return
            span = None
            if body and self.headers.get("If-Range", etag) == etag:
                span = parse_range(self.headers.get("Range"), size)
            if span == ():
                status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
                self._refuse(status, b"", body, Content_Range=f"bytes */{size}")
                return
            first, last = span or (0, size - 1)
            self.send_response(HTTPStatus.PARTIAL_CONTENT if span else HTTPStatus.OK)
            self._validators(etag)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(last + 1 - first))
            if span:
                self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
            self.end_headers()
            if body:
                self._send(file, first, last + 1 - first)

    def _open(self) -> BinaryIO | None:
        path = _inside(self.server.root, self.path)
        if path is None:
            return None
        try:
            number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            return None
        return os.fdopen(number, "rb")

    def _validators(self, etag: str) -> None:
        self.send_header("ETag", etag)
        self.send_header("Accept-Ranges", "bytes")
        # The newest release has the same name for ever, so whoever keeps a copy must ask again.
        self.send_header("Cache-Control", "no-cache")

    def _refuse(self, status: int, text: bytes, body: bool, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if body:
            self.wfile.write(text)

    def _send(self, file: BinaryIO, first: int, count: int) -> None:
        file.seek(first)
        while count:
            piece = file.read(min(count, _PIECE))
            if not piece:  # it shrank meanwhile; only an early end can say so now
                self.close_connection = True
                return
            self.wfile.write(piece)
            count -= len(piece)


def _inside(root: Path, target: str) -> Path | None:
    """The file below ``root`` that a request's target names; None if it is none that may be offered."""
    parts = unquote(target.partition("?")[0], errors="replace").split("/")[1:]
    if not parts or any(not part or part.startswith(".") or "\0" in part or "\\" in part for part in parts):
        return None
    try:
        path = root.joinpath(*parts).resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    # Where links lead is what counts: neither out of the folder nor to what is kept back.
    if not path.is_relative_to(root) or any(part.startswith(".") for part in path.relative_to(root).parts):
        return None
    return None if any(name.lower().endswith(_KEPT_BACK) for name in (path.name, parts[-1])) else path


def parse_range(header: str | None, size: int) -> tuple[int, int] | tuple[()] | None:
    """The bytes that a ``Range`` header asks of a file of ``size`` bytes (RFC 9110, section 14.1.2).

    Returns:
        First and last byte; ``()`` if no byte of it exists; None where the header is absent, malformed or
        has several ranges, all of which mean the whole file.
    """
    match = re.fullmatch(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", header or "", re.IGNORECASE)
    if not match or not (match[1] or match[2]):
        return None
    if not match[1]:
        count = min(int(match[2]), size)
        return (size - count, size - 1) if count else ()
    first, last = int(match[1]), int(match[2] or size)
    if match[2] and last < first:
        return None
    return (first, min(last, size - 1)) if first < size else ()


def _names(header: str | None, etag: str) -> bool:
    """Whether an ``If-None-Match`` header names the entity tag; weakly, as section 13.1.2 wants it."""
    if header is None:
        return False
    return header.strip() == "*" or etag in (one.strip().removeprefix("W/") for one in header.split(","))
