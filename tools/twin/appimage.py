"""ESP-IDF app images: making them, and the boot loader's verification of them.

Formats: ESP-IDF ``esp_app_format.h`` (image header, segments, XOR checksum seeded 0xEF, appended SHA-256)
and ``esp_app_desc.h`` (256-byte descriptor at the start of the first segment). The checks and their order are
those of ``esp_image_format.c``.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from types import ModuleType

import numpy as np

#: ``esp_chip_id_t``.
CHIP_IDS = {"esp32": 0, "esp32s2": 2, "esp32c3": 5, "esp32s3": 9}
MAX_SEGMENTS = 16

_HEADER = struct.Struct("<BBBBIB3xHBHH4xB")
_SEGMENT = struct.Struct("<II")
_DESCRIPTOR = struct.Struct("<II8x32s32s16s16s32s32s80x")
_DESCRIPTOR_MAGIC = 0xABCD5432
_MAGIC, _CHECKSUM_SEED = 0xE9, 0xEF
_DROM = (0x3F400000, 0x3F800000)  # where the ESP32 maps read-only data,
_IROM = (0x400D0000, 0x40400000)  # and code
_MMU_PAGE = 0x10000


class ImageError(Exception):
    """The boot loader refuses the image; the text says why."""


@dataclass(frozen=True)
class Verified:
    """An image that may run.

    Attributes:
        length: bytes, checksum and hash included.
        version: of the application descriptor; empty without one.
        secure_version: for anti-rollback.
        payload: contents of the first segment after the descriptor.
    """

    length: int
    version: str
    secure_version: int
    payload: bytes


def build(payload: bytes, version: str, board: ModuleType, secure_version: int = 0) -> bytes:
    """App image with one segment: application descriptor and ``payload``."""
    descriptor = _DESCRIPTOR.pack(
        _DESCRIPTOR_MAGIC, secure_version, version.encode(), b"cicada", b"", b"", b"",
        hashlib.sha256(payload).digest(),
    )  # fmt: skip
    data = descriptor + payload
    data += b"\0" * (-len(data) % 4)
    size = {4: 2, 8: 3, 16: 4}[board.FLASH_SIZE >> 20]
    load = _DROM[0] + _HEADER.size + _SEGMENT.size  # the same offset in a 64 KiB page as in the flash
    not_used = 0xEE  # the pin that write-protects the flash
    header = _HEADER.pack(_MAGIC, 1, 2, size << 4, load, not_used, CHIP_IDS[board.CHIP], 0, 0, 0xFFFF, 1)
    body = header + _SEGMENT.pack(load, len(data)) + data
    body += b"\0" * (15 - len(body) % 16)
    body += bytes([_checksum(data)])
    return body + hashlib.sha256(body).digest()


def verify(data: bytes | memoryview, chip: str, room: int, check: bool = True) -> Verified:
    """Read an image as the boot loader does.

    Args:
        data: flash contents from the start of the slot; may be longer than the image.
        chip: name of the chip it must be for.
        room: size of the slot, bytes.
        check: without it nothing but the segment headers is looked at, as after deep sleep.

    Raises:
        ImageError: if the boot loader would not run it.
    """
    data = memoryview(data)
    if len(data) < _HEADER.size:
        raise ImageError("there is no room for an image")
    magic, count, _, _, _, _, chip_id, _, _, _, hashed = _HEADER.unpack_from(data)
    if check:
        if magic != _MAGIC:
            raise ImageError("invalid magic byte (nothing flashed here?)")
        if chip_id != CHIP_IDS[chip]:
            raise ImageError(f"it is for chip {chip_id}, this is chip {CHIP_IDS[chip]}")
        if count > MAX_SEGMENTS:
            raise ImageError(f"segment count {count} exceeds {MAX_SEGMENTS}")
    at, checksum, payload = _HEADER.size, _CHECKSUM_SEED, b""
    for number in range(count):
        segment, at = _segment(data, at, number)
        if check:
            checksum ^= _checksum(segment, 0)
        if number == 0:
            payload = bytes(segment)
    end = (at + 16) // 16 * 16  # one byte for the checksum, then full blocks
    if end > len(data):
        raise ImageError(f"image length {end} does not fit in partition length {room}")
    if check and data[end - 1] != checksum:
        raise ImageError(f"checksum failed: calculated 0x{checksum:02x}, read 0x{data[end - 1]:02x}")
    length = end + (32 if hashed else 0)
    if length > room:
        raise ImageError(f"image length {length} does not fit in partition length {room}")
    if check and hashed and hashlib.sha256(data[:end]).digest() != bytes(data[end:length]):
        raise ImageError("image hash failed, the image is corrupt")
    version, secure_version = "", 0
    if len(payload) >= _DESCRIPTOR.size and payload[:4] == struct.pack("<I", _DESCRIPTOR_MAGIC):
        _, secure_version, name, *_ = _DESCRIPTOR.unpack_from(payload)
        version = name.split(b"\0")[0].decode("utf-8", "replace")
    return Verified(length, version, secure_version, payload[_DESCRIPTOR.size :])


def _segment(data: memoryview, at: int, number: int) -> tuple[memoryview, int]:
    """Contents of the segment whose header is at ``at``, and where the next one begins."""
    if at + _SEGMENT.size > len(data):
        raise ImageError(f"segment {number} lies outside the flash")
    load, length = _SEGMENT.unpack_from(data, at)
    at += _SEGMENT.size
    if length % 4 or length >= 16 << 20:
        raise ImageError(f"invalid segment length 0x{length:x}")
    mapped = any(low <= load < high for low, high in (_DROM, _IROM))
    if mapped and at % _MMU_PAGE != load % _MMU_PAGE:
        raise ImageError(f"segment {number} load address 0x{load:08x} does not match data 0x{at:08x}")
    if at + length > len(data):
        raise ImageError(f"segment {number} reaches past the end of the flash")
    return data[at : at + length], at + length


def _checksum(data: bytes | memoryview, seed: int = _CHECKSUM_SEED) -> int:
    """XOR of all bytes and ``seed``."""
    return int(np.bitwise_xor.reduce(np.frombuffer(data, np.uint8), initial=seed))
