"""Partition tables: the boards' own, and what the checks find."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.firmware import tables
from cicada.tools.firmware.build import boards
from cicada.tools.firmware.tables import check_partitions, compatible, faults, read_csv
from cicada.tools.paths import BOARDS
from cicada.tools.twin import partitions
from cicada.tools.twin.flash import SECTOR
from cicada.tools.twin.image import partition_table

NAMES = [*boards(), "twin"]
TABLE = read_csv(BOARDS / "esp32" / "partitions.csv")
FLASH = 4 << 20


def changed(which, **new):
    return [replace(p, **new) if p.label == which else p for p in TABLE]


@pytest.mark.parametrize("name", NAMES)
def test_a_board_has_all_partitions_in_its_flash(name):
    table = {p.label: p for p in check_partitions(name)}
    assert [label for label, _, _ in tables.NEEDED] == list(table)
    assert min(table[label].size for label in ("model_0", "model_1")) >= 256 * 1024
    assert table["updates"].size >= 4 * SECTOR
    assert all(p.offset % 0x10000 == 0 for p in table.values() if p.type == partitions.APP)


@pytest.mark.parametrize("name", NAMES)
def test_the_csv_is_read_as_another_tool_reads_it(name):
    binary = partition_table(name).ljust(partitions.TABLE_SIZE, b"\xff")
    assert partitions.parse(binary, load_board(name).FLASH_SIZE) == check_partitions(name)


def test_boards_with_the_same_flash_have_the_same_table():
    assert len({tuple(check_partitions(n)) for n in NAMES if load_board(n).FLASH_SIZE == FLASH}) == 1


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (changed("ota_1", offset=0x1B1000), "does not begin at a multiple of 0x10000"),
        (changed("outbox", offset=0x3D0800), "does not begin at a multiple of 0x1000"),
        (changed("vfs", size=0x21000), "past the flash's 4096 KB"),
        (changed("model_0", size=0x50000), "model_0 and model_1 overlap at 0x390000"),
        (changed("model_1", size=0x30000), "a model needs 0x40000"),
        (changed("ota_1", size=0x190000), "ota_0 and ota_1 differ in size"),
        (changed("nvs", offset=0x8000), "before the end of the table itself"),
        (changed("outbox", label="log"), "needs a partition outbox"),
        (changed("outbox", label="model_0"), "two partitions are called model_0"),
        (changed("model_0", subtype=0x41), "model_0 is not of type 1, subtype 0x40"),
        (changed("updates", subtype=0x41), "updates is not of type 1, subtype 0x42"),
        (changed("updates", type=0), "updates is not of type 1, subtype 0x42"),
        (changed("updates", label="log"), "needs a partition updates"),
        (changed("updates", size=0x3000), "the journal of updates needs 0x4000"),
        (changed("otadata", size=0x1000), "otadata must have 0x2000 bytes"),
        (changed("vfs", label="a name of 16 byt"), "no name of 1 to 15 bytes"),
    ],
)
def test_every_fault_is_named(table, expected):
    assert [fault for fault in faults(table, FLASH) if expected in fault], faults(table, FLASH)


def test_a_faulty_table_is_refused_in_one_line(tmp_path, monkeypatch):
    for file in ("board.py", "partitions.csv"):
        target = tmp_path / "esp32" / file
        target.parent.mkdir(exist_ok=True)
        target.write_text(
            (BOARDS / "esp32" / file).read_text().replace("0x1b0000, 0x1a0000", "0x1c0000, 0x190000")
        )
    monkeypatch.setattr("cicada.tools.paths.BOARDS", tmp_path)
    with pytest.raises(UserError, match="partitions.csv: ota_0 and ota_1 differ in size") as refused:
        check_partitions("esp32")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "line", ["nvs, data, nvs", "nvs, data, nvs, , 0x4000", "nvs, what, 1, 0x9000, 0x1000"]
)
def test_a_line_that_is_no_partition_is_named(tmp_path, line):
    (tmp_path / "t.csv").write_text(f"# a table\n{line}\n")
    with pytest.raises(UserError, match="t.csv, line 2"):
        read_csv(tmp_path / "t.csv")


def test_sizes_may_be_written_in_k_and_m(tmp_path):
    (tmp_path / "t.csv").write_text("nvs, data, nvs, 36K, 16k\nota_0, app, ota_0, 1M, 0x100000,\n")
    assert [(p.offset, p.size) for p in read_csv(tmp_path / "t.csv")] == [
        (0x9000, 0x4000),
        (1 << 20, 1 << 20),
    ]


def test_an_update_over_the_air_keeps_the_table():
    assert compatible(TABLE, TABLE) == []
    assert compatible(list(reversed(TABLE)), TABLE) == []


@given(
    which=st.integers(0, len(TABLE) - 1),
    change=st.sampled_from(["offset", "size", "type", "subtype", "label", "gone"]),
)
def test_any_other_table_would_orphan_the_update(which, change):
    old = list(TABLE)
    if change == "gone":
        del old[which]
    elif change == "label":
        old[which] = replace(old[which], label="other")
    else:
        old[which] = replace(old[which], **{change: getattr(old[which], change) + 0x1000})
    reasons = compatible(old, TABLE)
    assert any(TABLE[which].label in reason for reason in reasons)
    assert compatible(TABLE, old)


def test_the_reason_says_what_moved():
    assert compatible(changed("vfs", offset=0x3F0000, size=0x10000), TABLE) == [
        "partition vfs was 0x10000 bytes at 0x3f0000, now it is 0x20000 at 0x3e0000"
    ]
