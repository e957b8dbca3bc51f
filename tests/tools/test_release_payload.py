"""Payloads: what is written comes back, and nothing that was touched does."""

import hashlib
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.release.payload import COPY, DATA, DIFF, OPERATION, PATCH, Block, apply, chain, full
from support.releases import code

SIZES = st.one_of(
    st.integers(1, 40),
    st.builds(lambda n, d: max(1, n * 4096 + d), st.integers(1, 6), st.integers(-2, 2)),
)


def images():
    """Images that deflate well, badly, and not at all, with sizes around the ends of sectors."""
    return st.builds(
        lambda size, seed, kind: {
            "code": code(seed, size).ljust(size, b"\0"),
            "zeros": bytes(size),
            "noise": hashlib.shake_128(seed.to_bytes(4, "big")).digest(size),
        }[kind],
        SIZES,
        st.integers(0, 1000),
        st.sampled_from(["code", "zeros", "noise"]),
    )


@given(images())
def test_a_full_payload_makes_its_image(image):
    made = full(image)
    assert apply(made.data, made.first, len(image)) == image
    assert made.blocks == -(-len(image) // 4096)
    assert len(made.data) <= len(image) + 36 * made.blocks  # never larger than stored
    assert made.sha256 == hashlib.sha256(made.data).digest()


def test_the_layout_is_the_documented_one():
    image = bytes(4096) + hashlib.shake_128(b"noise").digest(4096) + b"end"
    data, at, expected = full(image).data, 0, full(image).first
    unpacked = []
    for _ in range(3):
        length, flags, sectors = struct.unpack_from("<HBB", data, at)
        assert hashlib.sha256(data[at : at + 36 + length]).digest() == expected
        body = data[at + 36 : at + 36 + length]
        unpacked.append((flags, sectors, zlib.decompress(body, wbits=-12) if flags & 1 else body))
        expected = data[at + 4 : at + 36]
        at += 36 + length
    assert expected == bytes(32) and at == len(data)
    assert unpacked == [(1, 1, image[:4096]), (0, 1, image[4096:8192]), (0, 1, b"end")]


@settings(max_examples=60)
@given(images(), st.integers(0, 10**9), st.integers(0, 7))
def test_no_bit_of_a_payload_can_be_flipped(image, at, bit):
    made = full(image)
    data = bytearray(made.data)
    data[at % len(data)] ^= 1 << bit
    with pytest.raises(ValueError):
        apply(bytes(data), made.first, len(image))


@given(images(), st.integers(1, 5000))
def test_a_payload_that_is_cut_or_goes_on_is_refused(image, change):
    made = full(image)
    with pytest.raises(ValueError):
        apply(made.data[:-change], made.first, len(image))
    with pytest.raises(ValueError):
        apply(made.data + bytes(change), made.first, len(image))


@given(images(), st.integers(-5000, 5000).filter(bool))
def test_an_image_of_another_size_is_refused(image, change):
    made = full(image)
    with pytest.raises(ValueError):
        apply(made.data, made.first, len(image) + change)


BASE = bytes(range(256)) * 32  # 8,192 bytes


def op(kind, length, offset=0, follows=b""):
    return OPERATION.pack(kind, length, offset) + follows


def patched(*operations, size=4096, sectors=1, base=BASE):
    made = chain([Block(b"".join(operations), True, sectors)])
    return apply(made.data, made.first, size, base)


def test_each_operation_does_what_it_says():
    made = patched(op(COPY, 4000, 10), op(DIFF, 4, 255, b"\x01\xff\x00\x02"), op(DATA, 92, 0, b"x" * 92))
    assert made == BASE[10:4010] + bytes([0, 255, 1, 4]) + b"x" * 92


def test_one_block_can_make_sixteen_sectors():
    base = hashlib.shake_128(b"base").digest(65536)
    assert patched(op(COPY, 65535), op(COPY, 1, 65535), size=65536, sectors=16, base=base) == base


WRONG = {
    "an unknown operation": [op(3, 4096)],
    "an operation of nothing": [op(COPY, 4096), op(COPY, 0)],
    "new bytes with an offset": [op(COPY, 4095), op(DATA, 1, 1, b"x")],
    "bytes past the end of the base": [op(COPY, 4096, 4097)],
    "a difference past the end of the base": [op(COPY, 4095), op(DIFF, 1, 8192, b"x")],
    "a far offset": [op(COPY, 4096, 2**32 - 1)],
    "too few bytes": [op(COPY, 4095)],
    "too many bytes": [op(COPY, 4097)],
    "an operation that is cut off": [op(COPY, 4095), b"\0\1"],
    "bytes that are not all there": [op(COPY, 4090), op(DATA, 6, 0, b"abc")],
}


@pytest.mark.parametrize("operations", WRONG.values(), ids=WRONG)
def test_a_wrong_patch_is_refused(operations):
    with pytest.raises(ValueError):
        patched(*operations)


def test_a_patch_without_a_base_is_refused():
    with pytest.raises(ValueError, match="no base"):
        patched(op(COPY, 4096), base=None)


def block(body, flags=0, sectors=1):
    """A whole chain of one block, whatever is in it."""
    data = struct.pack("<HBB", len(body), flags, sectors) + bytes(32) + body
    return data, hashlib.sha256(data).digest()


def deflated(content, window=-12):
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    return packer.compress(content) + packer.flush()


def unfinished(content):
    """All of the content, but no mark that it ends there."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    return packer.compress(content) + packer.flush(zlib.Z_SYNC_FLUSH)


BAD_BLOCKS = {
    "no body": (b"", 0, 1, 1),
    "a body that is too long": (bytes(4353), 0, 1, 4353),
    "stored content that is too long": (bytes(4097), 0, 1, 4097),
    "a bomb": (deflated(bytes(1 << 20)), 1, 1, 4096),
    "one byte too many": (deflated(bytes(4097)), 1, 1, 4096),
    "nothing inside": (deflated(b""), 1, 1, 1),
    "no deflate": (b"\xff" * 50, 1, 1, 50),
    "deflate without an end mark": (unfinished(bytes(range(200))), 1, 1, 200),
    "deflate that is cut off": (deflated(bytes(range(200)))[:-4], 1, 1, 200),
    "bytes after deflate": (deflated(b"a") + b"b", 1, 1, 1),
    "an unknown flag": (b"a", 4, 1, 1),
    "no sector": (b"a", 0, 0, 1),
    "a literal of two sectors": (b"a", 0, 2, 4097),
    "seventeen sectors": (op(COPY, 65535) + op(COPY, 4097), PATCH, 17, 69632),
}


@pytest.mark.parametrize("body,flags,sectors,size", BAD_BLOCKS.values(), ids=BAD_BLOCKS)
def test_a_block_outside_the_limits_is_refused_though_its_hash_is_right(body, flags, sectors, size):
    data, first = block(body, flags, sectors)
    with pytest.raises(ValueError):
        apply(data, first, size, bytes(1 << 17))


@pytest.mark.parametrize("content,sectors", [(b"", 1), (bytes(4097), 1), (b"a", 0), (b"a", 17)])
def test_a_block_that_the_format_cannot_hold_is_not_written(content, sectors):
    with pytest.raises(ValueError):
        chain([Block(content, False, sectors)])


def test_there_is_no_payload_of_nothing():
    with pytest.raises(ValueError):
        full(b"")
