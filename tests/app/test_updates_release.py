"""The device's rules for releases: what the host signs is taken, all else is refused, in the right order."""

from __future__ import annotations

import copy
import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.release import envelope
from cicada.tools.release import manifest as manifests
from cicada.tools.twin.flash import NorFlash
from support import fuzzing
from support.pretend import pretend
from support.releases import image_of, key_of, manifest_of
from support.twins import micropython
from support.updates import raw_manifest

SIGNER, KEY = key_of(21)
OTHER, OTHER_KEY = key_of(22)
KEYS = (KEY.public, OTHER_KEY.public)
IMAGE = image_of(content=b"x" * 5000)
VALID = manifest_of(IMAGE)
WHO = {"product": "cicada", "board": "twin", "version": "1.2.3", "security": 0}
SLOT = 1 << 20


@pytest.fixture(scope="module")
def node():
    with pretend() as node:
        yield node


@pytest.fixture
def journal(node):
    node.esp32.flash = NorFlash(4 << 20)
    return node.journal.Journal(node.esp32.Partition("updates"))


def accepted(node, data, revoked=()):
    """The release in an envelope, or why it was refused."""
    try:
        return node.release.verify(data, KEYS, revoked)
    except node.release.Refused as error:
        return str(error)


def test_what_the_host_signs_is_taken(node):
    text = manifests.encode(VALID)
    release = accepted(node, envelope.pack(text, SIGNER))
    assert release.manifest == VALID and release.digest == hashlib.sha256(text).digest()
    assert (release.kind, release.serial, release.security) == (0, 7, 0)
    assert (release.size, release.sha256) == (len(IMAGE), hashlib.sha256(IMAGE).digest())


def test_the_longest_manifest_is_taken(node):
    base = {"sha256": "a" * 64, "size": 1000}
    about = copy.deepcopy(VALID)
    full = about["payloads"][0] | {"file": "f" * 96}
    first = full | {"base": base, "file": "g" * 96, "first": "0" * 64, "sha256": "1" * 64}
    about |= {"notes": "n" * 200, "revoke": [f"{n:016x}" for n in range(4)], "payloads": [first, full]}
    data = envelope.pack(manifests.encode(about), SIGNER)
    assert accepted(node, data).manifest == about


@pytest.mark.parametrize("bit", range(0, 8))
def test_every_flipped_bit_is_refused_before_the_manifest_is_read(node, bit, monkeypatch):
    data = envelope.pack(manifests.encode(VALID), SIGNER)
    monkeypatch.setattr(node.release.json, "loads", lambda text: pytest.fail("it was read"))
    for at in range(0, len(data), 1 if bit == 0 else 13):
        assert isinstance(accepted(node, data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]), str)
    for size in range(0, len(data), 17):
        assert isinstance(accepted(node, data[:size]), str)


@given(st.binary(max_size=300), st.integers(0, 500))
def test_noise_is_refused(node, noise, at):
    data = envelope.pack(manifests.encode(VALID), SIGNER)
    assert isinstance(accepted(node, noise), str)
    if data[at : at + len(noise)] != noise:
        assert isinstance(accepted(node, data[:at] + noise + data[at + len(noise) :]), str)


def test_only_trusted_keys_that_are_not_revoked_count(node):
    text = manifests.encode(VALID)
    first, second = (envelope.pack(text, signer) for signer in (SIGNER, OTHER))
    stranger, _ = key_of(23)
    assert accepted(node, second).serial == accepted(node, first, [bytes.fromhex(OTHER.id)]).serial == 7
    assert accepted(node, second, [bytes.fromhex(OTHER.id)]) == "signed with a revoked key"
    assert accepted(node, envelope.pack(text, stranger)) == "signed with a key that is not trusted"
    swapped = first[:8] + bytes.fromhex(OTHER.id) + first[16:]
    assert accepted(node, swapped) == "the signature is wrong"


@given(fuzzing.manifests(VALID))
@settings(max_examples=150)
def test_whatever_is_signed_is_taken_or_refused(node, about):
    text = raw_manifest(about)
    if not 2 <= len(text) <= manifests.LARGEST:
        return
    data = envelope.pack(text, SIGNER)
    said = accepted(node, data)
    try:
        manifests.validate(about)
    except ValueError:
        if not isinstance(said, str):
            safe(said.manifest)
    else:
        assert not isinstance(said, str), said


def safe(about):
    """What the updater relies on, in a manifest that the host would not have written."""
    assert about["kind"] in ("firmware", "model") and 1 <= about["serial"] < 2**32
    assert 0 <= about["security"] < 2**31 and 1 <= about["image"]["size"] < 2**31
    names = [about["product"], about["board"], about["name"], *(p["file"] for p in about["payloads"])]
    for name in names:
        assert not set(name) & set("/\\?#% \r\n\0") and not name.startswith(".") and name.isascii()
    assert 1 <= len(about["payloads"]) <= 3 and about["payloads"][-1]["base"] is None
    for payload in about["payloads"]:
        assert len(bytes.fromhex(payload["first"])) == 32 and payload["size"] >= 1
        assert payload["base"] is None or len(bytes.fromhex(payload["base"]["sha256"])) == 32
    for key in about["revoke"]:
        assert len(bytes.fromhex(key)) == 8


#: The device's own interpreter, which reads JSON in its own way; every signature is good there.
ON_DEVICE = """
import sys
class trust:
    verify = staticmethod(lambda key, signature, digest: True)
sys.modules["trust"] = trust
from node.updates import release
for i in range({count}):
    data = open("{folder}/%d" % i, "rb").read()
    try:
        release.verify(data, ({key!r},), ())
        print("taken")
    except release.Refused as error:
        print("refused")
"""
_bytes = st.one_of(
    fuzzing.manifests(VALID).map(raw_manifest),
    fuzzing.values.map(raw_manifest),
    st.binary(min_size=2, max_size=200),
    st.text('{}[]":,0123456789eE+-.truefalsn\\u ', min_size=2, max_size=100).map(str.encode),
).filter(lambda text: 2 <= len(text) <= 2048)


@given(st.lists(_bytes, min_size=30, max_size=60))
@settings(max_examples=6)
def test_micropython_refuses_what_cpython_does(node, tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("manifests")
    texts += [manifests.encode(VALID), b"[" * 2048, b'{"a":' * 400, b"9" * 2048, b'"\\ud800"', b"{}x"]
    for i, text in enumerate(texts):
        (folder / str(i)).write_bytes(envelope.pack(text, SIGNER))
    code = ON_DEVICE.format(count=len(texts), folder=folder, key=KEY.public)
    said = micropython(code).splitlines()
    assert len(said) == len(texts)
    for text, word in zip(texts, said, strict=True):
        try:
            manifests.decode(text)
        except ValueError:
            pass
        else:
            assert word == "taken", text
    assert said[len(texts) - 6 :] == ["taken"] + ["refused"] * 5


RULES = {
    "another product": ({"product": "cricket"}, {}, "for product cricket, this is cicada"),
    "another board": ({"board": "esp32"}, {}, "for board esp32, this is twin"),
    "the serial decided": ({"serial": 6}, {}, "serial 6 is not newer than 6"),
    "an older serial": ({"serial": 5}, {}, "serial 5 is not newer than 6"),
    "below the floor": ({"security": 2}, {}, "security version 2 is below 3"),
    "below what runs": ({"security": 3}, {"security": 4}, "security version 3 is below 4"),
    "newer firmware needed": ({"min_version": "1.2.4"}, {}, "needs firmware 1.2.4, this is 1.2.3"),
    "newer than ten": ({"min_version": "1.2.9"}, {"version": "1.2.10"}, None),
    "a version with a tail": ({"min_version": "1.2.3"}, {"version": "1.2.3-rc1+5"}, None),
    "a version of words": ({}, {"version": "nightly"}, None),
    "a version of words that is too old": (
        {"min_version": "0.0.1"},
        {"version": "nightly"},
        "needs firmware",
    ),
    "expired": ({"expires": 1_900_000_000}, {}, "it has expired"),
    "not yet expired": ({"expires": 1_900_000_001}, {}, None),
    "too large": ({"image": {"size": SLOT + 1, "sha256": "0" * 64}}, {}, "do not fit into a slot"),
    "large": ({"image": {"size": SLOT, "sha256": "0" * 64}}, {}, None),
    "revokes itself": ({"revoke": [SIGNER.id]}, {}, "it revokes the key it is signed with"),
    "revokes another": ({"revoke": [OTHER.id]}, {}, None),
    "nothing wrong": ({}, {}, None),
}


def admitted(node, journal, about, who, now=1_900_000_000, again=False):
    release = node.release.verify(envelope.pack(raw_manifest(about), SIGNER), KEYS, ())
    try:
        node.release.admit(release, who, journal, SLOT, now, again)
    except node.release.Refused as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", RULES)
def test_a_rule(node, journal, name):
    changes, who, reason = RULES[name]
    journal.append(node.journal.DECIDED, 0, 0, node.journal.GOOD, 6)
    journal.append(node.journal.FLOOR, security=3)
    said = admitted(node, journal, VALID | {"security": 5} | changes, WHO | who)
    assert said is None if reason is None else reason in said


def test_rules_of_one_kind_say_nothing_of_the_other(node, journal):
    journal.append(node.journal.DECIDED, 1, 0, node.journal.GOOD, 100)
    journal.append(node.journal.FLOOR, 1, security=9)
    assert admitted(node, journal, VALID, WHO) is None
    model = VALID | {"kind": "model", "name": "kws"}
    assert "not newer than 100" in admitted(node, journal, model, WHO)
    assert "below 9" in admitted(node, journal, model | {"serial": 101}, WHO)
    assert admitted(node, journal, model | {"serial": 101, "security": 9}, WHO | {"security": 99}) is None


def test_what_was_lost_may_come_again_but_nothing_older(node, journal):
    journal.append(node.journal.DECIDED, 0, 0, node.journal.GOOD, 7)
    assert "not newer" in admitted(node, journal, VALID, WHO)
    assert admitted(node, journal, VALID, WHO, again=True) is None
    assert "not newer" in admitted(node, journal, VALID | {"serial": 6}, WHO, again=True)


def test_without_a_clock_nothing_expires(node, journal):
    assert admitted(node, journal, VALID | {"expires": 1}, WHO, now=None) is None


def test_a_payload_has_its_cap(node, journal):
    cap = manifests.payload_cap(len(IMAGE))
    for size, fits in ((cap, True), (cap + 1, False)):
        about = VALID | {"payloads": [VALID["payloads"][0] | {"size": size}]}
        assert (admitted(node, journal, about, WHO) is None) == fits


def test_json_is_what_was_signed(node):
    doubled = json.dumps(VALID)[:-1].encode() + b',"serial":9}'
    release = accepted(node, envelope.pack(doubled.replace(b" ", b""), SIGNER))
    assert isinstance(release, str) or release.serial == 9
