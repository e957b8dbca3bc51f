"""The twin as device under test: it runs within the calls of the test, so its runs repeat to the byte."""

from __future__ import annotations

from collections.abc import Callable

from cicada.tools.dut.base import Dut
from cicada.tools.errors import UserError
from cicada.tools.twin.twin import Twin


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
        self._power = False
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
        self._skip()

    def _hears(self) -> bool:
        return self.twin.hears
