"""Partition tables before they are flashed: do they boot, do they hold what the application needs, and would
an update over the air live with another one?

Rules: ESP-IDF v5.5.1 ``components/partition_table/gen_esp32part.py`` (``PartitionDefinition.verify``,
``PartitionTable.verify``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.paths import board_dir
from cicada.tools.twin import partitions
from cicada.tools.twin.partitions import APP, DATA, Partition

APP_ALIGNMENT, DATA_ALIGNMENT = 0x10000, 0x1000
#: End of the partition table; nothing may begin before.
FIRST = partitions.TABLE + 0x1000
LABEL_LENGTH = 15  # 16 bytes with the end
#: Smallest useful partition for a model container, bytes.
MODEL_SIZE = 0x40000
#: Smallest partition for the journal of updates, bytes: four sectors, which it writes in turn.
UPDATES_SIZE = 0x4000

_TYPES = {"app": APP, "data": DATA}
_SUBTYPES = {
    APP: {"factory": partitions.FACTORY, "test": partitions.TEST}
    | {f"ota_{n}": partitions.OTA_0 + n for n in range(16)},
    DATA: {
        "ota": partitions.OTADATA,
        "phy": 0x01,
        "nvs": partitions.NVS,
        "coredump": 0x03,
        "nvs_keys": 0x04,
        "efuse": 0x05,
        "fat": 0x81,
        "spiffs": 0x82,
        "littlefs": 0x83,
    },
}
_MODEL, _OUTBOX, _UPDATES = 0x40, 0x41, 0x42
#: What every board's table holds: label, type, subtype.
NEEDED = (
    ("nvs", DATA, partitions.NVS),
    ("otadata", DATA, partitions.OTADATA),
    ("phy_init", DATA, 0x01),
    ("ota_0", APP, partitions.OTA_0),
    ("ota_1", APP, partitions.OTA_0 + 1),
    ("model_0", DATA, _MODEL),
    ("model_1", DATA, _MODEL),
    ("outbox", DATA, _OUTBOX),
    ("updates", DATA, _UPDATES),
    ("vfs", DATA, 0x81),
)


def read_csv(path: Path) -> list[Partition]:
    """The partitions of a ``partitions.csv`` in which every offset is given.

    Raises:
        UserError: naming file and line, for what ESP-IDF would not read.
    """
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    found = []
    for number, line in enumerate(lines, 1):
        text = line.split("#")[0].strip()
        if not text:
            continue
        fields = [field.strip() for field in text.split(",")]
        try:
            label, kind, subtype, offset, size = fields[:5]
            type_ = _TYPES[kind] if kind in _TYPES else int(kind, 0)
            named = _SUBTYPES.get(type_, {})
            found.append(
                Partition(
                    label,
                    type_,
                    named[subtype] if subtype in named else int(subtype, 0),
                    _number(offset),
                    _number(size),
                )
            )
        except (ValueError, KeyError) as error:
            raise UserError(
                f"{path}, line {number}: '{text}' is no partition: write name, type, subtype, offset, size"
            ) from error
    return found


def _number(text: str) -> int:
    """``0x1000``, ``4K`` or ``1M`` in bytes."""
    for suffix, factor in (("K", 1024), ("M", 1024 * 1024)):
        if text[-1:].upper() == suffix:
            return int(text[:-1], 0) * factor
    return int(text, 0)


def faults(table: Sequence[Partition], flash_size: int) -> list[str]:
    """What is wrong with a table on a chip with ``flash_size`` bytes; empty if nothing is."""
    found = []
    for p in table:
        alignment = APP_ALIGNMENT if p.type == APP else DATA_ALIGNMENT
        if p.offset % alignment or p.size % DATA_ALIGNMENT or not p.size:
            found.append(
                f"{p.label} at 0x{p.offset:x} with 0x{p.size:x} bytes does not begin at a multiple of "
                f"0x{alignment:x}, or its size is not one of 0x{DATA_ALIGNMENT:x}"
            )
        if p.offset < FIRST:
            found.append(
                f"{p.label} begins at 0x{p.offset:x}, before the end of the table itself at 0x{FIRST:x}"
            )
        if p.offset + p.size > flash_size:
            found.append(
                f"{p.label} ends at 0x{p.offset + p.size:x}, past the flash's {flash_size // 1024} KB"
            )
        if not 0 < len(p.label.encode()) <= LABEL_LENGTH:
            found.append(f"'{p.label}' is no name of 1 to {LABEL_LENGTH} bytes")
    ordered = sorted(table, key=lambda p: p.offset)
    for one, other in zip(ordered, ordered[1:], strict=False):
        if one.offset + one.size > other.offset:
            found.append(f"{one.label} and {other.label} overlap at 0x{other.offset:x}")
    labels = [p.label for p in table]
    found += [
        f"two partitions are called {label}" for label in sorted({x for x in labels if labels.count(x) > 1})
    ]
    return found + _needs({p.label: p for p in table})


def _needs(table: dict[str, Partition]) -> list[str]:
    """What the application misses."""
    found = []
    for label, kind, subtype in NEEDED:
        if label not in table:
            found.append(f"the application needs a partition {label}, there is none")
        elif (table[label].type, table[label].subtype) != (kind, subtype):
            found.append(f"{label} is not of type {kind}, subtype 0x{subtype:02x}")
    slots = [table[label] for label in ("ota_0", "ota_1") if label in table]
    if len({slot.size for slot in slots}) > 1:
        found.append("ota_0 and ota_1 differ in size: an update must fit both")
    if "otadata" in table and table["otadata"].size != 0x2000:
        found.append("otadata must have 0x2000 bytes, a sector for each of its two entries")
    for label in ("model_0", "model_1"):
        if label in table and table[label].size < MODEL_SIZE:
            found.append(f"{label} has 0x{table[label].size:x} bytes, a model needs 0x{MODEL_SIZE:x}")
    if "updates" in table and table["updates"].size < UPDATES_SIZE:
        found.append(
            f"updates has 0x{table['updates'].size:x} bytes, the journal of updates needs 0x{UPDATES_SIZE:x}"
        )
    return found


def check_partitions(board: str) -> list[Partition]:
    """The table of a board in ``boards/``, in the order of its file.

    Raises:
        UserError: naming the first fault.
    """
    path = board_dir(board) / "partitions.csv"
    table = read_csv(path)
    wrong = faults(table, load_board(board).FLASH_SIZE)
    if wrong:
        raise UserError(f"{path}: {wrong[0]}" + (f" (and {len(wrong) - 1} more faults)" if wrong[1:] else ""))
    return table


def compatible(old: Sequence[Partition], new: Sequence[Partition]) -> list[str]:
    """Why a device with table ``old`` could not be updated over the air to an image made for table ``new``.

    Such an update replaces the application and leaves the table, so everything the new application expects
    must be where it was. Empty if it may be done.
    """
    reasons = []
    before = {p.label: p for p in old}
    for p in new:
        was = before.get(p.label)
        if was is None:
            reasons.append(f"partition {p.label} is new")
        elif (was.type, was.subtype) != (p.type, p.subtype):
            reasons.append(f"partition {p.label} was of another type")
        elif (was.offset, was.size) != (p.offset, p.size):
            reasons.append(
                f"partition {p.label} was 0x{was.size:x} bytes at 0x{was.offset:x}, "
                f"now it is 0x{p.size:x} at 0x{p.offset:x}"
            )
    gone = [p.label for p in old if p.label not in {q.label for q in new}]
    return reasons + [f"partition {label} is gone" for label in gone]
