"""Payloads: a chain of blocks that becomes an image in flash, and can be gone on with at any block.

    block  = header, body
    header = u16 length of the body, u8 flags, u8 sectors, 32 bytes SHA-256 of the next block
    flags    1: the body is raw deflate with a window of 4096 bytes; 2: what it holds is a patch

The manifest has the hash of the first block, each block that of the next, so each is known to be the signed
one before it is looked into. It fills ``sectors`` sectors of the image and needs nothing of the blocks before
it. A patch is a list of ``u8 kind, u16 length, u32 offset``: 0 copies from the base, 1 adds the bytes that
follow to the base's, 2 is the bytes that follow.
"""

import hashlib
import io
import struct

import deflate
from micropython import const

from node.net import LinkError
from node.updates.image import SECTOR
from node.updates.release import Refused

_HEADER = const(36)
_LONGEST = const(4352)  # body
_CONTENT = const(4096)
_PIECE = const(512)  # of a patched image that is put together at a time; it divides a sector
_DEFLATE = const(1)
_PATCH = const(2)
_COPY = const(0)
_DIFF = const(1)
_DATA = const(2)
_OP = const(7)
_WINDOW = const(12)  # bits


class Blocks:
    """Writes blocks to a partition. All memory it needs is taken when it is made.

    Args:
        target: ``esp32.Partition`` to write.
        start: where the image begins in it, a multiple of 4096.
        size: bytes of the image.
        base: what a patch starts from, with ``readinto(offset, buf)`` and ``size``; None for a full image.
        sectors: sectors that are written already.
        offset: bytes of the payload that are done.
        digest: SHA-256 of the block that comes next.

    Attributes ``sectors``, ``offset`` and ``digest`` go on with each block.
    """

    def __init__(self, target, start, size, base, sectors, offset, digest):
        self._target = target
        self._start = start // SECTOR
        self._size = size
        self._base = base
        self.sectors = sectors
        self.offset = offset
        self.digest = digest
        self._header = bytearray(_HEADER)
        self._body = io.BytesIO(bytearray(_LONGEST))
        self._content = memoryview(bytearray(_CONTENT))
        self._piece = memoryview(bytearray(_PIECE)) if base else None

    @property
    def done(self):
        """Whether the image is complete."""
        return self.sectors * SECTOR >= self._size

    def step(self, stream):
        """Fetch one block, check it, write it.

        Raises:
            LinkError: it did not come whole, or is not the one that was signed.
            Refused: it was signed but is not what a block must be.
        """
        length, flags, sectors = self._fetch(stream)
        most = min(self._size - self.sectors * SECTOR, sectors * SECTOR)
        if (
            not 1 <= sectors <= 16
            or flags > 3
            or (sectors - 1) * SECTOR >= self._size - self.sectors * SECTOR
        ):
            raise Refused("a block's header is malformed")
        count = self._unpack(length, flags)
        if not flags & _PATCH:
            if count != most or sectors != 1:
                raise Refused("a block does not fill its sector")
            self._write(self.sectors * SECTOR, self._content[:count])
        else:
            self._patch(count, most)
        self.sectors += sectors
        self.offset += _HEADER + length
        self.digest = bytes(memoryview(self._header)[4:])

    def _fetch(self, stream):
        """One block into ``_body``; it is the one that was signed when this returns."""
        header, body = self._header, self._body
        _fill(stream, memoryview(header))
        length, flags, sectors = struct.unpack_from("<HBB", header)
        if not 1 <= length <= _LONGEST:
            raise LinkError("a block of %d bytes came" % length)
        digest = hashlib.sha256(header)
        body.seek(0)
        left = length
        while left:
            part = self._content[: min(left, _CONTENT)]  # which nothing needs before the body is unpacked
            _fill(stream, part)
            digest.update(part)
            body.write(part)
            left -= len(part)
        if digest.digest() != self.digest:
            raise LinkError("what came is not the block that was signed")
        body.seek(0)
        return length, flags, sectors

    def _unpack(self, length, flags):
        """The body's content into ``_content``; returns how many bytes it has."""
        content = self._content
        if not flags & _DEFLATE:
            if length > _CONTENT:
                raise Refused("a block holds too much")
            return self._body.readinto(content[:length])
        try:
            source = deflate.DeflateIO(self._body, deflate.RAW, _WINDOW)
            count = 0
            while count < _CONTENT:
                got = source.readinto(content[count:])
                if not got:
                    return count
                count += got
            if source.read(1):
                raise Refused("a block holds too much")
        except (OSError, EOFError):
            raise Refused("a block cannot be unpacked")
        return count

    def _patch(self, count, most):
        """Carry out the patch in ``_content``: ``most`` bytes of the image come of it."""
        import delta  # most updates of a model need none

        content, base, piece = self._content, self._base, self._piece
        if not base:
            raise Refused("a patch without its base")
        at = made = filled = 0
        start = self.sectors * SECTOR
        while at < count:
            if at + _OP > count:
                raise Refused("a patch is cut short")
            kind, left, offset = struct.unpack_from("<BHI", content, at)
            at += _OP
            own = left if kind else 0
            if (
                kind > _DATA
                or at + own > count
                or made + left > most
                or (kind != _DATA and offset + left > base.size)
            ):
                raise Refused("a patch reaches too far")
            while left:
                n = min(left, _PIECE - filled)
                part = piece[filled : filled + n]
                if kind == _DATA:
                    part[:] = content[at : at + n]
                else:
                    base.readinto(offset, part)
                    if kind == _DIFF:
                        delta.add(part, content[at : at + n])
                    offset += n
                if kind:
                    at += n
                left -= n
                made += n
                filled += n
                if filled == _PIECE or made == most:
                    self._write(start + made - filled, piece[:filled])
                    filled = 0
        if made != most:
            raise Refused("a patch makes too little")

    def _write(self, at, data):
        """Write a part of the image that lies in one sector; its first part erases the sector."""
        index, offset = self._start + at // SECTOR, at % SECTOR
        if not offset:
            self._target.ioctl(6, index)
        self._target.writeblocks(index, data, offset)


def _fill(stream, view):
    """Fill ``view`` from a stream that may give less."""
    while view:
        got = stream.readinto(view)
        if not got:
            raise LinkError("the payload ended too early")
        view = view[got:]
