"""The twin's boot loader: partition table, otadata, rollback states, verified image.

Follows ESP-IDF's second stage with rollback enabled (``bootloader_utility.c``):

1. every entry of otadata that is still PENDING_VERIFY becomes ABORTED: that image had its chance;
2. if both entries are blank or given up, the factory slot is chosen, or slot 0 without one; else the entry
   with the highest sequence number among the valid ones decides, and becomes PENDING_VERIFY if it is NEW;
3. an image that does not verify is passed over: lower slots down to the factory, then higher ones, then the
   test app;
4. a boot without a factory slot and with blank otadata writes down what it booted.

After deep sleep none of this happens: the partition kept in RTC memory runs again, unverified
(``CONFIG_BOOTLOADER_SKIP_VALIDATE_IN_DEEP_SLEEP``, which MicroPython's ESP32 builds set).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cicada.tools.errors import UserError
from cicada.tools.twin import appimage, otadata, partitions
from cicada.tools.twin.flash import SECTOR, NorFlash
from cicada.tools.twin.partitions import Partition

_FACTORY = -1


@dataclass(frozen=True)
class Booted:
    """What runs: its partition, the image, the partition table, what the boot loader said on the way."""

    partition: Partition
    image: appimage.Verified
    table: list[Partition]
    said: list[str] = field(default_factory=list)


class NothingBoots(UserError):
    """No slot holds an image that may run: on a board the boot loader would reset for ever."""


def boot(flash: NorFlash, chip: str, retained: Partition | None = None) -> Booted:
    """Choose, verify and return the image to run, keeping the rollback states on the way.

    Args:
        flash: read and, for rollback states, written; a power cut may come out of it.
        chip: the board's ``CHIP``.
        retained: partition kept in RTC memory if this is a wake from deep sleep.

    Raises:
        NothingBoots: if there is nothing to run.
    """
    said: list[str] = []
    try:
        table = partitions.parse(flash.read(partitions.TABLE, partitions.TABLE_SIZE), flash.size)
    except partitions.TableError as error:
        raise NothingBoots(
            f"the flash image has no valid partition table at 0x8000 ({error}): build it again"
        ) from error
    if retained is not None:
        # On the chip the table is read by the application alone then; that it must be whole is the same.
        try:
            image = appimage.verify(_contents(flash, retained), chip, retained.size, check=False)
            said.append(f"I boot: Fast booting app from partition at offset 0x{retained.offset:x}")
            return Booted(retained, image, table, said)
        except appimage.ImageError:
            said.append("E boot: Fast booting is not successful")
    slots = partitions.ota_slots(table)
    factory = partitions.find(table, partitions.APP, partitions.FACTORY)
    where = partitions.find(table, partitions.DATA, partitions.OTADATA)
    start, blank = _choose(flash, where, slots, factory, said)
    reasons = []
    order = [*range(start, _FACTORY - 1, -1), *range(start + 1, len(slots))]
    for index in order:
        partition = factory if index == _FACTORY else slots.get(index)
        if partition is None:
            continue
        booted = _try(flash, chip, partition, table, said, reasons)
        if booted:
            if blank and index > _FACTORY:
                otadata.write(flash, where, 0, otadata.Entry.of(index + 1, otadata.VALID))
                said.append(f"I boot: Set actual ota_seq={index + 1} in otadata[0]")
            return booted
    test = partitions.find(table, partitions.APP, partitions.TEST)
    booted = _try(flash, chip, test, table, said, reasons) if test else None
    if booted:
        return booted
    if not reasons:
        raise NothingBoots("the partition table has no app slot: correct boards/*/partitions.csv")
    raise NothingBoots("no slot of the flash image holds a bootable image: " + "; ".join(reasons))


def _choose(
    flash: NorFlash,
    where: Partition | None,
    slots: dict[int, Partition],
    factory: Partition | None,
    said: list[str],
) -> tuple[int, bool]:
    """Index of the slot to try first (-1 is the factory), and whether otadata is still blank."""
    if where is None:
        return _FACTORY, False
    if where.size < 2 * SECTOR:
        raise NothingBoots(
            "the otadata partition is smaller than two sectors: correct boards/*/partitions.csv"
        )
    entries = otadata.read(flash, where)
    for i, entry in enumerate(entries):
        if entry.state == otadata.PENDING_VERIFY:
            entries[i] = _rewrite(flash, where, i, entry, otadata.ABORTED)
            said.append(f"W boot: otadata[{i}] was never confirmed, rolling back")
    if not slots or all(entry.unusable for entry in entries):
        if factory:
            return _FACTORY, False
        return 0, all(e.sequence == otadata.BLANK or not e.sound for e in entries)
    active = otadata.active(entries)
    if active is None:
        said.append("E boot: ota data partition invalid, trying all partitions")
        return _FACTORY, False
    if entries[active].state == otadata.NEW:
        _rewrite(flash, where, active, entries[active], otadata.PENDING_VERIFY)
        said.append(f"I boot: otadata[{active}] is new, its first boot is on trial")
    return otadata.slot_of(entries[active], len(slots)), False


def _rewrite(
    flash: NorFlash, where: Partition, index: int, entry: otadata.Entry, state: int
) -> otadata.Entry:
    changed = otadata.Entry(entry.sequence, state, entry.crc, entry.label)
    otadata.write(flash, where, index, changed)
    return changed


def _try(
    flash: NorFlash,
    chip: str,
    partition: Partition,
    table: list[Partition],
    said: list[str],
    reasons: list[str],
) -> Booted | None:
    if partition.size == 0:
        return None
    try:
        image = appimage.verify(_contents(flash, partition), chip, partition.size)
    except appimage.ImageError as error:
        reasons.append(f"{partition.label}: {error}")
        said.append(f"E boot: {partition.label} is not bootable: {error}")
        return None
    where = f"partition {partition.label} at 0x{partition.offset:x}"
    said.append(f"I boot: {where}, version {image.version}, verified")
    return Booted(partition, image, table, said)


def _contents(flash: NorFlash, partition: Partition) -> memoryview:
    """From the start of the slot to the end of the flash: an image may lie about its length."""
    return flash.view(partition.offset, flash.size - partition.offset)
