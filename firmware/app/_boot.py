"""Runs before everything else: mounts the file system, making it first where there is none.

MicroPython's own version stops for ever when the partition holds something it cannot mount, which is what
a power cut during the first formatting leaves. A node that nobody watches must go on instead.

Before that, firmware that was just updated is counted as tried: whatever breaks later, it is known how often.
"""

import sys

import vfs
from esp32 import Partition


def _mount():
    partition = Partition.find(Partition.TYPE_DATA, label="vfs")
    if not partition:
        return
    try:
        vfs.mount(vfs.VfsLfs2(partition[0]), "/")
    except OSError:
        start = bytearray(64)
        partition[0].readblocks(0, start)
        if any(byte != 0xFF for byte in start):
            print("W boot: partition vfs holds no file system that can be mounted, making one")
        else:
            print("I boot: making the file system")
        vfs.VfsLfs2.mkfs(partition[0])
        vfs.mount(vfs.VfsLfs2(partition[0]), "/")


def _count():
    from node import updates

    updates.early()


def _lock():
    from node.identity import DEVELOPMENT

    if not DEVELOPMENT:
        import micropython

        micropython.kbd_intr(-1)  # Ctrl-C is a key like any other


for _step in (_lock, _count, _mount):
    try:
        _step()
    except Exception as _error:
        sys.print_exception(_error)
