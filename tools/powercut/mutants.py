"""All seeded bugs by name."""

from __future__ import annotations

from cicada.tools.powercut.mutant import Mutant
from cicada.tools.powercut.mutants_boot import BOOT
from cicada.tools.powercut.mutants_fetch import FETCH
from cicada.tools.powercut.mutants_firmware import FIRMWARE
from cicada.tools.powercut.mutants_journal import JOURNAL
from cicada.tools.powercut.mutants_models import MODELS

MUTANTS: dict[str, Mutant] = {one.name: one for one in (*FETCH, *JOURNAL, *FIRMWARE, *MODELS, *BOOT)}
