"""The twin as device under test: it runs within the calls of the test, so its runs repeat to the byte."""

from __future__ import annotations

from collections.abc import Callable

from cicada.tools.dut.base import Dut
from cicada.tools.errors import UserError
from cicada.tools.twin.chip import PWRON_RESET
from cicada.tools.twin.power import DEEP_SLEEP, OFF
from cicada.tools.twin.twin import Twin

# After the boot loader, until Ctrl-C interrupts the program and not what mounts the file system: making one
# on an empty flash takes 140 ms.
_START_S = {True: 0.2, False: 0.01}


class TwinDut(Dut):
    """A twin that has power.

    Args:
        twin: without power yet.

    Attributes:
        twin: the same, for what no board could tell: ``twin.chip.meter``, ``twin.flash``, ``twin.resets``.
    """

    is_twin = True
    _clock = "virtual s"

    def __init__(self, twin: Twin) -> None:
        super().__init__()
        self.twin = twin
        self._power, self._boots = False, 0
        self.power_on()

    @property
    def text(self) -> str:
        return self.twin.text

    @property
    def now(self) -> float:
        return self.twin.now

    def write(self, data: str | bytes) -> None:
        self._need_power()
        self.twin.type(data.encode() if isinstance(data, str) else data)

    def reset(self) -> None:
        self._need_power()
        self.twin.press_reset()
        self._begin()

    def power_off(self) -> None:
        self.twin.power_off()
        self._power = False

    def power_on(self) -> None:
        if self._power:
            return
        self.twin.power_on()
        self._power = True
        self._begin()

    def close(self) -> None:
        self.power_off()

    def _run(self, done: Callable[[], bool], seconds: float) -> bool:
        self._need_power()
        return self.twin.run_until(done, seconds)

    def _need_power(self) -> None:
        if not self._power:
            raise UserError("the twin has no power: call dut.power_on() first")

    def _begin(self) -> None:
        """A boot lies ahead: it begins when the twin runs next."""
        self._boots = len(self.twin.resets)
        self._skip()

    def _hears(self) -> bool:
        # The twin keeps what is typed while it sleeps or boots; a Ctrl-C would interrupt the next boot.
        twin = self.twin
        if len(twin.resets) == self._boots or twin.chip.meter.stretches[-1].state in (DEEP_SLEEP, OFF):
            return False
        reset_at, cause = twin.resets[-1]
        return twin.now - reset_at > twin.board.BOOT_MS / 1000 + _START_S[cause == PWRON_RESET]
