"""Which key at the console interrupts the program: ``micropython.kbd_intr``."""

from __future__ import annotations

from cicada.tools.twin.chip import Chip, Peripheral, ops

_CTRL_C = 3
_NONE = 255


class Keys(Peripheral):
    """Attributes:
    interrupts: whether Ctrl-C interrupts the program, as it does after a reset, or is a key like any other.
    """

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self.interrupts = True
        self.operations = {ops.KBD_INTR: self._choose}

    def reset(self, cause: int) -> None:
        self.interrupts = True

    def _choose(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        if argument not in (_CTRL_C, _NONE):
            raise ValueError("the twin's program is interrupted by Ctrl-C or not at all")
        self.interrupts = argument == _CTRL_C
        return 0, b""
