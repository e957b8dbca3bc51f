"""What has to be written to a board, and in which order.

Power or cable may go at any moment, so the order is: first make sure that some other slot boots, then the
application's slot, then data, boot loader and partition table where they differ, and last of all otadata. The
boot loader passes over a slot that does not verify (ESP-IDF ``bootloader_utility.c``), so a board whose
application is half written runs from the other slot; if nothing there would boot, that slot gets the new
application first. With another application the journal of updates starts anew, too: it could call what comes
by cable bad, or go on to what came by air. Only a boot loader or table that changes leaves moments in which
nothing boots; the chip's ROM loader is there always, and the same command goes on where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from cicada.tools.errors import UserError
from cicada.tools.flashing import images
from cicada.tools.flashing.firmware import Firmware
from cicada.tools.flashing.link import Link
from cicada.tools.twin import partitions
from cicada.tools.twin.flash import SECTOR
from cicada.tools.twin.partitions import Partition

_BLOCK = 65536
#: Contents that are made anew by themselves: losing them loses nothing.
_KEEPS_NOTHING = ("otadata", "phy_init")


@dataclass(frozen=True)
class Step:
    """One region and what it must hold.

    Attributes:
        name: for the user.
        at: address of a sector.
        data: what must be there; None for nothing, i.e. ``size`` bytes of 0xFF.
        size: bytes.
    """

    name: str
    at: int
    data: bytes | None
    size: int

    @property
    def digest(self) -> str:
        """MD5 of what must be there, hexadecimal."""
        return _md5(self.data if self.data is not None else b"\xff" * self.size)


class Known:
    """Images that were found whole before, by length and MD5, so that they need not be read back.

    Args:
        images: those already known.
    """

    def __init__(self, images: list[tuple[int, str]] | None = None) -> None:
        self.images = list(images or [])

    def add(self, length: int, digest: str) -> None:
        """Remember one, and forget the oldest of many."""
        self.images = [i for i in self.images if i != (length, digest)][-19:] + [(length, digest)]


def steps(firmware: Firmware, link: Link, known: Known, repartition: bool) -> list[Step]:
    """What must be there in the end, in the order of writing; regions that hold it already are among them.

    Args:
        firmware: to be written.
        link: a prepared connection.
        known: images known to be whole; grows.
        repartition: whether the board's partition table may change.

    Raises:
        UserError: if the table on the board differs and ``repartition`` does not allow that.
    """
    old = device_table(link, firmware.table.at)
    changed = _table_changes(old, firmware, repartition)
    slot = firmware.slot
    app = Step(slot.label, slot.offset, firmware.app.data, len(firmware.app.data))
    order = []
    if old == list(firmware.partitions) and link.md5(app.at, app.size) != app.digest:
        # What the node remembers of updates is about the firmware that goes now.
        journals = [p for p in firmware.partitions if p.label == "updates"]
        order += [Step(p.label, p.offset, None, p.size) for p in journals]
        other = _stepping_stone(firmware, link, known)
        if other:
            order.append(Step(other.label, other.offset, app.data, app.size))
    order.append(app)
    order += [Step(piece.name, piece.at, piece.data, len(piece.data)) for piece in firmware.rest]
    order += [Step(p.label, p.offset, None, p.size) for p in changed]
    for piece in (firmware.loader, firmware.table):
        if piece:
            order.append(Step(piece.name, piece.at, piece.data, len(piece.data)))
    if firmware.otadata:
        order.append(Step("otadata", firmware.otadata.offset, None, firmware.otadata.size))
    return order


def differences(step: Step, md5: Callable[[int, int], str]) -> list[tuple[int, int]]:
    """Where the flash is not as ``step`` wants it: address and size of runs of sectors.

    Args:
        step: the region; its last sector may be wanted in part.
        md5: of flash contents, from an address and a size.
    """
    data = step.data if step.data is not None else b"\xff" * step.size
    if md5(step.at, len(data)) == _md5(data):
        return []
    sectors = []
    for block in range(0, len(data), _BLOCK):
        piece = data[block : block + _BLOCK]
        if md5(step.at + block, len(piece)) == _md5(piece):
            continue
        for at in range(0, len(piece), SECTOR):
            sector = piece[at : at + SECTOR]
            if md5(step.at + block + at, len(sector)) != _md5(sector):
                sectors.append((step.at + block + at, len(sector)))
    runs: list[tuple[int, int]] = []
    for at, size in sectors:
        if runs and sum(runs[-1]) == at:
            runs[-1] = (runs[-1][0], runs[-1][1] + size)
        else:
            runs.append((at, size))
    return runs


def device_table(link: Link, at: int = partitions.TABLE) -> list[Partition] | None:
    """The partitions on the board; None if it has no table, or a broken one."""
    try:
        return partitions.parse(link.read(at, partitions.TABLE_SIZE), link.flash_size)
    except partitions.TableError:
        return None


def bootable(link: Link, partition: Partition, chip: str, known: Known) -> bool:
    """Whether a slot holds a whole image; one that is not known is read back, which takes a while."""
    try:
        length = images.measure(lambda at, size: link.read(partition.offset + at, size))
        if length > partition.size:
            return False
        digest = link.md5(partition.offset, length)
        if (length, digest) not in known.images:
            images.inspect(link.read(partition.offset, length), chip)
            known.add(length, digest)
        return True
    except images.ImageError:
        return False


def _table_changes(old: list[Partition] | None, firmware: Firmware, repartition: bool) -> list[Partition]:
    """Data partitions of the new table that the old one does not have at the same place.

    Raises:
        UserError: if the tables differ without permission.
    """
    new = list(firmware.partitions)
    if old is None or old == new:
        return []
    if not repartition:
        lost = [p.label for p in old if p not in new and p.type != partitions.APP]
        lost = [label for label in lost if label not in _KEEPS_NOTHING]
        what = f"the contents of {', '.join(lost)}" if lost else "its app slots"
        raise UserError(
            f"the board has another partition table, and the new one would lose {what}: nothing was written; "
            "say --repartition if that is meant, or build with the board's own partitions.csv"
        )
    return [p for p in new if p not in old and p.type != partitions.APP and p != firmware.otadata]


def _stepping_stone(firmware: Firmware, link: Link, known: Known) -> Partition | None:
    """The slot that must get the application first, so that something boots while its own slot is written."""
    table = list(firmware.partitions)
    others = [p for p in table if p.type == partitions.APP and p != firmware.slot]
    if any(bootable(link, other, firmware.chip, known) for other in others):
        return None
    try:
        images.measure(lambda at, size: link.read(firmware.slot.offset + at, size))
    except images.ImageError:
        return None  # nothing boots now, so there is nothing to keep
    slots = partitions.ota_slots(table).values()
    return next((p for p in slots if p != firmware.slot and p.size >= len(firmware.app.data)), None)


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
