"""The outbox: what was put waits in order until it is done, whatever lay in the flash before."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from support.outboxes import Device, Model, load, seen
from support.twins import run_script

MODULES = load()
SECTOR = 4096
LOW, NORMAL, HIGH = 0, 1, 2


def opened(sectors=3, content=b""):
    device = Device(sectors, content)
    return device, MODULES.Outbox(device)


def model_of(outbox):
    return Model(outbox.capacity, outbox._waiting.most)


class Works(RuleBasedStateMachine):
    """Anything in any order, beside a model."""

    @initialize(sectors=st.integers(2, 5), content=st.binary(max_size=200))
    def begin(self, sectors, content):
        self.device, self.outbox = opened(sectors, content)
        self.model = model_of(self.outbox)

    @rule(
        kind=st.integers(0, 15),
        priority=st.integers(0, 2),
        sizes=st.lists(st.sampled_from([1, 15, 16, 17, 90, 500, 1023, 1024]), min_size=1, max_size=9),
        seed=st.integers(0, 99),
    )
    def put(self, kind, priority, sizes, seed):
        for size in sizes:
            data = random.Random(seed + size).randbytes(size)
            self.model.put(self.outbox.put(kind, priority, data), kind, priority, data)

    @precondition(lambda self: self.model.waiting)
    @rule(which=st.integers(0, 99), count=st.integers(1, 9))
    def done(self, which, count):
        for number in list(self.model.waiting)[which % len(self.model.waiting) :][:count]:
            self.outbox.done(number)
            del self.model.waiting[number]

    @rule(number=st.integers(0, 2000))
    def done_by_number(self, number):
        self.outbox.done(number)
        self.model.waiting.pop(number, None)

    @rule()
    def reopen(self):
        generation, erases = self.outbox.generation, self.outbox.erases
        self.outbox = MODULES.Outbox(self.device)
        assert (self.outbox.generation, self.outbox.erases) == (generation, erases)

    @rule(limit=st.integers(0, 9))
    def oldest(self, limit):
        assert self.outbox.oldest(limit) == self.model.seen()[0][:limit]

    @invariant()
    def agrees(self):
        if hasattr(self, "outbox"):
            assert self.outbox.pending() == len(self.model.waiting)
            assert self.outbox.dropped == self.model.dropped

    def teardown(self):
        if hasattr(self, "outbox"):
            assert seen(self.outbox) == self.model.seen()
            assert seen(MODULES.Outbox(self.device)) == self.model.seen()


TestWorks = Works.TestCase
TestWorks.settings = settings(max_examples=50, stateful_step_count=40)


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 1023, 1024])
def test_a_record_of_any_size_comes_back_as_it_was(size):
    device, outbox = opened()
    data = random.Random(size).randbytes(size)
    number = outbox.put(4, HIGH, data)
    assert MODULES.Outbox(device).oldest(5) == [(number, 4, HIGH, data)]


@pytest.mark.parametrize(
    "wrong", [(0, 0, b""), (0, 0, bytes(1025)), (-1, 0, b"x"), (16, 0, b"x"), (0, 3, b"x"), (0, -1, b"x")]
)
def test_what_is_no_record_is_refused(wrong):
    device, outbox = opened()
    before = device.content
    with pytest.raises(ValueError, match="1 to 1024 bytes"):
        outbox.put(*wrong)
    assert device.content == before


def test_one_sector_is_no_outbox():
    with pytest.raises(ValueError, match="two sectors"):
        opened(1)


@pytest.mark.parametrize("what", ["blank", "zeros", "noise", "text"])
def test_whatever_lies_there_becomes_an_outbox(what):
    noise = random.Random(1).randbytes(12 * SECTOR)
    content = {"blank": b"", "zeros": bytes(12 * SECTOR), "noise": noise, "text": b"COBX" * 1024 * 12}[what]
    device, outbox = opened(12, content)
    assert (outbox.pending(), outbox.highest(), outbox.dropped) == (0, None, [0, 0, 0])
    model = model_of(outbox)
    for n in range(400):
        data = noise[n : n + 1 + n * 7 % 1024]
        model.put(outbox.put(0, n % 3, data), 0, n % 3, data)
    assert outbox.erases[0] > 12
    assert seen(MODULES.Outbox(device)) == model.seen()


def test_an_outbox_of_another_format_or_size_is_made_a_new_one():
    device, outbox = opened(4)
    outbox.put(0, HIGH, b"x")
    older = bytearray(device.content)
    older[4] += 1
    older[28:32] = zlib.crc32(older[:28]).to_bytes(4, "little")
    assert opened(4, older)[1].pending() == 0
    assert opened(3, device.content[: 3 * SECTOR])[1].pending() == 0
    assert opened(4, device.content)[1].pending() == 1


def test_new_outboxes_have_generations_of_their_own():
    assert len({opened()[1].generation for _ in range(40)}) > 30


def test_numbers_go_on_after_all_was_delivered_and_its_sectors_erased():
    device, outbox = opened()
    numbers = []
    for _ in range(100):
        numbers.append(outbox.put(0, LOW, bytes(300)))
        outbox.done(numbers[-1])
        outbox = MODULES.Outbox(device)
    assert numbers == list(range(1, 101))
    assert outbox.erases[0] > 6


def test_what_is_full_of_high_priority_keeps_it_and_counts_what_it_refuses():
    device, outbox = opened(12)
    while not any(outbox.dropped):
        outbox.put(0, HIGH, bytes(200))
    assert outbox.dropped == [0, 0, 1]
    before, erased = outbox.oldest(999), outbox.erases[0]
    for n in range(50):
        outbox.put(0, n % 2, bytes(1000))
    outbox = MODULES.Outbox(device)
    assert outbox.oldest(999) == before
    assert outbox.dropped == [25, 25, 1]
    assert outbox.erases[0] - erased < 5


def test_a_large_record_of_low_priority_does_not_push_out_small_ones_in_vain():
    _, outbox = opened(2)
    while not any(outbox.dropped):
        outbox.put(0, HIGH, bytes(144))
    outbox.done(outbox.oldest(1)[0][0])
    small = outbox.put(0, LOW, b"small")
    outbox.put(0, LOW, bytes(1024))
    assert (small, 0, LOW, b"small") in outbox.oldest(99)
    assert outbox.dropped == [1, 0, 1]


def test_no_more_wait_than_the_index_has_room_for():
    _, outbox = opened(40)
    model = model_of(outbox)
    for n in range(1100):
        model.put(outbox.put(0, n % 3, b"x"), 0, n % 3, b"x")
    assert outbox.pending() == 1024 and seen(outbox) == model.seen()


def test_sectors_wear_evenly_even_if_one_record_stays_for_ever():
    device, outbox = opened(12)
    stays = outbox.put(0, HIGH, b"stays")
    for n in range(3000):
        number = outbox.put(0, n % 2, bytes(n % 200 + 1))
        if n % 3:
            outbox.done(number)
    wear = device.flash.wear[:12]
    assert max(wear) - min(wear) <= 1 and max(wear) > 5
    assert outbox.erases == (sum(wear), max(wear))
    assert outbox.oldest(1)[0][0] == stays


def test_a_record_that_rots_is_dropped_and_counted():
    device, outbox = opened()
    numbers = [outbox.put(0, NORMAL, b"record %d" % n) for n in range(3)]
    content = bytearray(device.content)
    content[content.index(b"record 1")] ^= 4
    device.content = bytes(content)
    outbox = MODULES.Outbox(device)
    assert [r[0] for r in outbox.oldest(9)] == [numbers[0], numbers[2]]
    assert outbox.dropped == MODULES.Outbox(device).dropped == [0, 1, 0]


def test_a_record_whose_first_bytes_rot_does_not_hide_others():
    device, outbox = opened()
    numbers = [outbox.put(0, NORMAL, b"record %d" % n) for n in range(4)]
    content = bytearray(device.content)
    content[content.index(b"record 1") - 14] ^= 4
    device.content = bytes(content)
    assert [r[0] for r in outbox.oldest(9)] == [numbers[0], numbers[2], numbers[3]]
    outbox.done(numbers[3])
    outbox = MODULES.Outbox(device)
    assert [r[0] for r in outbox.oldest(9)] == [numbers[0], numbers[2]]
    assert outbox.put(0, LOW, b"next") > numbers[3]


def test_first_bytes_that_rot_while_it_is_open_do_not_stop_it():
    device, outbox = opened()
    numbers = [outbox.put(0, NORMAL, b"record %d" % n) for n in range(4)]
    content = bytearray(device.content)
    content[content.index(b"record 1") - 16] = 0
    device.content = bytes(content)
    outbox.done(numbers[0])
    outbox.done(numbers[2])
    assert [r[0] for r in outbox.oldest(9)] == [numbers[3]]


@pytest.mark.parametrize("sectors", [3, 12, 40])
def test_the_newest_sector_rots_and_the_others_are_still_there(sectors):
    device, outbox = opened(sectors)
    numbers = [outbox.put(0, HIGH, bytes(1 + n % 200 * (sectors < 40))) for n in range(70 * sectors)]
    newest = outbox._head * SECTOR
    content = bytearray(device.content)
    content[newest + 9] ^= 1
    device.content = bytes(content)
    outbox = MODULES.Outbox(device)
    found = [r[0] for r in outbox.oldest(9999)]
    assert found == sorted(set(found)) and set(found) <= set(numbers) and len(found) > 20
    model = model_of(outbox)
    model.waiting = {n: (kind, priority, data) for n, kind, priority, data in outbox.oldest(9999)}
    model.dropped = outbox.dropped
    for n in range(200):
        model.put(outbox.put(0, n % 3, bytes(n + 1)), 0, n % 3, bytes(n + 1))
    assert seen(MODULES.Outbox(device)) == model.seen()


def test_flash_that_keeps_nothing_is_an_error_and_what_was_kept_stays():
    device, outbox = opened()
    for n in range(12):
        outbox.put(0, HIGH, bytes([n]) * 400)
    model = seen(outbox)
    device.broken = {0, 1, 2}
    with pytest.raises(OSError):
        for _ in range(99):
            outbox.put(0, LOW, bytes(10))
    device.broken = set()
    assert seen(outbox)[0] == model[0] == seen(MODULES.Outbox(device))[0]
    outbox.put(0, LOW, b"again")
    assert outbox.pending() == 13


@pytest.mark.parametrize("error", [OSError, MemoryError, KeyboardInterrupt])
def test_whatever_breaks_a_call_off_leaves_all_as_it_was(error):
    device, outbox = opened()
    model = model_of(outbox)
    rng, failures, armed = random.Random(1), 0, True

    def breaking(real):
        def call(block, buf, *offset):
            if armed and rng.random() < 0.08:
                if real.__name__ == "writeblocks" and rng.random() < 0.5:
                    real(block, buf[: len(buf) // 2], *offset)
                raise error
            return real(block, buf, *offset)

        return call

    device.readblocks, device.writeblocks = breaking(device.readblocks), breaking(device.writeblocks)
    for n in range(400):
        data = bytes([n & 255]) * (1 + n * 37 % 700)
        known = model.steps(0, n % 3, data)
        try:
            if n % 5 == 4 and model.waiting:
                known = [model.copy(), model.copy()]
                number = rng.choice(list(model.waiting))
                del known[1].waiting[number]
                outbox.done(number)
                model = known[1]
            else:
                model.put(outbox.put(0, n % 3, data), 0, n % 3, data)
        except error:
            failures += 1
            armed = False
            if n % 5 < 4:  # it may be there as a whole, too: nobody was told
                known.append(model.copy())
                known[-1].put(model.last + 1, 0, n % 3, data)
            now = seen(outbox)
            model = next(
                m
                for m in known
                if ([r[1:] for r in m.seen()[0]], m.dropped) == ([r[1:] for r in now[0]], now[1])
            )
            model.waiting = {number: tuple(rest) for number, *rest in now[0]}
            model.last = outbox._next - 1
            armed = True
    armed = False
    assert failures > 20 and seen(MODULES.Outbox(device)) == model.seen()


def test_opening_reads_little():
    """All was delivered but the last few, as for most of a battery node's wakes."""
    device, outbox = opened(12)
    for _ in range(1000):
        outbox.put(1, LOW, bytes(120))
        if outbox.pending() > 5:
            outbox.done(outbox.oldest(1)[0][0])
    worst = reads = 0
    for _ in range(60):
        outbox.put(1, LOW, bytes(120))
        outbox.done(outbox.oldest(1)[0][0])
        device.reads = device.bytes_read = 0
        operations = device.flash.operations
        MODULES.Outbox(device)
        assert device.flash.operations == operations
        worst, reads = max(worst, device.bytes_read), max(reads, device.reads)
    assert reads <= 24 and worst <= 10_000


def test_putting_and_taking_read_little():
    device, outbox = opened(60)
    for n in range(900):
        outbox.put(1, n % 3, bytes(120))
    device.reads = device.bytes_read = 0
    erased = outbox.erases[0]
    for _ in range(20):
        outbox.put(1, LOW, bytes(120))
    assert outbox.erases[0] - erased <= 1
    assert device.reads <= 20 * 3 + 4 and device.bytes_read <= 20 * 300
    device.reads = 0
    outbox.done(outbox.oldest(1)[0][0])
    assert device.reads <= 2 + 11


SCRIPT = """
import binascii, gc, machine
from array import array
from esp32 import Partition
from node.outbox import Outbox
device = Partition("outbox")
gc.collect()
before = gc.mem_alloc()
o = Outbox(device)
gc.collect()
print("RAM", gc.mem_alloc() - before)
state = 12345
def lot(n):
    global state
    state = (state * 1103515245 + 12345) & 0x3FFFFFFF
    return (state >> 8) % n
known, waiting = array("I", bytes(4 * 800)), 0
for n in range(400):
    if n % 50 == 49:
        o = Outbox(device)
    data = bytes([n & 255]) * (1 + lot(600))
    known[o.put(lot(5), lot(3), data)] = binascii.crc32(data)
    waiting += 1
    if n > 200 and lot(2):
        number = o.oldest(1 + lot(8))[-1][0]
        o.done(number)
        known[number] = 0
        waiting -= 1
o = Outbox(device)
pending, highest, last, fine = o.pending(), o.highest(), 0, True
while o.pending():
    number, kind, priority, data = o.oldest(1)[0]
    fine = fine and number > last and known[number] == binascii.crc32(data)
    last = number
    o.done(number)
print("SAME", fine, "COUNTED", waiting - pending == sum(o.dropped), pending, highest, o.dropped, o.erases)
machine.deepsleep()
"""


def test_it_does_the_same_under_micropython(tmp_path):
    text = run_script(SCRIPT, tmp_path, seconds=600).text
    assert "SAME True COUNTED True" in text
    assert int(text.partition("RAM ")[2].split()[0]) < 4500
