"""Where the twin's partitions lie: from its table, so that no test repeats an offset."""

from __future__ import annotations

from cicada.tools.firmware.tables import check_partitions
from cicada.tools.twin.partitions import Partition

#: Partitions of the twin's board by label.
SLOTS: dict[str, Partition] = {partition.label: partition for partition in check_partitions("twin")}
