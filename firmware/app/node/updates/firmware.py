"""Firmware slots: which one runs, which one is on trial, and how it goes on after each boot.

ESP-IDF's boot loader keeps states in ``otadata`` (``esp_ota_ops.h``): a new image boots as PENDING_VERIFY
and is given up for the other one if it is reset before it was confirmed. The CRC there does not cover the
state, so a torn write can leave a failed image looking good; and confirming erases the entry that counts, so
a torn write can bring the old image back. The journal knows better in both cases.
"""

import binascii
import struct

import machine
from esp32 import Partition
from micropython import const

from node import log
from node.updates import journal as j
from node.updates.image import InFlash

PENDING = const(1)
_ATTEMPTS = const(3)
_SWITCHES = const(5)
_WATCHDOG_MS = const(30000)  # from the start of a trial until the application takes over
_OTADATA = const(0)
_OTA_0 = const(0x10)


class Firmware:
    """The two firmware slots.

    Args:
        journal: the :class:`node.updates.journal.Journal`.
        security: security version of the firmware that runs.

    Attributes:
        journal: the journal.
        slot: index of the slot that runs.
        on_trial: whether what runs is on trial.
        too_old: whether what runs is below the floor: it must do nothing but update.
    """

    def __init__(self, journal, security):
        self.journal = journal
        self._running = Partition(Partition.RUNNING)
        self.slot = self._running.info()[1] - _OTA_0
        self.on_trial = False
        self.too_old = security < journal.floor[j.FIRMWARE]
        self._security = security

    def spare(self):
        """The partition that the next firmware goes to."""
        return self._running.get_next_update()

    def base(self, size):
        """The image that runs, as the base of a patch; None if it cannot be that long."""
        if size > self._running.info()[3]:
            return None
        return InFlash(self._running, 0, size)

    def state(self):
        """State of the running slot in otadata; None unless otadata selects the running slot."""
        found = Partition.find(Partition.TYPE_DATA, _OTADATA)
        if not found:
            return None
        best = 0
        state = slot = None
        entry = bytearray(32)
        for sector in (0, 1):
            found[0].readblocks(sector, entry, 0)
            sequence, now, crc = struct.unpack_from("<I20xII", entry)
            if sequence in (0, 0xFFFFFFFF) or now in (3, 4):
                continue
            if binascii.crc32(memoryview(entry)[:4], 0xFFFFFFFF) == crc and sequence > best:
                best, state, slot = sequence, now, (sequence - 1) % 2
        return state if slot == self.slot else None

    def early(self):
        """First thing after each boot: count trials, go on with what a reset broke off, or go back.

        May reset the chip.
        """
        journal = self.journal
        staged = journal.staged[j.FIRMWARE]
        if staged is None:
            self._settle()
        elif staged.slot != self.slot:
            self._elsewhere(staged)
        elif staged.confirming:
            self.confirm()
        elif staged.attempts >= _ATTEMPTS:
            self.fail("it was not confirmed in %d boots" % _ATTEMPTS)
        else:
            journal.append(j.TRIAL, slot=self.slot, count=staged.attempts + 1, serial=staged.serial)
            machine.WDT(timeout=_WATCHDOG_MS)
            self.on_trial = True

    def _settle(self):
        """No release is waiting."""
        journal = self.journal
        bad = journal.verdict[j.FIRMWARE] == j.BAD
        if bad and journal.decided_slot[j.FIRMWARE] == self.slot:
            size, digest = journal.decided_image[j.FIRMWARE]
            if self.base(size).sha256(_nothing) == digest:
                self._leave()  # it failed here, and yet the boot loader started it
        elif self.state() == PENDING:
            if bad:
                self._mark_valid()  # back from a release that failed
            else:
                machine.WDT(timeout=_WATCHDOG_MS)
                self.on_trial = True  # put here by other means than an update
        if journal.cleaned < journal.floor[j.FIRMWARE] and not self.too_old:
            self._clean()

    def _elsewhere(self, staged):
        """A release waits in the other slot, but this one runs."""
        by_itself = machine.reset_cause() != machine.PWRON_RESET
        if staged.attempts and not staged.confirming and (by_itself or staged.attempts >= _ATTEMPTS):
            self._decide_bad(staged, "it was rolled back")
        elif staged.switches >= _SWITCHES:
            self._decide_bad(staged, "the boot loader does not take it")
        else:
            self.switch(staged.serial, staged.security, staged.image, staged.switches + 1)

    def switch(self, serial, security, image, switches=1):
        """Boot the spare slot next, now: a deep sleep in between would wake the old image.

        Returns only if the image there is not one that can boot.
        """
        spare = self.spare()
        slot = spare.info()[1] - _OTA_0
        journal = self.journal
        if journal.floor[j.FIRMWARE] < self._security:
            # What runs is confirmed, and nothing older is left in the spare slot: so this one may stay there.
            # In this order, or the next boot would clean the new image away.
            journal.append(j.CLEANED, security=self._security)
            journal.append(j.FLOOR, security=self._security)
        size, digest = image
        journal.append(
            j.STAGED, slot=slot, count=switches, serial=serial, security=security, a=size, digest=digest
        )
        try:
            spare.set_boot()
        except OSError:
            self._decide_bad(journal.staged[j.FIRMWARE], "it is no image that boots")
            return
        machine.reset()

    def confirm(self):
        """What runs is good: no going back below its security version."""
        journal = self.journal
        staged = journal.staged[j.FIRMWARE]
        if staged and not staged.confirming:
            # Marking erases the entry that counts; should the power go then, the old image finds this.
            journal.append(j.CONFIRMING, slot=self.slot, serial=staged.serial)
        self._mark_valid()
        self.on_trial = False
        if not staged:
            return
        # The floor first: once it is decided, nobody comes back to this.
        if staged.security > journal.floor[j.FIRMWARE]:
            journal.append(j.FLOOR, security=staged.security)
        self._decide(staged, j.GOOD)
        if journal.cleaned < journal.floor[j.FIRMWARE]:
            self._clean()

    def _mark_valid(self):
        # ESP-IDF marks the slot that otadata selects, whichever runs.
        if Partition(Partition.BOOT).info()[2] != self._running.info()[2]:
            self._running.set_boot()
        Partition.mark_app_valid_cancel_rollback()

    def _clean(self):
        """Make firmware below the floor in the spare slot impossible to boot."""
        self.spare().ioctl(6, 0)
        self.journal.append(j.CLEANED, security=self.journal.floor[j.FIRMWARE])

    def _decide_bad(self, staged, why):
        log.warn("update: firmware %d failed: %s" % (staged.serial, why))
        log.event("update", staged.serial, {"kind": "firmware", "result": "failed", "why": str(why)})
        self._decide(staged, j.BAD)

    def _decide(self, staged, verdict):
        size, digest = staged.image
        self.journal.append(
            j.DECIDED, slot=staged.slot, count=verdict, serial=staged.serial, a=size, digest=digest
        )

    def fail(self, why):
        """What runs is bad: remember that, go back. Returns only if there is nothing to go back to."""
        staged = self.journal.staged[j.FIRMWARE]
        if staged:
            self._decide_bad(staged, why)
        else:
            log.warn("update: what runs failed its trial: %s" % why)
        self.on_trial = False
        self._leave()

    def _leave(self):
        if self.state() != PENDING:
            # otadata does not know that this is bad: the boot loader would start it again.
            try:
                self.spare().set_boot()
            except OSError:
                log.error("update: there is no other image to go back to")
                return
        machine.reset()


def _nothing():
    pass
