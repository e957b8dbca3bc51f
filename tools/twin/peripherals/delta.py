"""``delta``: the sums of an update that carries only differences."""

from __future__ import annotations

import numpy as np

from cicada.tools.twin.chip import Chip, Peripheral, ops

#: An assumption: four bytes are added at a time by some ten instructions, of one cycle each.
_CYCLES_PER_BYTE = 2.5


class Delta(Peripheral):
    """Answers ``delta.add``."""

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self.operations = {ops.DELTA_ADD: self._add}

    def _add(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        if len(payload) % 2:
            raise ValueError("malformed request")
        target, difference = np.frombuffer(payload, np.uint8).reshape(2, -1)
        self.chip.work(target.size * _CYCLES_PER_BYTE)
        return 0, (target + difference).tobytes()
