"""Images where they lie: in a partition or in memory, read and hashed piece by piece."""

import hashlib

from micropython import const

SECTOR = const(4096)


class InFlash:
    """The base of a patch: ``size`` bytes from ``start`` in a partition."""

    def __init__(self, partition, start, size):
        self._partition = partition
        self._start = start
        self.size = size

    def readinto(self, offset, buf):
        """Read ``len(buf)`` bytes from ``offset``."""
        self._partition.readblocks(0, buf, self._start + offset)

    def sha256(self, feed):
        """Hash of all of it; ``feed`` is called now and then."""
        return digest(self, feed)


class InMemory:
    """The base of a patch: a buffer, such as a model that is built in."""

    def __init__(self, data):
        self._data = memoryview(data)
        self.size = len(data)

    def readinto(self, offset, buf):
        """Read ``len(buf)`` bytes from ``offset``."""
        buf[:] = self._data[offset : offset + len(buf)]

    def sha256(self, feed):
        """Hash of all of it."""
        return hashlib.sha256(self._data).digest()


def digest(image, feed):
    """SHA-256 of an image in flash, read piece by piece.

    Args:
        image: has ``readinto(offset, buf)`` and ``size``.
        feed: called after each piece, for the watchdog.
    """
    buf = memoryview(bytearray(SECTOR))
    sha = hashlib.sha256()
    for at in range(0, image.size, SECTOR):
        part = buf[: min(SECTOR, image.size - at)]
        image.readinto(at, part)
        sha.update(part)
        feed()
    return sha.digest()
