"""Whether an ESP-IDF image would boot, judged on the host.

esptool reads the image; the checks are those of the boot loader (ESP-IDF ``esp_image_format.c``): chip,
segments, XOR checksum, SHA-256, chip revision. Formats: ``esp_app_format.h``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

MAX_SEGMENTS = 16
HEADER = 24  # bytes before the first segment
_SEGMENT = struct.Struct("<II")
_DIGEST = 32
_LARGEST = 16 << 20


class ImageError(Exception):
    """The boot loader would refuse the image; the text says why."""


@dataclass(frozen=True)
class Image:
    """A whole image.

    Attributes:
        length: bytes, checksum and digest included.
        min_revision, max_revision: of the chip, major times 100 plus minor.
    """

    length: int
    min_revision: int
    max_revision: int


def inspect(data: bytes, chip: str) -> Image:
    """The image at the start of ``data``, which may be longer.

    Args:
        data: file or flash contents.
        chip: which it must be for, e.g. ``esp32s3``.

    Raises:
        ImageError: if it would not boot.
    """
    from esptool.bin_image import LoadFirmwareImage
    from esptool.util import FatalError

    length = measure(lambda at, size: data[at : at + size])
    if length > len(data):
        raise ImageError(f"it is cut off: {length} bytes long, {len(data)} are there")
    try:
        image = LoadFirmwareImage(chip, data)
    except (FatalError, RuntimeError, struct.error, TypeError) as error:
        raise ImageError(str(error)) from error
    if image.chip_id != image.ROM_LOADER.IMAGE_CHIP_ID:
        raise ImageError(f"it is for another chip (number {image.chip_id}) than {chip}")
    if image.calculate_checksum() != image.checksum:
        raise ImageError("its checksum is wrong")
    if image.append_digest and image.stored_digest != image.calc_digest:
        raise ImageError("its SHA-256 is wrong")
    highest = image.max_rev_full or 0xFFFF  # images of old ESP-IDF have neither field
    return Image(length, image.min_rev_full, highest)


def measure(read: Callable[[int, int], bytes]) -> int:
    """Length of an image in bytes, from its headers alone.

    Args:
        read: gives ``size`` bytes from ``at``, counted from the image's start.

    Raises:
        ImageError: if there is no image.
    """
    header = read(0, HEADER)
    if len(header) < HEADER or header[0] != 0xE9:
        raise ImageError("there is no image")
    count, hashed = header[1], header[23]
    if not 0 < count <= MAX_SEGMENTS or hashed > 1:
        raise ImageError(f"its header is damaged ({count} segments)")
    at = HEADER
    for number in range(count):
        segment = read(at, _SEGMENT.size)
        size = _SEGMENT.unpack(segment)[1] if len(segment) == _SEGMENT.size else _LARGEST
        if size >= _LARGEST or at > _LARGEST:
            raise ImageError(f"segment {number} does not end")
        at += _SEGMENT.size + size
    return (at + 16) // 16 * 16 + _DIGEST * hashed  # the checksum ends a block of 16
