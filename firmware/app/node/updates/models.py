"""Model slots: two in flash, each with its signed manifest, and the model that is built in.

A slot's first sector holds the release's envelope, the model container begins at the second. The envelope is
erased first and written last, so a slot either verifies as a whole or is empty.
"""

import hashlib

import nn
from esp32 import Partition
from micropython import const

from node import log, selftest
from node.model import open_model
from node.updates import journal as j
from node.updates import release as r
from node.updates.image import SECTOR, InFlash, InMemory

_ATTEMPTS = const(3)
_STRIKES = const(3)
#: What goes wrong with a model that is not one; anything else is a defect of this program.
_FAULTS = (ValueError, MemoryError, RuntimeError, OSError, KeyError, TypeError, r.Refused)


class Models:
    """Chooses, opens and judges the model ``name``.

    Args:
        keys: public keys that count.
        name: of the model.

    Attributes:
        journal: the :class:`node.updates.journal.Journal`; None where only the built-in model counts.
        slot: where the open model lies, ``NO_SLOT`` for the built-in one.
        serial: of its release, 0 for the built-in one.
        on_trial: whether it is on trial.
        sound: whether it has passed its self-test; only the built-in one is used without.
    """

    def __init__(self, keys, name):
        self.journal = None
        self._keys = keys
        self.name = name
        self.slot = j.NO_SLOT
        self.serial = 0
        self.on_trial = False
        self.sound = True

    def open(self, trial=True):
        """Open the best model: the one on trial, the confirmed one, the one before it, the built-in one.

        Args:
            trial: whether this is a time for trials.

        Returns:
            ``(manifest, nn.Model)``.

        Raises:
            ValueError: not even the built-in model is sound.
        """
        staged = self._staged()
        if staged and staged.attempts >= _ATTEMPTS:
            self._decide(staged, j.BAD, "it was not confirmed in %d boots" % _ATTEMPTS)
            staged = None
        if staged and trial:
            self.journal.append(
                j.TRIAL, j.MODEL, staged.slot, count=staged.attempts + 1, serial=staged.serial
            )
            try:
                opened = self._open(staged.slot, (staged.serial,))
                self.on_trial = True
                return opened
            except _FAULTS as error:
                self._decide(staged, j.BAD, error)
        self.on_trial = False
        for slot in self._others():
            try:
                return self._open(slot, self._known())
            except _FAULTS as error:
                log.warn("update: model slot %d is passed over: %s" % (slot, error))
        return self._built_in()

    def reopen(self, slot):
        """After deep sleep: open ``slot`` again, which was verified and tested at the last boot.

        Returns:
            As :meth:`open`; None if it is there no more.
        """
        if slot == j.NO_SLOT:
            self.slot, self.serial = slot, 0
            return open_model(nn.builtin(self.name))
        try:
            # Nobody else writes to this flash; damage is found by the container's own hash.
            envelope, view = self._read(slot)
            size, serial = r.known(envelope)
            opened = open_model(view[SECTOR : SECTOR + size])
            self.slot, self.serial = slot, serial
            return opened
        except _FAULTS as error:
            log.warn("update: model slot %d is passed over: %s" % (slot, error))
            return None

    def _staged(self):
        """The release on trial; a confirmation that was broken off is finished."""
        journal = self.journal
        staged = journal.staged[j.MODEL] if journal else None
        if staged and journal.active == staged.slot and journal.active_serial == staged.serial:
            self._settle(staged)
            return None
        return staged

    def _known(self):
        """Serials that were confirmed here."""
        journal = self.journal
        decided = journal.decided[j.MODEL]
        known = [journal.active_serial, journal.previous_serial, decided]
        bad = decided if journal.verdict[j.MODEL] == j.BAD else 0
        return [serial for serial in known if serial not in (0, bad)]

    def _others(self):
        """Slots that may hold a confirmed model, the best first."""
        journal = self.journal
        if not journal or not self._known():
            return ()
        if journal.active == j.NO_SLOT and journal.previous_serial:
            return ()  # somebody chose the built-in one
        first = journal.active if journal.active in (0, 1) else 1 - self._spare()
        return (first, 1 - first)

    def _read(self, slot):
        view = nn.map_partition("model_%d" % slot)
        return r.envelope(view[:SECTOR]), view

    def check(self, slot, serials):
        """Verify a slot: signature, kind, floor, and the hash of what lies in it.

        Returns:
            ``(release, container)``.

        Raises:
            Refused: with the reason.
        """
        envelope, view = self._read(slot)
        release = r.verify(envelope, self._keys, self.journal.revoked)
        if release.kind != j.MODEL or release.manifest["name"] != self.name:
            raise r.Refused("it holds something else")
        if release.serial not in serials:
            raise r.Refused("release %d was not confirmed here" % release.serial)
        if release.security < self.journal.floor[j.MODEL]:
            raise r.Refused("its security version is below the floor")
        container = view[SECTOR : SECTOR + release.size]
        if hashlib.sha256(container).digest() != release.sha256:
            raise r.Refused("its hash is wrong")
        return release, container

    def _open(self, slot, serials):
        release, container = self.check(slot, serials)
        opened = self._load(container)
        self.slot, self.serial = slot, release.serial
        return opened

    def _built_in(self):
        manifest, model = open_model(nn.builtin(self.name))
        try:
            selftest.check(manifest, model)
            self.sound = True
        except ValueError as error:
            # There is no other model to go back to. Firmware that is on trial goes back for it.
            log.error("update: the built-in %s" % error)
            self.sound = False
        self.slot, self.serial = j.NO_SLOT, 0
        return manifest, model

    def _load(self, container):
        manifest, model = open_model(container)
        try:
            selftest.check(manifest, model)
        except ValueError:
            model.deinit()
            raise
        self.sound = True
        return manifest, model

    # What somebody may choose

    def all(self):
        """Models that could run: list of dicts with slot, serial, version, active.

        Slot 255 is the built-in one. What was never confirmed, or is damaged, is not there.
        """
        found = [{"slot": j.NO_SLOT, "serial": 0, "version": None, "active": self.slot == j.NO_SLOT}]
        for slot in (0, 1):
            try:
                release, _ = self.check(slot, self._known())
            except _FAULTS:
                continue
            found.append(
                {
                    "slot": slot,
                    "serial": release.serial,
                    "version": release.manifest["version"],
                    "active": self.slot == slot,
                }
            )
        return found

    def kept(self, serial):
        """Whether a release lies in a slot, whole, while somebody chose another model (see ``use``)."""
        journal = self.journal
        built_in = journal.active == j.NO_SLOT and journal.previous_serial
        if not serial or not (built_in or journal.previous_serial == serial):
            return False
        return any([about["serial"] == serial for about in self.all()])

    def use(self, slot):
        """Let the model in ``slot`` be the one that runs from the next boot on.

        Raises:
            Refused: there is no model in it that was confirmed here, or one is on trial.
        """
        if self.journal.staged[j.MODEL]:
            raise r.Refused("a model is on trial, that comes first")
        serial = 0
        if slot != j.NO_SLOT:
            serial = self.check(slot, self._known())[0].serial
        if (slot, serial) != (self.journal.active, self.journal.active_serial):
            # What was confirmed last is known anyway; the other one must stay known, too.
            others = [known for known in self._known() if known != serial]
            others.sort(key=lambda known: known == self.journal.decided[j.MODEL])
            before = others[0] if others else 0
            self.journal.append(j.ACTIVE, j.MODEL, slot, serial=serial, a=before)

    # What becomes of them

    def _spare(self):
        """Index of the slot that the next release goes to: neither the open nor the confirmed one."""
        if self.slot in (0, 1):
            return 1 - self.slot
        return 1 - self.journal.active if self.journal.active in (0, 1) else 0

    def target(self, progress):
        """``(index, partition)`` for the next release, the same as before if it goes on."""
        slot = self._spare()
        if progress and progress.slot in (0, 1) and progress.slot != self.slot:
            slot = progress.slot
        return slot, Partition.find(Partition.TYPE_DATA, label="model_%d" % slot)[0]

    def base(self, size):
        """The open model as the base of a patch; None if it has another size."""
        if self.slot == j.NO_SLOT:
            found = InMemory(nn.builtin(self.name))
            return found if found.size == size else None
        partition = Partition.find(Partition.TYPE_DATA, label="model_%d" % self.slot)[0]
        return InFlash(partition, SECTOR, size) if size <= partition.info()[3] - SECTOR else None

    def confirm(self):
        """The model on trial is good."""
        staged = self.journal.staged[j.MODEL]
        self.journal.append(
            j.ACTIVE, j.MODEL, staged.slot, serial=staged.serial, a=self.journal.active_serial
        )
        self._settle(staged)
        self.on_trial = False

    def _settle(self, staged):
        # The floor first: once it is decided, nobody comes back to this.
        if staged.security > self.journal.floor[j.MODEL]:
            self.journal.append(j.FLOOR, j.MODEL, security=staged.security)
        self._decide(staged, j.GOOD)

    def fail(self, why):
        """The model on trial is bad; open another one."""
        self._decide(self.journal.staged[j.MODEL], j.BAD, why)
        self.on_trial = False

    def _decide(self, staged, verdict, why=None):
        if why is not None:
            log.warn("update: model %d failed: %s" % (staged.serial, why))
            log.event("update", staged.serial, {"kind": "model", "result": "failed", "why": str(why)})
        size, digest = staged.image
        self.journal.append(j.DECIDED, j.MODEL, staged.slot, verdict, staged.serial, a=size, digest=digest)

    def struck(self, strikes):
        """The chip crashed ``strikes`` times in a row while the confirmed model ran.

        Returns True if that was too often: it is given up for the one before, or the built-in one.
        """
        journal = self.journal
        if strikes < _STRIKES or not journal or journal.active == j.NO_SLOT or journal.staged[j.MODEL]:
            return False
        log.warn("update: model %d crashed %d times, giving it up" % (journal.active_serial, strikes))
        slot, serial = 1 - journal.active, journal.previous_serial
        try:
            self.check(slot, (serial,) if serial else ())
        except _FAULTS:
            slot, serial = j.NO_SLOT, 0
        journal.append(j.DECIDED, j.MODEL, journal.active, j.BAD, journal.active_serial)
        journal.append(j.ACTIVE, j.MODEL, slot, serial=serial)
        return True
