"""Interface of the ``delta`` module: the arithmetic of updates that carry only what differs.

This stub is the contract. On chips the module is C (``firmware/modules/delta``); on the twin it is a shim
(``boards/twin/lib/delta.py``). It knows nothing of files, blocks or flash: those are the application's.
"""

from collections.abc import Buffer

def add(target: Buffer, difference: Buffer) -> None:
    """Add ``difference`` to ``target``, in place: ``target[i] = (target[i] + difference[i]) & 255``.

    Both are taken as bytes, whatever they hold. They may be the same buffer, but must not overlap otherwise:
    what would come out is not said. Nothing is allocated.

    Raises:
        ValueError: they have different numbers of bytes.
        TypeError: one is no buffer, or ``target`` cannot be written to.
    """
