"""What was learned outlasts power cuts and rotten files."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.board import load_board, load_module
from cicada.tools.paths import FIRMWARE
from cicada.tools.twin.flash import AFTER, BEFORE, INSIDE, Cut, NorFlash
from cicada.tools.twin.twin import Twin
from support.twins import QUIET, run_script, script_flash

BOARD = load_board("twin")


@pytest.fixture(scope="module")
def device():
    """The module, and what it said at the console."""
    said = []
    log, micropython, node = ModuleType("node.log"), ModuleType("micropython"), ModuleType("node")
    log.warn, micropython.const, node.log = said.append, lambda value: value, log
    with pytest.MonkeyPatch.context() as patch:
        for module in (log, micropython, node):
            patch.setitem(sys.modules, module.__name__, module)
        module = load_module(FIRMWARE / "app" / "node" / "adapt" / "store.py", "node_adapt_store")
    module.said = said
    return module


@pytest.fixture
def store(device, tmp_path):
    device.said.clear()
    return device.Store("vib", str(tmp_path / "adapt"))


def test_nothing_is_there_at_first(store, device):
    assert store.load() is None and device.said == []
    store.reset()


def test_the_last_one_saved_comes_back(store, device, tmp_path):
    for n in range(5):
        store.save(bytes([n]) * n)
        assert store.load() == bytes([n]) * n
        assert device.Store("vib", str(tmp_path / "adapt")).load() == bytes([n]) * n
    assert device.said == []
    store.reset()
    assert store.load() is None and list((tmp_path / "adapt").iterdir()) == []


def test_names_do_not_mix(device, tmp_path):
    one, other = device.Store("a", str(tmp_path)), device.Store("b", str(tmp_path))
    one.save(b"1")
    other.save(b"2")
    assert (one.load(), other.load()) == (b"1", b"2")
    one.reset()
    assert (one.load(), other.load()) == (None, b"2")


def test_one_rotten_copy_is_told_and_the_other_counts(store, device, tmp_path):
    store.save(b"old")
    store.save(b"new")
    newest = max((tmp_path / "adapt").iterdir(), key=lambda path: path.read_bytes()[4])
    newest.write_bytes(newest.read_bytes()[:-1] + b"?")
    assert store.load() == b"old"
    assert device.said == ["adapt: one of two copies of what 'vib' learned is damaged"]
    store.save(b"newer")
    assert store.load() == b"newer" and len(device.said) == 1


@settings(max_examples=60)
@given(st.data(), st.binary(min_size=1, max_size=40))
def test_damage_is_never_taken_for_what_was_learned(device, tmp_path_factory, data, saved):
    folder = tmp_path_factory.mktemp("adapt")
    store = device.Store("x", str(folder))
    store.save(saved)
    path = next(folder.iterdir())
    whole = bytearray(path.read_bytes())
    at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    whole[at] ^= 1 << bit
    path.write_bytes(data.draw(st.sampled_from([whole, whole[:at], whole + b"\0"])) or b"\0")
    device.said.clear()
    assert store.load() is None
    assert device.said == ["adapt: what 'x' had learned is damaged, it starts afresh"]
    store.save(saved + b"!")
    assert store.load() == saved + b"!"


def test_too_much_is_refused(store):
    with pytest.raises(ValueError, match="at most 32768 bytes can be kept, not 32769"):
        store.save(bytes(32769))
    store.save(bytes(32768))
    assert store.load() == bytes(32768)


def test_a_baseline_is_the_same_after_deep_sleep(tmp_path):
    code = """
import machine
from node.adapt import Baseline, Store
b, s = Baseline(57), Store('vib')
data = s.load()
if data is None:
    for n in range(30):
        b.update([(n * i) % 9 for i in range(57)])
    s.save(b.state())
    print('made', b.score([3] * 57))
    machine.deepsleep(100)
print('kept', b.restore(data), b.count, b.score([3] * 57))
machine.deepsleep()
"""
    text = run_script(code, tmp_path).text
    made = text.partition("made ")[2].split()[0]
    assert f"kept True 30 {made}" in text and float(made) > 0


CAMPAIGN = """
import machine
from node.adapt import Store
s = Store('vib')
data = s.load()
n = 0 if data is None else data[0]
print('found', n, data is None or data == bytes([n]) * 3000)
for n in range(n + 1, 4):
    s.save(bytes([n]) * 3000)
    print('saved', n)
print('all')
machine.deepsleep()
"""


def test_a_power_cut_leaves_the_old_or_the_new(tmp_path):
    image = script_flash(CAMPAIGN, tmp_path)
    whole = NorFlash(BOARD.FLASH_SIZE, image)
    whole.log = []
    Twin(whole, BOARD, QUIET).run(20)
    # The first operations make the file system.
    operations = range(6, len(whole.log))
    assert len(operations) > 10
    for number in operations:
        for when, shape in ((BEFORE, "prefix"), (INSIDE, "prefix"), (INSIDE, "bits"), (AFTER, "prefix")):
            if when in (BEFORE, AFTER) and number % 4:
                continue
            flash = NorFlash(BOARD.FLASH_SIZE, image)
            flash.cut = Cut(number, when, shape, number)
            twin = Twin(flash, BOARD, QUIET)
            twin.run(20)
            lines = [line for line in twin.text.split("\n") if line.startswith(("found", "saved", "all"))]
            words = [line.split() for line in lines]
            assert len(twin.cuts) == 1 and words[-1] == ["all"], twin.text
            assert "damaged" not in twin.text and "Traceback" not in twin.text, twin.text
            last = 0
            for kind, *rest in words[:-1]:
                n = int(rest[0])
                if kind == "found":
                    assert n in (last, last + 1) and rest[1] == "True", twin.text
                else:
                    assert n == last + 1, twin.text
                last = n
            assert last == 3
