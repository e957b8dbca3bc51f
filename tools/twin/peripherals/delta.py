"""``delta``: the sums of an update that carries only differences."""

from __future__ import annotations

import numpy as np

from cicada.tools import engine
from cicada.tools.twin.chip import Chip, Peripheral, ops

#: 3.3 instructions where both lie alike in a word, counted in an emulated ESP32 (GCC 14.2, -Os), and 7.3
#: where they do not; 1.22 cycles an instruction as for the front end. Most do not.
_CYCLES_PER_BYTE = 8.9


class Delta(Peripheral):
    """Answers ``delta.add``."""

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self.operations = {ops.DELTA_ADD: self._add}

    def _add(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        if len(payload) % 2:
            raise ValueError("malformed request")
        target, difference = np.frombuffer(payload, np.uint8).reshape(2, -1).copy()
        self.chip.work(target.size * _CYCLES_PER_BYTE)
        engine.add(target, difference)
        return 0, target.tobytes()
