"""The updater: asks what is new, checks it, fetches it into the spare slot and puts it on trial."""

import gc

from micropython import const

from node import log
from node.net import LinkError
from node.updates import journal as j
from node.updates import release as r
from node.updates.image import SECTOR, InFlash, digest
from node.updates.payload import Blocks

_TRIES = const(4)  # in a row without a new block, after which the next check goes on
_RESTARTS = const(2)  # of a release whose whole turned out to be damaged


class Updater:
    """Carries releases from a transport into slots.

    Args:
        journal, firmware, models: see their modules.
        identity: dict of the running firmware.
        keys: public keys that count.
        transport: where releases come from (docs/updates.md has the interface).
        feed: called often, for the watchdog.
    """

    def __init__(self, journal, firmware, models, identity, keys, transport, feed):
        self._journal = journal
        self._firmware = firmware
        self._models = models
        self._identity = identity
        self._keys = keys
        self._transport = transport
        self._feed = feed

    def reach(self):
        """See whether the server answers; LinkError otherwise."""
        who = self._identity
        self._transport.newest(who["board"], who["product"], j.KINDS[j.FIRMWARE], "app")

    def check(self):
        """Look for releases and install what is new.

        Returns True if a new model is on trial. New firmware resets the chip.

        Raises:
            LinkError: the link or the server failed; what has come so far is kept.
        """
        who = self._identity
        for kind, name in ((j.FIRMWARE, "app"), (j.MODEL, self._models.name)):
            if self._journal.staged[kind] or not name:
                continue  # one at a time; and a node may run without a model
            self._feed()
            envelope = self._transport.newest(who["board"], who["product"], j.KINDS[kind], name)
            if envelope and self._consider(envelope, kind, name):
                return True
        return False

    def _consider(self, envelope, kind, name):
        try:
            release = r.verify(envelope, self._keys, self._journal.revoked)
        except r.Refused as error:
            self._refuse(kind, 0, error)
            return False
        again = False
        try:
            if release.kind != kind or release.manifest["name"] != name:
                raise r.Refused("it is of another kind than was asked for")
            if release.serial == self._journal.decided[kind]:
                good = self._journal.verdict[kind] == j.GOOD
                if not good or self._runs(release):
                    if getattr(self._transport, "asks_for_result", False):
                        self.report(kind, release.serial, "confirmed" if good else "failed")
                    return False
                again = True
            progress = self._journal.progress[kind]
            if progress and progress.digest != release.digest:
                progress = None
            if kind:
                slot, target = self._models.target(progress)
                start = SECTOR
            else:
                target = self._firmware.spare()
                slot, start = target.info()[1] & 1, 0
            r.admit(release, self._identity, self._journal, target.info()[3] - start, r.now(), again)
            self._revoke(release)
            self._install(release, progress, slot, target, start)
        except r.Refused as error:
            self._refuse(kind, release.serial, error)
            return False
        return bool(kind)

    def _runs(self, release):
        """Whether the release that was confirmed last is what runs, not something the chip fell back to."""
        if release.kind:
            return self._models.serial == release.serial or self._models.kept(release.serial)
        return self._journal.decided_slot[j.FIRMWARE] == self._firmware.slot

    def _revoke(self, release):
        """Stop trusting the keys that a release names, as long as another one is left."""
        revoked = self._journal.revoked
        for text in release.manifest["revoke"]:
            key = r.unhex(text, 8)
            left = [k for k in self._keys if r.key_id(k) != key and r.key_id(k) not in revoked]
            if key not in revoked and left:
                self._journal.append(j.REVOKED, digest=key + bytes(24))

    def _refuse(self, kind, serial, why):
        log.warn("update: refused: %s" % why)
        log.event("update", serial, {"kind": j.KINDS[kind], "result": "refused", "why": str(why)})
        self.report(kind, serial, "refused", str(why))

    def report(self, kind, serial, result, why=""):
        """Tell the server what became of a release, if it can be told."""
        try:
            self._transport.report(j.KINDS[kind], serial, result, why)
        except LinkError as error:
            log.warn("update: not reported: %s" % error)

    def _install(self, release, progress, slot, target, start):
        journal, kind = self._journal, release.kind
        if progress is None or progress.slot != slot:
            log.info("update: fetching %s %s" % (j.KINDS[kind], release.manifest["version"]))
            self.report(kind, release.serial, "started")
            self._begin(release, slot, target, 0)
        else:
            log.info("update: going on at sector %d" % progress.sectors)
        image = InFlash(target, start, release.size)
        while True:
            if not self._fetch(release, target, start):
                log.warn("update: the base of the patch is gone, beginning again")
                self._begin(release, slot, target, journal.progress[kind].restarts)
                continue
            if digest(image, self._feed) == release.sha256:
                break
            restarts = journal.progress[kind].restarts + 1
            if restarts > _RESTARTS:
                self._give_up(release, slot)
                raise r.Refused("what its blocks make is not its image")
            log.warn("update: the image is damaged, fetching it again")
            self._begin(release, slot, target, restarts)
        whole = release.size, release.sha256
        if kind:
            target.ioctl(6, 0)
            target.writeblocks(0, release.envelope, 0)
            journal.append(
                j.STAGED, kind, slot, 1, release.serial, release.security, a=whole[0], digest=whole[1]
            )
            return
        log.info("update: restarting into firmware %s" % release.manifest["version"])
        self._firmware.switch(release.serial, release.security, whole)
        raise r.Refused("it is no image that boots")

    def _give_up(self, release, slot):
        self._journal.append(
            j.DECIDED, release.kind, slot, j.BAD, release.serial, a=release.size, digest=release.sha256
        )

    def _begin(self, release, slot, target, restarts):
        if release.kind:
            target.ioctl(6, 0)  # what was there is no whole slot from here on
        self._journal.append(j.START, release.kind, slot, restarts, release.serial, digest=release.digest)

    def _payload(self, release):
        """``(index, base)`` of the payload to fetch: a patch of what is here, else the whole image.

        None if what was begun cannot be gone on with.
        """
        progress = self._journal.progress[release.kind]
        for index, payload in enumerate(release.manifest["payloads"]):
            if progress.payload not in (None, index):
                continue
            about = payload["base"]
            if about is None:
                return index, None
            base = (self._models if release.kind else self._firmware).base(about["size"])
            if base and base.sha256(self._feed) == r.unhex(about["sha256"], 32):
                return index, base
        return None

    def _fetch(self, release, target, start):
        """Fetch blocks until the image is complete; False if it must be begun again."""
        journal, kind = self._journal, release.kind
        chosen = self._payload(release)
        if not chosen:
            return False
        index, base = chosen
        payload = release.manifest["payloads"][index]
        progress = journal.progress[kind]
        first = progress.next or r.unhex(payload["first"], 32)
        gc.collect()
        blocks = Blocks(target, start, release.size, base, progress.sectors, progress.offset, first)
        tries = 0
        while not blocks.done:
            before = blocks.offset
            try:
                self._stream(release, index, payload, blocks)
            except LinkError as error:
                tries = 0 if blocks.offset > before else tries + 1
                if tries >= _TRIES:
                    raise
                log.warn("update: %s, trying again at %d" % (error, blocks.offset))
        return True

    def _stream(self, release, index, payload, blocks):
        body = self._transport.open(release.manifest["board"], payload["file"], blocks.offset)
        try:
            while not blocks.done:
                blocks.step(body)
                self._journal.append(
                    j.FETCH,
                    release.kind,
                    serial=release.serial,
                    a=blocks.offset,
                    b=index << 16 | blocks.sectors,
                    digest=blocks.digest,
                )
                self._feed()
        finally:
            body.close()
