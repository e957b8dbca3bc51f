"""Identities: written into every image, found in any, and never two."""

import string
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools.errors import UserError
from cicada.tools.release import identity
from cicada.tools.release.identity import Identity
from cicada.tools.release.keys import TrustedKey
from cicada.tools.twin.image import compile_python
from support.releases import key_of

_, KEY = key_of(1)
_, OTHER = key_of(2)
DEVELOPMENT = TrustedKey(OTHER.id, "development", OTHER.public, "", True)
NAMES = st.text(string.ascii_lowercase + string.digits + "_.-", min_size=1, max_size=32)
VERSIONS = st.text(string.ascii_letters + string.digits + ".+_-", min_size=1, max_size=32)


def run(source: str) -> dict:
    scope: dict = {}
    exec(source, scope)
    return scope


@given(NAMES, VERSIONS, st.integers(0, 2**31 - 1), NAMES)
def test_what_is_written_is_read(board, version, security, product):
    module = run(identity.source(board, [KEY], version, security, product))
    image = b"before" + module["IDENTITY"] + b"after"
    assert identity.read(image) == Identity(board, product, security, version)


def test_the_module_holds_keys_and_says_which_are_for_development():
    module = run(identity.source("esp32", [KEY, DEVELOPMENT]))
    assert module["KEYS"] == (KEY.public, OTHER.public)
    assert module["DEVELOPMENT"] == (bytes.fromhex(OTHER.id),)
    assert run(identity.source("esp32", [KEY]))["DEVELOPMENT"] == ()


def test_version_and_security_are_those_of_the_application():
    asked = [sys.executable, "-c", "import node; print(node.VERSION, node.SECURITY)"]
    app = identity.FIRMWARE / "app"
    said = subprocess.run(asked, cwd=app, capture_output=True, text=True, check=True).stdout.split()
    who = identity.read(run(identity.source("esp32", [KEY]))["IDENTITY"])
    assert [who.version, str(who.security)] == said
    assert (who.board, who.product) == ("esp32", "cicada")


def test_micropythons_compiler_leaves_the_identity_whole(tmp_path):
    path = tmp_path / "identity.py"
    path.write_text(identity.source("esp32", [KEY, DEVELOPMENT], "1.2.3", 4))
    compiled = compile_python(path)
    assert identity.read(compiled) == Identity("esp32", "cicada", 4, "1.2.3")
    assert KEY.public in compiled and OTHER.public in compiled


def test_an_image_without_identity_is_refused():
    with pytest.raises(UserError, match="does not say"):
        identity.read(b"CICADA-IDENTITY " + bytes(100))


def test_the_same_identity_twice_is_one_but_two_are_refused():
    one, other = (Identity("esp32", "cicada", 0, version).constant() for version in ("1.0.0", "1.0.1"))
    assert identity.read(one + one).version == "1.0.0"
    with pytest.raises(UserError, match="2 different"):
        identity.read(one + b"xyz" + other)


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b"{1}",
        b'{"board":"esp32","product":"cicada","security":0}',
        b'{"board":"esp32","product":"cicada","security":0,"version":"1","more":1}',
        b'{"board":"ESP32","product":"cicada","security":0,"version":"1"}',
        b'{"board":"esp32","product":"cicada","security":-1,"version":"1"}',
        b'{"board":"esp32","product":"cicada","security":true,"version":"1"}',
        b'{"board":"esp32","product":"cicada","security":0,"version":""}',
        b'{"product":"cicada","board":"esp32","security":0,"version":"1"}',
        b'{"board":"esp32","product":"cicada","security":0,"version":"1","version":"1"}',
    ],
)
def test_an_identity_that_is_not_as_the_build_writes_it_is_refused(text):
    with pytest.raises(UserError):
        identity.read(b"CICADA-IDENTITY " + text + b"\0")


def test_an_image_trusts_one_to_four_keys():
    for keys in ([], [KEY] * 5):
        with pytest.raises(ValueError, match="1 to 4"):
            identity.source("esp32", keys)


def test_a_name_that_devices_could_not_compare_is_refused():
    for board in ("ESP32", "", "x" * 33, "esp32\0"):
        with pytest.raises(ValueError):
            identity.source(board, [KEY])
