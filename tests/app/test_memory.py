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


def test_fits_into_rtc_memory():
    assert len(saved().content) <= 2048
