"""The board's ways to the outside: the console's pty and the serial port on the network."""

from __future__ import annotations

import select
import selectors
import time
from pathlib import Path

from cicada.tools.twin.console import Console
from cicada.tools.twin.netport import Data, NetworkPort, ResetLines


class Ports:
    """What other programs are attached to; everything here never waits unless asked to.

    Args:
        link: path of the console's symbolic link; None for none.
        address: host and port of the serial port on the network; None for none.
    """

    def __init__(self, link: Path | None = None, address: tuple[str, int] | None = None) -> None:
        self._console = Console(link) if link else None
        try:
            self.network = NetworkPort(address) if address else None
        except BaseException:
            self.close()
            raise
        self._lines = ResetLines()
        self._watched: list = []

    def __bool__(self) -> bool:
        """Whether anybody could be attached."""
        return bool(self._console or self.network)

    def files(self) -> list:
        """What becomes readable when something arrives."""
        return ([self._console] if self._console else []) + (self.network.sockets() if self.network else [])

    def watch(self, selector: selectors.BaseSelector) -> None:
        """Have ``selector`` wake up for what is attached now, and for nothing that is gone."""
        files, known = self.files(), {key.fileobj for key in selector.get_map().values()}
        for gone in (f for f in self._watched if f not in files and f in known):
            selector.unregister(gone)
        for come in (f for f in files if f not in known):
            selector.register(come, selectors.EVENT_READ)
        self._watched = files

    def receive(self) -> list[bytes | str]:
        """What happened: bytes typed, or ``run`` and ``download`` when the chip leaves a reset."""
        happened: list[bytes | str] = []
        if self._console:
            typed = self._console.read()
            happened += [typed] if typed else []
        for event in self.network.receive() if self.network else ():
            if isinstance(event, Data):
                happened.append(event.data)
            else:
                left = self._lines.feed(event.dtr, event.rts)
                happened += [left] if left else []
        return happened

    def send(self, data: bytes) -> None:
        """Say something to whoever is there."""
        if self._console:
            self._console.write(data)
        if self.network:
            self.network.send(data)

    def wait(self, seconds: float) -> None:
        """Until something arrives, or that long."""
        if not self:
            time.sleep(seconds)
            return
        files = self.files()
        full = files[-1:] if self.network and self.network.wants_write else []
        select.select(files, full, [], seconds)

    def close(self) -> None:
        """Take the link and the sockets away."""
        if self._console:
            self._console.close()
        if getattr(self, "network", None):
            self.network.close()
