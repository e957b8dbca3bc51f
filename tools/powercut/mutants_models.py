"""Seeded bugs of models on trial, and of those that were confirmed."""

from __future__ import annotations

from cicada.tools.powercut.mutant import mutant

_M = "~models"
_TRIAL = """            self.journal.append(
                j.TRIAL, j.MODEL, staged.slot, count=staged.attempts + 1, serial=staged.serial
            )
"""
_ACTIVE = """        self.journal.append(
            j.ACTIVE, j.MODEL, staged.slot, serial=staged.serial, a=self.journal.active_serial
        )
"""
_SETTLE = "        self._settle(staged)\n        self.on_trial = False\n"
_FLOOR = """        if staged.security > self.journal.floor[j.MODEL]:
            self.journal.append(j.FLOOR, j.MODEL, security=staged.security)
"""
_GOOD = "        self._decide(staged, j.GOOD)\n"
_TEST = """            selftest.check(manifest, model)
        except ValueError:
            model.deinit()
            raise
"""

MODELS = [
    mutant(
        "model-trial-not-counted",
        "Begun trials of a model are not counted.",
        "model-bad-crash",
        (_M, _TRIAL, ""),
    ),
    mutant(
        "model-trials-unlimited",
        "However often a model was tried, it is tried again.",
        "model-bad-crash",
        (_M, "        if staged and staged.attempts >= _ATTEMPTS:\n", "        if False:\n"),
    ),
    mutant(
        "model-one-trial-only",
        "A model whose trial was cut short once is bad.",
        "model-first",
        (_M, "_ATTEMPTS = const(3)\n", "_ATTEMPTS = const(1)\n"),
        kill="model-first/updates:TRIAL#1:after",
    ),
    mutant(
        "model-counted-late",
        "A trial is counted after the model was opened, which may crash.",
        "model-bad-crash",
        (
            _M,
            _TRIAL + "            try:\n                opened = self._open(staged.slot, (staged.serial,))\n",
            "            try:\n                opened = self._open(staged.slot, (staged.serial,))\n"
            + _TRIAL.replace("            ", "                "),
        ),
    ),
    mutant(
        "model-bad-not-recorded",
        "A model that failed is not remembered as bad.",
        "model-bad-selftest",
        (
            _M,
            "        size, digest = staged.image\n",
            "        if verdict == j.BAD:\n            return\n        size, digest = staged.image\n",
        ),
    ),
    mutant(
        "model-bad-as-good",
        "A model that failed is remembered as good.",
        "model-bad-selftest",
        (_M, "staged.slot, verdict, staged.serial", "staged.slot, j.GOOD, staged.serial"),
    ),
    mutant(
        "model-selftest-skipped",
        "Models are not asked to pass their self-test.",
        "model-bad-selftest",
        (_M, _TEST, _TEST.replace("selftest.check(manifest, model)", "pass")),
    ),
    mutant(
        "active-after-decided",
        "A model is decided on before it is noted down as the one that runs.",
        "model-revert model-upgrade",
        (
            _M,
            _ACTIVE + _SETTLE,
            _SETTLE.replace("        self.on_trial = False\n", "")
            + _ACTIVE
            + "        self.on_trial = False\n",
        ),
        kill="model-revert/updates:DECIDED#2:after",
    ),
    mutant(
        "model-floor-not-raised",
        "The floor of models stays where it is.",
        "refuse-model-floor model-downgrade",
        (_M, _FLOOR, ""),
    ),
    mutant(
        "model-floor-for-firmware",
        "A model raises the floor of the firmware.",
        "model-upgrade",
        (_M, "self.journal.append(j.FLOOR, j.MODEL, security", "self.journal.append(j.FLOOR, security"),
    ),
    mutant(
        "model-floor-after-decision",
        "The floor of models is raised after the decision: if the power goes in between, never.",
        "model-downgrade",
        (_M, _FLOOR + _GOOD, _GOOD + _FLOOR),
        kill="model-downgrade/updates:DECIDED#2:after",
    ),
    mutant(
        "model-never-struck",
        "However often a confirmed model crashes, it is kept.",
        "model-crashes",
        (_M, "        if strikes < _STRIKES or ", "        if True or "),
    ),
    mutant(
        "model-struck-to-nothing",
        "A model that is given up takes the one before it along.",
        "model-crashes",
        (
            _M,
            "        journal.append(j.ACTIVE, j.MODEL, slot, serial=serial)\n",
            "        journal.append(j.ACTIVE, j.MODEL)\n",
        ),
    ),
    mutant(
        "model-struck-to-itself",
        "A model that is given up stays the one that runs.",
        "model-crashes",
        (
            _M,
            "        journal.append(j.ACTIVE, j.MODEL, slot, serial=serial)\n",
            "        journal.append(j.ACTIVE, j.MODEL, 1 - slot, serial=journal.active_serial)\n",
        ),
    ),
    mutant(
        "model-struck-below-floor",
        "A model that is given up leaves the one before it, wherever the floor is.",
        "model-crashes-last",
        (_M, "        if release.security < self.journal.floor[j.MODEL]:\n", "        if False:\n"),
    ),
    mutant(
        "strikes-not-counted",
        "Crashes while a model is opened are not counted.",
        "model-crashes",
        (
            "~service",
            "memory.busy = 1  # a crash while the model is opened and tested is laid at its door, too",
            "",
        ),
    ),
    mutant(
        "strikes-kept",
        "Crashes of a model that is given up count against the one before it, if the chip is reset then.",
        "model-crashes",
        (
            "~service",
            "                memory.strikes = memory.busy = 0\n                memory.save()\n",
            "                memory.strikes = strikes\n                memory.save()\n",
        ),
        kill="model-crashes/updates:ACTIVE#2:watchdog",
    ),
    mutant(
        "fallback-first",
        "The slot that does not count is tried first.",
        "model-second model-upgrade",
        (_M, "        return (first, 1 - first)\n", "        return (1 - first, first)\n"),
    ),
]
