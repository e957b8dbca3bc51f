"""What the loader refuses: every kind of damage, and whatever would not run within blob and arena."""

from __future__ import annotations

import ctypes
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from engine.programs import blob, separable
from engine.replaying import CORPUS, build, replay, sealed

from cicada.tools import engine
from cicada.tools.packed import PackedModel
from cicada.training.pack import format as cpm

MODEL = blob(separable(size=4, channels=4))
_OP = cpm.HEADER.size


def field(structure: cpm.Structure, path: str) -> tuple[int, str]:
    """Offset and format of a member, "input.size" for one of a structure in it."""
    name, _, rest = path.partition(".")
    member = next(each for each in structure.fields if each.name == name)
    at = structure.offsets[name]
    if rest:
        inner, code = field(member.type, rest)
        return at + inner, code
    return at, {"u32": "<I", "u16": "<H", "u8": "<B", "i16": "<h", "i8": "<b", "i32": "<i"}[member.type]


def changed(source: bytes, structure: cpm.Structure, path: str, value: int, base: int = 0) -> bytes:
    """A blob with one member of a structure at ``base`` set, and its CRC put right."""
    at, code = field(structure, path)
    data = bytearray(source)
    struct.pack_into(code, data, base + at, value)
    return sealed(bytes(data))


@pytest.mark.parametrize(
    ("member", "value", "words"),
    [
        ("magic", 0x324D5043, "not a packed model"),
        ("version", 2, "another version"),
        ("header_size", 96, "length"),
        ("size", len(MODEL) + 4, "length"),
        ("arena", 1 << 29, "arena"),
        ("arena", 3, "input or output"),
        ("input.size", 15, "input or output"),
        ("input.at", 1 << 31, "input or output"),
        ("input.rank", 7, "input or output"),
        ("input.dtype", 2, "input or output"),
        ("output.size", 0, "input or output"),
        ("rings", 33, "ring"),
        ("rings_at", 2, "ring"),
        ("states", 65535, "state"),
        ("ops_at", len(MODEL) - 4, "outside"),
        ("ops_at", 2, "outside"),
        ("ops", 65535, ""),
    ],
)
def test_a_fault_of_the_header_is_named(member: str, value: int, words: str) -> None:
    with pytest.raises(ValueError, match=f"cannot run: .*{words}"):
        PackedModel(changed(MODEL, cpm.HEADER, member, value))


@pytest.mark.parametrize(
    ("member", "value", "words"),
    [
        ("kind", 0, "does not have"),
        ("kind", 16, "does not have"),
        ("kind", 200, "does not have"),
        ("length", 3, "outside"),
        ("length", 65532, "outside"),
        ("in_ring", 1, "ring"),
        ("out_ring", 255, "ring"),
        ("advance", 1, "ring"),
    ],
)
def test_a_fault_of_an_operator_is_named(member: str, value: int, words: str) -> None:
    with pytest.raises(ValueError, match=f"cannot run: .*{words}"):
        PackedModel(changed(MODEL, cpm.OP, member, value, base=_OP))


def test_states_that_overlap_are_refused() -> None:
    source = next(data for data in CORPUS if cpm.HEADER.unpack(data)["states"] > 1)
    header = cpm.HEADER.unpack(source)
    once = changed(source, cpm.STATE, "at", 0, header["states_at"])
    PackedModel(once)
    with pytest.raises(ValueError, match="state"):
        PackedModel(changed(once, cpm.STATE, "size", header["arena"], header["states_at"]))


def test_what_would_take_minutes_is_refused() -> None:
    long = blob(separable(size=40))
    PackedModel(changed(long, cpm.HEADER, "selftest_steps", 100))
    with pytest.raises(ValueError, match="too much"):
        PackedModel(changed(long, cpm.HEADER, "selftest_steps", 65535))


def test_a_blob_that_is_cut_is_refused() -> None:
    for size in range(len(MODEL)):
        with pytest.raises(ValueError, match="cannot run"):
            PackedModel(MODEL[:size])
    with pytest.raises(ValueError, match="length"):
        PackedModel(MODEL + bytes(4))


def test_a_flipped_bit_is_refused() -> None:
    for at in range(len(MODEL) * 8):
        data = bytearray(MODEL)
        data[at // 8] ^= 1 << at % 8
        with pytest.raises(ValueError, match="cannot run"):
            PackedModel(bytes(data))


def test_a_blob_that_is_not_aligned_is_refused() -> None:
    room = np.zeros(len(MODEL) + 8, np.uint8)
    room[2 : 2 + len(MODEL)] = np.frombuffer(MODEL, np.uint8)
    check = engine.library().cpm_check
    assert b"multiple of 4" in check(room.ctypes.data + 2, len(MODEL))


def mutants(source: bytes) -> Iterator[bytes]:
    """Each byte, half word and word replaced by values that stand for trouble."""
    for at in range(len(source) - 4):
        for value in {0, 1, 255, source[at] ^ 1, source[at] ^ 0x80}:
            yield sealed(source[:at] + bytes([value]) + source[at + 1 :])
    for size, code in ((2, "<H"), (4, "<I")):
        for at in range(0, len(source) - 4, size):
            old = struct.unpack_from(code, source, at)[0]
            most = (1 << 8 * size) - 1
            for value in {most, most >> 1, (most >> 1) + 1, old + 1 & most, old - 1 & most, old * 2 & most}:
                yield sealed(source[:at] + struct.pack(code, value) + source[at + size :])


def test_what_is_damaged_is_refused_or_stays_within_its_memory(tmp_path: Path) -> None:
    program = build(tmp_path)
    small = [source for source in CORPUS if len(source) < 235]
    assert len(small) > 8
    said = replay(program, (mutant for source in small for mutant in mutants(source)))
    assert 0.1 < said.count("ran") / len(said) < 0.9
    assert not any("damaged" in words for words in said)  # the CRC hid nothing


def test_the_crc_is_zlibs() -> None:
    library = engine.library()
    words, plain = library.cpm_crc32_words, library.cpm_crc32
    words.restype = plain.restype = ctypes.c_uint32
    words.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    plain.argtypes = [ctypes.c_uint32, ctypes.c_char_p, ctypes.c_size_t]
    rng = np.random.default_rng(1)
    for count in (*range(1, 420), 1000, 7750):
        data = rng.integers(0, 1 << 32, count, np.uint32)
        assert words(data.ctypes.data, count) == zlib.crc32(data.tobytes())
    text = data.tobytes()[:1003]
    assert plain(plain(0, text, 400), text[400:], 603) == zlib.crc32(text)


def test_the_crcs_polynomial_divides_the_sum_of_powers_that_stands_for_it() -> None:
    rest = sum(1 << 32 * power for power in (203, 186, 123, 85, 79, 0))
    while rest.bit_length() > 32:
        rest ^= 0x104C11DB7 << rest.bit_length() - 33
    assert rest == 0
