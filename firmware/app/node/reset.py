"""Factory reset: the node forgets where it was used and what it was told there.

Erased: NVS (credentials, certificates), the file system (configuration, adaptation data, everything else on
it), the outbox, RTC memory. Kept: firmware, models, security floors, revoked keys (the partition
``updates``), and the key of the access point, which stands on the device's label.

Partitions are erased as a whole: files and NVS entries that are merely deleted can still be read out of the
flash. Once it has begun it is always finished, whenever the power goes:

1. the number ``factory`` is set in NVS, which happens as a whole: from here on there is no way back;
2. the file system and the outbox are erased;
3. a record with the access point's key is written to the first sector of the outbox;
4. NVS is erased, a second record says so, and the chip is reset, because NVS's driver does not notice;
5. the key goes back into NVS, and the records are erased.
"""

import binascii
import struct

import machine
from esp32 import NVS, Partition
from micropython import const

from node import log

_SPACE = "cicada"
_MARK = "factory"
_MAGIC = b"CFACRST1"
_ERASED = b"CFACRST2"
_ERASED_AT = const(256)  # in the sector of the record
_FORMAT = "<8sB47s"  # magic, length of the key, the key; a CRC-32 follows
_RECORD = const(60)
_SECTOR = const(4096)
_PIECE = const(512)


def factory(feed=None):
    """Forget everything, and reset the chip; never returns.

    Switch the radio off before, and close files.

    Args:
        feed: the watchdog's, or None.
    """
    space = NVS(_SPACE)
    space.set_i32(_MARK, 1)
    space.commit()
    _go_on(feed or _nothing)


def unfinished(feed=None):
    """Finish a factory reset that a power cut broke off; call it first at each boot but a wake.

    It returns if there is none, or when the last one is finished; it may reset the chip. Costs one read of
    the outbox's beginning and one of NVS.

    Args:
        feed: as for :func:`factory`.

    Returns:
        whether a factory reset was finished just now.
    """
    outbox = _find("outbox")
    key = _recorded(outbox)
    if key is not None:
        _finish(outbox, key, feed or _nothing)
        return True
    try:
        NVS(_SPACE).get_i32(_MARK)
    except OSError:
        return False
    _go_on(feed or _nothing)


def _go_on(feed):
    """Steps 2 to 4."""
    from node.secrets import Secrets

    log.warn("factory reset: erasing what this device was told and has learnt")
    machine.RTC().memory(b"")
    key = Secrets().get("setup_key")
    _unmount()
    outbox = _find("outbox")
    _erase(_find("vfs"), feed)
    _erase(outbox, feed)
    if outbox is not None:
        _record(outbox, key if isinstance(key, str) else "")
    _erase_nvs(outbox, feed)


def _erase_nvs(outbox, feed):
    """Step 4."""
    _erase(_find("nvs"), feed)
    if outbox is not None:
        outbox.writeblocks(0, _ERASED, _ERASED_AT)
    machine.reset()


def _finish(outbox, key, feed):
    """Step 5; or step 4 again, if it was not over. Some of NVS may be gone and some not, the mark either."""
    from node.secrets import Secrets

    said = bytearray(len(_ERASED))
    outbox.readblocks(0, said, _ERASED_AT)
    if said != _ERASED:
        _erase_nvs(outbox, feed)
    if key:
        Secrets().set("setup_key", key)
    outbox.ioctl(6, 0)
    log.warn("factory reset: done")


def _find(label):
    found = Partition.find(Partition.TYPE_DATA, label=label)
    return found[0] if found else None


def _unmount():
    import vfs

    try:
        vfs.umount("/")
    except OSError:
        pass  # nothing was mounted


def _erase(partition, feed):
    """Erase every sector that is not blank."""
    if partition is None:
        return
    buf = bytearray(_PIECE)
    blank = b"\xff" * _PIECE
    for sector in range(partition.ioctl(4, 0)):
        feed()
        for at in range(0, _SECTOR, _PIECE):
            partition.readblocks(sector, buf, at)
            if buf != blank:
                partition.ioctl(6, sector)
                break


def _record(outbox, key):
    data = struct.pack(_FORMAT, _MAGIC, len(key), key.encode())
    data += struct.pack("<I", binascii.crc32(data))
    outbox.writeblocks(0, data, 0)


def _recorded(outbox):
    """The access point's key, "" for none; None if there is no such record."""
    if outbox is None:
        return None
    data = bytearray(_RECORD)
    outbox.readblocks(0, data, 0)
    magic, count, key = struct.unpack_from(_FORMAT, data)
    size = struct.calcsize(_FORMAT)
    if magic != _MAGIC or struct.unpack_from("<I", data, size)[0] != binascii.crc32(memoryview(data)[:size]):
        return None
    return bytes(key[:count]).decode()


def _nothing():
    pass
