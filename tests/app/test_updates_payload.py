"""The device's reader of payloads against the release tool's writer: byte for byte, or nothing at all."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.release.delta import delta
from cicada.tools.release.payload import COPY, DATA, DIFF, OPERATION, Block, Payload, apply, chain, full
from cicada.tools.twin.flash import NorFlash
from support.pretend import pretend
from support.releases import code
from support.slots import SLOTS

SECTOR = 4096
SLOT = SLOTS["ota_1"]
OLD = code(1, 6 * SECTOR + 1234)
NEW = OLD[:5000] + b"a new function" + OLD[5000:12000] + code(2, 9000) + OLD[12000:]
PAYLOADS = {"full": (full(NEW), None), "delta": (delta(OLD, NEW), OLD)}


@pytest.fixture(scope="module")
def node():
    with pretend() as node:
        yield node


class Drip(io.BytesIO):
    """Gives a few bytes at a time, as a network may."""

    def __init__(self, data, most=1 << 30):
        super().__init__(data)
        self._most = most

    def readinto(self, buf):
        return super().readinto(memoryview(buf)[: self._most])


def blocks_for(node, payload, base, size, at=(0, 0, None)):
    """A reader that writes to ota_1, which is erased."""
    sectors, offset, digest = at
    base = node.image.InMemory(base) if base is not None else None
    target = node.esp32.Partition("ota_1")
    return node.payload.Blocks(target, 0, size, base, sectors, offset, digest or payload.first)


def fresh(node):
    node.esp32.flash = NorFlash(4 << 20)
    return node.esp32.flash


def written(flash, size=None):
    return flash.read(SLOT.offset, size or SLOT.size)


@pytest.mark.parametrize("most", [1, 7, 4096, 1 << 20])
@pytest.mark.parametrize("kind", PAYLOADS)
def test_what_the_tool_writes_comes_out_right(node, kind, most):
    payload, base = PAYLOADS[kind]
    flash, stream = fresh(node), Drip(payload.data, most)
    reader = blocks_for(node, payload, base, len(NEW))
    while not reader.done:
        reader.step(stream)
    assert written(flash, len(NEW)) == NEW == apply(payload.data, payload.first, len(NEW), base)
    assert not written(flash)[len(NEW) :].strip(b"\xff")
    assert (reader.offset, reader.digest) == (len(payload.data), bytes(32)) and stream.read() == b""


@pytest.mark.parametrize("kind", PAYLOADS)
def test_it_goes_on_at_every_block(node, kind):
    payload, base = PAYLOADS[kind]
    flash = fresh(node)
    at = 0, 0, payload.first
    for _ in range(payload.blocks):
        reader = blocks_for(node, payload, base, len(NEW), at)  # as after a reset
        reader.step(Drip(payload.data[at[1] :]))
        if reader.sectors % 2:  # this one was cut off before it was written down, and is done again
            reader = blocks_for(node, payload, base, len(NEW), at)
            reader.step(Drip(payload.data[at[1] :]))
        at = reader.sectors, reader.offset, reader.digest
    assert reader.done and written(flash, len(NEW)) == NEW


small = st.binary(max_size=200).map(lambda seed: code(sum(seed), 20 * len(seed) + 2))


@given(small, small)
@settings(max_examples=25)
def test_any_images_come_out_right(node, old, new):
    for payload, base in ((delta(old, new), old), (full(new), None)):
        flash = fresh(node)
        reader = blocks_for(node, payload, base, len(new))
        while not reader.done:
            reader.step(Drip(payload.data[reader.offset :]))
        assert written(flash, len(new)) == new


def damaged(data):
    """Payloads that went wrong on the way: where, and what came."""
    chance = random.Random(3)
    for _ in range(60):
        at = chance.randrange(len(data))
        yield at, data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
    for _ in range(20):
        at = chance.randrange(len(data))
        yield at, data[:at]
        yield at, data[:at] + chance.randbytes(3) + data[at:]
        yield at, data[:at] + data[at + 1 :]


@pytest.mark.parametrize("kind", PAYLOADS)
def test_damage_is_an_error_of_the_link_and_nothing_unverified_is_written(node, kind):
    payload, base = PAYLOADS[kind]
    for at, data in damaged(payload.data):
        if data == payload.data[: len(data)] and len(data) >= len(payload.data):
            continue
        flash = fresh(node)
        reader, stream = blocks_for(node, payload, base, len(NEW)), Drip(data)
        with pytest.raises(node.net.LinkError):
            while not reader.done:
                reader.step(stream)
        assert reader.offset <= at
        done = min(reader.sectors * SECTOR, len(NEW))
        assert written(flash, len(NEW)) == NEW[:done].ljust(len(NEW), b"\xff")
        while not reader.done:  # and what is right can follow at once
            reader.step(Drip(payload.data[reader.offset :]))
        assert written(flash, len(NEW)) == NEW


def test_swapped_and_repeated_blocks_are_an_error_of_the_link(node):
    payload = full(NEW)
    cuts, at = [0], 0
    while at < len(payload.data):
        at += 36 + struct.unpack_from("<H", payload.data, at)[0]
        cuts.append(at)
    parts = [payload.data[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
    for order in ([1, 0, *range(2, len(parts))], [0, 0, *range(1, len(parts))], [*range(1, len(parts))]):
        fresh(node)
        reader, stream = blocks_for(node, payload, None, len(NEW)), Drip(b"".join(parts[n] for n in order))
        with pytest.raises(node.net.LinkError, match="not the block that was signed"):
            while not reader.done:
                reader.step(stream)


def deflated(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    return packer.compress(data) + packer.flush()


def one(flags, body, sectors=1):
    """A payload of one block, signed though it is not what a block must be."""
    data = struct.pack("<HBB", len(body), flags, sectors) + bytes(32) + body
    return Payload(data, hashlib.sha256(data).digest(), 1)


BASE = bytes(range(256)) * 16
HALF = OPERATION.pack(COPY, 2048, 0)
REFUSED = {
    "a bomb": one(1, deflated(bytes(4_000_000))),
    "one byte too much": one(1, deflated(bytes(SECTOR + 1))),
    "a bomb as a patch": one(3, deflated(bytes(4_000_000))),
    "no deflate": one(1, b"\xff" * 9),
    "deflate cut off": one(1, deflated(code(5, SECTOR))[:-9]),
    "stored and too long": one(0, bytes(SECTOR + 1)),
    "too little": one(0, bytes(SECTOR - 1)),
    "flags": one(4, bytes(SECTOR)),
    "no sectors": one(0, bytes(SECTOR), 0),
    "many sectors": one(2, HALF * 2, 17),
    "beyond the image": one(2, HALF * 2, 2),
    "a literal of two sectors": one(0, bytes(SECTOR), 2),
    "operation": one(2, OPERATION.pack(3, 1, 0) + b"x"),
    "operation cut off": one(2, HALF[:6]),
    "operation without its bytes": one(2, OPERATION.pack(DATA, SECTOR, 0) + b"x"),
    "base read past its end": one(2, OPERATION.pack(COPY, 2, len(BASE) - 1)),
    "base read far beyond": one(2, OPERATION.pack(DIFF, 1, 0xFFFFFFFF) + b"x"),
    "oversized operation": one(2, OPERATION.pack(COPY, 65535, 0)),
    "oversized operations": one(2, HALF * 3),
    "too few operations": one(2, HALF),
    "no operations": one(2, b"x" * 3),
}


@pytest.mark.parametrize("name", REFUSED)
def test_signed_nonsense_is_refused(node, name):
    payload = REFUSED[name]
    flash = fresh(node)
    reader = blocks_for(node, payload, BASE, SECTOR)
    with pytest.raises(node.release.Refused):
        reader.step(Drip(payload.data))
    assert (reader.sectors, reader.offset) == (0, 0)
    done = written(flash, SECTOR)  # at most what was right before the nonsense
    assert done in [BASE[:n].ljust(SECTOR, b"\xff") for n in range(0, SECTOR + 1, 512)]
    assert not written(flash)[SECTOR:].strip(b"\xff")


operations = st.lists(
    st.tuples(st.sampled_from([COPY, DIFF, DATA]), st.integers(1, 5000), st.integers(0, 5000)), max_size=6
)


@given(operations, st.integers(1, 3 * SECTOR))
@settings(max_examples=80)
def test_patches_mean_the_same_to_device_and_tool(node, found, size):
    content = b""
    for kind, length, offset in found:
        more = OPERATION.pack(kind, length, 0 if kind == DATA else offset)
        more += code(length, length) if kind != COPY else b""
        if len(content) + len(more) <= 4096:
            content += more
    if not content:
        return
    payload = chain([Block(content, True, -(-size // SECTOR))])
    try:
        expected = apply(payload.data, payload.first, size, BASE)
    except ValueError:
        expected = None
    flash = fresh(node)
    reader = blocks_for(node, payload, BASE, size)
    if expected is None:
        with pytest.raises(node.release.Refused):
            reader.step(Drip(payload.data))
        assert not written(flash)[3 * SECTOR :].strip(b"\xff")
    else:
        reader.step(Drip(payload.data))
        assert reader.done and written(flash, size) == expected


def test_a_patch_needs_its_base(node):
    payload = chain([Block(HALF * 2, True, 1)])
    fresh(node)
    with pytest.raises(node.release.Refused, match="without its base"):
        blocks_for(node, payload, None, SECTOR).step(Drip(payload.data))
