"""Offer the folder of a release repository to devices: ``cicada release serve``.

Any static web server with ranges will do instead. This one offers nothing that it should not: files below the
folder and no listings, nothing through links that lead out of it, no hidden files, no keys, no images.
"""

from __future__ import annotations

import argparse
import errno
import os
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

from cicada.tools.errors import UserError, from_os_error
from cicada.tools.paths import BUILD
from cicada.tools.release.files import FileHandler, FileServer

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

    #: What answers; a subclass may have another.
    handler = FileHandler

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
            self._server = FileServer((host, port), self.handler)
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
        raise UserError(f"{cert}: no certificate with its key ({error.reason}): give PEM files") from error
    except OSError as error:
        raise from_os_error(error, f"reading {cert} and {key or cert}") from error
    return context


def add_serve(subparsers: argparse._SubParsersAction) -> None:
    """Add ``serve`` and ``announce`` to the actions of ``cicada release``."""
    serve = subparsers.add_parser("serve", help="offer the releases to devices by HTTP")
    default = BUILD / "releases"
    serve.add_argument("folder", type=Path, nargs="?", default=default, help="default: build/releases")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 means all of them")
    serve.add_argument("--port", type=int, default=_PORT, help=f"default: {_PORT}; 0 takes a free one")
    serve.add_argument("--cert", type=Path, help="PEM file with the certificate chain, for https")
    serve.add_argument("--key", type=Path, help="PEM file with its key, if that is another")
    serve.add_argument("--announce", metavar="HOST:PORT", help="tell an MQTT broker of the newest releases")
    _broker_options(serve)
    serve.set_defaults(run=_serve)
    tell = subparsers.add_parser("announce", help="tell an MQTT broker of the newest releases")
    tell.add_argument("announce", metavar="HOST:PORT", help="of the broker")
    tell.add_argument("folder", nargs="?", type=Path, default=default, help="default: build/releases")
    _broker_options(tell)
    tell.set_defaults(run=_announce)


def _broker_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", help="for the broker; its password is $CICADA_MQTT_PASSWORD")
    parser.add_argument("--ca", type=Path, help="PEM file with the CA of the broker, for TLS")


def _announce(options: argparse.Namespace) -> int:
    for topic in _tell(options):
        print(f"announced at {topic}")
    return 0


def _tell(options: argparse.Namespace) -> list[str]:
    """Announce as the options say; returns the topics."""
    from cicada.tools.release.publish import announce

    host, port = _broker(options.announce)
    password = os.environ.get("CICADA_MQTT_PASSWORD")
    return announce(options.folder, host, port, options.user, password, options.ca)


def _serve(options: argparse.Namespace) -> int:
    if options.key and not options.cert:
        raise UserError("--key without --cert: give the certificate, too")
    if not 0 <= options.port <= 65535:
        raise UserError(f"--port {options.port}: give a number from 0 to 65535")
    if options.announce:
        _broker(options.announce)  # refused before anything is served
    tls = tls_context(options.cert, options.key) if options.cert else None
    server = ReleaseServer(
        options.folder, options.host, options.port, tls, log=lambda line: print(line, flush=True)
    )
    try:
        print(f"offering {options.folder} at {server.url} (Ctrl-C ends it)", flush=True)
        if options.announce:
            _tell(options)
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
