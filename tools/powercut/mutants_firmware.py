"""Seeded bugs of firmware on trial."""

from __future__ import annotations

from cicada.tools.powercut.mutant import mutant

_F = "~firmware"
_TRIAL = (
    "            journal.append(j.TRIAL, slot=self.slot, count=staged.attempts + 1, serial=staged.serial)\n"
)
_WATCHDOG = "            machine.WDT(timeout=_WATCHDOG_MS)\n            self.on_trial = True\n"
_STAGED = """        journal.append(
            j.STAGED, slot=slot, count=switches, serial=serial, security=security, a=size, digest=digest
        )
"""
_SET_BOOT = """        try:
            spare.set_boot()
        except OSError:
            self._decide_bad(journal.staged[j.FIRMWARE], "it is no image that boots")
            return
"""
_CONFIRMING = "            journal.append(j.CONFIRMING, slot=self.slot, serial=staged.serial)\n"
_MARK = "        self._mark_valid()\n        self.on_trial = False\n"
_FLOOR = """        if staged.security > journal.floor[j.FIRMWARE]:
            journal.append(j.FLOOR, security=staged.security)
"""
_GOOD = "        self._decide(staged, j.GOOD)\n"
_CLEAN = """        if journal.cleaned < journal.floor[j.FIRMWARE]:
            self._clean()
"""
_BAD = "        self._decide(staged, j.BAD)\n"
_OWN_CLEANED = "            journal.append(j.CLEANED, security=self._security)\n"
_OWN_FLOOR = "            journal.append(j.FLOOR, security=self._security)\n"

FIRMWARE = [
    mutant(
        "confirmed-at-once",
        "New firmware is confirmed at its first boot.",
        "firmware-bad-selftest firmware-bad-crash",
        (_F, _TRIAL + _WATCHDOG, _TRIAL + "            self.confirm()\n"),
    ),
    mutant(
        "trial-not-counted",
        "Begun trials are not counted.",
        "firmware-bad-hang firmware-bad-crash firmware-bad-selftest",
        (_F, _TRIAL, ""),
        kill="firmware-bad-hang/otadata:program#4:inside:hole:6",
    ),
    mutant(
        "trials-unlimited",
        "However often it was tried, it is tried again.",
        "firmware-bad-hang firmware-bad-crash",
        (_F, "        elif staged.attempts >= _ATTEMPTS:\n", "        elif False:\n"),
        kill="firmware-bad-hang/otadata:program#4:inside:hole:6",
    ),
    mutant(
        "one-trial-only",
        "One trial that was cut short is one too many.",
        "firmware-full",
        (_F, "_ATTEMPTS = const(3)\n", "_ATTEMPTS = const(1)\n"),
        kill="firmware-full/updates:TRIAL#1:after",
    ),
    mutant(
        "cut-is-failure",
        "Firmware that was rolled back because the power went is bad.",
        "firmware-full",
        (_F, "machine.reset_cause() != machine.PWRON_RESET", "True"),
        kill="firmware-full/updates:TRIAL#1:after",
    ),
    mutant(
        "trial-without-watchdog",
        "No watchdog watches the beginning of a trial.",
        "firmware-bad-hang",
        (_F, _TRIAL + _WATCHDOG, _TRIAL + "            self.on_trial = True\n"),
    ),
    mutant(
        "trial-unknown",
        "Firmware on trial does not know that it is.",
        "firmware-full",
        (_F, _TRIAL + _WATCHDOG, _TRIAL),
    ),
    mutant(
        "counted-after-power-on-only",
        "Only after power-on is looked at what waits.",
        "firmware-full",
        (
            "~__init__",
            "    if found:\n        found.early()",
            "    if found and machine.reset_cause() == machine.PWRON_RESET:\n        found.early()",
        ),
    ),
    mutant(
        "bad-not-recorded",
        "Firmware that failed is not remembered as bad.",
        "firmware-bad-selftest firmware-bad-crash",
        (_F, _BAD, ""),
    ),
    mutant(
        "bad-as-good",
        "Firmware that failed is remembered as good.",
        "firmware-bad-selftest firmware-bad-crash",
        (_F, _BAD, "        self._decide(staged, j.GOOD)\n"),
    ),
    mutant(
        "never-started-again",
        "Firmware that was rolled back because the power went is left where it is.",
        "firmware-full",
        (
            _F,
            "            self.switch(staged.serial, staged.security, staged.image, staged.switches + 1)\n",
            "            pass\n",
        ),
        kill="firmware-full/updates:TRIAL#1:after",
    ),
    mutant(
        "switches-unlimited",
        "Firmware that resets before it is counted is started for ever.",
        "firmware-bad-early",
        (_F, "        elif staged.switches >= _SWITCHES:\n", "        elif False:\n"),
    ),
    mutant(
        "switches-not-counted",
        "How often firmware was chosen to boot is not counted.",
        "firmware-bad-early",
        (_F, "staged.image, staged.switches + 1)", "staged.image, 1)"),
    ),
    mutant(
        "started-before-staged",
        "New firmware is chosen to boot before that is noted down.",
        "firmware-full firmware-bad-hang firmware-bad-early",
        (_F, _STAGED + _SET_BOOT, _SET_BOOT + _STAGED),
        kill="firmware-full/otadata:program#2:after",
    ),
    mutant(
        "not-started",
        "New firmware is not chosen to boot.",
        "firmware-full",
        (_F, "            spare.set_boot()\n", "            pass\n"),
    ),
    mutant(
        "unbootable-kept",
        "An image that does not boot is not remembered as bad.",
        "refuse-garbage",
        (
            _F,
            _SET_BOOT,
            _SET_BOOT.replace(
                '            self._decide_bad(journal.staged[j.FIRMWARE], "it is no image that boots")\n', ""
            ),
        ),
    ),
    mutant(
        "slept-into-boot",
        "It sleeps instead of restarting into the new firmware.",
        "firmware-full",
        (
            _F,
            "            return\n        machine.reset()\n\n    def confirm",
            "            return\n        machine.deepsleep(1000)\n\n    def confirm",
        ),
    ),
    mutant(
        "confirming-left-out",
        "That a trial was passed is not noted down before otadata is changed.",
        "firmware-full",
        (_F, _CONFIRMING, "            pass\n"),
        kill="firmware-full/otadata:erase#4:watchdog",
    ),
    mutant(
        "confirming-late",
        "That a trial was passed is noted down after otadata was changed.",
        "firmware-full",
        (_F, _CONFIRMING, "            self._mark_valid()\n" + _CONFIRMING),
        kill="firmware-full/otadata:erase#4:watchdog",
    ),
    mutant(
        "not-marked-valid",
        "otadata is not told that a trial was passed.",
        "firmware-full",
        (_F, _MARK, "        self.on_trial = False\n"),
    ),
    mutant(
        "good-not-decided",
        "That firmware is good is not noted down.",
        "firmware-second firmware-full",
        (_F, _GOOD, ""),
    ),
    mutant(
        "decided-before-valid",
        "Firmware counts as good before otadata knows.",
        "firmware-full firmware-same",
        (_F, _MARK, "        if staged:\n            self._decide(staged, j.GOOD)\n" + _MARK),
        kill="firmware-full/updates:DECIDED#2:after",
    ),
    mutant(
        "floor-not-raised",
        "The floor of firmware stays where it is, and what is below it in the spare slot.",
        "firmware-full firmware-delta",
        (_F, _FLOOR, ""),
    ),
    mutant(
        "floor-before-trial",
        "The floor is raised when the trial begins.",
        "firmware-bad-selftest firmware-bad-crash",
        (_F, _TRIAL, "            journal.append(j.FLOOR, security=staged.security)\n" + _TRIAL),
    ),
    mutant(
        "floor-after-decision",
        "The floor is raised after the decision: if the power goes in between, never.",
        "firmware-full model-downgrade",
        (_F, _FLOOR + _GOOD, _GOOD + _FLOOR),
        kill="firmware-full/updates:DECIDED#2:after",
    ),
    mutant(
        "old-slot-kept",
        "What is below the floor stays in the spare slot.",
        "firmware-full firmware-delta",
        (_F, "        self.spare().ioctl(6, 0)\n", ""),
    ),
    mutant(
        "old-slot-kept-after-cut",
        "What is below the floor stays in the spare slot if the power goes while the floor is raised.",
        "firmware-full firmware-delta",
        (
            _F,
            "        if journal.cleaned < journal.floor[j.FIRMWARE] and not self.too_old:\n",
            "        if False:\n",
        ),
        kill="firmware-full/updates:DECIDED#2:after",
    ),
    mutant(
        "old-slot-wiped-early",
        "The old firmware is wiped when the trial of the new one begins.",
        "firmware-bad-selftest firmware-bad-crash",
        (_F, _TRIAL, "            self.spare().ioctl(6, 0)\n" + _TRIAL),
    ),
    mutant(
        "own-floor-before-cleaned",
        "What runs raises the floor before it notes that the spare slot holds nothing below it.",
        "firmware-full",
        (_F, _OWN_CLEANED + _OWN_FLOOR, _OWN_FLOOR + _OWN_CLEANED),
        kill="firmware-full/updates:FLOOR#2:after",
    ),
    mutant(
        "running-slot-wiped",
        "The slot that runs is wiped in place of the spare one.",
        "firmware-full",
        (_F, "        self.spare().ioctl(6, 0)\n", "        self._running.ioctl(6, 0)\n"),
    ),
    mutant(
        "failed-and-stays",
        "Firmware that failed runs on.",
        "firmware-bad-selftest",
        (
            _F,
            "                return\n        machine.reset()\n\n\ndef _nothing",
            "                return\n\n\ndef _nothing",
        ),
    ),
    mutant(
        "failed-not-left",
        "Firmware that failed trusts the boot loader to leave it.",
        "firmware-bad-hang firmware-bad-crash",
        (_F, "        if self.state() != PENDING:\n", "        if False:\n"),
        kill="firmware-bad-hang/otadata:program#4:inside:hole:6",
    ),
    mutant(
        "back-unmarked",
        "The old firmware is not marked as valid when it was chosen again.",
        "firmware-bad-hang firmware-bad-crash",
        (
            _F,
            "                self._mark_valid()  # back from a release that failed\n",
            "                pass\n",
        ),
        kill="firmware-bad-hang/otadata:program#4:inside:hole:6",
    ),
    mutant(
        "probe-skipped",
        "On trial nothing is asked of sensors, link and model.",
        "firmware-bad-selftest",
        ("app", "                self.updates.probe()\n", ""),
    ),
    mutant(
        "failure-confirmed",
        "What fails its trial is confirmed.",
        "firmware-bad-selftest",
        (
            "app",
            "MemoryError, LinkError) as error:\n",
            "MemoryError, LinkError) as error:\n"
            "                self.updates.confirm(0, 0)\n                continue\n",
        ),
    ),
    mutant(
        "slept-over-trial",
        "It sleeps before the trial is over.",
        "firmware-full",
        (
            "app",
            "        self.prove()\n        while True:\n",
            "        while True:\n",
        ),
    ),
]
