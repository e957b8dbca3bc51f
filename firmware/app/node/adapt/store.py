"""What was learned, kept on the file system through power cuts.

Two files, ``/adapt/NAME.0`` and ``/adapt/NAME.1``, little endian::

    0   4 bytes  b"CAD1"
    4   u32      sequence: the larger one is the newer
    8   u32      bytes of data
    12  u32      CRC-32 of the 8 bytes before and the data
    16  data

The older one is written anew, so that the newer one is there whatever happens meanwhile. littlefs has a file
on flash when it is closed, and until then what the file held before.
"""

import binascii
import os
import struct

from micropython import const

from node import log

_MAGIC = b"CAD1"
_HEAD = const(16)
_MOST = const(32768)


class Store:
    """Keeps one block of bytes.

    Args:
        name: of its files.
        folder: where they lie; made when something is saved.
    """

    def __init__(self, name, folder="/adapt"):
        self._name = name
        self._folder = folder
        self._newest = None  # number of the file that counts, and its sequence

    def load(self):
        """What was saved last; None if there is nothing, or nothing whole, which is said at the console."""
        self._newest = None
        best = None
        damaged = 0
        for number in (0, 1):
            try:
                with open(self._path(number), "rb") as file:
                    head = file.read(_HEAD)
                    found = _whole(head, file)
            except OSError:
                continue
            if found is None:
                # littlefs makes a new file empty when it is opened: then only the power went.
                damaged += len(head) > 0
            elif self._newest is None or found[0] > self._newest[1]:
                self._newest = number, found[0]
                best = found[1]
        if damaged and best is None:
            log.warn("adapt: what '%s' had learned is damaged, it starts afresh" % self._name)
        elif damaged:
            log.warn("adapt: one of two copies of what '%s' learned is damaged" % self._name)
        return best

    def save(self, data):
        """Keep ``data``, up to 32 KB, instead of what there is; it is on flash on return.

        Raises:
            OSError: the file system is full or broken; what was saved before counts.
            ValueError: too many bytes.
        """
        if len(data) > _MOST:
            raise ValueError("adapt: at most %d bytes can be kept, not %d" % (_MOST, len(data)))
        if self._newest is None:
            self.load()
        number, sequence = (1 - self._newest[0], self._newest[1] + 1) if self._newest else (0, 1)
        head = struct.pack("<II", sequence, len(data))
        crc = binascii.crc32(data, binascii.crc32(head))
        try:
            os.mkdir(self._folder)
        except OSError:
            pass  # it is there, or opening the file says what is wrong
        with open(self._path(number), "wb") as file:
            file.write(_MAGIC + head + struct.pack("<I", crc))
            file.write(data)
        self._newest = number, sequence

    def reset(self):
        """Delete what was saved."""
        for number in (0, 1):
            try:
                os.remove(self._path(number))
            except OSError:
                pass
        self._newest = None

    def _path(self, number):
        return "%s/%s.%d" % (self._folder, self._name, number)


def _whole(head, file):
    """Sequence and data of a file that is read up to its data; None if it is not what was written."""
    if len(head) != _HEAD or head[:4] != _MAGIC:
        return None
    sequence, size, crc = struct.unpack("<III", head[4:])
    if size > _MOST:
        return None
    data = file.read(size + 1)
    if len(data) != size or binascii.crc32(data, binascii.crc32(head[4:12])) != crc:
        return None
    return sequence, data
