"""ESP-IDF's partition table as the boot loader reads it.

Format and rules: ESP-IDF ``esp_flash_partitions.h`` and ``esp_partition_table_verify``: 32-byte entries at
0x8000, then an entry with the MD5 of those before it, then an erased one.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

TABLE = 0x8000
TABLE_SIZE = 0xC00
APP, DATA = 0, 1
FACTORY, TEST, OTA_0 = 0x00, 0x20, 0x10  # subtypes of APP
OTADATA, NVS = 0x00, 0x02  # subtypes of DATA
ANY = 0xFF

_ENTRY = struct.Struct("<HBBII16sI")
_MAGIC, _MD5_MAGIC = 0x50AA, 0xEBEB


class TableError(Exception):
    """The boot loader refuses the table; the text says why."""


@dataclass(frozen=True)
class Partition:
    """One entry of the table; ``offset`` and ``size`` in bytes."""

    label: str
    type: int
    subtype: int
    offset: int
    size: int
    encrypted: bool = False


def parse(raw: bytes, flash_size: int) -> list[Partition]:
    """The partitions of a binary table.

    Args:
        raw: the table's 0xC00 bytes.
        flash_size: of the chip, bytes.

    Raises:
        TableError: if the boot loader would not accept it.
    """
    found: list[Partition] = []
    checked = False
    for at in range(0, TABLE_SIZE, _ENTRY.size):
        entry = raw[at : at + _ENTRY.size]
        if len(entry) < _ENTRY.size:
            break
        magic, kind, subtype, offset, size, label, flags = _ENTRY.unpack(entry)
        if magic == _MAGIC:
            if offset > flash_size or offset + size > flash_size:
                raise TableError(f"partition {len(found)} reaches past the end of the flash")
            name = label.split(b"\0")[0].decode("utf-8", "replace")
            found.append(Partition(name, kind, subtype, offset, size, bool(flags & 1)))
        elif magic == _MD5_MAGIC:
            if checked:
                raise TableError("two MD5 entries")
            if hashlib.md5(raw[:at], usedforsecurity=False).digest() != entry[16:]:
                raise TableError("its MD5 does not match")
            checked = True
        elif entry[:4] == b"\xff\xff\xff\xff":
            if not checked:
                raise TableError("it has no MD5 entry")
            return found
        else:
            raise TableError(f"entry {at // _ENTRY.size} has the magic number 0x{magic:04x}")
    raise TableError("it does not end")


def find(table: list[Partition], kind: int, subtype: int = ANY, label: str | None = None) -> Partition | None:
    """First partition of that kind, in the order of the table; None if there is none."""
    return next(iter(find_all(table, kind, subtype, label)), None)


def find_all(
    table: list[Partition], kind: int, subtype: int = ANY, label: str | None = None
) -> list[Partition]:
    """All partitions of that kind, ordered by offset as ``esp_partition_find`` gives them."""
    chosen = [
        p for p in table if kind in (p.type, ANY) and subtype in (p.subtype, ANY) and label in (p.label, None)
    ]
    return sorted(chosen, key=lambda p: p.offset)


def ota_slots(table: list[Partition]) -> dict[int, Partition]:
    """OTA app partitions by slot number, as the boot loader collects them."""
    return {p.subtype & 0x0F: p for p in table if p.type == APP and p.subtype & ~0x0F == OTA_0}
