"""Envelopes: the signature covers every byte that means something, and is checked before anything is read."""

import hashlib
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools.release import envelope
from cicada.tools.release import manifest as manifests
from cicada.tools.release.build import make_envelope
from support.releases import key_of, manifest_of
from support.signatures import N, b32

SIGNER, KEY = key_of(1234567)
OTHER_SIGNER, OTHER_KEY = key_of(7654321)
MANIFEST = manifest_of(b"image" * 3000)
GOOD = make_envelope(MANIFEST, SIGNER)


def test_a_release_comes_back():
    release = envelope.unpack(GOOD, [OTHER_KEY, KEY])
    assert release.manifest == MANIFEST
    assert release.key == KEY
    assert release.digest == hashlib.sha256(GOOD[80:]).digest()


def test_the_layout_is_the_documented_one():
    assert GOOD[:6] == b"CREL\x01\x00"
    assert int.from_bytes(GOOD[6:8], "little") == len(GOOD) - 80
    assert GOOD[8:16] == hashlib.sha256(KEY.public).digest()[:8]
    assert json.loads(GOOD[80:]) == MANIFEST
    r, s = int.from_bytes(GOOD[16:48], "big"), int.from_bytes(GOOD[48:80], "big")
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), KEY.public)
    public.verify(utils.encode_dss_signature(r, s), GOOD[:16] + GOOD[80:], ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize("bit", range(8))
def test_no_bit_can_be_flipped(bit):
    for at in range(len(GOOD)):
        flipped = bytearray(GOOD)
        flipped[at] ^= 1 << bit
        with pytest.raises(ValueError):
            envelope.unpack(bytes(flipped), [KEY, OTHER_KEY])


@given(st.binary(max_size=300), st.integers(0, len(GOOD)), st.integers(0, len(GOOD)))
def test_no_other_bytes_pass(put, start, end):
    data = GOOD[:start] + put + GOOD[end:]
    if data != GOOD:
        with pytest.raises(ValueError):
            envelope.unpack(data, [KEY])


def test_a_key_that_is_not_trusted_does_not_count():
    with pytest.raises(ValueError, match="not trusted"):
        envelope.unpack(GOOD, [OTHER_KEY])
    with pytest.raises(ValueError, match="not trusted"):
        envelope.unpack(GOOD, [])


def test_the_id_of_a_trusted_key_does_not_help_another_one():
    forged = GOOD[:8] + bytes.fromhex(OTHER_KEY.id) + GOOD[16:]
    with pytest.raises(ValueError, match="signature"):
        envelope.unpack(forged, [KEY, OTHER_KEY])


@pytest.mark.parametrize("at,value", [(0, 67 ^ 1), (4, 0), (4, 2), (5, 1), (6, 99)])
def test_another_format_is_refused_though_the_signature_is_right(at, value):
    fields = bytearray(GOOD[:16])
    fields[at] = value
    signature = SIGNER.sign(hashlib.sha256(bytes(fields) + GOOD[80:]).digest())
    with pytest.raises(ValueError):
        envelope.unpack(bytes(fields) + signature + GOOD[80:], [KEY])


def test_the_manifest_is_read_after_its_signature_only(monkeypatch):
    monkeypatch.setattr(manifests, "decode", lambda data: pytest.fail("read too early"))
    with pytest.raises(ValueError, match="signature"):
        envelope.unpack(GOOD[:-1] + b"]", [KEY])


def test_a_signed_manifest_that_is_not_valid_is_refused():
    for text in (b"{}", b"[]", b"\xff\xff", b"1.5", manifests.encode(MANIFEST) + b" "):
        with pytest.raises(ValueError):
            envelope.unpack(envelope.pack(text, SIGNER), [KEY])


def test_the_second_signature_of_the_same_release_has_the_same_digest():
    s = N - int.from_bytes(GOOD[48:80], "big")
    twin = GOOD[:48] + b32(s) + GOOD[80:]
    assert twin != GOOD
    assert envelope.unpack(twin, [KEY]).digest == envelope.unpack(GOOD, [KEY]).digest


@pytest.mark.parametrize("size", [0, 1, 2049])
def test_a_manifest_of_an_impossible_size_is_not_signed(size):
    with pytest.raises(ValueError):
        envelope.pack(b"x" * size, SIGNER)


def test_an_invalid_manifest_is_not_signed():
    with pytest.raises(ValueError, match="serial"):
        make_envelope(MANIFEST | {"serial": 0}, SIGNER)
