"""The boot loader: every pair of otadata entries, broken images, deep sleep, power cuts."""

import itertools

import pytest

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.twin import appimage, ota, otadata, partitions
from cicada.tools.twin.boot import NothingBoots, boot
from cicada.tools.twin.flash import SHAPES, Cut, NorFlash, PowerCut
from cicada.tools.twin.otadata import ABORTED, INVALID, NEW, PENDING_VERIFY, UNDEFINED, VALID, Entry

BOARD = load_board("twin")
SIZE = BOARD.FLASH_SIZE
LAYOUTS = {
    "two slots": "nvs,data,nvs,0x9000,0x5000\notadata,data,ota,0xe000,0x2000\n"
    "ota_0,app,ota_0,0x10000,0x10000\nota_1,app,ota_1,0x20000,0x10000\n",
    "three slots": "otadata,data,ota,0xe000,0x2000\nota_0,app,ota_0,0x10000,0x10000\n"
    "ota_1,app,ota_1,0x20000,0x10000\nota_2,app,ota_2,0x30000,0x10000\n",
    "factory and two": "otadata,data,ota,0xe000,0x2000\nfactory,app,factory,0x10000,0x10000\n"
    "ota_0,app,ota_0,0x20000,0x10000\nota_1,app,ota_1,0x30000,0x10000\n",
}
STATES = (NEW, PENDING_VERIFY, VALID, INVALID, ABORTED, UNDEFINED, 9)
ENTRIES = [Entry()] + [
    Entry(sequence, state, otadata.crc_of(sequence) ^ wrong)
    for sequence in (0, 1, 2, 3, 0xFFFFFFFE)
    for state in STATES
    for wrong in (0, 1)
]


def board_flash(layout, broken=()):
    """Flash with an image in every app slot, whose version is the slot's name; those of ``broken`` are not
    whole."""
    from esp_idf_defs import PartitionTable

    table = PartitionTable.from_csv(LAYOUTS[layout]).to_binary()
    flash = NorFlash(SIZE)
    flash.program(partitions.TABLE, table)
    for slot in partitions.find_all(partitions.parse(table, SIZE), partitions.APP):
        image = bytearray(appimage.build(b"application", slot.label, BOARD))
        if slot.label in broken:
            image[-1] &= image[-1] - 1  # one bit cleared
        flash.program(slot.offset, image)
    return flash


def put(flash, first, second):
    for i, entry in enumerate((first, second)):
        otadata.write(flash, partitions.Partition("otadata", 1, 0, 0xE000, 0x2000), i, entry)


def entries_of(flash):
    return [Entry.parse(flash.read(0xE000 + i * 0x1000, 32)) for i in (0, 1)]


def expected(pair, slots, factory):
    """What ESP-IDF's rules say, written down from its documentation and not from our code: the version that
    runs, and the two entries afterwards."""
    after = [
        Entry(e.sequence, ABORTED, e.crc) if e.state == PENDING_VERIFY else e for e in pair
    ]  # unconfirmed: its chance is over
    given_up = [e.sequence == 0xFFFFFFFF or e.state in (INVALID, ABORTED) for e in after]
    crc_right = [e.crc == otadata.crc_of(e.sequence) for e in after]
    if all(given_up):
        if factory:
            return "factory", after
        if all(e.sequence == 0xFFFFFFFF or not ok for e, ok in zip(after, crc_right, strict=True)):
            after[0] = Entry.of(1, VALID)
        return "ota_0", after
    candidates = [i for i in (0, 1) if crc_right[i] and not given_up[i]]
    if not candidates:
        return ("factory" if factory else "ota_0"), after
    best = candidates[0]
    if len(candidates) == 2 and after[1].sequence > after[0].sequence:
        best = 1
    if after[best].state == NEW:
        after[best] = Entry(after[best].sequence, PENDING_VERIFY, after[best].crc)
    return f"ota_{(after[best].sequence - 1) % 2**32 % slots}", after


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_pair_of_otadata_entries(layout):
    flash = board_flash(layout)
    slots, factory = (3 if layout == "three slots" else 2), "factory" in layout
    count = 0
    for pair in itertools.product(ENTRIES, repeat=2):
        put(flash, *pair)
        booted = boot(flash, "esp32")
        want, after = expected(pair, slots, factory)
        assert booted.image.version == want, pair
        assert [(e.sequence, e.state, e.crc) for e in entries_of(flash)] == [
            (e.sequence, e.state, e.crc) for e in after
        ], pair
        count += 1
    assert count == len(ENTRIES) ** 2 == 5041


@pytest.mark.parametrize(
    ("layout", "broken", "chosen", "runs"),
    [
        ("three slots", ("ota_1",), 2, "ota_0"),  # downwards first
        ("three slots", ("ota_0", "ota_1"), 2, "ota_2"),  # then upwards
        ("three slots", ("ota_2",), 3, "ota_1"),
        ("factory and two", ("ota_1",), 2, "ota_0"),
        ("factory and two", ("ota_0", "ota_1"), 2, "factory"),
        ("factory and two", ("factory", "ota_0"), 1, "ota_1"),
        ("two slots", ("ota_0",), 1, "ota_1"),
    ],
)
def test_a_broken_image_is_passed_over(layout, broken, chosen, runs):
    flash = board_flash(layout, broken)
    put(flash, Entry.of(chosen, VALID), Entry())
    assert boot(flash, "esp32").image.version == runs
    assert entries_of(flash)[0] == Entry.of(chosen, VALID)  # otadata still names the broken one


def test_a_new_image_that_is_broken_is_pending_before_it_is_looked_at():
    flash = board_flash("two slots", ("ota_1",))
    put(flash, Entry.of(1, VALID), Entry.of(2, NEW))
    assert boot(flash, "esp32").image.version == "ota_0"
    assert entries_of(flash)[1].state == PENDING_VERIFY
    assert boot(flash, "esp32").image.version == "ota_0"
    assert entries_of(flash)[1].state == ABORTED


def test_blank_otadata_is_written_for_the_slot_that_ran():
    flash = board_flash("two slots", ("ota_0",))
    assert boot(flash, "esp32").image.version == "ota_1"
    assert entries_of(flash) == [Entry.of(2, VALID), Entry()]


def test_an_image_on_trial_gets_one_boot():
    flash = board_flash("two slots")
    table = partitions.parse(flash.read(partitions.TABLE, partitions.TABLE_SIZE), SIZE)
    assert boot(flash, "esp32").image.version == "ota_0"
    ota.set_boot(flash, table, "esp32", table[3])
    assert boot(flash, "esp32").image.version == "ota_1"
    assert boot(flash, "esp32").image.version == "ota_0"  # rolled back
    ota.set_boot(flash, table, "esp32", table[3])
    assert boot(flash, "esp32").image.version == "ota_1"
    ota.mark_valid(flash, table)
    assert boot(flash, "esp32").image.version == "ota_1"


def test_after_deep_sleep_the_partition_in_rtc_memory_runs_whatever_otadata_says():
    flash = board_flash("two slots")
    first = boot(flash, "esp32").partition
    table = partitions.parse(flash.read(partitions.TABLE, partitions.TABLE_SIZE), SIZE)
    ota.set_boot(flash, table, "esp32", table[3])
    woken = boot(flash, "esp32", retained=first)
    assert woken.image.version == "ota_0" and entries_of(flash)[1].state == NEW
    assert any("Fast booting" in line for line in woken.said)


def test_pending_survives_deep_sleep():
    flash = board_flash("two slots")
    put(flash, Entry.of(1, VALID), Entry.of(2, NEW))
    trial = boot(flash, "esp32").partition
    assert boot(flash, "esp32", retained=trial).image.version == "ota_1"
    assert entries_of(flash)[1].state == PENDING_VERIFY


def test_a_corrupt_image_still_runs_after_deep_sleep_but_not_after_a_reset():
    flash = board_flash("two slots")
    slot = boot(flash, "esp32").partition
    flash.program(slot.offset + 290, b"\0")
    assert boot(flash, "esp32", retained=slot).partition == slot
    assert boot(flash, "esp32").image.version == "ota_1"


def test_nothing_to_boot_is_one_clear_line():
    with pytest.raises(UserError, match="no slot .* holds a bootable image: ota_0: image hash"):
        boot(board_flash("two slots", ("ota_0", "ota_1")), "esp32")
    with pytest.raises(NothingBoots, match="no valid partition table at 0x8000"):
        boot(NorFlash(SIZE), "esp32")


@pytest.mark.parametrize("when", ["before", "inside", "after"])
def test_power_cuts_while_the_boot_loader_writes_otadata(when):
    """ABORTED and PENDING_VERIFY cost an erase and a program each; whatever is torn, something whole boots.
    ESP-IDF's CRC does not cover the state, so *which* one is not promised here."""
    for pair in [(Entry.of(1, VALID), Entry.of(2, NEW)), (Entry.of(1, VALID), Entry.of(2, PENDING_VERIFY))]:
        for number, shape, seed in itertools.product(range(2), SHAPES, range(6)):
            flash = board_flash("two slots")
            put(flash, *pair)
            flash.cut = Cut(flash.operations + number, when, shape, seed)
            with pytest.raises(PowerCut):
                boot(flash, "esp32")
            assert boot(flash, "esp32").image.version in ("ota_0", "ota_1")
            assert boot(flash, "esp32").image.version in ("ota_0", "ota_1")


def test_set_boot_refuses_what_would_not_boot():
    flash = board_flash("two slots", ("ota_1",))
    table = partitions.parse(flash.read(partitions.TABLE, partitions.TABLE_SIZE), SIZE)
    before = flash.read(0xE000, 0x2000)
    with pytest.raises(ota.EspError, match="ESP_ERR_OTA_VALIDATE_FAILED"):
        ota.set_boot(flash, table, "esp32", table[3])
    with pytest.raises(ota.EspError, match="ESP_ERR_OTA_VALIDATE_FAILED"):
        ota.set_boot(flash, table, "esp32", table[0])  # nvs
    assert flash.read(0xE000, 0x2000) == before


@pytest.mark.parametrize("active", [None, 1, 2, 3, 4, 7])
@pytest.mark.parametrize("slot", [0, 1, 2])
def test_set_boot_writes_the_other_entry_with_the_next_fitting_number(active, slot):
    flash = board_flash("three slots")
    put(flash, Entry.of(active, VALID) if active else Entry(), Entry())
    table = partitions.parse(flash.read(partitions.TABLE, partitions.TABLE_SIZE), SIZE)
    target = next(p for p in table if p.label == f"ota_{slot}")
    ota.set_boot(flash, table, "esp32", target)
    new = entries_of(flash)[1 if active else 0]
    assert new.state == NEW and new.sound and new.sequence >= (active or 1)
    assert (new.sequence - 1) % 3 == slot and new.sequence - (active or 1) < 3
    assert ota.boot_partition(flash, table) == target
    assert boot(flash, "esp32").partition == target


def test_factory_is_chosen_by_erasing_otadata():
    flash = board_flash("factory and two")
    put(flash, Entry.of(1, VALID), Entry())
    table = partitions.parse(flash.read(partitions.TABLE, partitions.TABLE_SIZE), SIZE)
    ota.set_boot(flash, table, "esp32", partitions.find(table, partitions.APP, partitions.FACTORY))
    assert boot(flash, "esp32").image.version == "factory"


def test_mark_valid_confirms_what_otadata_selects_even_if_another_image_runs():
    """ESP-IDF's trap: after a fallback it would validate the corrupt image."""
    flash = board_flash("two slots", ("ota_1",))
    put(flash, Entry.of(1, VALID), Entry.of(2, NEW))
    table = partitions.parse(flash.read(partitions.TABLE, partitions.TABLE_SIZE), SIZE)
    assert boot(flash, "esp32").image.version == "ota_0"
    ota.mark_valid(flash, table)
    assert entries_of(flash)[1].state == VALID
    assert ota.boot_partition(flash, table).label == "ota_1"


def test_mark_valid_without_a_valid_entry_fails():
    flash = board_flash("two slots")
    table = partitions.parse(flash.read(partitions.TABLE, partitions.TABLE_SIZE), SIZE)
    with pytest.raises(ota.EspError, match="ESP_FAIL"):
        ota.mark_valid(flash, table)


def test_next_update_goes_round():
    table = partitions.parse(board_flash("three slots").read(partitions.TABLE, partitions.TABLE_SIZE), SIZE)
    slots = partitions.ota_slots(table)
    assert [ota.next_update(table, slots[i]).label for i in range(3)] == ["ota_1", "ota_2", "ota_0"]
    assert ota.next_update(table, table[0]).label == "ota_0"
