"""Seeded bugs of the journal."""

from __future__ import annotations

from cicada.tools.powercut.mutant import mutant

_J = "~journal"
_COMMITS = (
    "            for _ in range(2):\n                self._write(COMMIT, 0, 0, 0, 0, 0, 0, 0, _NO_DIGEST)\n"
)
_FACT = "                if self.floor[kind]:\n"
_OLD_SECTOR = "        sector = (old + 1) % self._sectors\n"

JOURNAL = [
    mutant(
        "crc-unchecked",
        "Torn records are believed.",
        "firmware-full model-first",
        (
            _J,
            '    return struct.unpack_from("<I", buf, at + _BODY)[0] == '
            "binascii.crc32(memoryview(buf)[at : at + _BODY])\n",
            "    return True\n",
        ),
        kill="model-first/updates:FETCH#2:inside:hole:6",
    ),
    mutant(
        "torn-overwritten",
        "The next record is programmed over a torn one.",
        "firmware-full model-first",
        (
            _J,
            "                self._next = n + 1\n                if _sound(buf, at):\n",
            "                if _sound(buf, at):\n                    self._next = n + 1\n",
        ),
        kill="firmware-full/updates:TRIAL#1:inside:prefix:1",
    ),
    mutant(
        "commit-first",
        "A new sector of the journal counts before everything was copied into it.",
        "firmware-turn-fetch firmware-turn-confirm model-turn-trial",
        (_J, "            self._copy()\n" + _COMMITS, _COMMITS + "            self._copy()\n"),
        kill="firmware-turn-fetch/updates:COMMIT#1:after",
    ),
    mutant(
        "commit-unneeded",
        "A new sector of the journal counts as soon as anything is in it.",
        "firmware-turn-fetch firmware-turn-confirm model-turn-trial",
        (_J, "                if buf[at] == COMMIT:\n", "                if True:\n"),
        kill="firmware-turn-fetch/updates:DECIDED#1:after",
    ),
    mutant(
        "erases-the-newest",
        "The journal goes on in the sector that counts, which is erased for it.",
        "firmware-turn-fetch firmware-turn-confirm model-turn-trial",
        (_J, _OLD_SECTOR, "        sector = max(old, 0)\n"),
        kill="firmware-turn-fetch/updates:erase#1:after",
    ),
    mutant(
        "generation-not-raised",
        "All sectors of the journal have the same generation.",
        "firmware-turn-fetch firmware-turn-confirm model-turn-trial",
        (_J, "        self._generation += 1\n", "        self._generation = 1\n"),
    ),
    mutant(
        "ring-too-long",
        "The ring goes back to its beginning one sector late, into the partition behind it.",
        "round-4",
        (_J, _OLD_SECTOR, "        sector = (old + 1) % (self._sectors + 1)\n"),
    ),
    mutant(
        "floor-not-copied",
        "Floors are not copied forward.",
        "refuse-round-serial",
        (_J, _FACT, "                if False:\n"),
    ),
    mutant(
        "decided-not-copied",
        "Decided serials are not copied forward.",
        "refuse-round-serial",
        (_J, "                if self.decided[kind]:\n", "                if False:\n"),
    ),
    mutant(
        "revoked-not-copied",
        "Revoked keys are not copied forward.",
        "refuse-round-key",
        (_J, "        for key in self.revoked:\n", "        for key in ():\n"),
    ),
    mutant(
        "staged-not-copied",
        "What waits for its trial is not copied forward.",
        "model-turn-trial firmware-turn-confirm",
        (
            _J,
            "            if s:\n                write(STAGED",
            "            if False:\n                write(STAGED",
        ),
        kill="model-turn-trial/updates:TRIAL#1:after",
    ),
    mutant(
        "progress-not-copied",
        "How far a download has come is not copied forward.",
        "firmware-turn-fetch",
        (
            _J,
            "            if p:\n                write(START",
            "            if False:\n                write(START",
        ),
        kill="firmware-turn-fetch/updates:FETCH#11:after",
    ),
    mutant(
        "block-not-copied",
        "Of a download only its beginning is copied forward.",
        "firmware-turn-fetch",
        (_J, "                if p.next:\n", "                if False:\n"),
        kill="firmware-turn-fetch/updates:COMMIT#2:after",
    ),
    mutant(
        "single-copies",
        "Facts that only grow are written once.",
        "refuse-model-serial refuse-model-floor",
        (_J, "        for _ in range(1 + twice):\n", "        for _ in range(1):\n"),
        kill="refuse-model-floor/rot-before:updates:FLOOR#2",
    ),
    mutant(
        "rotten-believed",
        "A record counts if its type is right, whatever bits it has.",
        "refuse-model-floor refuse-model-serial firmware-full",
        (
            _J,
            "                if not _sound(buf, at):\n                    continue\n",
            "                if not 1 <= buf[at] <= START:\n                    continue\n",
        ),
        (
            _J,
            "                if _sound(buf, at):\n                    self._replay",
            "                if 1 <= buf[at] <= START:\n                    self._replay",
        ),
        kill="model-first/updates:FETCH#2:inside:hole:6",
    ),
    mutant(
        "kinds-mixed",
        "What is decided about a model is noted down for the firmware.",
        "model-second",
        (
            "~models",
            "        self.journal.append(j.DECIDED, j.MODEL, staged.slot,",
            "        self.journal.append(j.DECIDED, j.FIRMWARE, staged.slot,",
        ),
    ),
    mutant(
        "decided-keeps-staged",
        "What was decided still waits for its trial.",
        "firmware-second",
        (
            _J,
            "            if staged and staged.serial <= serial:\n                self.staged[kind] = None\n",
            "",
        ),
    ),
    mutant(
        "attempts-not-read",
        "Begun trials are not read back.",
        "model-bad-crash",
        (_J, "            staged.attempts = count\n", "            pass\n"),
    ),
    mutant(
        "confirming-not-read",
        "That a trial was passed is not read back.",
        "firmware-full",
        (_J, "            staged.confirming = True\n", "            pass\n"),
        kill="firmware-full/otadata:erase#4:watchdog",
    ),
]
