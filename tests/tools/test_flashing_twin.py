"""The twin is flashed as any board is: by esptool, at its serial port, while it runs."""

import json
import os
import select
import subprocess
import sys
import threading
import time
import tty
from types import SimpleNamespace

import pytest
import serial
from serial import rfc2217

from cicada.tools.board import load_board
from cicada.tools.choice import Choice
from cicada.tools.errors import UserError
from cicada.tools.flashing import commands, finding, twin
from cicada.tools.flashing.erase import erase
from cicada.tools.flashing.firmware import read
from cicada.tools.flashing.flash import flash
from cicada.tools.paths import FIRMWARE
from cicada.tools.twin import appimage, romfs, service
from cicada.tools.twin.flash import SECTOR, NorFlash
from cicada.tools.twin.image import flash_image
from cicada.tools.twin.netport import NetworkPort
from cicada.tools.twin.romloader import RomLoader
from cicada.tools.twin.twin import Twin
from support.flashing import MAC, SIZE, Board, app, build
from support.slots import SLOTS
from support.twins import QUIET, script_flash

VFS = SLOTS["vfs"]
OTA_0, OTA_1, OTADATA = (SLOTS[label].offset for label in ("ota_0", "ota_1", "otadata"))

# pyserial 3.5's own, on Python 3.10 and later.
pytestmark = pytest.mark.filterwarnings(r"ignore:set(Daemon|Name)\(\) is deprecated:DeprecationWarning")


class Running:
    """A twin that lives in a thread, so that its flash can be looked at."""

    def __init__(self, contents):
        self.flash = NorFlash(SIZE, bytearray(contents))
        self.twin = Twin(self.flash, load_board("twin"), QUIET, speed=1.0, network_port=("127.0.0.1", 0))
        self._over = threading.Event()
        self.twin.power_on()
        self._thread = threading.Thread(target=self._live)
        self._thread.start()

    def _live(self):
        try:
            self.twin.run_until(self._over.is_set)
        finally:
            self.twin.power_off()

    @property
    def url(self):
        return self.twin.ports.network.url

    def wait_for(self, text):
        end = time.monotonic() + 20
        while text not in self.twin.text:
            assert time.monotonic() < end, self.twin.text
            time.sleep(0.02)

    def close(self):
        self._over.set()
        self._thread.join()


def program(text):
    return f"print('{text}')\nimport time\nwhile True: time.sleep(1)\n"


@pytest.fixture
def running(tmp_path, monkeypatch):
    """The twin with a program that says "the old program"."""
    # pyserial's client sleeps after every change of a line; a twin on the same machine needs none of it.
    monkeypatch.setattr(rfc2217, "time", SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 20)))
    monkeypatch.setattr("esptool.loader.HexFormatter.__str__", lambda self: "")  # traces that nobody reads
    running = Running(script_flash(program("the old program"), tmp_path, {"kws": app("", 50_000)}))
    yield running
    running.close()


def build_of(contents, folder):
    """A build of which ``contents`` are the flash of a board that was never used."""
    twin.build_twin({}, "1", folder)
    image = contents[OTA_0:]
    (folder / "cicada.bin").write_bytes(image[: appimage.verify(image, "esp32", len(image)).length])
    return folder


def test_a_running_twin_gets_a_changed_program_and_says_its_new_line(running, tmp_path):
    running.wait_for("the old program")
    new = script_flash(program("the new program"), tmp_path, {"kws": app("", 50_000)})
    folder = build_of(new, tmp_path / "build")
    before = running.flash.read(0, SIZE)
    running.flash.log = []
    flash("twin", running.url, folder=folder)
    log, running.flash.log = running.flash.log, None
    running.wait_for("the new program")
    assert running.twin.booted.partition.label == "ota_0"
    # ota_1 was empty, so it is filled first; beyond that only sectors that differ are touched.
    touched = {operation.at // SECTOR * SECTOR for operation in log}
    differing = {
        at for at in range(OTA_0, OTA_1, SECTOR) if before[at : at + SECTOR] != new[at : at + SECTOR]
    }
    assert {at for at in touched if at < OTA_1} == differing | {OTADATA}
    assert 0 < len(differing) < 10
    assert all(OTA_1 <= at < SLOTS["model_0"].offset for at in touched - differing - {OTADATA})


def test_a_twin_that_goes_away_half_way_is_one_line_and_the_same_command_goes_on(running, tmp_path):
    running.wait_for("the old program")
    new = script_flash(program("the new program"), tmp_path, {"kws": app("", 50_000, seed=1, tail=49_000)})
    folder = build_of(new, tmp_path / "build")

    def cut(operation):
        if operation.at >= OTA_1 + 9 * SECTOR:
            running.flash.on_operation = None
            running.twin.ports.network._forget()

    running.flash.on_operation = cut
    with pytest.raises(
        UserError, match="rfc2217://.* went away while writing: .* run the same command"
    ) as how:
        flash("twin", running.url + "?timeout=0.3", folder=folder)
    assert "\n" not in str(how.value)
    flash("twin", running.url, folder=folder)
    running.wait_for("the new program")


# The build


def test_the_build_has_esp_idfs_shape_and_holds_the_same_bytes_as_the_flash_image(tmp_path):
    model = app("", 5000)
    folder = twin.build_twin({"kws": model}, "0.1.0", tmp_path)
    firmware = read("twin", load_board("twin"), folder)
    whole = flash_image("twin", {"kws": model}, "0.1.0")
    for piece in (firmware.table, firmware.app):
        assert whole[piece.at :][: len(piece.data)] == piece.data
    about = json.loads((folder / "flasher_args.json").read_text())
    assert about["extra_esptool_args"]["chip"] == "esp32" and about["flash_settings"]["flash_size"] == "4MB"
    assert about["app"] == {"offset": hex(OTA_0), "file": "cicada.bin", "encrypted": "false"}
    payload = appimage.verify(firmware.app.data, "esp32", firmware.slot.size).payload
    assert romfs.unpack(payload)["models/kws.cmod"] == model


def test_esptools_own_program_writes_the_build(running, tmp_path):
    """``flasher_args.json`` means to others what it means here."""
    new = script_flash(program("the new program"), tmp_path)
    folder = build_of(new, tmp_path / "build")
    about = json.loads((folder / "flasher_args.json").read_text())
    files = [word for pair in about["flash_files"].items() for word in pair]
    quick = "import sys, time, types; from serial import rfc2217; import esptool\n"
    quick += "rfc2217.time = types.SimpleNamespace(sleep=lambda s: time.sleep(s / 50)); esptool._main()"
    done = subprocess.run(
        [sys.executable, "-c", quick, "--port", running.url, "--chip", "esp32", "write-flash"]
        + [word.replace("_", "-") for word in about["write_flash_args"]]
        + files,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    running.wait_for("the new program")


# Starting one


def test_a_twin_is_started_if_none_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(finding, "BUILD", tmp_path)
    monkeypatch.setattr(twin, "BUILD", tmp_path)
    port = tmp_path / "twin" / "rfc2217"
    port.parent.mkdir()
    port.write_text("rfc2217://127.0.0.1:1")  # left by a twin that was killed
    started = []

    def start(choice):
        started.append(choice)
        started.append(NetworkPort())
        port.write_text(started[-1].url)

    monkeypatch.setattr(service, "start", start)
    assert twin.ensure_twin() == started[1].url and started[0] == Choice(words=("yes", "no"))
    assert twin.ensure_twin() == started[1].url and len(started) == 2
    started[1].close()


@pytest.mark.parametrize(
    ("source", "words"),
    [("synthesised speech, 84 voices", ("on", "off")), ("my/recordings", None), (None, None)],
)
def test_a_twin_that_would_train_another_model_is_left_to_the_user(tmp_path, monkeypatch, source, words):
    monkeypatch.setattr(finding, "BUILD", tmp_path)
    monkeypatch.setattr(twin, "BUILD", tmp_path)
    (tmp_path / "kws").mkdir()
    about = {"source": source, "labels": ["_silence_", "_unknown_", "on", "off"], "engine": "TFLM"}
    (tmp_path / "kws" / "result.json").write_text(json.dumps(about))

    def start(choice):
        assert choice == Choice(words=words, engine="tflm")
        raise UserError("started")

    monkeypatch.setattr(service, "start", start)
    with pytest.raises(
        UserError, match="started" if words else "no twin is running: start one with 'make twin'"
    ):
        twin.ensure_twin()


def test_the_model_trained_last_goes_into_the_build(tmp_path, monkeypatch):
    monkeypatch.setattr(twin, "BUILD", tmp_path)
    used = []
    monkeypatch.setattr(twin, "build_twin", lambda models, version: used.append(models["kws"]))
    twin.make_twin()
    (tmp_path / "kws").mkdir()
    (tmp_path / "kws" / "kws.cmod").write_bytes(b"mine")
    twin.make_twin()
    assert used == [(FIRMWARE / "models" / "kws.cmod").read_bytes(), b"mine"]


# A port of this machine


def test_a_port_of_this_machine_is_opened_and_closed(tmp_path):
    """A pty has no reset lines, so the loader behind it is there from the start, as after BOOT and EN."""
    master, slave = os.openpty()
    tty.setraw(slave)
    memory, over = NorFlash(SIZE), threading.Event()
    chip = RomLoader(memory, MAC)

    def serve():
        while not over.is_set():
            if select.select([master], [], [], 0.05)[0]:
                answer = chip.feed(os.read(master, 65536))
                while answer:
                    answer = answer[os.write(master, answer[:2048]) :]

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        image = app("1", 20_000)
        flash("twin", os.ttyname(slave), folder=build(tmp_path, image))
        assert memory.read(OTA_0, len(image)) == image
        with serial.Serial(os.ttyname(slave), exclusive=True):  # nobody holds it any more
            with pytest.raises(UserError, match="is in use by another program"):
                flash("twin", os.ttyname(slave), folder=tmp_path)
    finally:
        over.set()
        thread.join()
        os.close(master)
        os.close(slave)


# Erasing


@pytest.fixture
def board(tmp_path, monkeypatch):
    """Flash of a board in use, behind a port without time."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    memory = NorFlash(SIZE)
    flash("twin", "p", line=Board(memory), folder=build(tmp_path / "build", app("1", 20_000)))
    memory.program(VFS.offset, b"recordings")
    return memory


def test_one_partition_is_erased_by_name(board):
    before = board.read(0, SIZE)
    assert erase("twin", "p", "vfs", sure=True, line=Board(board)) == 0
    assert board.read(VFS.offset, VFS.size) == b"\xff" * VFS.size
    assert board.read(0, VFS.offset) == before[: VFS.offset]


def test_all_of_it_is_erased(board):
    assert erase("twin", "p", sure=True, line=Board(board)) == 0
    assert board.read(0, SIZE) == b"\xff" * SIZE
    with pytest.raises(UserError, match="has no partition table: leave --partition out"):
        erase("twin", "p", "vfs", sure=True, line=Board(board))


def test_an_unknown_partition_is_named_with_those_there_are(board):
    with pytest.raises(UserError, match="no partition 'vsf': it has nvs, otadata, phy_init, ota_0"):
        erase("twin", "p", "vsf", sure=True, line=Board(board))


def test_nothing_is_erased_without_a_yes(board, monkeypatch, capsys):
    before = board.operations
    with pytest.raises(UserError, match="nobody to ask: say --yes"):
        erase("twin", "p", line=Board(board))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    asked = []
    for answer, code in (("", 1), ("n", 1), ("y", 0)):
        monkeypatch.setattr(
            "builtins.input", lambda question, answer=answer: asked.append(question) or answer
        )
        assert erase("twin", "p", "vfs", line=Board(board)) == code
        assert (board.operations > before) == (code == 0)
    where = f"({VFS.size // 1024} KiB at 0x{VFS.offset:x})"
    assert asked[0] == f"erase vfs {where} of the ESP32-D0WD-V3 (revision v3.1) at p? [y/N] "
    assert "nothing was erased" in capsys.readouterr().out


# The command line


def test_the_commands_reach_their_functions(monkeypatch):
    import argparse

    parser = argparse.ArgumentParser()
    commands.add_parser(parser.add_subparsers())
    calls = []
    monkeypatch.setattr("cicada.tools.flashing.flash.flash", lambda *a: calls.append(a))
    monkeypatch.setattr("cicada.tools.flashing.erase.erase", lambda *a: calls.append(a) or 0)
    monkeypatch.setattr("cicada.tools.flashing.size.size", lambda *a: calls.append(a) or 0)
    monkeypatch.setattr(twin, "make_twin", lambda: calls.append("make"))
    monkeypatch.setattr(twin, "ensure_twin", lambda: "rfc2217://x")
    for line in (
        "flash --board esp_eye --port /dev/x --repartition",
        "flash --board twin",
        "erase --board esp32 --partition vfs --yes",
        "size --board esp32s3",
    ):
        options = parser.parse_args(line.split())
        assert options.run(options) == 0
    assert calls == [
        ("esp_eye", "/dev/x", 460800, True),
        "make",
        ("twin", "rfc2217://x", 460800, False),
        ("esp32", None, "vfs", True),
        ("esp32s3", False),
    ]


def test_a_port_that_is_not_there_is_one_line(tmp_path):
    folder = build(tmp_path / "build", app("1", 20_000))
    for port, says in (
        ("/dev/ttyNONE", "there is no port /dev/ttyNONE"),
        ("rfc2217://127.0.0.1:1", "cannot be opened"),
        ("gopher://x", "gopher"),
    ):
        with pytest.raises(UserError, match=says) as how:
            flash("twin", port, folder=folder)
        assert "\n" not in str(how.value)


def test_a_board_is_flashed_without_what_the_twin_needs(tmp_path):
    """``pip install '.[flash]'`` is enough; only ``esp-idf-size`` is asked for when it is used."""
    code = f"""
import sys
for name in "numpy msgspec soundfile soxr matplotlib PIL esp_idf_defs tensorflow esp_idf_size".split():
    sys.modules[name] = None
from cicada.tools import cli
from cicada.tools.flashing import commands, erase, finding, flash, size
from cicada.tools.board import load_board
from pathlib import Path
from cicada.tools.errors import UserError
folder = Path({str(build(tmp_path, app("1", 20_000)))!r})
flash.read("esp32", load_board("esp32"), folder)
try:
    finding.find_port("esp32", None)
except UserError:
    pass
(folder / "cicada.map").touch()
size.size("esp32", folder=folder)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "esp-idf-size is missing: install it with pip install -e '.[flash]'" in done.stderr
