"""A way to a server that goes bad: silent, slow, or cut off."""

from __future__ import annotations

import contextlib
import socket
import threading


class Proxy:
    """Passes connections on to a server, and misbehaves as it is told.

    Args:
        target: the server; None for nobody: connections are accepted, and nothing is ever said.
        silent_after: bytes from the client, over all connections, after which nothing passes any more, while
            connections stay open.
        cut_after: bytes from the client after which that connection is closed, once.
        says: what a client is told that has said something, where there is no server.

    Attributes:
        address: where it listens.
    """

    def __init__(
        self,
        target: tuple[str, int] | None,
        silent_after: int | None = None,
        cut_after: int | None = None,
        says: bytes = b"",
    ) -> None:
        self._target = target
        self._silent_after, self._cut_after = silent_after, cut_after
        self._says = says
        self._count = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lines: list[socket.socket] = []
        self.address = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                self._lines.append(line)
                if self._says:
                    threading.Thread(target=self._tell, args=(line,), daemon=True).start()
                if self._target:
                    there = socket.create_connection(self._target)
                    self._lines.append(there)
                    for way in ((line, there, True), (there, line, False)):
                        threading.Thread(target=self._pass, args=way, daemon=True).start()

    def _tell(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError):
            line.recv(4096)
            line.sendall(self._says)

    def _pass(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                if self._silent_after is not None and self._count >= self._silent_after:
                    continue
                if up:
                    self._count += len(data)
                if self._cut_after is not None and self._count >= self._cut_after:
                    self._cut_after = None
                    break
                sink.sendall(data)
        for line in (source, sink):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End it and every connection."""
        for line in (self._listener, *self._lines):
            line.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
