"""The power goes at every flash operation of the outbox; and bugs that are put into it are found that way.

A lot decides which cuts are tried; with ``CICADA_OUTBOX=all`` it is all of them, which takes some minutes.
"""

from __future__ import annotations

import os

import pytest

from cicada.tools.twin.flash import PowerCut
from support.outbox_cuts import WORKLOADS, Campaign
from support.outboxes import load

_SHARE = 1 if os.environ.get("CICADA_OUTBOX") == "all" else 0.04

#: Name, workload that shows it, and changes: file, old, new.
MUTANTS = {
    "checksum of data unchecked": (
        "fill",
        (
            "layout",
            '    return struct.unpack_from("<I", view, 8)[0] == _crc(view, count)\n',
            "    return True\n",
        ),
    ),
    "checksum of a record's first bytes unchecked": (
        "reclaiming",
        ("layout", "    if check != binascii.crc32(view[:12]) & 0xFFFF:\n", "    if False:\n"),
    ),
    "checksum of a sector unchecked": (
        "reclaiming",
        (
            "layout",
            '    if struct.unpack_from("<I", raw, 28)[0] != binascii.crc32(raw[:28]):\n',
            "    if False:\n",
        ),
    ),
    "checksum of a closing unchecked": (
        "delivered",
        (
            "layout",
            '    if struct.unpack_from("<I", raw, 4)[0] != binascii.crc32(raw[:4]):\n',
            "    if False:\n",
        ),
    ),
    "a torn last record is believed": (
        "in_order",
        ("box", "        if about[2] and done and not self._fetch(where):\n", "        if False:\n"),
    ),
    "a torn last record counts again when others follow": (
        "in_order",
        (
            "box",
            "            self._clear(where, DONE)\n            return False\n",
            "            return False\n",
        ),
    ),
    "programs over torn bytes": (
        "fill",
        ("box", "        return layout.erased(self._view[:size])\n", "        return True\n"),
    ),
    "a sector counts before its copies are there": (
        "reclaiming",
        (
            "box",
            "        at = FIRST\n        i = 0\n        while i < waiting.count:\n",
            "        self._device.writeblocks(new, layout.put_sector(n, self.generation, self._epoch + 1, "
            "self._next, [self._base[p] + self._marked[p * n + victim] for p in range(PRIORITIES)]), 0)\n"
            "        at = FIRST\n        i = 0\n        while i < waiting.count:\n",
        ),
    ),
    "what waits is not copied": (
        "reclaiming",
        ("box", "            if where >> 10 == victim:\n", "            if False:\n"),
    ),
    "a sector is not erased before it is used": (
        "in_order",
        ("box", "        self._device.ioctl(6, new)\n", "        pass\n"),
    ),
    "erases the sector that it copies from": (
        "reclaiming",
        ("box", "        self._device.ioctl(6, new)\n", "        self._device.ioctl(6, victim)\n"),
    ),
    "the sector behind the head counts": (
        "reclaiming",
        ("box", "self._epoch - self._sectors + 2)", "self._epoch - self._sectors + 1)"),
    ),
    "counts of what was dropped are lost with their sector": (
        "overflow",
        (
            "box",
            "[self._base[p] + self._marked[p * n + victim] for p in range(PRIORITIES)]",
            "list(self._base)",
        ),
    ),
    "a closed sector forgets what was dropped in it": (
        "delivered",
        (
            "box",
            "        counts = [self._marked[p * n + sector] for p in range(PRIORITIES)]\n",
            "        counts = [0, 0, 0]\n",
        ),
    ),
    "what is refused is not counted at the next start": (
        "refused",
        ("box", "        if not dropped or not count:\n", "        if not dropped:\n"),
    ),
    "numbers begin anew when nothing waits": (
        "in_order",
        (
            "box",
            "raw = layout.put_sector(self._sectors, self.generation, epoch, self._next, base)",
            "raw = layout.put_sector(self._sectors, self.generation, epoch, 1, base)",
        ),
    ),
    "copies are taken for new": (
        "reclaiming",
        ("box", "        while i and numbers[i - 1] >= number:\n", "        while False:\n"),
    ),
    "the head is closed as soon as it is empty": (
        "in_order",
        ("box", " and sector != self._head:\n", ":\n"),
    ),
    "copies do not keep their sector open": (
        "reclaiming",
        (
            "waiting",
            "        self.alive[self.places[i] >> 10] -= 1\n        self.alive[where >> 10] += 1\n",
            "",
        ),
    ),
    "drops are not written down": (
        "overflow",
        (
            "box",
            "        about = self._about(where)\n        self._clear(where, DROPPED)\n",
            "        about = self._about(where)\n",
        ),
    ),
    "deliveries are not written down": (
        "in_order",
        ("box", "                self._clear(where, DONE)\n", ""),
    ),
    "a delivery is written down beside its record": (
        "in_order",
        ("box", "offset(where) + which)", "offset(where) + 16 + which)"),
    ),
    "the newest goes first": (
        "overflow",
        ("waiting", "        lowest = i = 0\n", "        lowest, i = 0, self.count - 1\n"),
        ("waiting", "            i += 1\n", "            i -= 1\n"),
    ),
    "high goes as soon as low": (
        "overflow",
        ("waiting", "        while self.places[i] & 3 != lowest:\n", "        while False:\n"),
    ),
    "more is taken than a turn has room for": (
        "fill",
        ("box", "(self._sectors - 1) * (SECTOR - FIRST - _BUFFER)", "self._sectors * (SECTOR - FIRST)"),
    ),
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_no_power_cut_loses_doubles_or_changes_a_record(name):
    tally = Campaign(load(), WORKLOADS[name](), _SHARE).run()
    assert tally.cuts > 50 and tally.recoveries > 50


@pytest.mark.parametrize("name", MUTANTS)
def test_a_seeded_bug_is_found(name):
    workload, *changes = MUTANTS[name]
    try:
        Campaign(load(changes), WORKLOADS[workload](), 0.1).run()
    except PowerCut:
        raise
    except Exception:  # whatever it is, a node would have seen it too
        return
    pytest.fail("not found")
