"""Envelopes of commands: none is taken that was changed, replayed, held back, or meant for somebody else."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.node import envelope as host
from support.pretend import pretend
from support.releases import key_of

SIGNER, KEY = key_of(31)
OTHER, OTHER_KEY = key_of(32)
STRANGER, _ = key_of(33)
KEYS = (KEY.public, OTHER_KEY.public)
DEVICE = bytes.fromhex("240ac4c1cada")
NOW = 1_900_000_000


class Counters:
    """Counters in memory; ``full`` ones cannot be written."""

    def __init__(self, full=False):
        self.kept, self.full = {}, full

    def last(self, key):
        return self.kept.get(bytes(key), 0)

    def count(self, key, counter):
        if self.full:
            raise OSError(28)
        self.kept[bytes(key)] = counter


@pytest.fixture(scope="module")
def device():
    """``node.commands.envelope`` under CPython."""
    import importlib

    with pretend():
        yield importlib.import_module("node.commands.envelope")


def packed(signer=SIGNER, counter=5, expiry=0, device=DEVICE, body=b'{"command":"status"}'):
    return host.seal(signer, device, counter, expiry, body)


def taken(device, data, counters=None, now=NOW, keys=KEYS):
    """What an envelope says, or why it was refused."""
    try:
        return device.verify(data, keys, DEVICE, counters or Counters(), now)
    except device.Refused as why:
        return str(why)


def test_what_the_host_signs_is_taken_once(device):
    counters = Counters()
    data = host.pack(SIGNER, DEVICE, 7, NOW + 60, "log", {"count": 3})
    assert taken(device, data, counters) == (7, b'{"command":"log","arguments":{"count":3}}')
    assert taken(device, data, counters) == "counter 7 was used before"
    assert taken(device, packed(counter=6), counters) == "counter 6 was used before"
    assert taken(device, packed(counter=8), counters)[0] == 8


def test_each_key_counts_by_itself(device):
    counters = Counters()
    assert taken(device, packed(OTHER, 0xFFFFFFFF), counters)[0] == 0xFFFFFFFF
    assert taken(device, packed(SIGNER, 1), counters)[0] == 1


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (packed(STRANGER), "signed with a key that may not command"),
        (packed(device=bytes(6)), "for another device"),
        (packed(counter=0), "counter 0 was used before"),
        (packed(expiry=NOW), "it has expired"),
        (packed(body=b"{"), "a command of a form that this firmware does not know"),
        (packed(body=b"x" * 1025), "not a command"),
        (packed() + b"\0", "a command of a form that this firmware does not know"),
        (packed()[:-1], "a command of a form that this firmware does not know"),
        (b"", "not a command"),
        (b"CCMD" + bytes(90), "not a command"),
        (b"CCMD" + bytes(91), "a command of a form that this firmware does not know"),
    ],
)
def test_what_is_refused(device, data, why):
    counters = Counters()
    assert taken(device, data, counters) == why
    assert counters.kept == {}


def test_the_longest_body_is_taken(device):
    assert taken(device, packed(body=b"x" * 1024)) == (5, b"x" * 1024)


def test_without_a_clock_only_what_never_expires_is_taken(device):
    assert taken(device, packed(expiry=NOW + 5), now=None) == "it expires, and the clock is not set"
    assert taken(device, packed(), now=None)[0] == 5


def test_every_single_changed_byte_is_refused(device):
    data = packed(expiry=NOW + 60)
    for at in range(len(data)):
        for flip in (1, 0x80, 0xFF):
            counters = Counters()
            broken = bytearray(data)
            broken[at] ^= flip
            assert isinstance(taken(device, bytes(broken), counters), str), at
            assert counters.kept == {}


@given(st.binary(max_size=1200) | st.binary(max_size=300).map(lambda tail: packed()[:30] + tail))
@settings(max_examples=300, deadline=None)
def test_anything_else_is_refused(device, data):
    assert isinstance(taken(device, data), str)


@given(st.lists(st.integers(1, 2**32 - 1), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_counters_only_grow(device, numbers):
    counters, highest = Counters(), 0
    for number in numbers:
        result = taken(device, packed(counter=number), counters)
        assert isinstance(result, tuple) == (number > highest)
        highest = max(highest, number)


def test_a_command_whose_counter_cannot_be_kept_is_not_carried_out(device):
    assert taken(device, packed(), Counters(full=True)).startswith("its counter cannot be kept")


def test_a_key_that_is_no_point_commands_nothing(device):
    broken = b"\x04" + b"\xff" * 64
    data = bytearray(packed())
    data[14:22] = hashlib.sha256(broken).digest()[:8]
    assert taken(device, bytes(data), keys=(broken,)) == "the signature is wrong"


def test_a_body_too_long_is_refused_on_the_host():
    from cicada.tools.errors import UserError

    with pytest.raises(UserError, match="1024 at most"):
        host.pack(SIGNER, DEVICE, 1, 0, "config set", {"values": {"site": "x" * 1100}})
