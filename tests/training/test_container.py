"""The container gives back what was packed and refuses everything else."""

from __future__ import annotations

import hashlib
import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.training.container import HEADER_SIZE, pack, unpack

MODEL = bytes(range(256)) * 3
BLOB = pack({"type": "kws", "name": "kws", "labels": ["_silence_", "naïve"]}, MODEL)


def forge(blob: bytes, at: int = 0, fmt: str = "<B", value: int | None = None) -> bytes:
    """Change a header field and mend the hash, so that only the check of that field can refuse it."""
    changed = bytearray(blob)
    if value is not None:
        struct.pack_into(fmt, changed, at, value)
    digest = hashlib.sha256(changed[:32])
    digest.update(changed[HEADER_SIZE:])
    changed[32:64] = digest.digest()
    return bytes(changed)


def with_manifest(text: bytes) -> bytes:
    """A container, well-formed but for its manifest."""
    offset = -(-(HEADER_SIZE + len(text)) // 16) * 16
    total = offset + len(MODEL)
    fields = struct.pack("<4sHHIIIIII", b"CMOD", 1, 64, total, 64, len(text), offset, len(MODEL), 0)
    return forge(fields + bytes(32) + text.ljust(offset - HEADER_SIZE, b"\0") + MODEL)


def test_layout_is_as_documented():
    magic, version, header, total, manifest_off, manifest_len, model_off, model_len, flags = struct.unpack(
        "<4sHHIIIIII", BLOB[:32]
    )
    assert (magic, version, header, total, flags) == (b"CMOD", 1, 64, len(BLOB), 0)
    assert manifest_off == 64 and model_off % 16 == 0 and BLOB[model_off:] == MODEL == BLOB[-model_len:]
    manifest = json.loads(BLOB[manifest_off : manifest_off + manifest_len])
    assert manifest["schema"] == 1 and manifest["sha256"] == hashlib.sha256(MODEL).hexdigest()
    assert BLOB[32:64] == hashlib.sha256(BLOB[:32] + BLOB[64:]).digest()


@given(
    labels=st.lists(st.text(max_size=20), max_size=6),
    number=st.floats(allow_nan=False, allow_infinity=False),
    model=st.binary(min_size=1, max_size=400),
)
def test_round_trip(labels, number, model):
    about = {"type": "kws", "labels": labels, "decision": {"threshold": number}}
    blob = pack(about, model)
    manifest, view = unpack(bytearray(blob))
    assert bytes(view) == model and view.readonly
    assert {name: manifest[name] for name in about} == about
    assert pack(about, model) == blob


@given(at=st.integers(0, len(BLOB) - 1), flip=st.integers(1, 255))
@settings(max_examples=400)
def test_any_changed_byte_is_refused(at, flip):
    changed = bytearray(BLOB)
    changed[at] ^= flip
    with pytest.raises(ValueError):
        unpack(changed)


@given(length=st.integers(0, len(BLOB) - 1))
def test_any_truncation_is_refused(length):
    with pytest.raises(ValueError, match="cut short|bytes but has"):
        unpack(BLOB[:length])


@given(extra=st.binary(min_size=1, max_size=70))
def test_anything_appended_is_refused(extra):
    with pytest.raises(ValueError, match="bytes but has"):
        unpack(BLOB + extra)


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(noise):
    with pytest.raises(ValueError):
        unpack(noise)


@pytest.mark.parametrize(
    ("at", "fmt", "value", "reason"),
    [
        (0, "<I", 0, "magic"),
        (4, "<H", 2, "version 2"),
        (6, "<H", 32, "header size"),
        (8, "<I", len(BLOB) + 1, "bytes but has"),
        (12, "<I", 68, "manifest is not between"),
        (16, "<I", 2**32 - 1, "manifest is not between"),
        (20, "<I", len(BLOB) - len(MODEL) + 1, "not aligned"),
        (24, "<I", len(MODEL) - 1, "does not end where"),
        (28, "<I", 1, "flags"),
    ],
)
def test_each_field_is_checked_even_under_a_right_hash(at, fmt, value, reason):
    with pytest.raises(ValueError, match=reason):
        unpack(forge(BLOB, at, fmt, value))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "not UTF-8 JSON"),
        (b'{"schema": "\xff"}', "not UTF-8 JSON"),
        (b"[" * 100_000, "not UTF-8 JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"schema": 2, "type": "kws"}', "schema 2"),
        (b'{"schema": 1}', "no 'type'"),
        (b'{"schema": 1, "type": "kws", "sha256": "00"}', "not that of the model"),
    ],
)
def test_bad_manifests_are_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        unpack(with_manifest(text))


@pytest.mark.parametrize(
    ("about", "model"), [({"type": "kws"}, b""), ({}, b"x"), ({"type": "kws", "n": float("nan")}, b"x")]
)
def test_nothing_unreadable_is_packed(about, model):
    with pytest.raises(ValueError):
        pack(about, model)
