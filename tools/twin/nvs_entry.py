"""The entries of an NVS partition, and ESP-IDF's names for what is in them and what goes wrong.

A value takes one entry of 32 bytes, or a head entry and up to 125 entries of data. A blob is chunks of that
kind, in one page or several, and an index entry written after them.

Format: ESP-IDF v5.5.1 ``components/nvs_flash`` (``private_include/nvs_constants.h``, ``src/nvs_types.hpp``,
``src/nvs_types.cpp``, ``include/nvs.h``).
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

ENTRY = 32
ENTRIES = 126
CHUNK_MAX = ENTRY * (ENTRIES - 1)
VERSION = 0xFE

#: Item types. A blob is a BLOB_IDX entry and its BLOB_DATA chunks; BLOB is the older form in one piece.
U8, I8, U16, I16, U32, I32, U64, I64 = 0x01, 0x11, 0x02, 0x12, 0x04, 0x14, 0x08, 0x18
SZ, BLOB, BLOB_DATA, BLOB_IDX, ANY = 0x21, 0x41, 0x42, 0x48, 0xFF
PRIMITIVE = (U8, U16, U32, U64, I8, I16, I32, I64)
VARIABLE = (SZ, BLOB, BLOB_DATA)

NS_INDEX, NS_ANY = 0, 255
CHUNK_ANY = 255
#: Chunk numbers start at one or the other in turn, so that old and new chunks of a blob can be told apart.
VERSION_0, VERSION_1, VERSION_ANY = 0x00, 0x80, 0xFF

UNINITIALIZED, ACTIVE, FULL, FREEING = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFC, 0xFFFFFFF8
CORRUPT = 0xFFFFFFF0
EMPTY, WRITTEN, ILLEGAL, ERASED = 3, 2, 1, 0

_BLOB_LIMIT = 127 * CHUNK_MAX

#: Codes of ``nvs.h`` (and ESP_FAIL of ``esp_err.h``) that can come up here.
CODES = {
    "ESP_FAIL": -1,
    "ESP_ERR_NVS_NOT_FOUND": 0x1102,
    "ESP_ERR_NVS_TYPE_MISMATCH": 0x1103,
    "ESP_ERR_NVS_NOT_ENOUGH_SPACE": 0x1105,
    "ESP_ERR_NVS_INVALID_NAME": 0x1106,
    "ESP_ERR_NVS_KEY_TOO_LONG": 0x1109,
    "ESP_ERR_NVS_PAGE_FULL": 0x110A,
    "ESP_ERR_NVS_INVALID_STATE": 0x110B,
    "ESP_ERR_NVS_INVALID_LENGTH": 0x110C,
    "ESP_ERR_NVS_NO_FREE_PAGES": 0x110D,
    "ESP_ERR_NVS_VALUE_TOO_LONG": 0x110E,
    "ESP_ERR_NVS_NEW_VERSION_FOUND": 0x1110,
}


class NvsError(OSError):
    """An error of ESP-IDF as MicroPython's ``check_esp_err`` shows it: negative code and name.

    Args:
        name: one of :data:`CODES`; ``args`` become e.g. ``(-4354, "ESP_ERR_NVS_NOT_FOUND")``.
    """

    def __init__(self, name: str) -> None:
        super().__init__(-CODES[name], name)

    @property
    def name(self) -> str:
        """What ESP-IDF calls it."""
        return self.args[1]


def crc32(data: bytes) -> int:
    """``esp_rom_crc32_le(0xffffffff, data)``."""
    return zlib.crc32(data, 0xFFFFFFFF)


def c_string(text: bytes) -> bytes:
    """``text`` up to a NUL, and no longer than a key may be: what ``strncmp`` compares."""
    return text[:15].split(b"\0", 1)[0]


class Item(NamedTuple):
    """One entry: a small value, the head of a longer one, or anything that lies there."""

    ns: int
    kind: int
    span: int
    chunk: int
    crc: int
    key: bytes
    data: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Item:
        """The entry whose 32 bytes are ``raw``."""
        return cls(*struct.unpack("<4BI16s8s", raw))

    @classmethod
    def make(cls, ns: int, kind: int, span: int, key: bytes, chunk: int, data: bytes) -> Item:
        """A new entry with its CRC; ``data`` is filled up with 0xFF."""
        data = data.ljust(8, b"\xff")
        name = c_string(key).ljust(16, b"\0")
        crc = crc32(bytes([ns, kind, span, chunk]) + name + data)
        return cls(ns, kind, span, chunk, crc, name, data)

    def pack(self) -> bytes:
        """Its 32 bytes."""
        return struct.pack("<4BI16s8s", *self)

    @property
    def size(self) -> int:
        """Bytes of a value of variable length, or of this chunk of it."""
        return int.from_bytes(self.data[:2], "little")

    @property
    def data_crc(self) -> int:
        """CRC of the value's bytes."""
        return int.from_bytes(self.data[4:], "little")

    @property
    def blob_size(self) -> int:
        """BLOB_IDX: bytes of the whole blob."""
        return int.from_bytes(self.data[:4], "little")

    @property
    def chunk_count(self) -> int:
        """BLOB_IDX: number of chunks."""
        return self.data[4]

    @property
    def chunk_start(self) -> int:
        """BLOB_IDX: number of the first chunk, VERSION_0 or VERSION_1."""
        return self.data[5]

    def sound(self, index: int) -> bool:
        """Whether its CRC is right and type, span and length make sense at entry ``index``."""
        if self.crc != crc32(bytes(self[:4]) + self.key + self.data):
            return False
        if self.kind in PRIMITIVE:
            return self.span == 1
        if self.kind == BLOB_IDX:
            return self.span == 1 and self.chunk == CHUNK_ANY and self.blob_size <= _BLOB_LIMIT
        if self.kind not in VARIABLE or (self.kind == BLOB_DATA and self.chunk == CHUNK_ANY):
            return False
        return self.span == -(-self.size // ENTRY) + 1 and self.span <= ENTRIES - index


def lookup_hash(ns: int, key: bytes, chunk: int) -> int:
    """What an item is looked up by: 24 bits of a CRC over everything but type and value."""
    return crc32(bytes([ns]) + key + bytes([chunk])) & 0xFFFFFF
