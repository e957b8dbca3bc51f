"""Seeded bugs of what is checked before and while something is fetched."""

from __future__ import annotations

from cicada.tools.powercut.mutant import mutant

_RELEASE, _UPDATER, _PAYLOAD = "~release", "~updater", "~payload"
_FETCHED = "                    a=blocks.offset,\n                    b=index << 16 | blocks.sectors,\n"
_HASH = "            if digest(image, self._feed) == release.sha256:\n"
_ENVELOPE = "            target.writeblocks(0, release.envelope, 0)\n"
_STAGED = (
    "            journal.append(\n"
    "                j.STAGED, kind, slot, 1, release.serial, release.security, a=whole[0], digest=whole[1]\n"
    "            )\n"
)

FETCH = [
    # What a release says
    mutant(
        "signature-unchecked",
        "Whatever the signature is, the release counts.",
        "refuse-signature",
        (
            _RELEASE,
            "    if not trust.verify(key, view[_HEAD:_MANIFEST], digest.digest()):\n",
            "    if False:\n",
        ),
    ),
    mutant(
        "signature-partly",
        "The signature covers the head, not the manifest: any manifest goes with it.",
        "firmware-full",
        (_RELEASE, "    digest.update(view[_MANIFEST:])\n", ""),
    ),
    mutant(
        "revoked-trusted",
        "Keys that were revoked still count.",
        "refuse-revoked",
        (_RELEASE, "    if wanted in revoked:\n", "    if False:\n"),
    ),
    mutant(
        "revocation-ignored",
        "A release that revokes a key is taken without doing so.",
        "refuse-revoked",
        (_UPDATER, "            self._revoke(release)\n", ""),
    ),
    mutant(
        "board-unchecked",
        "A release for another board is taken.",
        "refuse-board",
        (_RELEASE, '    for key in ("product", "board"):\n', '    for key in ("product",):\n'),
    ),
    mutant(
        "product-unchecked",
        "A release for another product is taken.",
        "refuse-product",
        (_RELEASE, '    for key in ("product", "board"):\n', '    for key in ("board",):\n'),
    ),
    mutant(
        "kind-unchecked",
        "Neither kind nor name is that of what was asked for: a model is taken for firmware.",
        "refuse-kind",
        (_UPDATER, 'if release.kind != kind or release.manifest["name"] != name:', "if False:"),
    ),
    mutant(
        "name-unchecked",
        "A model of another name is taken, and opened.",
        "refuse-model-name",
        (_UPDATER, ' or release.manifest["name"] != name:\n', ":\n"),
        ("~models", ' or release.manifest["name"] != self.name:\n', ":\n"),
    ),
    mutant(
        "serial-unchecked",
        "Old releases are taken again.",
        "refuse-serial",
        (_RELEASE, "    if release.serial <= journal.decided[kind] - again:\n", "    if False:\n"),
    ),
    mutant(
        "serial-of-other-kind",
        "A model's serial is compared with that of the firmware.",
        "refuse-model-serial",
        (
            _RELEASE,
            "    if release.serial <= journal.decided[kind] - again:\n",
            "    if release.serial <= journal.decided[0] - again:\n",
        ),
    ),
    mutant(
        "failed-again",
        "A release that failed here is taken again, as if it had been lost.",
        "firmware-bad-selftest",
        (
            _UPDATER,
            "                if not good or self._runs(release):\n",
            "                if self._runs(release):\n",
        ),
    ),
    mutant(
        "security-unchecked",
        "The security version does not count.",
        "refuse-floor",
        (_RELEASE, "    if release.security < floor:\n", "    if False:\n"),
    ),
    mutant(
        "security-inverted",
        "Only what is not above the floor is taken.",
        "firmware-full",
        (_RELEASE, "    if release.security < floor:\n", "    if release.security > floor:\n"),
    ),
    mutant(
        "floor-of-other-kind",
        "A model is compared with the floor of the firmware.",
        "refuse-model-floor",
        (_RELEASE, "    floor = journal.floor[kind]\n", "    floor = journal.floor[0]\n"),
        (
            "~models",
            "self.journal.floor[j.MODEL]:\n            raise",
            "self.journal.floor[0]:\n            raise",
        ),
    ),
    mutant(
        "min-version-unchecked",
        "A release that needs newer firmware is taken.",
        "refuse-version",
        (_RELEASE, '    if _running(identity) < version(m["min_version"]):\n', "    if False:\n"),
    ),
    mutant(
        "size-unchecked",
        "An image that is larger than its slot is fetched.",
        "refuse-size",
        (_RELEASE, "    if release.size > capacity:\n", "    if False:\n"),
    ),
    # Blocks
    mutant(
        "block-unchecked",
        "Blocks are unpacked whatever their hash is.",
        "refuse-payload",
        (_PAYLOAD, "        if digest.digest() != self.digest:\n", "        if False:\n"),
    ),
    mutant(
        "block-half-checked",
        "The hash of a block covers its header only.",
        "refuse-payload",
        (_PAYLOAD, "            digest.update(part)\n", ""),
    ),
    mutant(
        "image-unchecked",
        "What was written is not compared with the hash of the image.",
        "refuse-hash",
        (_UPDATER, _HASH, "            if True:\n"),
    ),
    mutant(
        "model-unchecked",
        "A model's hash is looked at neither when it was fetched nor when it is opened.",
        "refuse-model-hash",
        (_UPDATER, _HASH, "            if True:\n"),
        (
            "~models",
            "        if hashlib.sha256(container).digest() != release.sha256:\n",
            "        if False:\n",
        ),
    ),
    mutant(
        "staged-before-hash",
        "Firmware is noted down as whole before its hash is looked at.",
        "refuse-hash",
        (
            _UPDATER,
            _HASH,
            "            self._journal.append(j.STAGED, kind, slot, 1, release.serial, release.security,\n"
            "                a=release.size, digest=release.sha256)\n" + _HASH,
        ),
    ),
    mutant(
        "restarts-unbounded",
        "A release whose blocks do not make its image is fetched for ever.",
        "refuse-hash",
        (_UPDATER, "            if restarts > _RESTARTS:\n", "            if False:\n"),
    ),
    mutant(
        "base-unchecked",
        "A patch is put onto whatever runs.",
        "firmware-other",
        (
            _UPDATER,
            '            if base and base.sha256(self._feed) == r.unhex(about["sha256"], 32):\n',
            "            if base:\n",
        ),
    ),
    mutant(
        "unlinked-final",
        "A server that fails a few times makes the release bad.",
        "firmware-full model-first",
        (
            _UPDATER,
            "                if tries >= _TRIES:\n                    raise\n",
            "                if tries >= 2:\n                    self._give_up(release, 0)\n"
            '                    raise r.Refused("%s" % error)\n',
        ),
        kill="firmware-full/net:500,500,500,500",
    ),
    # Where it goes
    mutant(
        "sector-off-by-one",
        "Every block goes into the sector behind its own.",
        "model-first",
        (
            _PAYLOAD,
            "index, offset = self._start + at // SECTOR, ",
            "index, offset = self._start + at // SECTOR + 1, ",
        ),
    ),
    mutant(
        "start-forgotten",
        "A model is written over its envelope's sector.",
        "model-first",
        (_PAYLOAD, "        self._start = start // SECTOR\n", "        self._start = 0\n"),
    ),
    mutant(
        "last-sector-long",
        "The last sector is taken for a whole one.",
        "model-first",
        (
            _PAYLOAD,
            "        most = min(self._size - self.sectors * SECTOR, sectors * SECTOR)\n",
            "        most = sectors * SECTOR\n",
        ),
    ),
    mutant(
        "last-sector-missing",
        "It is done a sector too early.",
        "firmware-full",
        (
            _PAYLOAD,
            "        return self.sectors * SECTOR >= self._size\n",
            "        return (self.sectors + 1) * SECTOR >= self._size\n",
        ),
    ),
    mutant(
        "sector-not-erased",
        "What lies in the slot is not erased first.",
        "firmware-upgrade",
        (_PAYLOAD, "            self._target.ioctl(6, index)\n", "            pass\n"),
    ),
    mutant(
        "sectors-miscounted",
        "A block of many sectors counts as one.",
        "firmware-delta",
        (_PAYLOAD, "        self.sectors += sectors\n", "        self.sectors += 1\n"),
    ),
    mutant(
        "base-not-moved",
        "A patch copies the same piece of the base again and again.",
        "firmware-delta",
        (_PAYLOAD, "                    offset += n\n", ""),
    ),
    mutant(
        "running-slot",
        "New firmware is written into the slot that runs.",
        "firmware-full",
        ("~firmware", "        return self._running.get_next_update()\n", "        return self._running\n"),
    ),
    mutant(
        "model-slot-in-use",
        "A new model is written over the one that runs.",
        "model-upgrade",
        ("~models", "            return 1 - self.slot\n", "            return self.slot\n"),
        kill="model-upgrade/updates:FETCH#1:after",
    ),
    # Going on
    mutant(
        "offset-not-advanced",
        "The payload's offset in the journal stays 0.",
        "model-first firmware-full",
        (_UPDATER, _FETCHED, _FETCHED.replace("blocks.offset", "0")),
        kill="model-first/updates:FETCH#1:after",
    ),
    mutant(
        "digest-of-wrong-block",
        "The journal has the hash of the block before.",
        "model-first firmware-full",
        (
            _UPDATER,
            "                blocks.step(body)\n",
            "                was = blocks.digest\n                blocks.step(body)\n",
        ),
        (_UPDATER, "                    digest=blocks.digest,\n", "                    digest=was,\n"),
        kill="model-first/updates:FETCH#1:after",
    ),
    mutant(
        "resumes-a-sector-early",
        "It goes on in the sector before the right one.",
        "firmware-full",
        (_UPDATER, _FETCHED, _FETCHED.replace("blocks.sectors", "(blocks.sectors - 1)")),
        kill="firmware-full/updates:FETCH#14:after",
    ),
    mutant(
        "resumes-a-sector-late",
        "It goes on in the sector behind the right one.",
        "firmware-full",
        (_UPDATER, _FETCHED, _FETCHED.replace("blocks.sectors", "(blocks.sectors + 1)")),
        kill="firmware-full/updates:FETCH#14:after",
    ),
    mutant(
        "progress-before-write",
        "A block is noted down as written before it is.",
        "firmware-full",
        (
            _UPDATER,
            "                blocks.step(body)\n",
            "                self._journal.append(j.FETCH, release.kind, serial=release.serial,\n"
            "                    a=blocks.offset, b=index << 16 | blocks.sectors + 1, digest=blocks.digest)\n"
            "                blocks.step(body)\n",
        ),
        kill="firmware-full/updates:FETCH#27:after",
    ),
    mutant(
        "never-goes-on",
        "Each boot begins the download anew.",
        "firmware-full",
        (
            _UPDATER,
            "            if progress and progress.digest != release.digest:\n",
            "            if progress:\n",
        ),
        kill="firmware-full/updates:FETCH#14:after",
    ),
    mutant(
        "progress-of-another",
        "How far another release had come is believed.",
        "firmware-superseded model-superseded",
        (
            _UPDATER,
            "            if progress and progress.digest != release.digest:\n",
            "            if False:\n",
        ),
    ),
    mutant(
        "staged-before-envelope",
        "A model is noted down as whole before its envelope is written.",
        "model-first",
        (_UPDATER, _ENVELOPE, ""),
        (_UPDATER, _STAGED, _STAGED + _ENVELOPE),
        kill="model-first/updates:STAGED#1:after",
    ),
    mutant(
        "envelope-forgotten",
        "A model's envelope is not written.",
        "model-first",
        (_UPDATER, _ENVELOPE, ""),
    ),
    mutant(
        "envelope-not-erased",
        "The envelope of the model before is not erased.",
        "model-revert",
        (_UPDATER, "            target.ioctl(6, 0)\n" + _ENVELOPE, _ENVELOPE),
        (
            _UPDATER,
            "            target.ioctl(6, 0)  # what was there is no whole slot from here on\n",
            "            pass\n",
        ),
        kill="model-revert",
    ),
]
