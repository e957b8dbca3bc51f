"""The chip around MicroPython: time, interrupts, and who answers which request."""

from __future__ import annotations

import errno
import heapq
import itertools
import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from cicada.tools.board import load_module
from cicada.tools.paths import BOARDS
from cicada.tools.twin.flash import IllegalOperation, NorFlash, Operation
from cicada.tools.twin.ota import EspError
from cicada.tools.twin.partitions import Partition
from cicada.tools.twin.power import BUSY, PowerMeter
from cicada.tools.twin.world import World

if TYPE_CHECKING:
    from cicada.tools.twin.peripherals.gpio import Source

ops = load_module(BOARDS / "twin" / "lib" / "_ops.py", "cicada_twin_ops")

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
_CALL_US = 5  # what any call costs the CPU, so that a program polling the clock sees it move


class Restart(Exception):
    """The program on the chip ends here.

    Args:
        cause: ``machine.reset_cause()`` of the boot that follows.
        off_us: without power before that boot; only for ``PWRON_RESET``.
    """

    def __init__(self, cause: int, off_us: int = 0) -> None:
        super().__init__(cause)
        self.cause = cause
        self.off_us = off_us


@dataclass(order=True)
class Due:
    """Something on the chip's agenda; ``cancelled`` ones are passed over."""

    us: int
    order: int
    action: Callable[[], None]
    cancelled: bool = False


class Peripheral:
    """A part of the chip that answers requests.

    ``operations`` maps operation numbers (``_ops``) to methods ``(argument, payload) -> (value, payload)``;
    they raise ``OSError`` with an errno, ``ValueError`` with MicroPython's message, or :class:`EspError`.
    """

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self.operations: dict[int, Callable[[int, bytes], tuple[int, bytes]]] = {}

    def reset(self, cause: int) -> None:
        """Go back to what this part is after a reset of kind ``cause``."""


def told(payload: bytes, kind: type) -> dict | list:
    """What a request says in JSON; ``ValueError`` unless it is a ``kind``."""
    value = json.loads(payload)
    if not isinstance(value, kind):
        raise ValueError("malformed request")
    return value


class Chip:
    """One board's chip.

    Args:
        board: the board's description.
        world: what surrounds it.
        flash: its flash.
        pace: called after every advance of the clock with the virtual time in us (to slow it down).
        seed: of its random numbers.

    Attributes:
        meter: clock and power meter; ``meter.now`` is virtual us since the first power-on.
        table, running: partition table and running partition, set at boot.
        cpu_hz: as ``machine.freq`` has set it.
        parts: the peripherals by name.
        fitted_sources: pins that sensors drive.
        fitted_sinks: pins that sensors listen to: what is called with every level the program drives.
        break_requested: somebody pressed Ctrl-C; the next answer says so.
        wake_sleeper: let :meth:`advance` end early if it may.
        console: where bytes go that are not text.
    """

    def __init__(
        self,
        board: ModuleType,
        world: World,
        flash: NorFlash,
        pace: Callable[[int], None] = lambda now: None,
        seed: int = 1,
    ) -> None:
        from cicada.tools.twin.peripherals import fit

        self.board, self.world, self.flash = board, world, flash
        self.meter = PowerMeter(board.POWER)
        self.random = random.Random(seed)
        self.table: list[Partition] = []
        self.running: Partition | None = None
        self.cpu_hz = board.CPU_HZ
        self.watchdog_us: int | None = None
        self.break_requested = False
        self.wake_sleeper = False
        self.console: Callable[[bytes], None] = lambda data: None
        self._pace = pace
        self._order = itertools.count()
        self._agenda: list[Due] = []
        self._interrupts: list[int] = []
        self.boot_us = 0
        flash.on_operation = self._flash_operation
        for us, action in world.agenda:
            self.at(us, action)
        self.fitted_sources: dict[int, Source] = {}
        self.fitted_sinks: dict[int, Callable[[int], None]] = {}
        self.parts = fit(self)
        self._handlers = {op: call for part in self.parts.values() for op, call in part.operations.items()}

    # Time

    def at(self, us: int, action: Callable[[], None]) -> Due:
        """Have ``action`` done at a virtual time, by whatever lets that time pass."""
        due = Due(us, next(self._order), action)
        heapq.heappush(self._agenda, due)
        return due

    def advance(self, us: int, state: str, wakeable: bool = False) -> None:
        """Let time pass, doing what falls due on the way.

        Args:
            us: microseconds.
            state: of the power meter.
            wakeable: end early when an interrupt asks for the CPU.

        Raises:
            Restart: when the watchdog bites or something due resets the chip.
        """
        end = self.meter.now + max(us, 0)
        while True:
            while self._agenda and self._agenda[0].us <= self.meter.now:
                due = heapq.heappop(self._agenda)
                if not due.cancelled:
                    due.action()
            if self.watchdog_us is not None and self.meter.now > self.watchdog_us:
                raise Restart(WDT_RESET)
            if self.meter.now >= end or (wakeable and (self._interrupts or self.wake_sleeper)):
                return
            stop = min(end, self._agenda[0].us) if self._agenda else end
            if self.watchdog_us is not None:
                stop = min(stop, self.watchdog_us + 1)
            self.meter.spend(stop - self.meter.now, state)
            self._pace(self.meter.now)

    def work(self, cycles: float) -> None:
        """Keep the CPU busy for ``cycles``."""
        self.advance(round(cycles * 1e6 / self.cpu_hz), BUSY)

    def _flash_operation(self, operation: Operation) -> None:
        self.advance(self.board.FLASH_US[operation.kind], BUSY)

    # Resets and interrupts

    def reset(self, cause: int) -> None:
        """Begin a run of the program: what does not survive a reset of kind ``cause`` starts anew."""
        if cause != SOFT_RESET:  # which only starts the program again
            self.boot_us = self.meter.now
            self.watchdog_us = None
            self.cpu_hz = self.board.CPU_HZ
        self._interrupts.clear()
        for part in self.parts.values():
            part.reset(cause)

    def interrupt(self, handle: int) -> None:
        """Ask the program to run the handler it calls ``handle``; lost if it is waiting already."""
        if handle not in self._interrupts:
            self._interrupts.append(handle)

    def answer(self, op: int, argument: int, payload: bytes) -> bytes:
        """Carry out one request; returns the framed reply.

        Raises:
            Restart: if the request, or the time it took, resets the chip.
            PowerCut: if the flash lost its power on the way.
        """
        status, value, data = ops.OK, 0, b""
        try:
            self.advance(_CALL_US, BUSY)
            if op == ops.IRQ_TAKE:
                value = self._interrupts.pop(0) if self._interrupts else 0
            elif op in self._handlers:
                value, data = self._handlers[op](argument, payload)
            else:
                raise OSError(errno.ENOSYS, "unknown operation")
        except OSError as error:
            status, value = ops.OS_ERROR, error.errno or errno.EIO
            if value < 0:  # ESP-IDF's own numbers
                status, value, data = ops.ESP_ERROR, 0, f"{-value} {error.args[1]}".encode()
        except EspError as error:
            status, data = ops.ESP_ERROR, f"{error.number} {error.name}".encode()
        except (ValueError, IllegalOperation) as error:
            status, data = ops.VALUE_ERROR, str(error).encode()
        except (struct.error, LookupError, StopIteration, TypeError):  # not a request that a shim makes
            status, value = ops.OS_ERROR, errno.EINVAL
        now = self.meter.now - self.boot_us
        flags = (ops.INTERRUPT if self._interrupts else 0) | (ops.CTRL_C if self.break_requested else 0)
        self.break_requested = self.wake_sleeper = False
        return struct.pack(ops.REPLY, status, flags, value, len(data), now) + data
