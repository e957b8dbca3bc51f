"""Flashing: what is written, in which order, and what a board is left with when cable or power goes.

esptool is the real one; behind its port are the twin's ROM loader and flash, and the twin's boot loader is
asked what would boot.
"""

import hashlib
import json
import random
import time
from dataclasses import replace

import pytest

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.flashing.firmware import read
from cicada.tools.flashing.flash import flash
from cicada.tools.flashing.images import inspect
from cicada.tools.twin import otadata, partitions
from cicada.tools.twin.boot import NothingBoots, boot
from cicada.tools.twin.flash import SECTOR, SHAPES, Cut, NorFlash, PowerCut
from support.flashing import SIZE, Board, app, build, loader
from support.slots import SLOTS

APP_SIZE = 90_000
CUTS = 3  # tries of each kind of fault; hundreds were tried once
TABLE, LOADER = 0x8000, 0x1000
OTA_0, OTA_1, OTADATA = (SLOTS[label].offset for label in ("ota_0", "ota_1", "otadata"))
VFS, NVS, MODEL = (SLOTS[label].offset for label in ("vfs", "nvs", "model_0"))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    """The port answers at once, so esptool need not pause; nobody reads the traces it composes."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr("esptool.loader.HexFormatter.__str__", lambda self: "")


def put(memory, folder, **options):
    """Flash the build in ``folder`` onto a board with ``memory``."""
    return flash("twin", "/dev/ttyUSB0", line=Board(memory), folder=folder, **options)


def booted(memory):
    """Version and slot of what boots, on a copy: a boot may write."""
    found = boot(NorFlash(SIZE, memory.snapshot().data), "esp32")
    return found.image.version, found.partition.label


def writes(memory):
    """Sectors that were erased or programmed since the log began."""
    return {operation.at // SECTOR * SECTOR for operation in memory.log}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "build"


@pytest.fixture
def board(folder):
    """Flash of a board in use: version 1 runs in ota_0, and there are data."""
    memory = NorFlash(SIZE)
    put(memory, build(folder, app("1", APP_SIZE)))
    boot(memory, "esp32")
    memory.program(NVS, b"settings")
    memory.program(VFS, b"recordings")
    memory.log = []
    return memory


def choose(memory, slot, image=None):
    """Have ``slot`` boot, as an update over the air does, with ``image`` in it."""
    table = partitions.parse(memory.read(TABLE, 0xC00), SIZE)
    where = partitions.find(table, partitions.DATA, partitions.OTADATA)
    if image:
        target = partitions.ota_slots(table)[slot]
        memory.erase(target.offset, -(-len(image) // SECTOR) * SECTOR)
        memory.program(target.offset, image)
    otadata.write(memory, where, slot, otadata.Entry.of(slot + 1, otadata.VALID))
    memory.log = []


# What is written


def test_an_empty_board_gets_everything_and_boots(folder):
    memory = NorFlash(SIZE)
    line = Board(memory)
    image, boot_loader = app("1", APP_SIZE), loader()
    outcome = flash("twin", "/dev/ttyUSB0", line=line, folder=build(folder, image, boot_loader))
    assert booted(memory) == ("1", "ota_0")
    assert memory.read(LOADER, len(boot_loader)) == boot_loader
    assert memory.read(OTA_1, SECTOR) == b"\xff" * SECTOR
    assert list(outcome.written) == ["ota_0", "bootloader", "partition-table"]
    assert line.starts == ["download", "run"] and not line.is_open


def test_only_sectors_that_differ_are_touched(board, folder):
    choose(board, 1, app("air", APP_SIZE))
    old, new = app("1", APP_SIZE), app("2", APP_SIZE, seed=7)
    put(board, build(folder, new))
    differing = {
        OTA_0 + at for at in range(0, len(new), SECTOR) if old[at : at + SECTOR] != new[at : at + SECTOR]
    }
    assert 1 < len(differing) < 5
    assert writes(board) == differing | {OTADATA, OTADATA + SECTOR}
    assert booted(board) == ("2", "ota_0")
    assert board.read(NVS, 8) == b"settings" and board.read(VFS, 10) == b"recordings"


def test_nothing_but_otadata_is_touched_by_the_same_build(board, folder):
    outcome = put(board, folder)
    assert writes(board) == {OTADATA} and list(outcome.written) == ["otadata"]
    assert board.read(OTADATA, 2 * SECTOR) == b"\xff" * 2 * SECTOR


def test_the_journal_of_updates_starts_anew_with_another_application_only(board, folder):
    journal = SLOTS["updates"].offset
    board.program(journal, b"verdicts")
    put(board, build(folder, app("1", APP_SIZE)))
    assert board.read(journal, 8) == b"verdicts"
    put(board, build(folder, app("2", APP_SIZE, seed=7)))
    assert board.read(journal, 8) == b"\xff" * 8


def test_a_slot_chosen_over_the_air_gives_way_to_the_new_build(board, folder):
    choose(board, 1, app("air", APP_SIZE))
    assert booted(board) == ("air", "ota_1")
    put(board, build(folder, app("2", APP_SIZE)))
    assert booted(board) == ("2", "ota_0")
    assert inspect(board.read(OTA_1, SLOTS["ota_1"].size), "esp32")


def test_contents_of_data_partitions_that_belong_to_the_build_are_written(board, folder):
    build(folder, app("2", APP_SIZE))
    (folder / "phy.bin").write_bytes(b"model" * 1000)
    about = json.loads((folder / "flasher_args.json").read_text())
    about["flash_files"][hex(MODEL)] = "phy.bin"
    (folder / "flasher_args.json").write_text(json.dumps(about))
    put(board, folder)
    assert board.read(MODEL, 5000) == b"model" * 1000


def test_a_byte_that_rotted_is_mended(board, folder):
    at = OTA_0 + 50_001
    choose(board, 1, app("air", APP_SIZE))
    board.program(at, b"\0")
    board.log = []
    put(board, folder)
    assert writes(board) - {OTADATA, OTADATA + SECTOR} == {at // SECTOR * SECTOR}
    assert booted(board) == ("1", "ota_0")


def test_flash_that_does_not_keep_what_is_written_is_found_out(board, folder, monkeypatch):
    build(folder, app("2", APP_SIZE, seed=3))
    program = NorFlash.program
    monkeypatch.setattr(NorFlash, "program", lambda self, at, data: program(self, at, data[:-1] + b"\0"))
    with pytest.raises(UserError, match="MD5|differ"):
        put(board, folder)


# Cable and power


def _scenarios():
    """Name, slot chosen before, image in ota_1, whether the boot loader changes."""
    yield "first update: nothing in ota_1", 0, None, False
    yield "an older image in ota_1", 0, app("old", 30_000), False
    yield "ota_1 runs", 1, app("air", 30_000), False
    yield "half an image in ota_1", 0, app("torn", 30_000)[:20_000], False
    yield "a new boot loader", 1, app("air", 30_000), True


@pytest.mark.parametrize("fault", ["power", "cable"])
@pytest.mark.parametrize(
    ("slot", "other", "new_loader"), [s[1:] for s in _scenarios()], ids=[s[0] for s in _scenarios()]
)
def test_a_board_cut_off_anywhere_still_boots_and_the_same_command_goes_on(
    board, folder, slot, other, new_loader, fault
):
    if other:
        choose(board, 1, other)
    if slot == 0:
        choose(board, 0)
        board.erase(OTADATA + SECTOR)
    build(folder, app("2", 40_000, seed=9, tail=30_000), loader(5) if new_loader else None)
    (folder / "flashed.json").unlink()
    before = board.snapshot()
    loaders = {loader(), loader(5)} if new_loader else {loader()}
    put(board, folder)
    first, last = before.operations, board.operations
    assert last - first > 20
    rng = random.Random(f"{slot}{fault}{new_loader}")
    for _ in range(CUTS):
        board.restore(before)
        line, at = Board(board), rng.randrange(first, last)
        if fault == "power":
            board.cut = Cut(
                at, rng.choice(["before", "inside", "after"]), rng.choice(SHAPES), rng.randrange(99)
            )
        else:
            line.leaves = at
        try:
            flash("twin", "/dev/ttyUSB0", line=line, folder=folder)
            assert fault == "cable" and at > last - 40  # nothing was said any more
        except UserError as error:
            assert "run the same command" in str(error) and "\n" not in str(error)
        whole = board.read(LOADER, len(loader())) in loaders
        if whole:
            # While an update over the air runs, what it replaced must not come back.
            running = boot(board, "esp32").image.version
            assert running in (("air", "2") if slot else ("1", "2", "old"))
        else:
            assert new_loader  # the ROM's loader is there still, which is what the next line uses
        put(board, folder)
        assert booted(board) == ("2", "ota_0")
        assert board.read(NVS, 8) == b"settings" and board.read(VFS, 10) == b"recordings"


def test_a_first_flash_cut_off_anywhere_goes_on(folder):
    build(folder, app("1", APP_SIZE))
    rng = random.Random(4)
    for _ in range(4):
        memory = NorFlash(SIZE)
        for _ in range(3):
            memory.cut = Cut(memory.operations + rng.randrange(150), "inside", rng.choice(SHAPES), 1)
            with pytest.raises(UserError, match="run the same command"):
                put(memory, folder)
        memory.cut = None
        put(memory, folder)
        assert booted(memory) == ("1", "ota_0")


def test_the_oracle_of_these_tests_can_say_no(board, folder):
    """Without a second slot that boots, half a write would leave nothing."""
    board.erase(OTA_0 + SECTOR)
    with pytest.raises(NothingBoots):
        booted(board)


def test_a_board_that_does_not_answer_is_one_line(folder):
    class Silent(Board):
        def write(self, data):
            pass

    build(folder, app("1", APP_SIZE))
    with pytest.raises(UserError, match="connecting at /dev/ttyUSB0: .*BOOT button"):
        flash("twin", "/dev/ttyUSB0", line=Silent(NorFlash(SIZE)), folder=folder)


# Partition tables

_OTHER = """nvs,data,nvs,0x9000,0x4000
otadata,data,ota,0xd000,0x2000
phy_init,data,phy,0xf000,0x1000
ota_0,app,ota_0,0x10000,0x180000
ota_1,app,ota_1,0x190000,0x180000
vfs,data,fat,0x310000,0xf0000
"""


def other_table():
    from esp_idf_defs import PartitionTable

    return PartitionTable.from_csv(_OTHER).to_binary()


def test_another_partition_table_is_refused_and_nothing_written(board, folder):
    build(folder, app("2", APP_SIZE), table=other_table())
    with pytest.raises(
        UserError, match="would lose the contents of model_0, model_1, outbox, updates, vfs: nothing was"
    ) as how:
        put(board, folder)
    assert "--repartition" in str(how.value) and not board.log
    assert booted(board) == ("1", "ota_0")


def test_another_partition_table_is_written_when_that_is_meant(board, folder):
    build(folder, app("2", APP_SIZE), table=other_table())
    board.program(0x310000, b"left from model_0")
    put(board, folder, repartition=True)
    assert booted(board) == ("2", "ota_0")
    assert board.read(NVS, 8) == b"settings"
    assert board.read(0x310000, 0xF0000) == b"\xff" * 0xF0000
    put(board, folder)  # and then it is the board's own


def test_a_new_table_cut_off_anywhere_goes_on(board, folder):
    build(folder, app("2", APP_SIZE), table=other_table())
    before, rng = board.snapshot(), random.Random(8)
    put(board, folder, repartition=True)
    last = board.operations
    for at in [last - 2, last - 10, rng.randrange(before.operations, last)]:
        board.restore(before)
        board.cut = Cut(at, "inside", "bits", 3)
        with pytest.raises(UserError, match="run the same command"):
            put(board, folder, repartition=True)
        put(board, folder, repartition=True)
        assert booted(board) == ("2", "ota_0") and board.read(NVS, 8) == b"settings"


# Boards that do not fit


def test_another_chip_is_refused_before_a_byte_is_written(board, folder, monkeypatch):
    firmware = replace(read("twin", load_board("twin"), build(folder, app("2", APP_SIZE))), chip="esp32s3")
    monkeypatch.setattr("cicada.tools.flashing.flash.read", lambda *a: firmware)
    line = Board(board)
    with pytest.raises(UserError, match=r"is ESP32-D0WD-V3 .*board 'twin' has esp32s3: nothing was written"):
        flash("twin", "/dev/ttyUSB0", line=line, folder=folder)
    assert not board.log and line.starts == ["download", "run"]


def test_too_little_flash_is_refused(folder, monkeypatch):
    build(folder, app("2", APP_SIZE))
    memory = NorFlash(SIZE)
    firmware = read("twin", load_board("twin"), folder)
    large = partitions.Partition("more", 1, 0x40, SIZE, SIZE)
    firmware = replace(firmware, partitions=(*firmware.partitions, large))
    monkeypatch.setattr("cicada.tools.flashing.flash.read", lambda *a: firmware)
    with pytest.raises(UserError, match="needs 8 MB of flash, the chip at .* has 4 MB: nothing was written"):
        put(memory, folder)
    assert memory.operations == 0


def test_another_revision_of_the_chip_is_refused(folder):
    image = bytearray(app("2", APP_SIZE))
    image[15:17] = (400).to_bytes(2, "little")  # min_chip_rev_full
    image = _sealed(image)
    memory = NorFlash(SIZE)
    with pytest.raises(UserError, match="for chip revisions v4.0 to v655.35, this is ESP32-D0WD-V3"):
        put(memory, build(folder, image))
    assert memory.operations == 0


def _sealed(image):
    """The image with its digest made right again."""
    return bytes(image[:-32]) + hashlib.sha256(image[:-32]).digest()


@pytest.mark.parametrize("lock", ["get_flash_encryption_enabled", "get_secure_boot_enabled"])
def test_a_locked_chip_is_left_alone(board, folder, monkeypatch, lock):
    from esptool.targets import ESP32ROM

    monkeypatch.setattr(ESP32ROM, lock, lambda self: True)
    with pytest.raises(UserError, match="has secure boot or flash encryption switched on"):
        put(board, build(folder, app("2", APP_SIZE)))
    assert not board.log


def test_a_flash_that_does_not_answer_is_one_line(board, folder, monkeypatch):
    monkeypatch.setattr("esptool.cmds.detect_flash_size", lambda loader: None)
    with pytest.raises(UserError, match="flash of the chip at /dev/ttyUSB0 does not answer"):
        put(board, build(folder, app("2", APP_SIZE)))


def test_ctrl_c_leaves_a_board_that_runs(board, folder, monkeypatch):
    build(folder, app("2", APP_SIZE, seed=3))
    program, line = NorFlash.program, Board(board)

    def interrupted(memory, at, data):
        if memory.operations > 100 + before:
            raise KeyboardInterrupt
        program(memory, at, data)

    before = board.operations
    monkeypatch.setattr(NorFlash, "program", interrupted)
    with pytest.raises(KeyboardInterrupt):
        flash("twin", "/dev/ttyUSB0", line=line, folder=folder)
    assert line.starts == ["download", "run"] and not line.is_open
    assert booted(board) == ("1", "ota_0")


def test_power_cuts_come_from_the_flash():
    """What the tests above take for granted."""
    memory = NorFlash(SIZE)
    memory.cut = Cut(0)
    with pytest.raises(PowerCut):
        memory.erase(0)
