"""What survives deep sleep, and what must not be believed after it."""

from hypothesis import given
from hypothesis import strategies as st

from cicada.tools.board import load_module
from cicada.tools.paths import FIRMWARE

Memory = load_module(FIRMWARE / "app" / "node" / "memory.py", "node_memory").Memory


class RTC:
    """RTC memory with given contents."""

    def __init__(self, content=b""):
        self.content = content

    def memory(self, data=None):
        if data is None:
            return self.content
        self.content = data


def saved(**counts):
    rtc = RTC()
    memory = Memory(rtc)
    for name, value in counts.items():
        setattr(memory, name, value)
    memory.save()
    return rtc


counter = st.integers(0, 2**32 - 1)


@given(counter, counter, counter, counter)
def test_comes_back_as_it_was(boots, sleeps, events, slept):
    memory = Memory(saved(boots=boots, sleeps=sleeps, events=events, slept_ms=slept))
    assert memory.load()
    assert (memory.boots, memory.sleeps, memory.events, memory.slept_ms) == (boots, sleeps, events, slept)


@given(st.binary(max_size=64))
def test_noise_of_a_cold_start_counts_as_nothing(content):
    memory = Memory(RTC(content))
    assert not memory.load()
    assert (memory.boots, memory.sleeps, memory.events, memory.slept_ms) == (0, 0, 0, 0)


def test_any_flipped_bit_is_noticed():
    content = saved(boots=3, events=9).content
    for bit in range(len(content) * 8):
        broken = bytearray(content)
        broken[bit // 8] ^= 1 << bit % 8
        assert not Memory(RTC(bytes(broken))).load()


sections = st.dictionaries(st.integers(1, 6), st.binary(max_size=300), max_size=6)


@given(sections)
def test_sections_come_back_as_they_were(content):
    rtc = RTC()
    memory = Memory(rtc)
    for number, data in content.items():
        memory.put(number, data)
    memory.save()
    again = Memory(rtc)
    assert again.load()
    assert {n: again.section(n) for n in range(1, 7)} == {n: content.get(n, b"") for n in range(1, 7)}


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 1500)), max_size=12))
def test_never_writes_more_than_there_is_and_keeps_what_was_when_there_is_no_room(puts):
    rtc = RTC()
    memory = Memory(rtc)
    kept = {}
    for number, size in puts:
        data = bytes([number]) * size
        try:
            memory.put(number, data)
            kept[number] = data
        except ValueError as error:
            assert "no room" in str(error)
        memory.save()
        assert len(rtc.content) <= 2048
    again = Memory(rtc)
    again.load()
    assert {n: again.section(n) for n in range(1, 10)} == {n: kept.get(n, b"") for n in range(1, 10)}


def test_a_record_that_lies_about_its_size_counts_as_nothing():
    import binascii
    import struct

    content = bytearray(saved(boots=3).content)
    size = struct.unpack_from("<H", content, 6)[0]
    for claimed in (0, size - 1, size + 4, 0xFFFF):
        struct.pack_into("<H", content, 6, claimed)
        struct.pack_into("<I", content, size, binascii.crc32(content[:size]))
        assert not Memory(RTC(bytes(content))).load()


def test_fits_into_rtc_memory():
    assert len(saved().content) <= 2048
