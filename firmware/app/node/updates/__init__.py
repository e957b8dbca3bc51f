"""Updates of firmware and models that cannot brick the device, lie to it or take it back.

``early`` is called by ``_boot.py`` at every boot, before anything else runs.
docs/updates.md has the whole story.
"""

import json

import machine

_PREFIX = b"CICADA-IDENTITY "
_slots = None


def identity():
    """What this image is: dict with product, board, version and security."""
    from node.identity import IDENTITY

    return json.loads(IDENTITY[len(_PREFIX) : -1])


def slots():
    """The :class:`node.updates.firmware.Firmware` of this boot; None on a board without a journal."""
    global _slots
    if _slots is None:
        from esp32 import Partition

        from node.updates.firmware import Firmware
        from node.updates.journal import Journal

        found = Partition.find(Partition.TYPE_DATA, label="updates")
        if found:
            _slots = Firmware(Journal(found[0]), identity()["security"])
    return _slots


def early():
    """Count trials, go on with what a reset broke off, or go back; may reset the chip.

    There is nothing to do after a sleep that the node chose itself: nothing sleeps that is not decided.
    """
    if machine.reset_cause() == machine.DEEPSLEEP_RESET:
        from node.memory import Memory

        memory = Memory(machine.RTC())
        if memory.load() and memory.asleep:
            return
    found = slots()
    if found:
        found.early()
