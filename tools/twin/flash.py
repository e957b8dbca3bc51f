"""NOR flash with its rules, its wear and its faults.

Programming clears bits, only erasing a 4 KiB sector sets them again; anything else raises at once instead of
being forgiven. Every page program and every sector erase is one numbered operation, before, inside or after
which the power can be cut. A cut inside an operation leaves what a real chip may leave: part of the bytes,
part of the bits, a sector half erased. The same cut leaves the same bytes, so a failure can be replayed from
its name alone.

    flash = NorFlash(4 << 20)
    flash.erase(0x1000, 4096)
    flash.program(0x1000, b"...")
    flash.cut = Cut.parse("17:inside:bits:3")  # the 18th operation from now on is torn
"""

from __future__ import annotations

import mmap
import os
import random
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cicada.tools.errors import UserError, from_os_error

SECTOR = 4096
PAGE = 256
WORD = 4
SIZES = (4 << 20, 8 << 20, 16 << 20)

BEFORE, INSIDE, AFTER = "before", "inside", "after"
#: What a torn operation leaves: a prefix or a suffix of its bytes; a random part of its bits; a prefix whose
#: last byte is torn in its bits; bits alone, but only in part of the area; or everything but one aligned
#: 32-bit word (of the words it touches the one numbered by the seed).
SHAPES = ("prefix", "suffix", "bits", "byte", "patch", "hole")


class IllegalOperation(ValueError):
    """Something no NOR chip does: the program that asked for it is wrong."""


class PowerCut(Exception):
    """The power went; the flash is as the cut left it."""

    def __init__(self, cut: Cut) -> None:
        super().__init__(f"power cut at flash operation {cut}")
        self.cut = cut


@dataclass(frozen=True)
class Cut:
    """Where the power goes.

    Args:
        operation: number of the flash operation (see :attr:`NorFlash.operations`).
        when: ``before``, ``inside`` or ``after`` it.
        shape: what a cut inside leaves, one of :data:`SHAPES`.
        seed: of the torn bits and bytes.
    """

    operation: int
    when: str = INSIDE
    shape: str = "prefix"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.when not in (BEFORE, INSIDE, AFTER) or self.shape not in SHAPES or self.operation < 0:
            raise ValueError(
                f"no power cut is called '{self}': it is NUMBER:before|inside|after[:SHAPE[:SEED]], SHAPE "
                f"one of {', '.join(SHAPES)}"
            )

    def __str__(self) -> str:
        return f"{self.operation}:{self.when}:{self.shape}:{self.seed}"

    @classmethod
    def parse(cls, text: str) -> Cut:
        """The cut that ``str`` calls ``text``; shape and seed may be left out."""
        number, when, *rest = [*text.split(":"), INSIDE][: max(2, text.count(":") + 1)]
        try:
            return cls(int(number), when, rest[0] if rest else "prefix", int(rest[1]) if rest[1:] else 0)
        except ValueError as error:
            if "no power cut" in str(error):
                raise
            raise ValueError(f"no power cut is called '{text}': it is NUMBER:WHEN:SHAPE:SEED") from error


@dataclass(frozen=True)
class Operation:
    """One operation: ``kind`` is ``program`` or ``erase``, ``size`` bytes from ``at``.

    ``old`` is what lay there before, ``new`` what the operation was to leave there.
    """

    number: int
    kind: str
    at: int
    size: int
    old: bytes = field(default=b"", repr=False)
    new: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Snapshot:
    """Everything a chip holds, to be put back by :meth:`NorFlash.restore`."""

    data: bytes
    wear: bytes
    operations: int


class NorFlash:
    """A serial NOR flash chip.

    Args:
        size: 4, 8 or 16 MiB.
        data: contents; erased without it. A buffer that can be written (``bytearray``, ``mmap``) of the right
            size is used in place, anything else is copied.
        on_operation: called after every operation that was carried out, e.g. to let time pass.

    Attributes:
        operations: how many operations were begun so far, which is also the number of the next one.
        wear: erase cycles of every sector.
        cut: the power cut to come, or None; it is taken away when it happens.
        log: where operations are noted down if it is a list; None keeps nothing.
        on_read: called with offset and length before bytes are looked at; None by default. The chip's own
            look at what a program would overwrite does not count.
    """

    def __init__(
        self,
        size: int,
        data: bytes | bytearray | memoryview | None = None,
        on_operation: Callable[[Operation], None] | None = None,
    ) -> None:
        if size not in SIZES:
            raise ValueError(f"a NOR flash here has 4, 8 or 16 MiB, not {size} bytes")
        if data is not None and len(data) != size:
            raise ValueError(f"the contents have {len(data)} bytes, the flash {size}")
        if data is None:
            data = bytearray(b"\xff") * size
        self._data = memoryview(data if not memoryview(data).readonly else bytearray(data)).cast("B")
        self.size = size
        self.operations = 0
        self.wear = array("I", bytes(4 * (size // SECTOR)))
        self.cut: Cut | None = None
        self.log: list[Operation] | None = None
        self.on_operation = on_operation
        self.on_read: Callable[[int, int], None] | None = None
        self._shared: int | None = None

    @classmethod
    def open(cls, path: Path) -> NorFlash:
        """A chip with the contents of a file, which is never written: pages of memory are shared with every
        other chip of the same file until they change.

        Raises:
            UserError: if the file cannot be read or has not the size of a chip.
        """
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size not in SIZES:
                    raise UserError(
                        f"the flash image {path} has {size} bytes, a chip 4, 8 or 16 MiB: build it again"
                    )
                return cls(size, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY))
        except OSError as error:
            raise from_os_error(error, f"reading the flash image {path}") from error

    def share(self) -> int:
        """Move the contents to memory that other processes can map, until :meth:`unshare`; returns its file
        descriptor. Views from before show the contents of then."""
        if self._shared is None:
            self._shared = os.memfd_create("flash")
            os.ftruncate(self._shared, self.size)
            self._move(mmap.mmap(self._shared, self.size))
        return self._shared

    def unshare(self) -> None:
        """Take the contents back to memory of this process; what others have mapped stays as it is."""
        if self._shared is not None:
            os.close(self._shared)
            self._shared = None
            self._move(bytearray(self.size))

    def _move(self, target: mmap.mmap | bytearray) -> None:
        moved = memoryview(target)
        moved[:] = self._data
        self._data = moved

    def read(self, at: int, count: int) -> bytes:
        """``count`` bytes from ``at``."""
        return bytes(self.view(at, count))

    def view(self, at: int, count: int) -> memoryview:
        """The same without a copy; it shows what is there when it is looked at."""
        self._inside(at, count, "read")
        if self.on_read:
            self.on_read(at, count)
        return self._data[at : at + count].toreadonly()

    def program(self, at: int, data: bytes | bytearray | memoryview) -> None:
        """Clear bits: what lies at ``at`` becomes ``data``, page by page, each page one operation.

        Raises:
            IllegalOperation: outside the chip, or if a bit would have to be set.
            PowerCut: if :attr:`cut` says so.
        """
        data = bytes(data)
        self._inside(at, len(data), "program")
        old = int.from_bytes(self._data[at : at + len(data)], "little")
        new = int.from_bytes(data, "little")
        if new & ~old:
            wrong = new & ~old
            where = at + ((wrong & -wrong).bit_length() - 1) // 8
            raise IllegalOperation(
                f"programming 0x{data[where - at]:02x} over 0x{self._data[where]:02x} at 0x{where:x} "
                "would set bits: erase the sector first"
            )
        for start in self._pages(at, len(data)):
            stop = min((start // PAGE + 1) * PAGE, at + len(data))
            self._operate("program", start, data[start - at : stop - at])

    def erase(self, at: int, count: int = SECTOR) -> None:
        """Set every bit of the sectors from ``at`` on, each sector one operation.

        Raises:
            IllegalOperation: outside the chip or not on sector borders.
            PowerCut: if :attr:`cut` says so.
        """
        self._inside(at, count, "erase")
        if at % SECTOR or count % SECTOR:
            raise IllegalOperation(f"erase of {count} bytes at 0x{at:x}: only whole 4096-byte sectors erase")
        for start in range(at, at + count, SECTOR):
            self._operate("erase", start, b"\xff" * SECTOR)

    def snapshot(self) -> Snapshot:
        """A copy of everything."""
        return Snapshot(bytes(self._data), self.wear.tobytes(), self.operations)

    def restore(self, snapshot: Snapshot) -> None:
        """Become what the chip was at ``snapshot``; a cut to come is forgotten."""
        if len(snapshot.data) != self.size:
            raise ValueError("the snapshot is of a flash of another size")
        self._data[:] = snapshot.data
        self.wear = array("I", snapshot.wear)
        self.operations = snapshot.operations
        self.cut = None

    @staticmethod
    def _pages(at: int, count: int) -> list[int]:
        if not count:
            return []
        return [at, *range((at // PAGE + 1) * PAGE, at + count, PAGE)]

    def _inside(self, at: int, count: int, what: str) -> None:
        if at < 0 or count < 0 or at + count > self.size:
            raise IllegalOperation(f"{what} of {count} bytes at 0x{at:x}: the flash ends at 0x{self.size:x}")

    def _operate(self, kind: str, at: int, new: bytes) -> None:
        number, cut = self.operations, self.cut
        self.operations += 1
        due = cut is not None and cut.operation == number
        if due:
            self.cut = None
        if due and cut.when == BEFORE:
            raise PowerCut(cut)
        area = self._data[at : at + len(new)]
        old = bytes(area)
        operation = Operation(number, kind, at, len(new), old, new)
        if self.log is not None:
            self.log.append(operation)
        if kind == "erase":
            self.wear[at // SECTOR] += 1
        area[:] = torn(old, new, cut.shape, cut.seed, at) if due and cut.when == INSIDE else new
        if due:
            raise PowerCut(cut)
        if self.on_operation:
            self.on_operation(operation)


def torn(old: bytes, new: bytes, shape: str, seed: int, at: int = 0) -> bytes:
    """What lies at ``at`` when the power goes while ``old`` becomes ``new`` (same length, not empty)."""
    if shape == "hole":
        first = at // WORD
        word = first + seed % ((at + len(old) - 1) // WORD - first + 1)
        start, stop = max(word * WORD - at, 0), (word + 1) * WORD - at
        return new[:start] + old[start:stop] + new[stop:]
    rng = random.Random(f"{shape}:{seed}:{len(old)}")
    done = rng.randrange(len(old))  # bytes that were finished
    if shape == "prefix":
        return new[:done] + old[done:]
    if shape == "suffix":
        return old[:done] + new[done:]
    if shape == "byte":
        return new[:done] + _some_bits(old[done : done + 1], new[done : done + 1], rng) + old[done + 1 :]
    if shape == "bits":
        return _some_bits(old, new, rng)
    end = rng.randrange(done, len(old)) + 1
    return old[:done] + _some_bits(old[done:end], new[done:end], rng) + old[end:]


def _some_bits(old: bytes, new: bytes, rng: random.Random) -> bytes:
    """Each bit from ``new`` or from ``old``, by chance."""
    mask = rng.getrandbits(8 * len(old))
    if rng.random() < 0.5:  # mostly done rather than half done
        mask |= rng.getrandbits(8 * len(old))
    mixed = int.from_bytes(old, "little") & ~mask | int.from_bytes(new, "little") & mask
    return mixed.to_bytes(len(old), "little")
