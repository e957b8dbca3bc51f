"""Segments: one run of the twin from a boot to the next reset, and what it did to the flash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType

from cicada.tools.errors import UserError
from cicada.tools.powercut.states import Content, State, Step, content
from cicada.tools.twin import appimage, otadata, partitions
from cicada.tools.twin.boot import Booted, NothingBoots, boot
from cicada.tools.twin.chip import DEEPSLEEP_RESET, HARD_RESET, PWRON_RESET, SOFT_RESET, Restart, ops
from cicada.tools.twin.flash import SECTOR, NorFlash, Operation
from cicada.tools.twin.rom import Rom
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import World

RESET, SETTLED, INTERRUPTED = "reset", "settled", "interrupted"
_WATCHDOG_US = 8_000_000  # what is left of one that was armed before a soft reset
_MOST_STEPS = 50_000
_ASKS = 2  # in a look for updates: firmware and model
_ANSWER_US = 1_500_000  # after a question, before it is sure that nothing comes of the answer


@dataclass(frozen=True)
class Start:
    """How a segment begins, beside the flash.

    Args:
        cause: ``machine.reset_cause()``.
        rtc: contents of RTC memory.
        slot: offset of the partition that ran before; a deep sleep goes on with it, unverified.
        watchdog: whether a watchdog is armed, which only a soft reset leaves so.
        phase: how far the world has come (see :class:`Setting`).
        faults: of the server while this segment lasts, separated by commas.
    """

    cause: int = PWRON_RESET
    rtc: bytes = b""
    slot: int | None = None
    watchdog: bool = False
    phase: int = 0
    faults: str = ""

    @property
    def key(self) -> tuple:
        """What of it can make a difference."""
        slot = self.slot if self.cause in (DEEPSLEEP_RESET, SOFT_RESET) else None
        watchdog = self.watchdog and self.cause == SOFT_RESET
        return self.cause, self.rtc, slot, watchdog, self.phase, self.faults


@dataclass
class Segment:
    """What happened between a boot and the next reset.

    Args:
        looks: sectors looked at before they were erased, with the hashes of what they held at the start.
        steps: flash operations in their order.
        effect: contents of every sector that was changed, at the end.
        events: ``(steps done before, what, detail)``: ``ran`` (slot offset and SHA-256 of the image that the
            boot loader started), ``valid`` or ``other`` (whether otadata selects that slot and calls it
            valid, after the boot and after each change; the detail of ``other`` is ``unset`` if it selects
            nothing, or an entry without a state), ``opened`` and ``invoked`` (SHA-256 of a model),
            ``asked`` (a name that was resolved), ``told`` (an ``EVENT`` of the console), ``memory`` (RTC
            memory), ``phase`` (of the world).
        end: ``reset``, ``settled``, or what went wrong, in words.
        next: how the next segment begins after a reset.
        console: what was said.
    """

    looks: list[tuple[int, bytes]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    effect: dict[int, Content] = field(default_factory=dict)
    events: list[tuple[int, str, object]] = field(default_factory=list)
    end: str = ""
    next: Start | None = None
    console: str = ""


@dataclass
class Setting:
    """Where segments are played.

    Args:
        board: the board.
        world: makes the surroundings of a phase, with faults of the server.
        turns: what begins the next phase: for every phase but the last the SHA-256 of the image that is
            started or of the model that is opened.
        quiet_s: virtual seconds without a flash operation after which it has settled.
        works: whether it must have asked a server for firmware and for a model, and invoked a model, since
            the last operation for that.
        limit_s: virtual seconds after which a segment has no end.
        crashes: SHA-256 of models that crash the chip when they are invoked.
    """

    board: ModuleType
    world: Callable[[int, str], World]
    turns: tuple[str, ...] = ()
    quiet_s: float = 3.0
    works: bool = True
    limit_s: float = 90.0
    crashes: frozenset[str] = frozenset()


class _Boundary(Exception):
    """The next reset."""

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self.start = start


class Interrupted(Exception):
    """Raised by what interrupts a life."""


class Life(Twin):
    """A twin that lives one segment and notes down what it looks at and changes.

    Args:
        setting: where.
        state: what its flash holds.
        start: how it begins.
        interrupt: called after every flash operation with the number of those before it; may raise
            :class:`Interrupted`.
        on_text: called with every piece of console text.
    """

    def __init__(
        self,
        setting: Setting,
        state: State,
        start: Start,
        interrupt: Callable[[int], None] = lambda number: None,
        on_text: Callable[[str], None] = lambda text: None,
    ) -> None:
        image = state.image()
        super().__init__(
            NorFlash(len(image), image),
            setting.board,
            setting.world(start.phase, start.faults),
            on_text=on_text,
        )
        self.segment = Segment()
        self._setting, self._state, self._interrupt = setting, state, interrupt
        self._begin: Start | None = start
        self._start = start
        self._phase = start.phase
        self._known: set[int] = set()
        self._watching = True
        self._moved_us = 0
        self._asked = self._asked_us = 0
        self._worked = False
        self._models: list[str] = []
        self._invoked: int | None = None
        self._times = 0
        self._told = 0
        self._ready = False
        self._advance, self.flash.on_operation = self.flash.on_operation, self._operated
        self.flash.on_read = self._looked
        self._reset, self.chip.reset = self.chip.reset, self._resets
        self._answer, self.chip.answer = self.chip.answer, self._answers

    def live(self) -> Segment:
        """Live to the next reset, or until nothing happens any more."""
        segment = self.segment
        try:
            self.power_on()
            settled = self.run_until(self._settled, self._setting.limit_s)
            segment.end = SETTLED if settled else f"no end within {self._setting.limit_s:g} s"
        except _Boundary as boundary:
            segment.end, segment.next = RESET, boundary.start
            if boundary.start.cause == DEEPSLEEP_RESET and self._has_worked():
                segment.end, segment.next = SETTLED, None
        except Interrupted:
            segment.end = INTERRUPTED
        except NothingBoots as error:
            segment.end = f"nothing boots: {error}"
        except UserError as error:
            segment.end = str(error)
        finally:
            self.power_off()
        self._hear()
        segment.console = self.text
        for sector in {step.sector for step in segment.steps}:
            segment.effect[sector] = content(self._peek(sector * SECTOR, SECTOR))
        return segment

    # Its end

    def _has_worked(self) -> bool:
        return (self._asked >= _ASKS and self._worked) or not self._setting.works

    def _settled(self) -> bool:
        quiet_us, now = self._setting.quiet_s * 1e6, self.chip.meter.now
        quiet = now - self._moved_us >= quiet_us and now - self._asked_us >= _ANSWER_US
        return self.hears and quiet and self._has_worked()

    def _crash(self, model: str) -> None:
        """Some models crash the chip that invokes them."""
        if model in self._setting.crashes:
            raise Restart(HARD_RESET)

    # Its beginning

    def _boot(self, cause: int, rom: Rom) -> None:
        start = self._start
        if self._begin is None:  # the segment is over
            super()._boot(cause, rom)
        elif start.cause not in (DEEPSLEEP_RESET, SOFT_RESET):
            super()._boot(start.cause, rom)
        else:
            table = partitions.parse(
                self.flash.read(partitions.TABLE, partitions.TABLE_SIZE), self.flash.size
            )
            slot = next(p for p in table if p.offset == start.slot)
            if start.cause == DEEPSLEEP_RESET:
                self.booted = Booted(slot, None, table)
                super()._boot(start.cause, rom)
            else:
                self._begin_softly(slot, rom)
        self._ran()

    def _begin_softly(self, slot: partitions.Partition, rom: Rom) -> None:
        """A soft reset has no boot loader: what ran begins again."""
        self.booted = boot(self.flash, self.board.CHIP, slot)
        self.chip.table, self.chip.running = self.booted.table, slot
        self.chip.parts["neural"].blobs = rom.load(self.booted.image.payload)
        self.chip.reset(SOFT_RESET)
        if self._start.watchdog:
            self.chip.watchdog_us = self.chip.meter.now + _WATCHDOG_US

    def _ran(self) -> None:
        where = self.booted.partition
        digest = hashlib.sha256(self._peek(where.offset, self.booted.image.length)).hexdigest()
        self._note("ran", (where.offset, digest))
        self._turn(digest)
        self._ready = True
        self._look_at_otadata()

    def _look_at_otadata(self) -> None:
        """Note down whether otadata selects what runs, and calls it valid."""
        where = partitions.find(self.chip.table, partitions.DATA, partitions.OTADATA)
        if where is None:
            return
        raw = self._peek(where.offset, 2 * SECTOR)
        entries = [otadata.Entry.parse(raw[i * SECTOR :][:32]) for i in (0, 1)]
        active = otadata.active(entries)
        slots = partitions.ota_slots(self.chip.table)
        valid = active is not None and entries[active].state == otadata.VALID
        if valid and slots.get(otadata.slot_of(entries[active], len(slots))) == self.booted.partition:
            self._note("valid", self.booted.partition.offset)
        else:
            unset = active is None or entries[active].state == otadata.UNDEFINED
            self._note("other", "unset" if unset else "")

    def _in_otadata(self, at: int) -> bool:
        where = partitions.find(self.chip.table, partitions.DATA, partitions.OTADATA)
        return where is not None and where.offset <= at < where.offset + where.size

    # What it does

    def _resets(self, cause: int) -> None:
        if self._begin is None:
            cpu = self.chip.parts["cpu"]
            raise _Boundary(
                Start(
                    cause,
                    b"" if cause == PWRON_RESET else cpu.rtc,
                    self.booted.partition.offset if self.booted else None,
                    self.chip.watchdog_us is not None,
                    self._phase,
                )
            )
        start, self._begin = self._begin, None
        self._reset(cause)
        self.chip.parts["cpu"].rtc = start.rtc
        self._note("memory", start.rtc)

    def _note(self, what: str, detail: object) -> None:
        self.segment.events.append((len(self.segment.steps), what, detail))

    def _turn(self, digest: str) -> None:
        """Begin the next phase of the world if this is what it waits for."""
        turns = self._setting.turns
        if self._phase < len(turns) and turns[self._phase] == digest:
            self._phase += 1
            self._note("phase", self._phase)
            self.world.hosts = self._setting.world(self._phase, "").hosts

    def _looked(self, at: int, count: int) -> None:
        if not self._watching or not count:
            return
        if at + count == self.flash.size and count > SECTOR:
            count = self._image_length(at, count)
        for sector in range(at // SECTOR, (at + count - 1) // SECTOR + 1):
            self._look(sector)

    def _peek(self, at: int, count: int) -> bytes:
        """Bytes of the flash that only the recorder looks at."""
        self._watching = False
        try:
            return self.flash.read(at, count)
        finally:
            self._watching = True

    def _image_length(self, at: int, count: int) -> int:
        """How much the boot loader looks at of a slot, which it takes from there to the end of the flash."""
        try:
            found = appimage.verify(self._peek(at, count), self.board.CHIP, count, check=False)
            return min(found.length, count)
        except appimage.ImageError:
            table = partitions.parse(self._peek(partitions.TABLE, partitions.TABLE_SIZE), self.flash.size)
            return next((p.size for p in table if p.offset == at), count)

    def _look(self, sector: int, data: bytes | None = None) -> None:
        if sector not in self._known:
            self._known.add(sector)
            held = self._peek(sector * SECTOR, SECTOR) if data is None else data
            self.segment.looks.append((sector, content(held)[0]))

    def _operated(self, operation: Operation) -> None:
        step = Step.of(operation)
        if step.kind == "erase":
            self._known.add(step.sector)
        elif step.sector not in self._known:  # that it may be programmed depends on what lies there
            before, at = bytearray(self._peek(step.sector * SECTOR, SECTOR)), operation.at % SECTOR
            before[at : at + operation.size] = operation.old
            self._look(step.sector, bytes(before))
        self.segment.steps.append(step)
        self._moved_us, self._asked, self._worked = self.chip.meter.now, 0, False
        self._times = 0
        self._hear()
        if self._ready and self._in_otadata(operation.at):
            self._look_at_otadata()
        if len(self.segment.steps) > _MOST_STEPS:
            raise UserError(f"it wrote to the flash {_MOST_STEPS} times and went on")
        self._advance(operation)
        self._interrupt(len(self.segment.steps) - 1)

    def _answers(self, op: int, argument: int, payload: bytes) -> bytes:
        if op == ops.NET_RESOLVE:
            self._asked, self._asked_us = self._asked + 1, self.chip.meter.now
            self._note("asked", payload.decode("utf-8", "replace"))
        elif op == ops.MODEL_INVOKE and argument < len(self._models):
            self._times = self._times + 1 if argument == self._invoked else 1
            self._invoked = argument
            if self._times == 1:
                self._note("invoked", self._models[argument])
            self._worked = self._worked or self._times > 1  # the first time is its self-test
            self._crash(self._models[argument])
        elif op == ops.RTC_WRITE:
            self._note("memory", payload)
        elif op == ops.MODEL_OPEN:
            digest = hashlib.sha256(payload).hexdigest()
            self._note("opened", digest)
            self._turn(digest)
        answer = self._answer(op, argument, payload)
        if op == ops.MODEL_OPEN and answer[0] == ops.OK:
            self._models.append(digest)
        return answer

    def _hear(self) -> None:
        """Note down the events that the console told since the last time."""
        for _, event in self.events[self._told :]:
            self._note("told", event)
        self._told = len(self.events)


def play(setting: Setting, state: State, start: Start) -> Segment:
    """What becomes of a state: one segment.

    Args:
        setting: where.
        state: what the flash holds.
        start: how the chip begins.
    """
    return Life(setting, state, start).live()
