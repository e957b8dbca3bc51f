"""The application's side of otadata, as ``esp32.Partition`` reaches it (ESP-IDF ``esp_ota_ops.c``)."""

from __future__ import annotations

from cicada.tools.twin import appimage, otadata, partitions
from cicada.tools.twin.flash import NorFlash
from cicada.tools.twin.partitions import Partition

#: ESP-IDF's numbers, ``esp_err.h`` and ``esp_ota_ops.h``.
CODES = {
    "ESP_FAIL": -1,
    "ESP_ERR_INVALID_ARG": 0x102,
    "ESP_ERR_INVALID_SIZE": 0x104,
    "ESP_ERR_NOT_FOUND": 0x105,
    "ESP_ERR_OTA_VALIDATE_FAILED": 0x1503,
}


class EspError(Exception):
    """An ``esp_err_t`` other than ``ESP_OK``; ``name`` is its name, ``number`` its value."""

    def __init__(self, name: str, number: int | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.number = CODES[name] if number is None else number


def boot_partition(flash: NorFlash, table: list[Partition]) -> Partition | None:
    """What otadata says will boot next, without looking at the image."""
    where = partitions.find(table, partitions.DATA, partitions.OTADATA)
    if where is None:
        return None
    slots = partitions.ota_slots(table)
    entries = otadata.read(flash, where)
    active = otadata.active(entries)
    if slots and active is not None:
        return slots.get(otadata.slot_of(entries[active], len(slots)))
    factory = partitions.find(table, partitions.APP, partitions.FACTORY)
    return factory or (slots[min(slots)] if slots else None)


def next_update(table: list[Partition], start: Partition) -> Partition | None:
    """The OTA slot after ``start``, round again; the first one if ``start`` is none."""
    slots = [slot for _, slot in sorted(partitions.ota_slots(table).items())]
    if not slots:
        return None
    return slots[(slots.index(start) + 1) % len(slots)] if start in slots else slots[0]


def set_boot(flash: NorFlash, table: list[Partition], chip: str, partition: Partition) -> None:
    """Verify the image in ``partition`` and make it the next to boot, on trial.

    Raises:
        EspError: if the image does not verify or the partition cannot be booted.
    """
    contents = flash.view(partition.offset, flash.size - partition.offset)
    try:
        appimage.verify(contents, chip, partition.size)
    except appimage.ImageError as error:
        raise EspError("ESP_ERR_OTA_VALIDATE_FAILED") from error
    if partition.type != partitions.APP:
        raise EspError("ESP_ERR_INVALID_ARG")
    where = partitions.find(table, partitions.DATA, partitions.OTADATA)
    if where is None:
        raise EspError("ESP_ERR_NOT_FOUND")
    if partition.subtype == partitions.FACTORY:
        flash.erase(where.offset, where.size)
        return
    count = len(partitions.ota_slots(table))
    slot = partition.subtype & 0x0F
    if slot >= count:
        raise EspError("ESP_ERR_INVALID_ARG")
    entries = otadata.read(flash, where)
    active = otadata.active(entries)
    if active is None:
        index, sequence = 0, slot + 1
    else:
        index, sequence = 1 - active, (slot + 1) % count
        while entries[active].sequence > sequence:
            sequence += count
    new = otadata.Entry(sequence, otadata.NEW, otadata.crc_of(sequence), entries[index].label)
    otadata.write(flash, where, index, new)


def mark_valid(flash: NorFlash, table: list[Partition]) -> None:
    """Confirm the entry that otadata selects, which is not always the one that runs.

    Raises:
        EspError: if no entry is valid.
    """
    where = partitions.find(table, partitions.DATA, partitions.OTADATA)
    if where is None:
        raise EspError("ESP_ERR_NOT_FOUND")
    entries = otadata.read(flash, where)
    active = otadata.active(entries)
    if active is None or not partitions.ota_slots(table):
        raise EspError("ESP_FAIL")
    entry = entries[active]
    if entry.state != otadata.VALID:
        valid = otadata.Entry(entry.sequence, otadata.VALID, otadata.crc_of(entry.sequence), entry.label)
        otadata.write(flash, where, active, valid)
