"""Payloads: an image as a chain of blocks that a device checks and writes one at a time.

A block is a header of 36 bytes and a body::

    0   length   u16, little-endian: of the body, 1 to 4352
    2   flags    u8: 1 = the body is deflated (RFC 1951, window of 4 KiB), 2 = its content is a patch
    3   sectors  u8: how many sectors of 4096 bytes of the image it makes, 1 to 16
    4   next     SHA-256 of the next block, header included; zeros in the last one

The content (the body, inflated) has 1 to 4096 bytes. A literal block's content is one sector of the image; a
patch's is a list of operations, each ``<BHI`` with kind, length (1 to 65535) and offset in the base::

    0 COPY  bytes of the base
    1 DIFF  followed by that many bytes, each added, modulo 256, to the base's byte
    2 DATA  followed by that many bytes; offset 0

Only the last block may make less than whole sectors. The manifest names the first block's SHA-256 and each
block the next one's, so a block is known to be right before any of it is interpreted; and as no block needs
what came before it, an update goes on at any of them.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cicada.tools.release.manifest import SECTOR, SECTORS

HEADER_SIZE = 36
CONTENT = 4096
BODY = 4352
DEFLATED, PATCH = 1, 2
COPY, DIFF, DATA = 0, 1, 2
OPERATION = struct.Struct("<BHI")
LONGEST_OPERATION = 65535

_FIELDS = struct.Struct("<HBB")
_WINDOW = -12  # raw deflate, 4 KiB


class Block(NamedTuple):
    """What a block makes and how: ``content``, whether that is a ``patch``, and of how many ``sectors``."""

    content: bytes
    patch: bool
    sectors: int


@dataclass(frozen=True)
class Payload:
    """A finished chain.

    Attributes:
        data: all of it.
        first: SHA-256 of the first block.
        blocks: how many there are.
    """

    data: bytes
    first: bytes
    blocks: int

    @property
    def sha256(self) -> bytes:
        """Of the whole file."""
        return hashlib.sha256(self.data).digest()


def deflate(content: bytes) -> bytes:
    """Raw deflate with the window that devices have."""
    packer = zlib.compressobj(9, zlib.DEFLATED, _WINDOW, 9)
    return packer.compress(content) + packer.flush()


def body(content: bytes) -> tuple[int, bytes]:
    """Flags and body of a block with this content: deflated where that is smaller."""
    packed = deflate(content)
    return (DEFLATED, packed) if len(packed) < len(content) else (0, content)


def chain(blocks: Sequence[Block]) -> Payload:
    """Link blocks, in the order of the image, into a payload.

    Raises:
        ValueError: if there are none, or one has a size that the format cannot hold.
    """
    if not blocks:
        raise ValueError("a payload has one block at least")
    following = bytes(32)
    pieces = []
    for block in reversed(blocks):
        if not 1 <= len(block.content) <= CONTENT or not 1 <= block.sectors <= SECTORS:
            raise ValueError(f"no block has {len(block.content)} bytes for {block.sectors} sectors")
        flags, packed = body(block.content)
        flags |= PATCH * block.patch
        whole = _FIELDS.pack(len(packed), flags, block.sectors) + following + packed
        following = hashlib.sha256(whole).digest()
        pieces.append(whole)
    return Payload(b"".join(reversed(pieces)), following, len(blocks))


def literals(image: bytes) -> list[Block]:
    """One block a sector."""
    return [Block(image[at : at + SECTOR], False, 1) for at in range(0, len(image), SECTOR)]


def full(image: bytes) -> Payload:
    """The payload that needs no base; ``image`` must not be empty."""
    return chain(literals(image))


class Read(NamedTuple):
    """A verified block: where it begins in the payload, its flags, sectors and inflated content."""

    at: int
    flags: int
    sectors: int
    content: bytes


def read(data: bytes, first: bytes) -> Iterator[Read]:
    """The blocks of a payload, each verified before it is looked into.

    Args:
        data: the whole payload.
        first: SHA-256 of its first block.

    Raises:
        ValueError: at the first thing that is not as :func:`chain` writes it.
    """
    at, expected = 0, first
    while expected != bytes(32):
        if at + HEADER_SIZE > len(data):
            raise ValueError(f"the payload is cut short at {at}")
        length, flags, sectors = _FIELDS.unpack_from(data, at)
        end = at + HEADER_SIZE + length
        if not 1 <= length <= BODY or end > len(data):
            raise ValueError(f"the block at {at} has {length} bytes, which is too much or nothing")
        if hashlib.sha256(data[at:end]).digest() != expected:
            raise ValueError(f"the block at {at} is damaged")
        if flags & ~(DEFLATED | PATCH) or not 1 <= sectors <= SECTORS or (sectors > 1 and not flags & PATCH):
            raise ValueError(f"the block at {at} has flags {flags} and makes {sectors} sectors")
        content = data[at + HEADER_SIZE : end]
        yield Read(at, flags, sectors, _inflate(content, at) if flags & DEFLATED else _stored(content, at))
        expected, at = data[at + 4 : at + HEADER_SIZE], end
    if at != len(data):
        raise ValueError(f"the payload goes on after its last block, at {at}")


def apply(data: bytes, first: bytes, size: int, base: bytes | None = None) -> bytes:
    """The image that a payload makes.

    Args:
        data: the whole payload.
        first: SHA-256 of its first block.
        size: of the image, bytes.
        base: image that patches refer to; None for a full payload.

    Raises:
        ValueError: if the payload is damaged, or makes anything but ``size`` bytes.
    """
    image = bytearray()
    for block in read(data, first):
        wanted = min(block.sectors * SECTOR, size - len(image))
        if wanted <= (block.sectors - 1) * SECTOR:
            raise ValueError(f"the block at {block.at} reaches past the end of the image")
        if not block.flags & PATCH:
            made = block.content
        elif base is None:
            raise ValueError(f"the block at {block.at} is a patch, and there is no base")
        else:
            made = _patch(block, base)
        if len(made) != wanted:
            raise ValueError(f"the block at {block.at} makes {len(made)} bytes, not {wanted}")
        image += made
    if len(image) != size:
        raise ValueError(f"the payload makes {len(image)} bytes, not {size}")
    return bytes(image)


def _stored(content: bytes, at: int) -> bytes:
    if len(content) > CONTENT:
        raise ValueError(f"the block at {at} has {len(content)} bytes of content")
    return content


def _inflate(packed: bytes, at: int) -> bytes:
    """Inflate with a limit, so that no body can take more memory than a content."""
    unpacker = zlib.decompressobj(_WINDOW)
    try:
        content = unpacker.decompress(packed, CONTENT + 1)
    except zlib.error as error:
        raise ValueError(f"the block at {at} cannot be inflated ({error})") from error
    if len(content) > CONTENT or not content or not unpacker.eof or unpacker.unused_data:
        raise ValueError(f"the block at {at} does not inflate to 1 to {CONTENT} bytes and end there")
    return content


def _patch(block: Read, base: bytes) -> bytes:
    """What a patch makes of ``base``."""
    made, content, at = bytearray(), block.content, 0
    while at < len(content):
        if at + OPERATION.size > len(content):
            raise ValueError(f"an operation of the block at {block.at} is cut off")
        kind, length, offset = OPERATION.unpack_from(content, at)
        at += OPERATION.size
        follows = content[at : at + length] if kind != COPY else b""
        if kind > DATA or not length or (kind != COPY and len(follows) != length):
            raise ValueError(f"the block at {block.at} has an operation {kind} of {length} bytes")
        if kind == DATA and offset:
            raise ValueError(f"the block at {block.at} has new bytes with an offset")
        if kind != DATA and offset + length > len(base):
            raise ValueError(f"the block at {block.at} reaches past the end of the base")
        old = base[offset : offset + length]
        if kind == DIFF:
            made += bytes((a + b) & 255 for a, b in zip(old, follows, strict=True))
        else:
            made += old if kind == COPY else follows
        at += len(follows)
    return bytes(made)
