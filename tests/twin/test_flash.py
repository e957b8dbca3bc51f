"""NOR flash: its rules, and power cuts that can be replayed."""

import mmap
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.twin.flash import (
    PAGE,
    SECTOR,
    SHAPES,
    SIZES,
    WORD,
    Cut,
    IllegalOperation,
    NorFlash,
    PowerCut,
    torn,
)

SIZE = SIZES[0]


@pytest.fixture(scope="module")
def chip():
    return NorFlash(SIZE)


@pytest.mark.parametrize("size", SIZES)
def test_a_new_chip_is_erased(size):
    flash = NorFlash(size)
    assert flash.read(0, size) == b"\xff" * size and not any(flash.wear)


@pytest.mark.parametrize("size", [0, 1000, 1 << 20, 5 << 20])
def test_no_other_sizes(size):
    with pytest.raises(ValueError, match="4, 8 or 16 MiB"):
        NorFlash(size)


def test_contents_of_another_size_are_refused():
    with pytest.raises(ValueError, match="1000 bytes"):
        NorFlash(SIZE, b"x" * 1000)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 3 * SECTOR - 1), st.binary(min_size=1, max_size=600)))
)
def test_it_does_what_a_plain_model_of_it_does(steps):
    """Programs and erases in any order against a model of three sectors; illegal ones change nothing."""
    flash, model = NorFlash(SIZE, _fresh()), bytearray(b"\xff" * 3 * SECTOR)
    for erase, at, data in steps:
        if erase:
            at -= at % SECTOR
            flash.erase(at)
            model[at : at + SECTOR] = b"\xff" * SECTOR
            continue
        data = data[: 3 * SECTOR - at]
        if any(n & ~o for n, o in zip(data, model[at:], strict=False)):
            with pytest.raises(IllegalOperation):
                flash.program(at, data)
        else:
            flash.program(at, data)
            model[at : at + len(data)] = data
    assert flash.read(0, len(model)) == bytes(model)


_STORAGE = bytearray(SIZE)  # one buffer for all examples: 4 MiB each would be slow


def _fresh():
    _STORAGE[: 3 * SECTOR] = b"\xff" * 3 * SECTOR
    return _STORAGE


def test_programming_may_clear_bits_again_and_again(chip):
    chip.erase(0)
    for value in (0xFE, 0xFC, 0xF8, 0x00):
        chip.program(10, bytes([value]))
    with pytest.raises(IllegalOperation, match="programming 0x01 over 0x00 at 0xa would set bits"):
        chip.program(9, b"\xff\x01")


@pytest.mark.parametrize(
    ("at", "count"), [(1, SECTOR), (0, 100), (SIZE, SECTOR), (-SECTOR, SECTOR), (SIZE - SECTOR, 2 * SECTOR)]
)
def test_erasing_wants_whole_sectors_of_the_chip(chip, at, count):
    with pytest.raises(IllegalOperation):
        chip.erase(at, count)


def test_nothing_beyond_the_end(chip):
    with pytest.raises(IllegalOperation, match="the flash ends at 0x400000"):
        chip.program(SIZE - 1, b"ab")
    with pytest.raises(IllegalOperation):
        chip.read(SIZE, 1)


def test_operations_are_pages_and_sectors_and_wear_is_counted():
    flash = NorFlash(SIZE)
    flash.log = []
    flash.erase(SECTOR, 2 * SECTOR)
    flash.program(SECTOR + 200, bytes(PAGE))
    flash.program(5, b"")
    assert [(o.number, o.kind, o.at, o.size) for o in flash.log] == [
        (0, "erase", SECTOR, SECTOR),
        (1, "erase", 2 * SECTOR, SECTOR),
        (2, "program", SECTOR + 200, 56),
        (3, "program", SECTOR + 256, 200),
    ]
    assert (flash.log[3].old, flash.log[3].new) == (b"\xff" * 200, bytes(200))
    assert list(flash.wear[:4]) == [0, 1, 1, 0] and flash.operations == 4


@pytest.mark.parametrize(("when", "kept"), [("before", b"\xff" * 4), ("after", b"abcd")])
def test_a_cut_before_or_after_leaves_the_old_or_the_new(when, kept):
    flash = NorFlash(SIZE)
    flash.cut = Cut(1, when)
    flash.program(0, b"x")
    with pytest.raises(PowerCut):
        flash.program(SECTOR, b"abcd")
    assert flash.read(SECTOR, 4) == kept and flash.cut is None
    flash.program(2 * SECTOR, b"alive")  # power is back


@given(st.sampled_from(SHAPES), st.integers(0, 10**6), st.binary(min_size=PAGE, max_size=PAGE))
def test_a_torn_program_only_clears_bits_that_should_clear(shape, seed, data):
    flash = NorFlash(SIZE, _fresh())
    flash.cut = Cut(0, "inside", shape, seed)
    with pytest.raises(PowerCut):
        flash.program(0, data)
    left = flash.read(0, PAGE)
    assert all(n & ~v == 0 for n, v in zip(data, left, strict=True))
    assert flash.read(PAGE, PAGE) == b"\xff" * PAGE


@given(st.sampled_from(SHAPES), st.integers(0, 10**6))
def test_a_torn_erase_only_sets_bits(shape, seed):
    old = random.Random(seed).randbytes(SECTOR)
    flash = NorFlash(SIZE, _fresh())
    flash.program(0, old)
    flash.cut = Cut(flash.operations, "inside", shape, seed)
    with pytest.raises(PowerCut):
        flash.erase(0)
    left = flash.read(0, SECTOR)
    assert all(o & ~v == 0 for o, v in zip(old, left, strict=True)) and left != b"\xff" * SECTOR
    assert flash.read(SECTOR, 16) == b"\xff" * 16


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_cut_leaves_the_same_bytes_another_seed_others(shape):
    def cut(seed):
        flash = NorFlash(SIZE, _fresh())
        flash.cut = Cut.parse(f"3:inside:{shape}:{seed}")
        with pytest.raises(PowerCut):
            flash.program(0, bytes(SECTOR))
        return flash.read(0, SECTOR)

    assert cut(1) == cut(1)
    assert len({cut(seed) for seed in range(8)}) > 4


@given(st.integers(0, 600), st.integers(1, 300), st.integers(0, 10**6))
def test_a_hole_is_one_aligned_word_that_stays_as_it_was(at, size, seed):
    old, new = b"\xff" * size, bytes(size)
    left = torn(old, new, "hole", seed, at)
    kept = [at + i for i in range(size) if left[i] == 0xFF]
    assert kept and {place // WORD for place in kept} == {kept[0] // WORD}
    assert all(left[i] == 0xFF for i in range(size) if (at + i) // WORD == kept[0] // WORD)


def test_holes_reach_every_word():
    found = {torn(b"\xff" * 32, bytes(32), "hole", seed).index(0xFF) for seed in range(8)}
    assert found == set(range(0, 32, 4))


def test_looks_are_told_but_not_what_a_program_compares():
    flash = NorFlash(SIZE, _fresh())
    looks = []
    flash.on_read = lambda at, count: looks.append((at, count))
    flash.read(5, 3)
    flash.view(SECTOR, 16)
    flash.program(0, b"x")
    flash.erase(0)
    assert looks == [(5, 3), (SECTOR, 16)]


def test_a_cut_can_be_told_by_its_name():
    for cut in (Cut(12, "inside", "bits", 3), Cut(0, "before"), Cut(7, "after")):
        assert Cut.parse(str(cut)) == cut
    assert Cut.parse("5:after") == Cut(5, "after") and Cut.parse("5") == Cut(5, "inside")
    for wrong in ("", "x:before", "3:during", "3:inside:halves", "3:inside:bits:x", "-1:before"):
        with pytest.raises(ValueError, match="no power cut is called"):
            Cut.parse(wrong)


def test_snapshot_and_restore():
    flash = NorFlash(SIZE)
    flash.program(0, b"one")
    flash.erase(SECTOR)
    kept = flash.snapshot()
    flash.erase(0)
    flash.cut = Cut(99)
    flash.restore(kept)
    assert flash.read(0, 3) == b"one" and flash.operations == 2 and flash.wear[1] == 1
    assert flash.cut is None
    with pytest.raises(ValueError, match="another size"):
        NorFlash(SIZES[1]).restore(kept)


def test_a_mapped_file_is_used_in_place(tmp_path):
    path = tmp_path / "flash.bin"
    path.write_bytes(b"\xff" * SIZE)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), SIZE, access=mmap.ACCESS_COPY) as mapped:
        flash = NorFlash(SIZE, mapped)
        flash.program(0, b"only here")
        assert mapped[:9] == b"only here"
        del flash
    assert path.read_bytes()[:9] == b"\xff" * 9
