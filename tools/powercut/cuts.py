"""Where a run is interrupted: before, after or inside a flash operation, and by what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cicada.tools.errors import UserError
from cicada.tools.powercut.lives import Segment, Start
from cicada.tools.powercut.states import Step
from cicada.tools.twin.chip import DEEPSLEEP_RESET, HARD_RESET, PWRON_RESET, SOFT_RESET, WDT_RESET
from cicada.tools.twin.flash import SHAPES

BEFORE, AFTER, INSIDE = "before", "after", "inside"
#: Resets after an operation that was carried out, by what causes them. A brown-out is a power-on for the
#: program (``ESP_RST_BROWNOUT`` becomes ``PWRON_RESET`` in MicroPython's ``modmachine.c``), but RTC memory
#: may have kept its contents.
RESETS = {
    "brownout": PWRON_RESET,
    "button": HARD_RESET,
    "watchdog": WDT_RESET,
    "soft": SOFT_RESET,
    "sleep": DEEPSLEEP_RESET,
}
#: Shapes and seeds of what is left inside a program and an erase. Word 6 of an otadata entry is its state,
#: word 15 of a journal record is its CRC.
TORN_PROGRAM = (("prefix", 1), ("byte", 1), ("bits", 1), ("bits", 2), ("patch", 1), ("hole", 6), ("hole", 15))
TORN_ERASE = (("prefix", 1), ("suffix", 1), ("bits", 1), ("patch", 1))


@dataclass(frozen=True)
class Break:
    """One interruption.

    Args:
        number: of the flash operation, counted from the boot that the run began with.
        how: ``before``, ``after``, ``inside`` (power), or one of :data:`RESETS`, which comes after it.
        shape, seed: of what a cut inside leaves.
    """

    number: int
    how: str = INSIDE
    shape: str = ""
    seed: int = 0

    def __str__(self) -> str:
        torn = f":{self.shape}:{self.seed}" if self.how == INSIDE else ""
        return f"{self.number}:{self.how}{torn}"

    @classmethod
    def parse(cls, text: str) -> Break:
        """The interruption that ``str`` calls ``text``.

        Raises:
            UserError: if there is none of that name.
        """
        number, how, *rest = [*text.split(":"), ""]
        known = how in (BEFORE, AFTER, *RESETS) and rest == [""]
        torn = how == INSIDE and len(rest) == 3 and rest[0] in SHAPES and rest[1].isdigit()
        if not number.isdigit() or not (known or torn):
            raise UserError(
                f"no interruption is called '{text}': it is NUMBER:before, NUMBER:after, "
                f"NUMBER:inside:SHAPE:SEED or NUMBER:{'|'.join(RESETS)}"
            )
        return cls(int(number), how, rest[0] if torn else "", int(rest[1]) if torn else 0)

    @property
    def torn(self) -> tuple[str, int] | None:
        """Shape and seed if it comes inside the operation."""
        return (self.shape, self.seed) if self.how == INSIDE else None


def breaks(step: Step, number: int, resets: bool, running: bool) -> Iterator[Break]:
    """All interruptions of one operation; that before it is that after the one before.

    Args:
        step: the operation.
        number: its number.
        resets: with :data:`RESETS`, not only power cuts.
        running: whether a program runs already, not only the boot loader.
    """
    for shape, seed in TORN_ERASE if step.kind == "erase" else TORN_PROGRAM:
        yield Break(number, INSIDE, shape, seed)
    yield Break(number, AFTER)
    for how in RESETS if resets else ():
        if running or how not in ("soft", "sleep"):
            yield Break(number, how)


def start_after(how: str, begun: Start, segment: Segment, steps: int) -> Start:
    """How the chip starts after an interruption.

    Args:
        how: it was interrupted, see :class:`Break`.
        begun: how the interrupted segment began.
        segment: the interrupted segment.
        steps: flash operations that were done, or begun, of it.
    """
    rtc, slot, phase = begun.rtc, begun.slot, begun.phase
    for done, what, detail in segment.events:
        if done > steps - 1:
            break
        if what == "memory":
            rtc = detail
        elif what == "ran":
            slot = detail[0]
        elif what == "phase":
            phase = detail
    if how not in RESETS:
        return Start(phase=phase)
    return Start(RESETS[how], rtc, slot, watchdog=True, phase=phase)


def runs(segment: Segment, steps: int) -> bool:
    """Whether the program of a segment runs already after so many operations."""
    return any(what == "ran" and done < steps for done, what, _ in segment.events)
