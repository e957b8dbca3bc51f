"""What updates must remember through any loss of power: a journal of small records in raw flash.

Partition ``updates``: a ring of 4 KiB sectors, each 64 records of 64 bytes, little endian::

    0   u8   type, one of the constants below        4   u32 generation of the sector
    1   u8   kind: 0 firmware, 1 model               8   u32 serial of the release
    2   u8   slot                                    12  u32 security version
    3   u8   count                                   16  u32 a, u32 b: see the types
    24  32 bytes digest                              56  4 bytes 0, then CRC-32 of all before

A record is programmed once into erased flash and never touched again. Whatever has no sound CRC is passed
over, so a torn record is as if it had never been written. When a sector is full, the next one is erased, gets
all that still counts, and two commit records at last: until then the old sector is the one that counts.

Facts that only ever grow (floors, decided serials, revoked keys) are written twice and are read from every
record of every sector, so neither a torn erase nor one rotten record takes them back.
"""

import binascii
import struct

from micropython import const

FIRMWARE = const(0)
MODEL = const(1)
KINDS = ("firmware", "model")
NO_SLOT = const(255)  # of a model: the one that is built in

COMMIT = const(1)
FLOOR = const(2)  # security: nothing older may be installed
DECIDED = const(3)  # serial, slot, count: GOOD or BAD; a, digest: size and SHA-256 of the image
REVOKED = const(4)  # digest: id of a key
FETCH = const(
    5
)  # how far a release has come: slot, count: restarts, a: payload offset, b: payload index << 16
#                   | sectors, digest: of the next block; the release's digest is in the START before it
STAGED = const(6)  # a whole release lies in slot; count: how often it was chosen to boot
TRIAL = const(7)  # count: begun trials of the staged release
CONFIRMING = const(8)  # the staged release has passed its trial
ACTIVE = const(9)  # slot of the model that runs, serial; a: serial of the one before it
CLEANED = const(10)  # security: firmware below this floor is gone from the spare slot
START = const(11)  # a release is being fetched into slot; count: restarts, digest: of its manifest

GOOD = const(1)
BAD = const(2)

_FORMAT = "<BBBBIIIII32s4x"
_BODY = const(60)
_RECORD = const(64)
_SECTOR = const(4096)
_COUNT = const(64)  # records in a sector
_MOST_REVOKED = const(8)
_BLANK = b"\xff" * 64
_NO_DIGEST = bytes(32)


class Staged:
    """A release that lies whole in its slot and is not decided yet; ``image`` is its size and SHA-256."""

    def __init__(self, slot, serial, security, image, switches):
        self.slot = slot
        self.serial = serial
        self.security = security
        self.image = image
        self.switches = switches
        self.attempts = 0
        self.confirming = False


class Progress:
    """How far the fetching of a release has come.

    Attributes:
        digest: of the release's manifest.
        slot: the slot it goes to.
        restarts: how often it was begun again because the whole was damaged.
        payload: index of the payload in the manifest, None before the first block.
        offset: bytes of the payload that are done.
        sectors: sectors of the target that are done.
        next: SHA-256 of the next block.
    """

    def __init__(self, slot, digest, restarts):
        self.slot = slot
        self.digest = digest
        self.restarts = restarts
        self.payload = None
        self.offset = self.sectors = 0
        self.next = None


class Journal:
    """The journal of one partition; reading it is part of making it.

    Args:
        partition: ``esp32.Partition`` with at least two sectors; only its block methods are used.

    Attributes (``FIRMWARE`` and ``MODEL`` are the indices of the pairs):
        floor: security versions below which nothing is installed.
        decided: serials up to which releases are confirmed or known to be bad.
        verdict: ``GOOD`` or ``BAD`` of the newest decision, 0 without one.
        decided_slot, decided_image: the slot it was about, size and SHA-256 of the image there.
        revoked: ids of revoked keys.
        progress: :class:`Progress` or None.
        staged: :class:`Staged` or None.
        active, active_serial, previous_serial: the model slot in use, and what it and its predecessor hold.
        cleaned: floor down to which the spare firmware slot was cleaned.
    """

    def __init__(self, partition):
        self._partition = partition
        self._sectors = partition.ioctl(4, 0)
        self._record = bytearray(_RECORD)
        self._sector = -1
        self._generation = 0
        self._next = _COUNT
        self.floor = [0, 0]
        self.decided = [0, 0]
        self.verdict = [0, 0]
        self.decided_slot = [NO_SLOT, NO_SLOT]
        self.decided_image = [(0, _NO_DIGEST), (0, _NO_DIGEST)]
        self.revoked = []
        self.cleaned = 0
        self.progress = [None, None]
        self.staged = [None, None]
        self.active = NO_SLOT
        self.active_serial = self.previous_serial = 0
        self._load()

    # Reading

    def _load(self):
        buf = bytearray(_SECTOR)
        for sector in range(self._sectors):
            self._partition.readblocks(sector, buf)
            generation = 0
            for at in range(0, _SECTOR, _RECORD):
                if not _sound(buf, at):
                    continue
                self._grow(buf, at)
                if buf[at] == COMMIT:
                    generation = struct.unpack_from("<I", buf, at + 4)[0]
            if generation > self._generation:
                self._generation, self._sector = generation, sector
        if self._sector < 0:
            return
        self._partition.readblocks(self._sector, buf)
        self._next = 0
        view = memoryview(buf)
        for n in range(_COUNT):
            at = n * _RECORD
            if view[at : at + _RECORD] != _BLANK:
                self._next = n + 1
                if _sound(buf, at):
                    self._replay(buf, at)
        for kind in (FIRMWARE, MODEL):  # in case the newest sector rotted and an older one counts again
            staged = self.staged[kind]
            if staged and (staged.serial, GOOD) < (self.decided[kind], self.verdict[kind]):
                self.staged[kind] = None

    def _grow(self, buf, at):
        """Take in a fact that only grows."""
        kind = buf[at + 1] & 1
        serial, security, size = struct.unpack_from("<III", buf, at + 8)
        if buf[at] == FLOOR:
            self.floor[kind] = max(self.floor[kind], security)
        elif buf[at] == CLEANED:
            self.cleaned = max(self.cleaned, security)
        elif buf[at] == DECIDED and (serial, buf[at + 3]) > (self.decided[kind], self.verdict[kind]):
            self.decided[kind] = serial
            self.verdict[kind] = buf[at + 3]  # the last word of a serial is BAD
            self.decided_slot[kind] = buf[at + 2]
            self.decided_image[kind] = size, bytes(buf[at + 24 : at + 56])
        elif buf[at] == REVOKED:
            key = bytes(buf[at + 24 : at + 32])
            if key not in self.revoked and len(self.revoked) < _MOST_REVOKED:
                self.revoked.append(key)

    def _replay(self, buf, at):
        """Take in a fact that a later one may replace."""
        what, kind, slot, count, _, serial, security, a, b, digest = struct.unpack_from(_FORMAT, buf, at)
        kind &= 1
        staged, progress = self.staged[kind], self.progress[kind]
        if what == START:
            self.progress[kind] = Progress(slot, digest, count)
        elif what == FETCH and progress:
            progress.payload, progress.offset = b >> 16, a
            progress.sectors, progress.next = b & 0xFFFF, digest
        elif what == STAGED:
            self.progress[kind] = None
            attempts = staged.attempts if staged and staged.serial == serial else 0
            confirming = staged.confirming if staged and staged.serial == serial else False
            staged = self.staged[kind] = Staged(slot, serial, security, (a, digest), count)
            staged.attempts, staged.confirming = attempts, confirming
        elif what == TRIAL and staged:
            staged.attempts = count
        elif what == CONFIRMING and staged:
            staged.confirming = True
        elif what == DECIDED:
            self.progress[kind] = None
            if staged and staged.serial <= serial:
                self.staged[kind] = None
        elif what == ACTIVE:
            self.active, self.active_serial, self.previous_serial = slot, serial, a

    # Writing

    def append(
        self, what, kind=FIRMWARE, slot=NO_SLOT, count=0, serial=0, security=0, a=0, b=0, digest=_NO_DIGEST
    ):
        """Write one record and take it in; it is on the flash when this returns.

        Raises:
            OSError: the flash could not be written.
        """
        twice = what in (FLOOR, DECIDED, REVOKED, ACTIVE, CLEANED)
        if self._next + twice >= _COUNT:
            self._turn()
        for _ in range(1 + twice):
            self._write(what, kind, slot, count, serial, security, a, b, digest)
        self._grow(self._record, 0)
        self._replay(self._record, 0)

    def _write(self, what, kind, slot, count, serial, security, a, b, digest):
        r = self._record
        struct.pack_into(
            _FORMAT, r, 0, what, kind, slot, count, self._generation, serial, security, a, b, digest
        )
        struct.pack_into("<I", r, _BODY, binascii.crc32(memoryview(r)[:_BODY]))
        self._partition.writeblocks(self._sector, r, self._next * _RECORD)
        self._next += 1

    def _turn(self):
        """Go on in the next sector: what counts is copied forward before it replaces the old one."""
        old, used = self._sector, self._next
        sector = (old + 1) % self._sectors
        self._partition.ioctl(6, sector)
        self._sector, self._next = sector, 0
        self._generation += 1
        try:
            self._copy()
            for _ in range(2):
                self._write(COMMIT, 0, 0, 0, 0, 0, 0, 0, _NO_DIGEST)
        except OSError:
            self._sector, self._next = old, used
            self._generation -= 1
            raise

    def _copy(self):
        write = self._write
        none = _NO_DIGEST
        for kind in (FIRMWARE, MODEL):
            for _ in range(2):
                if self.floor[kind]:
                    write(FLOOR, kind, 0, 0, 0, self.floor[kind], 0, 0, none)
                if self.decided[kind]:
                    slot, verdict = self.decided_slot[kind], self.verdict[kind]
                    size, digest = self.decided_image[kind]
                    write(DECIDED, kind, slot, verdict, self.decided[kind], 0, size, 0, digest)
            p, s = self.progress[kind], self.staged[kind]
            if p:
                write(START, kind, p.slot, p.restarts, 0, 0, 0, 0, p.digest)
                if p.next:
                    write(FETCH, kind, p.slot, 0, 0, 0, p.offset, p.payload << 16 | p.sectors, p.next)
            if s:
                write(STAGED, kind, s.slot, s.switches, s.serial, s.security, s.image[0], 0, s.image[1])
                if s.attempts:
                    write(TRIAL, kind, s.slot, s.attempts, s.serial, 0, 0, 0, none)
                if s.confirming:
                    write(CONFIRMING, kind, s.slot, 0, s.serial, 0, 0, 0, none)
        for _ in range(2):
            write(ACTIVE, MODEL, self.active, 0, self.active_serial, 0, self.previous_serial, 0, none)
            if self.cleaned:
                write(CLEANED, FIRMWARE, 0, 0, 0, self.cleaned, 0, 0, none)
        for key in self.revoked:
            write(REVOKED, FIRMWARE, 0, 0, 0, 0, 0, 0, key + bytes(24))


def _sound(buf, at):
    """Whether a record with the right CRC lies at ``at``."""
    if not 1 <= buf[at] <= START:
        return False
    return struct.unpack_from("<I", buf, at + _BODY)[0] == binascii.crc32(memoryview(buf)[at : at + _BODY])
