"""What a flash holds, as the sectors in which it differs from a base image."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from cicada.tools.twin.flash import SECTOR, Operation, torn

#: A sector's contents and the hash that stands for them.
Content = tuple[bytes, bytes]


def content(data: bytes) -> Content:
    """``(hash, data)`` of one sector; 12 bytes of BLAKE2b, so that two contents never share one."""
    return hashlib.blake2b(data, digest_size=12).digest(), data


class Base:
    """The image that states are told against.

    Args:
        image: contents of the whole flash.
    """

    def __init__(self, image: bytes) -> None:
        self.image = image
        self._contents: dict[int, Content] = {}

    def __getitem__(self, sector: int) -> Content:
        """Contents of a sector, by its number."""
        if sector not in self._contents:
            self._contents[sector] = content(self.image[sector * SECTOR : (sector + 1) * SECTOR])
        return self._contents[sector]


@dataclass(frozen=True)
class Step:
    """One flash operation of a log: ``new`` is what it leaves at ``at``; an erase leaves a sector of 0xFF."""

    kind: str
    at: int
    new: bytes

    @classmethod
    def of(cls, operation: Operation) -> Step:
        """The step that an operation of the twin's flash was."""
        return cls(operation.kind, operation.at, b"" if operation.kind == "erase" else operation.new)

    @property
    def sector(self) -> int:
        """Number of the sector it changes; no operation changes two."""
        return self.at // SECTOR

    def over(self, data: bytes, cut: tuple[str, int] | None = None) -> bytes:
        """A sector that holds ``data`` after this step, or as a cut inside it (shape, seed) leaves it."""
        at = self.at % SECTOR
        new = b"\xff" * SECTOR if self.kind == "erase" else self.new
        if cut:
            new = torn(data[at : at + len(new)], new, *cut, at=self.at)
        return data[:at] + new + data[at + len(new) :]


class State:
    """What a flash holds; never changes.

    Args:
        base: what it is told against.
        sectors: contents of the sectors that differ from it, by their numbers.
        digest: hash of everything that differs, if it is known.
    """

    __slots__ = ("base", "digest", "sectors")

    def __init__(self, base: Base, sectors: Mapping[int, Content] | None = None, digest: int | None = None):
        self.base = base
        self.sectors = dict(sectors or {})
        if digest is None:
            digest = 0
            for sector, (name, _) in self.sectors.items():
                digest ^= _term(sector, name) ^ _term(sector, base[sector][0])
        self.digest = digest

    def __getitem__(self, sector: int) -> Content:
        """Hash and contents of a sector."""
        found = self.sectors.get(sector)
        return self.base[sector] if found is None else found

    def changed(self, sectors: Mapping[int, Content]) -> State:
        """The same with other contents in some sectors."""
        merged, digest = dict(self.sectors), self.digest
        for sector, new in sectors.items():
            digest ^= _term(sector, self[sector][0]) ^ _term(sector, new[0])
            if new[0] == self.base[sector][0]:
                merged.pop(sector, None)
            else:
                merged[sector] = new
        return State(self.base, merged, digest)

    def after(self, step: Step, cut: tuple[str, int] | None = None) -> State:
        """After one flash operation, or as a cut inside it leaves it."""
        return self.changed({step.sector: content(step.over(self[step.sector][1], cut))})

    def image(self) -> bytearray:
        """The whole flash."""
        image = bytearray(self.base.image)
        for sector, (_, data) in self.sectors.items():
            image[sector * SECTOR : (sector + 1) * SECTOR] = data
        return image

    def read(self, at: int, count: int) -> bytes:
        """``count`` bytes from offset ``at``."""
        first, last = at // SECTOR, (at + count + SECTOR - 1) // SECTOR
        data = b"".join(self[sector][1] for sector in range(first, last))
        return data[at - first * SECTOR :][:count]

    @classmethod
    def of(cls, base: Base, image: bytes | bytearray | memoryview) -> State:
        """The state of a flash that holds ``image``."""
        view, old, found = memoryview(image), memoryview(base.image), {}
        for sector in range(len(image) // SECTOR):
            part = view[sector * SECTOR : (sector + 1) * SECTOR]
            if part != old[sector * SECTOR : (sector + 1) * SECTOR]:
                found[sector] = content(bytes(part))
        return cls(base, found)


def _term(sector: int, name: bytes) -> int:
    """What a sector adds to the digest: hashes of all differing sectors are combined by exclusive or."""
    place = sector.to_bytes(4, "little")
    return int.from_bytes(hashlib.blake2b(name + place, digest_size=16).digest(), "little")
