"""Who an image is and whose updates it takes: in the twin's images, and on the way into a chip's."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cicada.tools import demo
from cicada.tools.cli import main
from cicada.tools.firmware import build as building
from cicada.tools.firmware import identity as own
from cicada.tools.flashing import twin as flashing_twin
from cicada.tools.flashing.firmware import read
from cicada.tools.micropython import source as micropython_source
from cicada.tools.paths import BOARDS, FIRMWARE
from cicada.tools.release import identity
from cicada.tools.release.keystore import TrustedKey, key_id
from cicada.tools.twin import appimage, image, romfs
from support.cmaking import configure, make_world, needs_cmake
from support.twins import micropython

MODEL = FIRMWARE / "models" / "kws.cmod"
MODELS = {"kws": b"model"}


def some_key(name: str = "one", development: bool = False) -> TrustedKey:
    form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    public = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*form)
    return TrustedKey(key_id(public), name, public, "2026-01-01", development)


@pytest.fixture
def trust(monkeypatch: pytest.MonkeyPatch) -> list[TrustedKey]:
    """The keys that are trusted, to be changed by a test."""
    keys = [some_key()]
    monkeypatch.setattr(own.keys, "trusted", lambda: list(keys))
    return keys


@pytest.fixture
def world(tmp_path):
    return make_world(tmp_path)


def payload_of(whole: bytes) -> bytes:
    return appimage.verify(whole[0x10000:], "esp32", 0x1A0000).payload


# The twin


def test_a_flash_image_of_the_twin_has_exactly_one_identity(trust) -> None:
    whole = image.flash_image("twin", {"kws": MODEL.read_bytes()}, "1")
    found = identity.read(whole)
    said = (FIRMWARE / "app" / "node" / "__init__.py").read_text()
    assert found.board == "twin" and found.product == "cicada"
    assert f'VERSION = "{found.version}"' in said and f"SECURITY = {found.security}\n" in said
    assert whole.count(b"CICADA-IDENTITY {") == 1 and whole.count(found.constant()) == 1
    assert whole.count(trust[0].public) == 1


def test_micropython_reads_what_was_written(trust, tmp_path: Path) -> None:
    trust.append(some_key("two", development=True))
    files = romfs.unpack(image.application("twin", MODELS))
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "identity.mpy").write_bytes(files["node/identity.mpy"])
    said = micropython("from node.identity import *\nprint((IDENTITY, KEYS, DEVELOPMENT))", tmp_path)
    who, keys, development = eval(said)  # a tuple of bytes
    assert who == identity.read(who).constant()
    assert keys == tuple(key.public for key in trust)
    assert development == (bytes.fromhex(trust[1].id),)


def test_the_descriptor_has_the_security_version_of_the_identity(trust, tmp_path: Path) -> None:
    text = identity.source("twin", trust, version="7.8.9", security=41)
    app = image.app_image("twin", MODELS, "7.8.9", text)
    assert appimage.verify(app, "esp32", len(app)).secure_version == 41
    assert identity.read(app) == identity.Identity("twin", "cicada", 41, "7.8.9")
    whole = image.flash_image("twin", MODELS, "7.8.9", text)
    assert whole[0x10000 : 0x10000 + len(app)] == app
    folder = flashing_twin.build_twin(MODELS, "1", tmp_path)
    built = read("twin", image.load_board("twin"), folder)
    said = (FIRMWARE / "app" / "node" / "__init__.py").read_text()
    security = appimage.verify(built.app.data, "esp32", len(built.app.data)).secure_version
    assert f"SECURITY = {security}\n" in said


def test_the_same_keys_give_the_same_image_and_others_another(trust) -> None:
    first = image.application("twin", MODELS)
    assert image.application("twin", MODELS) == first
    trust.append(some_key("two"))
    second = romfs.unpack(image.application("twin", MODELS))
    changed = {name for name, data in romfs.unpack(first).items() if second.pop(name) != data}
    assert changed == {"node/identity.mpy"} and not second


def test_a_rotated_key_makes_a_new_flash_image_where_one_was_kept(trust, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("cicada.tools.stages.CACHE", tmp_path)
    first = demo.flash_with("twin", MODEL)
    assert demo.flash_with("twin", MODEL) == first
    trust.append(some_key("two"))
    second = demo.flash_with("twin", MODEL)
    assert second != first
    assert trust[1].public in second.read_bytes() and trust[1].public not in first.read_bytes()
    del trust[1]
    assert demo.flash_with("twin", MODEL) == first


# Chips


def test_an_identity_is_written_again_only_when_it_differs(trust, tmp_path: Path) -> None:
    """Its date decides whether MicroPython's build compiles it again."""
    path = own.write("esp32", tmp_path) / "node" / "identity.py"
    os.utime(path, (1, 1))
    own.write("esp32", tmp_path)
    assert path.stat().st_mtime == 1
    trust.append(some_key("two"))
    own.write("esp32", tmp_path)
    assert path.stat().st_mtime > 1 and path.read_text() == identity.source("esp32", trust)


@needs_cmake
def test_cmake_without_an_identity_names_the_command(world, tmp_path) -> None:
    text, done = configure(world, tmp_path, "-DMICROPY_BOARD=esp32c3", identity=False)
    assert not done
    text = " ".join(text.split())
    assert re.search(
        r" cicada: there is no \S+/build/identity/node/identity.py, which says .*: write it with 'cicada "
        r"firmware --board esp32c3 --identity' and build in build/firmware/esp32c3, or .* "
        r"-DCICADA_IDENTITY_DIR=...",
        text,
    ), text


@needs_cmake
def test_the_command_writes_what_cmake_looks_for(
    trust,
    world,
    tmp_path,
    monkeypatch,
    capsys,
) -> None:
    monkeypatch.setattr("cicada.tools.flashing.firmware.folder_of", lambda board: tmp_path / "build")
    assert main(["firmware", "--board", "esp32", "--identity"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/build/identity/node/identity.py\n"
    text, done = configure(world, tmp_path, "-DMICROPY_BOARD=esp32", identity=False)
    assert done, text
    assert f"cicada: MICROPY_MANIFEST_CICADA_IDENTITY_DIR={tmp_path}/build/identity\n" in text


@needs_cmake
def test_a_build_folder_keeps_its_identitys_folder(trust, world, tmp_path, monkeypatch) -> None:
    """Given from where the build was started, which is not where Ninja configures it again."""
    own.write("esp32", tmp_path / "here")
    monkeypatch.setenv("PWD", str(tmp_path))
    text, done = configure(world, tmp_path, "-DCICADA_IDENTITY_DIR=here/identity", identity=False)
    assert done and f"cicada: MICROPY_MANIFEST_CICADA_IDENTITY_DIR={tmp_path}/here/identity\n" in text, text
    monkeypatch.setenv("PWD", str(tmp_path / "build"))
    again, done = configure(world, tmp_path, identity=False)
    assert done and f"cicada: MICROPY_MANIFEST_CICADA_IDENTITY_DIR={tmp_path}/here/identity\n" in again, again


@needs_cmake
def test_cmake_refuses_the_identity_of_another_board(trust, world, tmp_path) -> None:
    folder = own.write("esp32c3", tmp_path)
    arguments = ["-DMICROPY_BOARD=esp32", f"-DCICADA_IDENTITY_DIR={folder}"]
    text, done = configure(world, tmp_path, *arguments, identity=False)
    assert not done and f"cicada: {folder}/node/identity.py is not for board 'esp32': write it" in " ".join(
        text.split()
    )


@pytest.mark.parametrize("board", building.boards())
def test_the_manifest_freezes_the_identity_once(board: str, trust, tmp_path: Path) -> None:
    """MicroPython's own reader of manifests is the judge."""
    try:
        micropython = micropython_source.find().path
    except micropython_source.ToolMissing as missing:
        if os.environ.get("CICADA_REQUIRE_TOOLS") == "1":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    spec = importlib.util.spec_from_file_location("manifestfile", micropython / "tools" / "manifestfile.py")
    manifestfile = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(manifestfile)
    port = tmp_path / "port"
    (port / "modules").mkdir(parents=True)
    (port / "modules" / "flashbdev.py").touch()
    places = {
        "MPY_DIR": str(micropython),
        "MPY_LIB_DIR": "",
        "PORT_DIR": str(port),
        "BOARD_DIR": str(BOARDS / board),
        "CICADA_DIR": str(FIRMWARE),
        "CICADA_IDENTITY_DIR": str(own.write(board, tmp_path)),
    }
    manifest = manifestfile.ManifestFile(manifestfile.MODE_FREEZE, places)
    manifest.execute(str(BOARDS / board / "manifest.py"))
    found = [Path(file.full_path) for file in manifest.files() if file.target_path == "node/identity.py"]
    assert [path.read_text() for path in found] == [identity.source(board, trust)]
