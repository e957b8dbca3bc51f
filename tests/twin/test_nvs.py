"""NVS: Espressif's tool and ESP-IDF's code write the same bytes, and nothing gets lost in daily use."""

import hashlib
import io
import random
import struct
import subprocess
import sys
import zlib

import pytest
from esp_idf_nvs_partition_gen import nvs_partition_gen as tool
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cicada.tools.twin.flash import SECTOR, SIZES, Cut, NorFlash, PowerCut
from cicada.tools.twin.nvs import KINDS, Nvs, NvsError

AT = 0x9000
STORE = bytearray(SIZES[0])  # one buffer for all, 4 MiB each would be slow
LIMITS = {"u8": (0, 2**8 - 1), "u16": (0, 2**16 - 1), "u32": (0, 2**32 - 1), "u64": (0, 2**64 - 1)}
LIMITS |= {"i" + kind[1:]: (-(high + 1) // 2, high // 2) for kind, (_, high) in LIMITS.items()}


def chip(image):
    """A flash with the partition ``image`` at AT."""
    STORE[AT : AT + len(image)] = image
    return NorFlash(SIZES[0], STORE)


def blank(pages):
    return chip(b"\xff" * pages * SECTOR)


def error_of(call, *args):
    with pytest.raises(NvsError) as caught:
        call(*args)
    return caught.value.args


# --- Espressif's tool -----------------------------------------------------------------------------

BIG = random.Random(1).randbytes(9000)
ITEMS = [
    ("wifi", "ssid", "str", "attic"),
    ("wifi", "channel", "u8", 11),
    ("wifi", "tx", "i8", -4),
    ("node", "port", "u16", 50000),
    ("node", "shift", "i16", -30000),
    ("node", "mask", "u32", 0xFFFFFFFF),
    ("node", "boots", "i32", -(2**31)),
    ("node", "id", "u64", 2**64 - 1),
    ("node", "clock", "i64", -(2**63)),
    ("node", "name_of_15_char", "str", "\u00e4" * 31),
    ("node", "long", "str", "x" * 2000),
    ("cal", "table", "blob", bytes(range(200))),
    ("cal", "small", "blob", b"\xff" * 32),
    ("cal", "big", "blob", BIG),
    ("cal", "last", "i32", 42),
]


def csv_of(items):
    lines, space = ["key,type,encoding,value"], None
    for ns, key, kind, value in items:
        if ns != space:
            lines.append(f"{ns},namespace,,")
            space = ns
        encoding = {"str": "string", "blob": "hex2bin"}.get(kind, kind)
        lines.append(f"{key},data,{encoding},{value.hex() if kind == 'blob' else value}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("version", [1, 2])
def test_an_image_of_espressifs_tool_is_read(tmp_path, version):
    items = [i for i in ITEMS if version == 2 or i[1] not in ("big", "long")]  # version 1: at most 1984 bytes
    (tmp_path / "in.csv").write_text(csv_of(items))
    command = [sys.executable, "-m", "esp_idf_nvs_partition_gen", "generate", "in.csv", "out.bin", "0x7000"]
    subprocess.run([*command, "--version", str(version)], cwd=tmp_path, check=True, capture_output=True)
    flash = chip((tmp_path / "out.bin").read_bytes())
    nvs = Nvs(flash, AT, 0x7000)
    assert list(nvs.items()) == items and flash.operations == 0
    assert [nvs.get(ns, key, kind) for ns, key, kind, _ in items] == [item[3] for item in items]
    nvs.set_blob("cal", "table", b"new")  # in either format, it is replaced
    assert sorted(i[:3] for i in Nvs(flash, AT, 0x7000).items()) == sorted(i[:3] for i in items)
    assert Nvs(flash, AT, 0x7000).get_blob("cal", "table") == b"new"


def made_by_tool(items, pages):
    out = io.BytesIO()
    with tool.nvs_open(out, (pages - 1) * SECTOR, tool.Page.VERSION2) as made:
        space = None
        for ns, key, kind, value in items:
            if ns != space:
                tool.write_entry(made, ns, "namespace", "", "")
                space = ns
            if kind == "blob":
                made.write_entry(key, value.hex(), "hex2bin", made.get_namespace_idx())
            else:
                kind = "string" if kind == "str" else kind
                made.write_entry(key, str(value), kind, made.get_namespace_idx())
    return out.getvalue()


def written(items, pages):
    flash = blank(pages)
    nvs = Nvs(flash, AT, pages * SECTOR)
    for item in items:
        nvs.set(*item)
    return flash.read(AT, pages * SECTOR)


def test_the_same_items_written_here_give_the_tools_bytes():
    assert differing(written(ITEMS, 7), made_by_tool(ITEMS, 7)) == []


def differing(ours, theirs):
    """Addresses of the first lines of 32 bytes that differ."""
    return [at for at in range(0, len(theirs), 32) if ours[at : at + 32] != theirs[at : at + 32]][:5]


def values(kind):
    if kind == "str":
        return st.text(st.characters(min_codepoint=32, max_codepoint=0x24F), max_size=300)
    if kind == "blob":
        return st.binary(max_size=300) | st.integers(0, 9000).map(lambda n: BIG[:n])
    return st.integers(*LIMITS[kind])


ITEM = st.sampled_from(sorted(KINDS)).flatmap(
    lambda kind: st.tuples(st.sampled_from(["a", "bb", "ccc"]), st.just(kind), values(kind))
)


def both_agree(items):
    """The items up to the first that the tool places otherwise than ESP-IDF, which is only at a page's end.

    ESP-IDF lets a string fill a page to its last entry, and begins a blob on a new page rather than in less
    than the last tenth of one; the tool does neither.
    """
    left, seen = 126, set()
    for n, (ns, _, kind, value) in enumerate(items):
        if ns not in seen:
            left = (left or 126) - 1
            seen.add(ns)
        size = len(value.encode()) + 1 if kind == "str" else len(value) if kind == "blob" else 0
        need = 1 - -size // 32
        if kind == "str":
            if need == left:
                return items[:n]
            left = left if need < left else 126
        elif kind == "blob":
            room = (left - 1) * 32
            if left and (room < size or room == size == 0) and room < 400:
                return items[:n]
            left, need = left or 126, 1  # the index
            while True:
                room = (left - 1) * 32
                part = min(size, room)
                left -= 1 - -part // 32
                size -= part
                if size or room - part < 32:
                    left = 126
                if not size:
                    break
        left = (left or 126) - need
    return items


@settings(max_examples=60, deadline=None)
@given(st.lists(ITEM, min_size=1, max_size=60))
def test_any_items_written_here_give_the_tools_bytes(drawn):
    same_bytes([(ns, f"key{n}", kind, value) for n, (ns, kind, value) in enumerate(drawn)])


@pytest.mark.parametrize("seed", range(12))
def test_many_items_written_here_give_the_tools_bytes(seed):
    rng, items = random.Random(seed), []
    for n in range(250):
        kind = rng.choice(sorted(KINDS)) if rng.random() < 0.5 else "i32"
        value = rng.randint(*LIMITS.get(kind, (0, 300)))
        value = "y" * value if kind == "str" else BIG[:value] if kind == "blob" else value
        items.append((rng.choice(["a", "bb", "ccc"]), f"key{n}", kind, value))
    assert same_bytes(items) > 30


def same_bytes(items):
    items = both_agree(items)
    pages = 4 + sum(len(v) + 96 if kind in ("str", "blob") else 64 for _, _, kind, v in items) // 3500
    if items:
        assert differing(written(items, pages), made_by_tool(items, pages)) == []
    return len(items)


# --- ESP-IDF's code ----------------------------------------------------------------------------

#: SHA-256 (its first 16 digits) of the partition after :func:`play`, by seed, as left by ESP-IDF's sources,
#: v5.5.1 (``components/nvs_flash/src``), compiled for a PC with a ``Partition`` that writes to our flash and
#: ANDs as chips do.
BY_ESP_IDF = {
    0: "15e28b81d8df13bd",
    1: "a2a2ff6823059a88",
    2: "f783965bc2e2d612",
    3: "7f0c2bbf0b78da2a",
    4: "5fad6a4e375e3362",
    5: "559d507582ab0fa5",
    6: "858c212d9ffc3f65",
    7: "da3921cb41fb443a",
    8: "e99d49e5a43f3231",
    9: "c1f95343d3bf031e",
    10: "257e1ddf6fc0eccb",
    11: "f8708652e7197c1c",
}


#: The shapes that were there when ESP-IDF lived the lives of BY_ESP_IDF.
_TORN = ("prefix", "bits", "byte", "patch")


def play(seed, flash, mount, size):
    """A life of sets, erases, remounts and torn power cuts by ``seed``; ``mount()`` gives a mounted NVS."""
    rng = random.Random(seed)
    kinds = [["i32", "blob"], sorted(KINDS), ["blob"], ["str", "u8", "i64"]][seed % 4]
    nvs = None
    for _ in range(150):
        ns, key, kind = rng.choice("ab"), rng.choice("klmnop"), rng.choice(kinds)
        erase, value = rng.random() < 0.15, rng.randrange(100)
        if kind == "blob":
            value = rng.randbytes(rng.choice([0, 1, 32, 33, rng.randrange(1500), rng.randrange(9000)]))
        elif kind == "str":
            value = "x" * rng.choice([0, 31, 32, rng.randrange(600), rng.randrange(4100)])
        cut = Cut(flash.operations + rng.randrange(40), "inside", rng.choice(_TORN), rng.randrange(99))
        if rng.random() < seed % 3 / 5:
            flash.cut = cut
        try:
            nvs = nvs or mount()
            nvs.erase_key(ns, key) if erase else nvs.set(ns, key, kind, value)
        except NvsError:
            pass
        except PowerCut:
            nvs = None
        if rng.random() < 0.03:
            nvs = None
    flash.cut = None
    return hashlib.sha256(flash.read(AT, size)).hexdigest()[:16]


@pytest.mark.parametrize("seed", BY_ESP_IDF)
def test_a_life_with_power_cuts_leaves_what_esp_idf_leaves(seed):
    size = (3 + seed % 3) * SECTOR
    flash = chip(b"\xff" * size)
    assert play(seed, flash, lambda: Nvs(flash, AT, size), size) == BY_ESP_IDF[seed]


# --- daily use ------------------------------------------------------------------------------------


def test_errors_are_those_of_micropython():
    nvs = Nvs(blank(3), AT, 3 * SECTOR)
    nvs.set_i32("a", "number", 5)
    missing = (-4354, "ESP_ERR_NVS_NOT_FOUND")
    assert error_of(nvs.get_i32, "a", "none") == missing
    assert error_of(nvs.get_blob, "a", "number") == missing  # another type, too
    assert error_of(nvs.get, "a", "number", "u32") == missing
    assert error_of(nvs.erase_key, "a", "none") == missing
    assert error_of(nvs.set_i32, "a", "sixteen_letters_", 1) == (-4361, "ESP_ERR_NVS_KEY_TOO_LONG")
    assert error_of(nvs.open, "sixteen_letters_") == (-4361, "ESP_ERR_NVS_KEY_TOO_LONG")
    assert error_of(nvs.set_blob, "a", "big", bytes(8001)) == (-4366, "ESP_ERR_NVS_VALUE_TOO_LONG")
    assert error_of(nvs.set, "a", "text", "str", "x" * 4000) == (-4366, "ESP_ERR_NVS_VALUE_TOO_LONG")
    assert error_of(nvs.set_blob, "a", "full", bytes(8000)) == (-4357, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")
    assert list(nvs.items()) == [("a", "number", "i32", 5)]
    assert isinstance(NvsError("ESP_ERR_NVS_INVALID_LENGTH"), OSError)
    with pytest.raises(ValueError, match="2147483648 is no i32"):
        nvs.set_i32("a", "number", 2**31)


@pytest.mark.parametrize(("offset", "size"), [(100, SECTOR), (0, 100), (0, 0), (SIZES[0], SECTOR)])
def test_only_whole_sectors_of_the_chip_are_a_partition(offset, size):
    with pytest.raises(ValueError, match="whole sectors"):
        Nvs(blank(1), offset, size)


def test_an_unchanged_value_is_not_written_again():
    flash = blank(4)
    nvs = Nvs(flash, AT, 4 * SECTOR)
    for _ in range(2):
        for item in [i for i in ITEMS if i[1] != "big"]:
            nvs.set(*item)
        before = flash.operations
    for item in [i for i in ITEMS if i[1] != "big"]:
        nvs.set(*item)
        nvs.open(item[0])
    assert flash.operations == before and len(list(nvs.items())) == len(ITEMS) - 1


def test_a_value_of_another_type_replaces_the_former():
    nvs = Nvs(blank(3), AT, 3 * SECTOR)
    for kind, value in [("i32", 1), ("blob", b"two"), ("str", "three"), ("blob", b""), ("u8", 5)]:
        nvs.set("a", "key", kind, value)
        assert list(nvs.items()) == [("a", "key", kind, value)]


def test_opening_a_namespace_writes_it_once_and_there_are_254():
    flash = blank(5)
    nvs = Nvs(flash, AT, 5 * SECTOR)
    for n in range(254):
        nvs.open(f"space{n}")
    before = flash.operations
    nvs = Nvs(flash, AT, 5 * SECTOR)
    nvs.open("space0")
    assert flash.operations == before
    assert error_of(nvs.open, "one_more") == (-4357, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")


def test_without_a_free_page_or_with_a_newer_format_it_does_not_mount():
    flash = blank(4)
    nvs = Nvs(flash, AT, 4 * SECTOR)
    for n in range(300):
        nvs.set_i32("a", f"k{n}", n)
    assert error_of(Nvs, flash, AT, 3 * SECTOR) == (-4365, "ESP_ERR_NVS_NO_FREE_PAGES")
    header = struct.pack("<IB", 0, 0xFD).ljust(24, b"\xff")
    header = struct.pack("<I24sI", 0xFFFFFFFE, header, zlib.crc32(header, 0xFFFFFFFF))
    newer = chip(header.ljust(3 * SECTOR, b"\xff"))
    assert error_of(Nvs, newer, AT, 3 * SECTOR) == (-4368, "ESP_ERR_NVS_NEW_VERSION_FOUND")


class DailyUse(RuleBasedStateMachine):
    """Sets, erases and remounts against a dict, in so little space that it runs out."""

    spaces, keys = st.sampled_from(["a", "b"]), st.sampled_from([f"key{n}" for n in range(6)])
    SIZE = 3 * SECTOR

    def __init__(self):
        super().__init__()
        self.store = bytearray(b"\xff") * self.SIZE  # of this machine alone
        self.model = {}
        self.mount()

    def mount(self):
        self.flash = chip(self.store)
        self.nvs = Nvs(self.flash, AT, self.SIZE)

    def write(self, ns, key, kind, value):
        try:
            self.nvs.set(ns, key, kind, value)
            self.model[ns, key] = (kind, value)
        except NvsError as error:
            assert error.name == "ESP_ERR_NVS_NOT_ENOUGH_SPACE"
            # The former value stays, but ESP-IDF may have erased a blob's former chunk instead of a new one.
            self.mount_again()
            if (ns, key) not in {item[:2] for item in self.nvs.items()} and (ns, key) in self.model:
                assert kind == self.model.pop((ns, key))[0] == "blob"

    @rule(ns=spaces, key=keys, value=st.integers(*LIMITS["i32"]))
    def set_i32(self, ns, key, value):
        self.write(ns, key, "i32", value)

    @rule(ns=spaces, key=keys, size=st.integers(0, 3000), fill=st.binary(min_size=1, max_size=3))
    def set_blob(self, ns, key, size, fill):
        self.write(ns, key, "blob", (fill * size)[:size])

    @rule(ns=spaces, key=keys, text=st.text(st.characters(min_codepoint=1, codec="utf-8"), max_size=900))
    def set_str(self, ns, key, text):
        self.write(ns, key, "str", text)

    @rule(ns=spaces, key=keys, values=st.lists(st.integers(0, 255), min_size=10, max_size=40))
    def count(self, ns, key, values):
        for value in values:
            self.write(ns, key, "u8", value)

    @rule(ns=spaces, key=keys)
    def erase(self, ns, key):
        if (ns, key) in self.model:
            self.nvs.erase_key(ns, key)
            del self.model[ns, key]
        else:
            assert error_of(self.nvs.erase_key, ns, key)[1] == "ESP_ERR_NVS_NOT_FOUND"

    @rule()
    def mount_again(self):
        self.nvs = Nvs(self.flash, AT, self.SIZE)

    @invariant()
    def it_holds_what_the_model_holds(self):
        found = list(self.nvs.items())
        assert {(ns, key): (kind, value) for ns, key, kind, value in found} == self.model
        assert len(found) == len(self.model)


TestDailyUse = DailyUse.TestCase
TestDailyUse.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


# --- damage ---------------------------------------------------------------------------------------


DAMAGE = ["bits", "bytes", "entries", "copies", "all"]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(DAMAGE), st.integers(1, 200))
def test_a_damaged_partition_is_refused_or_mounts_and_works(seed, kind, count):
    """And reading, writing and erasing in it ends, with a value or an NvsError."""
    rng, pages = random.Random(seed), 3 + seed % 3
    flash = blank(pages)
    play(rng.randrange(12), flash, lambda: Nvs(flash, AT, pages * SECTOR), pages * SECTOR)
    image = bytearray(flash.read(AT, pages * SECTOR))
    for _ in range(count):
        at = rng.randrange(len(image))
        entry, other = at // 32 * 32, rng.randrange(len(image)) // 32 * 32
        if kind == "bits":
            image[at] ^= 1 << rng.randrange(8)
        elif kind == "bytes":
            image[at] = rng.randrange(256)
        elif kind == "entries":
            image[entry : entry + 32] = rng.randbytes(32)
        elif kind == "copies":
            image[entry : entry + 32] = image[other : other + 32]
    if kind == "all":
        image[:] = rng.randbytes(len(image))
    flash = chip(image)
    try:
        nvs = Nvs(flash, AT, len(image))
        list(nvs.items())
    except NvsError:
        return
    for n in range(20):
        calls = [("set_i32", n), ("set_blob", BIG[: 100 * n]), ("get_i32",), ("get_blob",), ("erase_key",)]
        for call in calls:
            try:
                getattr(nvs, call[0])("abc"[n % 3], "klmnop"[n % 6], *call[1:])
            except NvsError:
                pass
    assert flash.operations < 20000
