"""Boot loader of the twin: flash -> partition table -> otadata -> verified image.

Follows ESP-IDF's second stage (``bootloader_utility.c``): both otadata entries blank selects the factory
or first OTA slot, otherwise the highest valid sequence number does; an image that does not verify is
passed over for the next slot. Rollback states are not kept yet.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from cicada.tools.errors import UserError

_TABLE = 0x8000
_TABLE_SIZE = 0xC00
_BLANK = 0xFFFFFFFF


@dataclass(frozen=True)
class Booted:
    """What was chosen: partition label and offset, the verified image, its version."""

    label: str
    offset: int
    image: bytes
    version: str


def boot(flash: bytes) -> Booted:
    """Choose and verify the image to run; ``UserError`` if the flash holds none."""
    from esp_idf_defs import ImageMetadata, PartitionTable

    try:
        table = PartitionTable.from_binary(flash[_TABLE : _TABLE + _TABLE_SIZE])
    except Exception as error:
        raise UserError(
            f"the flash image has no valid partition table at 0x8000 ({error}): build it again"
        ) from error
    apps = sorted((p for p in table if p.type == 0), key=lambda p: p.subtype)
    if not apps:
        raise UserError("the partition table has no app slot: correct boards/*/partitions.csv")
    first = _selected(flash, table, len([p for p in apps if p.subtype >= 0x10]))
    reasons = []
    for slot in apps[first:] + apps[:first]:
        data = flash[slot.offset : slot.offset + slot.size]
        try:
            about = ImageMetadata.from_bytes(data, app_required=True)
        except Exception as error:
            reasons.append(f"{slot.name}: {error}")
            continue
        return Booted(slot.name, slot.offset, data, about.app_description.version)
    raise UserError("no slot of the flash image holds a bootable image: " + "; ".join(reasons))


def _selected(flash: bytes, table: object, slots: int) -> int:
    """Index of the slot otadata names (0 when it is blank)."""
    data = next((p for p in table if p.type == 1 and p.subtype == 0), None)
    best = 0
    for entry in (data.offset, data.offset + 0x1000) if data and slots else ():
        sequence, crc = struct.unpack_from("<I24xI", flash, entry)
        valid = zlib.crc32(struct.pack("<I", sequence), 0xFFFFFFFF) == crc
        if sequence != _BLANK and valid:
            best = max(best, sequence)
    return (best - 1) % slots if best else 0
