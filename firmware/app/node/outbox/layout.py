"""What lies where in the outbox's partition; little endian, this project's own format, version 1.

A **sector** of 4096 bytes begins with 48 bytes about itself, then records follow each other::

    0   4s  "COBX"                       16  3 u32  records dropped so far, by priority, but for those that
    4   u8  version of the format                   are marked in a sector that counts
    5   u8  sectors of the ring          28  u32    CRC-32 of all before
    6   u16 generation                   32  3 u8   when it closed: its records marked as dropped
    8   u32 epoch, from 1                35  u8     0
    12  u32 lowest number not yet given  36  u32    CRC-32 of these four

A **record** has 16 bytes of its own, then its data, and begins at a multiple of 16::

    0   u8  0xb5                         8   u32 CRC-32 of the 8 bytes before and of the data
    1   u8  priority << 4 | kind         12  u16 CRC-32 of the 12 bytes before, its lower half
    2   u16 bytes of data, 0: a tally    14  u8  done: 0 once it was delivered
    4   u32 number                       15  u8  dropped: 0 once it was dropped

Everything is programmed once into erased flash, but for the last two bytes, which are cleared later. Only 0
counts there: a byte that is cleared in part says nothing. A tally is a record that was dropped at once.
"""

import binascii
import struct

from micropython import const

SECTOR = const(4096)
#: Where the first record of a sector begins.
FIRST = const(48)
#: Bytes of a record beside its data.
HEAD = const(16)
#: Most bytes of data in a record.
MOST = const(1024)
#: Most sectors that are used: places are kept as 14 bits, in steps of 16 bytes.
SECTORS = const(64)
PRIORITIES = const(3)

DONE = const(14)
DROPPED = const(15)
CLOSING = const(32)

_VERSION = const(1)
_MAGIC = b"COBX"
_RECORD = const(0xB5)
_SECTOR_FORMAT = "<4sBBHIIIII"
_RECORD_FORMAT = "<BBHIIH"
_ERASED = b"\xff" * 16


def size(count):
    """Bytes of flash that a record with ``count`` bytes of data takes."""
    return HEAD + (count + 15 & ~15)


def put_sector(sectors, generation, epoch, number, dropped):
    """The first 32 bytes of a sector; ``dropped`` has one count a priority."""
    raw = struct.pack(_SECTOR_FORMAT, _MAGIC, _VERSION, sectors, generation, epoch, number, *dropped)
    return raw + struct.pack("<I", binascii.crc32(raw))


def sector(raw, sectors):
    """What the first bytes of a sector say.

    Args:
        raw: at least 32 bytes.
        sectors: of the ring that it should belong to.

    Returns:
        ``(generation, epoch, number, low, normal, high)``; None if it is not a sector of this format.
    """
    fields = struct.unpack_from(_SECTOR_FORMAT, raw)
    if fields[:3] != (_MAGIC, _VERSION, sectors):
        return None
    if struct.unpack_from("<I", raw, 28)[0] != binascii.crc32(raw[:28]):
        return None
    return fields[3:]


def put_closing(counts):
    """What is written to ``CLOSING`` when nothing in a sector waits any longer; counts of those dropped."""
    raw = bytes(counts) + b"\0"
    return raw + struct.pack("<I", binascii.crc32(raw))


def closing(raw):
    """Counts of the records dropped in a sector that closed; None if it has not; False if they are torn."""
    raw = raw[CLOSING : CLOSING + 8]
    if raw == _ERASED[:8]:
        return None
    if struct.unpack_from("<I", raw, 4)[0] != binascii.crc32(raw[:4]):
        return False
    return raw[:PRIORITIES]


def put_record(view, kind, priority, number, data):
    """Make a record at the beginning of ``view``; one without data is a tally."""
    count = len(data)
    struct.pack_into("<BBHI", view, 0, _RECORD, priority << 4 | kind, count, number)
    view[HEAD : HEAD + count] = data
    struct.pack_into("<I", view, 8, _crc(view, count))
    struct.pack_into("<H", view, 12, binascii.crc32(view[:12]) & 0xFFFF)
    wait(view)


def wait(view):
    """Make a record one that is neither done nor dropped, as a copy has to be."""
    view[DONE] = view[DROPPED] = 0xFF


def about(view, at):
    """What the first 16 bytes of a record say that lies ``at`` bytes into its sector.

    Returns:
        ``(kind, priority, count of data, number)``; None if this is not a record.
    """
    if view[0] != _RECORD:
        return None
    _, what, count, number, _, check = struct.unpack_from(_RECORD_FORMAT, view)
    if check != binascii.crc32(view[:12]) & 0xFFFF:
        return None
    if what >> 4 >= PRIORITIES or count > MOST or at + HEAD + count > SECTOR:
        return None
    return what & 15, what >> 4, count, number


def sound(view, count):
    """Whether the data of a record are what was put; ``view`` holds all of it."""
    return struct.unpack_from("<I", view, 8)[0] == _crc(view, count)


def erased(view):
    """Whether nothing was programmed in ``view``, whose length is a multiple of 16."""
    for at in range(0, len(view), 16):
        if view[at : at + 16] != _ERASED:
            return False
    return True


def _crc(view, count):
    return binascii.crc32(view[HEAD : HEAD + count], binascii.crc32(view[:8]))
