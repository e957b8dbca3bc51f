"""Where the twin's partitions lie: from its table, so that no test repeats an offset."""

from __future__ import annotations

from cicada.tools.twin import factory
from cicada.tools.twin.partitions import Partition

#: Partitions of the twin's board by label.
SLOTS: dict[str, Partition] = factory.table()
