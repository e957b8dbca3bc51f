"""Offer the folder of a release repository to devices: ``cicada release serve``.

Any static web server with ranges will do instead. This one offers nothing that it should not: files below the
folder and no listings, nothing through links that lead out of it, no hidden files, no keys, no images.
Semantics of ranges, validators and their combinations: RFC 9110, sections 8.8, 13 and 14.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import os
import re
import ssl
import stat
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from cicada.tools.errors import UserError, from_os_error
from cicada.tools.paths import BUILD

#: Images are what the next delta is made from, and keys are secret: no device asks for either.
_KEPT_BACK = (".image", ".pem")
_PIECE = 1 << 16
_PORT = 8070


class ReleaseServer:
    """HTTP/1.1 server of one folder; serves from ``__enter__`` to ``__exit__`` in threads of its own.

    Args:
        root: folder to offer.
        host: address to listen at.
        port: 0 takes a free one.
        tls: context with certificate and key (:func:`tls_context`); None offers plain HTTP.
        log: takes one line for each request.

    Raises:
        UserError: if there is no such folder, or nobody can listen there.
    """

    def __init__(
        self,
        root: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        if not root.is_dir():
            raise UserError(f"{root}: there is no such folder; 'cicada release' makes it")
        try:
            self._server = _Server((host, port), _Handler)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UserError(f"port {port} is taken by another program: choose one with --port") from error
            raise from_os_error(error, f"listening at {host}:{port}") from error
        self._server.root = root.resolve()
        self._server.log = log or (lambda line: None)
        if tls is not None:
            # Not in accept(): a client that does not go on with its handshake would hold everybody up.
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.address: tuple[str, int] = (host, self._server.server_address[1])
        self.url = f"{'http' if tls is None else 'https'}://{host}:{self.address[1]}/"

    def serve_forever(self) -> None:
        """Serve in this thread until it is interrupted."""
        self._server.serve_forever(poll_interval=0.5)

    def close(self) -> None:
        """Free the port."""
        self._server.server_close()

    def __enter__(self) -> ReleaseServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self.close()


def tls_context(cert: Path, key: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or later with the certificate chain in ``cert`` and the key in ``key`` (or in ``cert``, too).

    Raises:
        UserError: if the two cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except ssl.SSLError as error:
        raise UserError(
            f"{cert}: no certificate and key that fit ({error.reason}): give PEM files"
        ) from error
    except OSError as error:
        raise from_os_error(error, f"reading {cert} and {key or cert}") from error
    return context


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    root: Path
    log: Callable[[str], None]

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self._etags: dict[tuple[int, ...], str] = {}

    def server_bind(self) -> None:
        # HTTPServer asks the DNS for this machine's name here, which can take seconds and is not needed.
        super(ThreadingHTTPServer.__mro__[2], self).server_bind()

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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "cicada", ""
    timeout = 30  # seconds without a byte
    server: _Server

    def do_GET(self) -> None:
        self._offer(body=True)

    def do_HEAD(self) -> None:
        self._offer(body=False)

    def log_message(self, format: str, *arguments: object) -> None:
        text = (format % arguments).encode("unicode_escape").decode()
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
                about = {"Content-Range": f"bytes */{size}"}
                self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", body, about)
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

    def _refuse(
        self, status: HTTPStatus, text: bytes, body: bool, about: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (about or {}).items():
            self.send_header(name, value)
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


def add_serve(subparsers: argparse._SubParsersAction) -> None:
    """Add ``serve`` to the actions of ``cicada release``."""
    serve = subparsers.add_parser("serve", help="offer the releases to devices by HTTP")
    default = BUILD / "releases"
    serve.add_argument("folder", type=Path, nargs="?", default=default, help="default: build/releases")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 means all of them")
    serve.add_argument("--port", type=int, default=_PORT, help=f"default: {_PORT}; 0 takes a free one")
    serve.add_argument("--cert", type=Path, help="PEM file with the certificate chain, for https")
    serve.add_argument("--key", type=Path, help="PEM file with its key, if that is another")
    serve.add_argument("--announce", metavar="HOST:PORT", help="tell an MQTT broker of the newest releases")
    serve.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    if options.key and not options.cert:
        raise UserError("--key without --cert: give the certificate, too")
    if not 0 <= options.port <= 65535:
        raise UserError(f"--port {options.port}: give a number from 0 to 65535")
    broker = _broker(options.announce) if options.announce else None
    tls = tls_context(options.cert, options.key) if options.cert else None
    server = ReleaseServer(
        options.folder, options.host, options.port, tls, log=lambda line: print(line, flush=True)
    )
    try:
        print(f"offering {options.folder} at {server.url} (Ctrl-C ends it)", flush=True)
        if broker:
            from cicada.tools.release.publish import announce

            announce(options.folder, *broker)
        server.serve_forever()
    except KeyboardInterrupt:
        print("ended")
    finally:
        server.close()
    return 0


def _broker(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise UserError(f"--announce {text}: give HOST:PORT, such as broker.local:1883")
    return host, int(port)
