"""Releases: made whole, published last, checked, and never at odds with their image."""

import argparse
import functools
import hashlib
import json
import operator
import os
import struct
import subprocess
import sys

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from cicada.tools.errors import UserError
from cicada.tools.paths import FIRMWARE
from cicada.tools.release import build, check, commands, envelope, keys, repository
from cicada.tools.release.payload import apply
from cicada.tools.twin import romfs
from cicada.training import container
from support.releases import code, image_of, use_store

CONTENT = code(1, 50000)
NEWER = CONTENT[:20000] + b"one more line" + CONTENT[20000:]


@pytest.fixture
def out(tmp_path, monkeypatch):
    """Root of an empty repository; the development key signs."""
    use_store(monkeypatch, tmp_path)
    return tmp_path / "releases"


def release(out, content=CONTENT, version="1.2.3", **options):
    return build.release(build.firmware(image_of(version=version, content=content)), out=out, **options)


def manifest_in(out, name="firmware.release"):
    return envelope.unpack((out / "twin" / name).read_bytes(), keys.trusted()).manifest


def test_a_release_says_what_the_image_says(out):
    image = image_of(version="2.0.0-rc1", security=5, content=CONTENT)
    made = build.release(build.firmware(image, "twin"), serial=77, notes="hällo", out=out)
    manifest = manifest_in(out)
    assert manifest == made.manifest
    assert (manifest["board"], manifest["version"], manifest["security"]) == ("twin", "2.0.0-rc1", 5)
    assert manifest["image"] == {"sha256": hashlib.sha256(image).hexdigest(), "size": len(image)}
    assert manifest["notes"] == "hällo" and manifest["serial"] == 77
    assert made.stem == "firmware-2.0.0-rc1-77"


def test_all_files_of_a_release_are_there(out):
    made = release(out, serial=5)
    assert sorted(path.name for path in (out / "twin").iterdir() if path.name != ".lock") == [
        "firmware-1.2.3-5.cdx.json",
        "firmware-1.2.3-5.image",
        "firmware-1.2.3-5.payload",
        "firmware-1.2.3-5.release",
        "firmware.release",
    ]
    (about,) = made.manifest["payloads"]
    data = (out / "twin" / about["file"]).read_bytes()
    image = (out / "twin" / "firmware-1.2.3-5.image").read_bytes()
    assert apply(data, bytes.fromhex(about["first"]), len(image)) == image
    assert image == image_of(content=CONTENT)


def test_the_next_release_has_a_delta_from_the_newest(out):
    old = release(out)
    new = release(out, NEWER)
    delta, whole = manifest_in(out)["payloads"]
    assert delta["base"] == old.manifest["image"] and whole["base"] is None
    assert delta["size"] < 0.1 * whole["size"]
    base = (out / "twin" / f"{old.stem}.image").read_bytes()
    data = (out / "twin" / delta["file"]).read_bytes()
    assert data and delta["file"] == f"{new.stem}.from-{old.manifest['serial']}.payload"
    assert apply(data, bytes.fromhex(delta["first"]), new.manifest["image"]["size"], base) == image_of(
        content=NEWER
    )


def test_deltas_can_be_from_named_releases_and_files(out, tmp_path):
    old = release(out, code(4, 50000))
    release(out)
    (tmp_path / "flashed.bin").write_bytes(image_of(content=CONTENT[:-100]))
    new = release(out, NEWER, bases=[old.stem, str(tmp_path / "flashed.bin")])
    assert [delta.kept for delta in new.deltas] == [False, True]  # nothing is alike in the first
    delta, _ = new.manifest["payloads"]
    assert delta["file"] == f"{new.stem}.from-{delta['base']['sha256'][:8]}.payload"


def test_a_base_that_is_not_there_is_one_sentence(out):
    release(out, serial=5)
    with pytest.raises(UserError, match="firmware-1.2.3-5"):
        release(out, bases=["firmware-1.0.0-1"])
    with pytest.raises(UserError, match="2 deltas at most"):
        release(out, bases=["a", "b", "c"])


def test_serials_only_grow(out):
    release(out, serial=100)
    before = (out / "twin" / "firmware.release").read_bytes()
    for serial in (99, 100, 0):
        with pytest.raises(UserError, match="not larger"):
            release(out, serial=serial)
    assert (out / "twin" / "firmware.release").read_bytes() == before
    release(out, serial=2**32 - 2)
    assert release(out).manifest["serial"] == 2**32 - 1  # later than any clock says


def test_what_cannot_be_written_leaves_the_repository_as_it_was(out):
    release(out, serial=5)
    before = sorted((out / "twin").iterdir())
    for wrong in ({"notes": "two\nlines"}, {"min_version": "1"}, {"expires": -1}, {"serial": 2**32}):
        with pytest.raises(UserError):
            release(out, NEWER, **wrong)
    assert sorted((out / "twin").iterdir()) == before


def test_devices_see_a_release_only_when_all_of_it_is_there(out, monkeypatch):
    release(out, serial=5)
    before = (out / "twin" / "firmware.release").read_bytes()
    written = []
    real = repository.write_atomic

    def failing(left):
        def write(path, data):
            if len(written) == left:
                raise UserError("the disk is full")
            written.append(path.name)
            real(path, data)

        return write

    for left in range(5):
        written.clear()
        monkeypatch.setattr(repository, "write_atomic", failing(left))
        with pytest.raises(UserError, match="full"):
            release(out, NEWER, serial=10 + left)
        assert (out / "twin" / "firmware.release").read_bytes() == before
    written.clear()
    monkeypatch.setattr(repository, "write_atomic", failing(99))
    release(out, NEWER, serial=20)
    assert written[-2:] == ["firmware-1.2.3-20.release", "firmware.release"]


def test_an_image_for_another_board_or_without_identity_is_refused(out):
    image = image_of("esp32")
    assert build.firmware(image).board == "esp32"
    with pytest.raises(UserError, match="'esp32', not 'twin'"):
        build.firmware(image, "twin")
    with pytest.raises(UserError, match="no board"):
        build.firmware(image.replace(b"esp32", b"esp99"))


def test_an_image_for_another_chip_or_a_damaged_one_is_refused():
    image = bytearray(image_of(content=CONTENT))
    image[12] = 9  # chip number in the header
    with pytest.raises(UserError, match="would not boot on 'twin'"):
        build.firmware(bytes(image))
    image = bytearray(image_of(content=CONTENT))
    image[1000] ^= 1
    with pytest.raises(UserError, match="would not boot"):
        build.firmware(bytes(image))


def test_an_image_of_a_chip_with_another_memory_map_is_taken():
    # On the ESP32-C3 memory for code begins at 0x40380000, where the ESP32 maps its flash.
    who = build.identity.Identity("esp32c3", "cicada", 0, "1.0.0").constant().ljust(320, b"\0")
    segments = [(0x3C000020, who), (0x40380000, code(3, 400))]
    header = struct.pack("<BBBBIB3xHBHH4xB", 0xE9, 2, 2, 0x20, 0x40380000, 0xEE, 5, 0, 0, 0xFFFF, 1)
    body = header + b"".join(struct.pack("<II", at, len(data)) + data for at, data in segments)
    checksum = functools.reduce(operator.xor, b"".join(data for _, data in segments), 0xEF)
    body += bytes(15 - len(body) % 16) + bytes([checksum])
    image = body + hashlib.sha256(body).digest()
    assert build.firmware(image).board == "esp32c3"


def test_an_image_that_does_not_fit_its_slot_is_refused():
    image = image_of(content=CONTENT)
    with pytest.raises(UserError, match="its slot"):
        build.firmware(image + bytes(0x1A0000))


MODEL = container.pack({"type": "kws", "name": "kws", "version": "1.0+abc", "labels": []}, code(2, 30000))


def test_a_model_is_released_with_its_own_name_and_version(out):
    made = build.release(build.model(MODEL, "twin", security=3), serial=9, out=out)
    manifest = manifest_in(out, "model-kws.release")
    assert made.stem == "model-kws-1.0_abc-9"
    assert (manifest["kind"], manifest["name"], manifest["version"]) == ("model", "kws", "1.0+abc")
    assert manifest["security"] == 3
    assert (out / "twin" / "model-kws-1.0_abc-9.image").read_bytes() == MODEL
    assert not (out / "twin" / "firmware.release").exists()


def test_the_longest_names_of_models_can_be_released_with_a_delta(out):
    about = {"type": "kws", "name": "n" * 32, "version": "v" * 32}
    first = container.pack(about, code(2, 9000))
    second = container.pack(about, code(2, 9001))
    build.release(build.model(first, "twin"), out=out)
    made = build.release(build.model(second, "twin"), out=out)
    assert len(made.manifest["payloads"]) == 2
    check.check(made.folder / f"{made.stem}.release")


@pytest.mark.parametrize(
    "about", [{"type": "kws"}, {"type": "kws", "name": "K W S", "version": "1"}, {"type": "kws", "name": "k"}]
)
def test_a_model_without_a_usable_name_and_version_is_refused(about):
    with pytest.raises(UserError, match="does not match"):
        build.model(container.pack(about, b"model"), "twin")


def test_a_model_that_is_damaged_or_too_large_is_refused():
    with pytest.raises(UserError, match="no whole model container"):
        build.model(MODEL[:-1], "twin")
    large = container.pack({"type": "kws", "name": "kws", "version": "1"}, bytes(0x40000 - 4096))
    with pytest.raises(UserError, match="its slot"):
        build.model(large, "twin")


def test_a_release_after_a_revocation_names_the_revoked_key(out):
    old = keys.new("old")
    keys.new("new")
    first = release(out)
    assert first.key == old.id and first.manifest["revoke"] == []
    keys.revoke("old")
    second = release(out, NEWER)
    assert second.manifest["revoke"] == [old.id]
    assert len(second.manifest["payloads"]) == 2  # though its base was signed by the old key
    with pytest.raises(UserError, match="not trusted"):
        check.check(first.folder / f"{first.stem}.release")


def test_a_release_is_checked_with_its_deltas(out):
    old = release(out)
    new = release(out, NEWER)
    found = check.check(out / "twin" / "firmware.release")
    assert [text.split(", ")[-1] for _, text in found.payloads] == ["makes the image"] * 2
    (out / "twin" / f"{old.stem}.image").unlink()
    found = check.check(new.folder / f"{new.stem}.release")
    assert "base is not here" in found.payloads[0][1]


def test_a_release_whose_files_were_touched_is_refused(out):
    made = release(out)
    file, payload = made.folder / f"{made.stem}.release", made.folder / f"{made.stem}.payload"
    data = payload.read_bytes()
    payload.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(UserError, match="SHA-256 differs"):
        check.check(file)
    payload.unlink()
    with pytest.raises(UserError, match="no such file"):
        check.check(file)
    payload.write_bytes(data)
    signed = file.read_bytes()
    file.write_bytes(signed[:-3] + b"1" + signed[-2:])
    with pytest.raises(UserError, match="no release to trust"):
        check.check(file)


@pytest.fixture(scope="module")
def real():
    """The twin's real image, with the model that comes with the project."""
    from cicada.tools.board import load_board
    from cicada.tools.twin import appimage
    from cicada.tools.twin.image import application

    model = (FIRMWARE / "models" / "kws.cmod").read_bytes()
    files = romfs.unpack(application("twin", {"kws": model}))
    who = build.identity.Identity("twin", "cicada", 0, "1.0.0")
    files["node/identity.mpy"] = who.constant()
    return model, files, appimage.build(romfs.pack(files), "1.0.0", load_board("twin"))


def test_the_bill_of_materials_is_valid_and_names_model_and_modules(out, real):
    model, files, image = real
    made = build.release(build.firmware(image), out=out)
    text = (made.folder / f"{made.stem}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    assert bill["metadata"]["component"]["version"] == "1.0.0"
    assert bill["metadata"]["component"]["hashes"][0]["content"] == made.manifest["image"]["sha256"]
    parts = {part["name"]: part for part in bill["components"]}
    assert {name for name in files if name.endswith(".mpy")} <= set(parts)
    assert parts["kws"]["hashes"][0]["content"] == container.unpack(model)[0]["sha256"]
    assert parts["kws"]["type"] == "machine-learning-model"
    assert parts["node/app.mpy"]["licenses"][0]["license"]["id"] == "Apache-2.0"
    assert "esp-idf" not in parts  # there is none of it in a twin


def test_the_bill_of_a_chips_image_names_what_it_is_linked_with(out):
    content = (
        b"MicroPython-1.28.0-xtensa-IDFv5.5.1-with-newlib4.3.0\0main.py\0node/app.py\0node/log.py\0"
        b"kTfLiteAffineQuantization\0"
    )
    made = build.release(build.firmware(image_of("esp32", content=content)), out=out)
    text = (made.folder / f"{made.stem}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    parts = {part["name"]: part for part in json.loads(text)["components"]}
    assert parts["micropython"]["version"] == "1.28.0" and parts["esp-idf"]["version"] == "5.5.1"
    assert "esp-tflite-micro" in parts and "esp32-camera" not in parts
    assert "node/app.py" in parts and "node/model.py" not in parts


def test_the_bill_of_a_model_is_valid(out):
    made = build.release(build.model(MODEL, "twin"), out=out)
    text = (made.folder / f"{made.stem}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    (part,) = json.loads(text)["components"]
    assert part["version"] == "1.0+abc"


def cicada(*words):
    """Run a command of this package's parsers as the command line does."""
    parser = argparse.ArgumentParser()
    commands.add_parser(parser.add_subparsers(dest="command", required=True))
    options = parser.parse_args([str(word) for word in words])
    return options.run(options)


def test_the_commands_make_check_and_list(out, tmp_path, capsys):
    (tmp_path / "old.bin").write_bytes(image_of(content=CONTENT))
    (tmp_path / "new.bin").write_bytes(image_of(content=NEWER))
    (tmp_path / "kws.cmod").write_bytes(MODEL)
    cicada("keys", "new", "first")
    cicada(
        "release", "--image", tmp_path / "old.bin", "--out", out, "--serial", "5", "--expires", "2105-01-31"
    )
    cicada("release", "new", "--image", tmp_path / "new.bin", "--out", out, "--from", "firmware-1.2.3-5")
    said = capsys.readouterr()
    assert "from firmware-1.2.3-5" in said.out and "% of the image" in said.out
    assert keys.trusted()[0].id in said.out
    assert "development" not in said.err
    assert manifest_in(out, "firmware-1.2.3-5.release")["expires"] == 4262889600  # date -ud 2105-02-01 +%s
    cicada("release", "--model", tmp_path / "kws.cmod", "--board", "twin", "--security", "2", "--out", out)
    assert manifest_in(out, "model-kws.release")["security"] == 2
    cicada("release", "verify", out / "twin" / "firmware.release")
    assert "makes the image" in capsys.readouterr().out
    cicada("keys", "rotate", "second")
    assert "cicada keys revoke first" in capsys.readouterr().out
    cicada("keys", "revoke", "first")
    capsys.readouterr()
    cicada("keys", "list")
    said = capsys.readouterr().out
    assert "second" in said and "trusted" in said and "revoked" in said


def test_a_missing_package_is_a_sentence_that_says_what_to_install(out, monkeypatch):
    for name in ("build", "delta"):
        monkeypatch.delitem(sys.modules, f"cicada.tools.release.{name}")
        monkeypatch.delattr(f"cicada.tools.release.{name}")
    monkeypatch.setitem(sys.modules, "bsdiff4.core", None)
    with pytest.raises(UserError, match=r"bsdiff4\.core is missing.*\[release\]"):
        cicada("release", "--image", "any.bin")


def test_faults_of_the_command_line_are_sentences(out, tmp_path):
    (tmp_path / "image.bin").write_bytes(image_of())
    with pytest.raises(UserError, match="SECURITY in"):
        cicada("release", "--image", tmp_path / "image.bin", "--security", "1", "--out", out)
    with pytest.raises(UserError, match="expired already"):
        cicada("release", "--image", tmp_path / "image.bin", "--expires", "2020-01-01", "--out", out)
    with pytest.raises(UserError, match="no such file"):
        cicada("release", "--image", tmp_path / "none.bin", "--out", out)
    with pytest.raises(UserError, match="make the first one"):
        cicada("keys", "rotate", "second")
    with pytest.raises(SystemExit):
        cicada("release", "--image", tmp_path / "image.bin", "--expires", "tomorrow")


def test_two_releases_at_the_same_time_get_different_serials(out, tmp_path):
    (tmp_path / "image.bin").write_bytes(image_of(content=CONTENT))
    script = (
        "import sys; from pathlib import Path; from cicada.tools.release import build;"
        "data = Path(sys.argv[1]).read_bytes();"
        "build.release(build.firmware(data), out=Path(sys.argv[2]))"
    )
    environment = {**os.environ, "CICADA_BUILD": str(tmp_path / "build")}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, tmp_path / "image.bin", out],
            env=environment,
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    assert [process.communicate() and process.returncode for process in running] == [0, 0, 0]
    assert len(list((out / "twin").glob("firmware-1.2.3-*.release"))) == 3
