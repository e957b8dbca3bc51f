"""otadata: which app slot boots, and whether it proved itself.

Two 32-byte entries at the start of two sectors. The entry with the highest valid sequence number wins; its
slot is ``(sequence - 1) % slots``. The CRC covers the sequence number alone, not the state (ESP-IDF,
``esp_flash_partitions.h``, ``bootloader_common_loader.c``).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from cicada.tools.twin.flash import SECTOR, NorFlash
from cicada.tools.twin.partitions import Partition

NEW, PENDING_VERIFY, VALID, INVALID, ABORTED, UNDEFINED = 0, 1, 2, 3, 4, 0xFFFFFFFF
BLANK = 0xFFFFFFFF
STATES = {
    NEW: "new",
    PENDING_VERIFY: "pending verify",
    VALID: "valid",
    INVALID: "invalid",
    ABORTED: "aborted",
    UNDEFINED: "undefined",
}

_ENTRY = struct.Struct("<I20sII")


@dataclass(frozen=True)
class Entry:
    """One entry. ``label`` is not used by ESP-IDF but kept when an entry is rewritten."""

    sequence: int = BLANK
    state: int = UNDEFINED
    crc: int = BLANK
    label: bytes = b"\xff" * 20

    @classmethod
    def of(cls, sequence: int, state: int) -> Entry:
        """An entry with its CRC."""
        return cls(sequence, state, crc_of(sequence))

    @classmethod
    def parse(cls, raw: bytes) -> Entry:
        """The entry in 32 bytes."""
        sequence, label, state, crc = _ENTRY.unpack(raw)
        return cls(sequence, state, crc, label)

    def pack(self) -> bytes:
        """Its 32 bytes."""
        return _ENTRY.pack(self.sequence, self.label, self.state, self.crc)

    @property
    def unusable(self) -> bool:
        """Blank or given up, whatever its CRC (``bootloader_common_ota_select_invalid``)."""
        return self.sequence == BLANK or self.state in (INVALID, ABORTED)

    @property
    def sound(self) -> bool:
        """Whether the CRC fits the sequence number."""
        return self.crc == crc_of(self.sequence)

    @property
    def valid(self) -> bool:
        """Usable and sound (``bootloader_common_ota_select_valid``)."""
        return self.sound and not self.unusable

    @property
    def state_name(self) -> str:
        """The state in words."""
        return STATES.get(self.state, f"0x{self.state:x}")


def crc_of(sequence: int) -> int:
    """CRC of a sequence number, as ESP-IDF starts it (0xFFFFFFFF)."""
    return zlib.crc32(struct.pack("<I", sequence), 0xFFFFFFFF)


def read(flash: NorFlash, partition: Partition) -> list[Entry]:
    """The two entries."""
    return [Entry.parse(flash.read(partition.offset + i * SECTOR, _ENTRY.size)) for i in (0, 1)]


def write(flash: NorFlash, partition: Partition, index: int, entry: Entry) -> None:
    """Erase one of the two sectors and write an entry into it; power may go in between."""
    flash.erase(partition.offset + index * SECTOR)
    flash.program(partition.offset + index * SECTOR, entry.pack())


def active(entries: list[Entry]) -> int | None:
    """Index of the entry that decides; None if neither is valid. Of two equal ones the first decides."""
    valid = [i for i in (0, 1) if entries[i].valid]
    return max(valid, key=lambda i: (entries[i].sequence, -i)) if valid else None


def slot_of(entry: Entry, count: int) -> int:
    """Number of the slot an entry means, of ``count``; 32-bit arithmetic as on the chip."""
    return (entry.sequence - 1) % 2**32 % count
