"""The chip in download mode: esptool at its port, its flash at esptool's mercy."""

from __future__ import annotations

import time
from collections.abc import Iterator

from cicada.tools.twin.chip import PWRON_RESET, Chip
from cicada.tools.twin.ports import Ports
from cicada.tools.twin.power import IDLE
from cicada.tools.twin.romloader import RomLoader

_LOOK_S = 0.1


def download(chip: Chip, ports: Ports) -> Iterator[None]:
    """The ROM's serial boot loader, in real time, until the next reset; yields now and then."""
    chip.reset(PWRON_RESET)
    loader = RomLoader(chip.flash, bytes.fromhex(chip.board.UNIQUE_ID))
    ports.send(loader.greeting())
    while not loader.run_requested:
        looked = time.monotonic()
        ports.wait(_LOOK_S)
        for happened in ports.receive():
            if happened == "run":
                return
            if happened == "download":
                ports.send(loader.greeting())
            elif isinstance(happened, bytes):
                ports.send(loader.feed(happened))
        chip.advance(round((time.monotonic() - looked) * 1e6), IDLE)
        yield
