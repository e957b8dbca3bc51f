"""Keys: encrypted, never overwritten, and never fewer than devices need."""

import hashlib
import json
import shutil
import stat
import subprocess

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from cicada.tools.errors import UserError
from cicada.tools.release import keys, keystore
from support.releases import PASSPHRASE, use_store
from support.signatures import cases

DIGEST = hashlib.sha256(b"manifest").digest()


@pytest.fixture
def store(tmp_path, monkeypatch):
    return use_store(monkeypatch, tmp_path)


def test_a_signature_is_one_for_the_cryptography_library(store):
    keys.new("first")
    signer = keys.signer()
    signature = signer.sign(DIGEST)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), signer.public)
    how = ec.ECDSA(utils.Prehashed(hashes.SHA256()))
    public.verify(utils.encode_dss_signature(r, s), DIGEST, how)
    with pytest.raises(InvalidSignature):
        public.verify(utils.encode_dss_signature(r, s), hashlib.sha256(b"other").digest(), how)


def test_verify_agrees_with_the_edge_cases_of_devices():
    for case in cases():
        assert keys.verify(case.key, case.signature, case.digest) == bool(case.expected), case.name


def test_a_signature_of_another_length_is_wrong():
    signer_key = cases()[0]
    assert keys.verify(signer_key.key, signer_key.signature, signer_key.digest)
    assert not keys.verify(signer_key.key, signer_key.signature + b"\0", signer_key.digest)
    assert not keys.verify(signer_key.key, signer_key.signature[:-1], signer_key.digest)
    assert not keys.verify(signer_key.key, signer_key.signature, signer_key.digest + b"\0")


def test_a_compressed_key_is_wrong_as_on_devices():
    case = cases()[0]
    compressed = bytes([2 + (case.key[64] & 1)]) + case.key[1:33]
    assert not keys.verify(compressed, case.signature, case.digest)


def test_a_key_file_is_encrypted_and_private(store):
    keys.new("first")
    path = store / "first.pem"
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.stat().st_mode) == 0o700


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs the program openssl")
def test_openssl_opens_a_key_file_with_the_passphrase_only(store):
    key = keys.new("first")
    command = ["openssl", "ec", "-in", str(store / "first.pem"), "-pubout", "-outform", "DER", "-passin"]
    public = subprocess.run([*command, f"pass:{PASSPHRASE}"], capture_output=True, check=True).stdout
    assert public.endswith(key.public)
    assert subprocess.run([*command, "pass:wrong horse"], capture_output=True, check=False).returncode


def test_a_wrong_passphrase_is_one_sentence_that_does_not_repeat_it(store, monkeypatch):
    keys.new("first")
    monkeypatch.setenv("CICADA_PASSPHRASE", "wrong horse")
    with pytest.raises(UserError, match="passphrase is wrong") as error:
        keys.signer()
    assert "wrong horse" not in str(error.value)


def test_without_terminal_and_variable_it_says_what_to_set(store, monkeypatch):
    keys.new("first")
    monkeypatch.delenv("CICADA_PASSPHRASE")
    monkeypatch.setattr("sys.stdin", open("/dev/null"))
    with pytest.raises(UserError, match="CICADA_PASSPHRASE"):
        keys.signer()


def test_at_a_terminal_a_new_passphrase_is_asked_for_twice(store, monkeypatch):
    answers = iter(["long enough", "long enough", "long enough", "another one", "long enough"])
    monkeypatch.delenv("CICADA_PASSPHRASE")
    monkeypatch.setattr(keystore.getpass, "getpass", lambda prompt: next(answers))
    monkeypatch.setattr(keystore.sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    keys.new("first")
    with pytest.raises(UserError, match="differ"):
        keys.new("second")
    assert keys.signer("first").name == "first"


def test_a_short_passphrase_is_refused_for_a_new_key(store, monkeypatch):
    monkeypatch.setenv("CICADA_PASSPHRASE", "short")
    with pytest.raises(UserError, match="short"):
        keys.new("first")
    assert not store.exists()


def test_no_secret_is_in_what_a_signer_prints(store):
    keys.new("first")
    signer = keys.signer()
    secret = signer._private.private_numbers().private_value
    assert str(secret) not in repr(signer) and f"{secret:x}" not in repr(signer)
    assert "_private" not in repr(signer)


def test_without_a_store_a_development_key_is_made_once_and_is_loud(store, tmp_path, capsys):
    (first,) = keys.trusted()
    said = capsys.readouterr().err
    assert said.startswith("WARNING: development key") and first.id in said
    assert first.development
    assert keys.trusted() == [first] and keys.signer().id == first.id
    assert capsys.readouterr().err == ""  # once is enough
    assert stat.S_IMODE((tmp_path / "build" / "keys" / "development.pem").stat().st_mode) == 0o600


def test_the_first_real_key_ends_the_trust_in_the_development_key(store):
    (development,) = keys.trusted()
    made = keys.new("first")
    assert keys.trusted() == [made] and not made.development
    # It still signs what leads boards over, when it is named.
    assert keys.signer("development").id == development.id
    assert keys.signer().id == made.id


def test_key_ids_are_the_hash_of_the_point(store):
    made = keys.new("first")
    assert len(made.public) == 65 and made.public[0] == 4
    assert made.id == hashlib.sha256(made.public).digest()[:8].hex()


def test_two_keys_are_trusted_until_the_old_one_is_revoked(store):
    old = keys.new("old")
    new = keys.new("new")
    assert keys.trusted() == [old, new]
    assert keys.signer().id == old.id and keys.signer("new").id == new.id
    keys.revoke("old")
    assert keys.trusted() == [new] and keys.revoked() == [old.id]
    assert keys.signer().id == new.id
    with pytest.raises(UserError, match="no trusted key 'old'"):
        keys.signer("old")


def test_the_last_key_cannot_be_revoked(store):
    keys.new("only")
    with pytest.raises(UserError, match="only key"):
        keys.revoke("only")
    assert len(keys.trusted()) == 1


@pytest.mark.parametrize("name", ["", "a b", "../a", "A", "development", "x" * 33, "ä", "a\n"])
def test_a_name_that_is_no_file_name_is_refused(store, name):
    with pytest.raises(UserError, match="cannot name a key"):
        keys.new(name)


def test_a_name_is_never_used_twice(store):
    keys.new("one")
    keys.new("two")
    before = (store / "one.pem").read_bytes()
    with pytest.raises(UserError, match="choose another"):
        keys.new("one")
    keys.revoke("one")
    with pytest.raises(UserError, match="choose another"):
        keys.new("one")
    assert (store / "one.pem").read_bytes() == before


def test_a_key_file_that_is_already_there_is_not_overwritten(store):
    keys.new("one")
    (store / "two.pem").write_bytes(b"precious")
    with pytest.raises(UserError, match="exists"):
        keys.new("two")
    assert (store / "two.pem").read_bytes() == b"precious"
    assert [key.name for key in keys.trusted()] == ["one"]


def test_images_hold_four_keys_so_a_fifth_is_refused(store):
    for name in "abcd":
        keys.new(name)
    with pytest.raises(UserError, match="revoke one first"):
        keys.new("e")


def test_the_newest_four_revocations_are_told(store):
    made = []
    for name in "abcdef":
        made.append(keys.new(name).id)
        if name != "a":
            keys.revoke(chr(ord(name) - 1))
    assert keys.revoked() == made[1:5]


def test_keys_without_their_list_do_not_fall_back_to_the_development_key(store):
    keys.new("first")
    (store / "trust.json").unlink()
    with pytest.raises(UserError, match="no trust.json"):
        keys.trusted()


@pytest.mark.parametrize(
    "damage",
    [
        lambda about: about.update(schema=2),
        lambda about: about["keys"].clear(),
        lambda about: about["keys"][0].update(id="0" * 16),
        lambda about: about["keys"][0].update(public=about["keys"][0]["public"][:-2]),
        lambda about: about["keys"][0].update(public="04" + 64 * "11"),
        lambda about: about["keys"][0].update(public="04"),
        lambda about: about["keys"][0].update(extra=1),
        lambda about: about["keys"].append(about["keys"][0]),
        lambda about: about["keys"].append(about["keys"][0] | {"name": "again"}),
        lambda about: about.pop("revoked"),
        lambda about: about["revoked"].append({"id": "0" * 16}),
    ],
)
def test_a_damaged_list_is_refused(store, damage):
    keys.new("first")
    about = json.loads((store / "trust.json").read_text())
    damage(about)
    (store / "trust.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match="damaged"):
        keys.trusted()


def test_a_file_with_another_key_is_not_used(store):
    keys.new("one")
    keys.new("two")
    shutil.copy(store / "two.pem", store / "one.pem")
    with pytest.raises(UserError, match="not the key"):
        keys.signer("one")


def test_a_missing_key_file_says_where_to_sign(store):
    keys.new("one")
    (store / "one.pem").unlink()
    with pytest.raises(UserError, match="sign where the key is"):
        keys.signer()
