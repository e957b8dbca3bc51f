"""Running a build: what is called, what is shown, what is said when it fails, what is refused after it.

CMake and Ninja are played by a script that leaves a finished build behind.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from rich.console import Console

from cicada.tools.cli import main
from cicada.tools.errors import UserError
from cicada.tools.firmware import build as building
from cicada.tools.firmware import checks
from cicada.tools.firmware.checks import Environment
from cicada.tools.flashing.twin import build_twin
from cicada.tools.paths import FIRMWARE, ROOT
from support.slots import SLOTS

MODEL = FIRMWARE / "models" / "kws.cmod"
_PLAYER = """#!{python}
import json, shutil, sys
from pathlib import Path
out = Path({record!r})
said = json.loads(out.read_text()) if out.exists() else []
out.write_text(json.dumps(said + [sys.argv[1:]]))
if "-S" in sys.argv:
    print({configure!r}, end="")
    sys.exit({configure_code})
shutil.copytree({finished!r}, ".", dirs_exist_ok=True)
for line in {steps!r}:
    print(line)
sys.exit({code})
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A build of the twin's chip, as ESP-IDF would leave it."""
    return build_twin({"kws": MODEL.read_bytes()}, "0.1.0", tmp_path_factory.mktemp("finished"))


@pytest.fixture
def play(tmp_path, monkeypatch, finished):
    """Make the environment's programs a script with this output; returns the list of calls so far."""
    folder = tmp_path / "firmware" / "esp32"
    monkeypatch.setattr(building.finished, "folder_of", lambda board: folder)

    def make(
        configure="",
        configure_code=0,
        steps=("[1/2] Building a.c.obj", "[2/2] Linking"),
        code=0,
        made=finished,
    ):
        program = tmp_path / "player"
        record = tmp_path / "calls.json"
        program.write_text(
            _PLAYER.format(
                python=sys.executable,
                record=str(record),
                configure=configure,
                configure_code=configure_code,
                finished=str(made),
                steps=list(steps),
                code=code,
            )
        )
        program.chmod(0o755)
        env = Environment(
            Path("/idf"),
            Path("/micropython"),
            "/python",
            str(program),
            ("Ninja", (str(program),)),
            (Path("/components"),),
            {"PATH": os.environ["PATH"]},
        )
        monkeypatch.setattr(checks, "environment", lambda *a, **k: env)
        return lambda: json.loads(record.read_text())

    make.folder = folder
    return make


def test_a_build_is_configured_run_read_and_measured(play, capsys):
    calls = play()
    image = building.build("esp32", [f"kws={MODEL}"])
    configure, run = calls()
    for argument in ("-DMICROPY_BOARD=esp32", f"-DCICADA_MODELS=kws={MODEL}", "-DCICADA_SIGNING_KEY="):
        assert argument in configure
    (identity,) = (word.split("=", 1)[1] for word in configure if word.startswith("-DCICADA_IDENTITY_DIR="))
    module = Path(identity) / "node" / "identity.py"
    assert module.is_relative_to(play.folder) and '"board":"esp32"' in module.read_text()
    assert "-DEXTRA_COMPONENT_DIRS=/components" in configure and "-DMICROPYTHON_DIR=/micropython" in configure
    assert configure[configure.index("-S") + 1] == str(FIRMWARE) and run == ["all"]
    size, slot = building.check_fit(image)
    assert 0 < size < slot
    assert "[2/2] Linking" in (play.folder / "build.log").read_text()


def test_the_command_says_where_the_image_is_and_what_comes_next(play, capsys):
    play()
    assert main(["firmware", "--board", "esp32", "--model", f"kws={MODEL}"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"/cicada.bin: [\d,]+ bytes, \d\d.\d% of its slot free\n", out)
    assert "make flash BOARD=esp32" in out


def test_progress_is_a_line_for_every_tenth_where_nobody_watches(play, capsys):
    play(steps=[f"[{n}/200] Building {n}.c.obj" for n in range(1, 201)])
    building.build("esp32", [f"kws={MODEL}"])
    lines = [line for line in capsys.readouterr().out.splitlines() if " % " in line]
    assert len(lines) == 10 and lines[0] == " 10 %  20 of 200" and lines[-1] == "100 %  200 of 200"


def test_progress_is_shown_while_it_goes_on():
    out = io.StringIO()

    def lines():
        yield "[5/10] Building"
        assert "50 %" in out.getvalue()
        yield "[10/10] Linking"

    building._show(lines(), Console(file=out))
    assert "100 %" in out.getvalue()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {
                "configure": "CMake Error at c.cmake:1 (message):\n  cicada: MICROPYTHON_DIR is not set:\n"
                "  clone it\n\n\n-- Configuring incomplete\n",
                "configure_code": 1,
            },
            "MICROPYTHON_DIR is not set: clone it; all it said is in ",
        ),
        (
            {
                "configure": "CMake Error at x.cmake:3 (message):\n  Failed to resolve component 'x'.\n\n",
                "configure_code": 1,
            },
            "CMake: Failed to resolve component 'x'.",
        ),
        (
            {
                "steps": ["[1/9] Building a.c.obj", "FAILED: a.c.obj", "a.c:3:1: error: expected ';'"],
                "code": 1,
            },
            "the build failed: a.c:3:1: error: expected ';'",
        ),
        (
            {"steps": ["ld: region `iram0_0_seg' overflowed by 12 bytes"], "code": 1},
            "the build failed: ld: region `iram0_0_seg' overflowed by 12 bytes",
        ),
        ({"steps": ["Killed", ""], "code": 137}, "the build failed: Killed"),
        ({"steps": [], "code": 1}, "the build failed: it said nothing"),
    ],
)
def test_a_failure_is_its_first_error_and_where_the_rest_is(play, settings, said):
    play(**settings)
    with pytest.raises(UserError) as failed:
        building.build("esp32", [f"kws={MODEL}"])
    text = str(failed.value)
    assert said in text and "\n" not in text and str(play.folder / "build.log") in text


def test_an_image_without_room_for_updates_is_refused(play, tmp_path):
    # 5 % of a slot is 85 KB: a model of 86 % leaves too little beside the application.
    slot = SLOTS["ota_0"].size
    full = build_twin({"kws": MODEL.read_bytes(), "big": bytes(int(slot * 0.86))}, "0.1.0", tmp_path / "full")
    play(made=full)
    with pytest.raises(
        UserError, match=r"the image has \d+ bytes, its slots " + str(slot) + r": 5% must stay free"
    ):
        building.build("esp32", [f"kws={MODEL}"])


def test_a_folder_of_another_checkout_is_made_anew(play):
    play()
    building.build("esp32", [f"kws={MODEL}"])
    stale = play.folder / "CMakeCache.txt"
    stale.write_text("kept")
    building.build("esp32", [f"kws={MODEL}"])
    assert stale.exists()
    stamp = play.folder / "cicada.json"
    stamp.write_text(stamp.read_text().replace("/micropython", "/other"))
    building.build("esp32", [f"kws={MODEL}"])
    assert not stale.exists()


def test_the_trained_model_comes_before_the_one_that_is_shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(building, "BUILD", tmp_path)
    assert building.default_models() == [f"kws={MODEL}"]
    (tmp_path / "kws").mkdir()
    (tmp_path / "kws" / "kws.cmod").touch()
    assert building.default_models() == [f"kws={tmp_path / 'kws' / 'kws.cmod'}"]


def test_the_twins_image_needs_no_esp_idf(tmp_path, monkeypatch):
    from cicada.tools.flashing import twin

    for module in (twin, building.finished):
        monkeypatch.setattr(module, "folder_of", lambda board: tmp_path / board)
    image = building.build_twin([f"kws={MODEL}"])
    assert image.chip == "esp32" and image.loader is None
    assert MODEL.read_bytes() in image.app.data


@pytest.mark.parametrize(
    ("model", "said"), [("kws", "is not NAME=FILE"), ("kws=none", "there is no model container none")]
)
def test_a_wrong_model_argument_is_named(play, model, said):
    play()
    with pytest.raises(UserError, match=said):
        building.build("esp32", [model])


def pem(tmp_path, key):
    path = tmp_path / "key.pem"
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return path


def test_each_chip_takes_its_own_kind_of_key(play, tmp_path):
    play()
    p256 = pem(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    building.build("esp32", [f"kws={MODEL}"], key=p256)
    with pytest.raises(UserError, match="esp32c3 checks: .*--version 2 --scheme rsa3072"):
        building.build("esp32c3", [f"kws={MODEL}"], key=p256)
    rsa3072 = pem(tmp_path, rsa.generate_private_key(65537, 3072))
    with pytest.raises(UserError, match="esp32 checks: .*--version 1"):
        building.build("esp32", [f"kws={MODEL}"], key=rsa3072)


def test_a_key_that_is_none_is_refused(play, tmp_path):
    play()
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(UserError, match="no private key in PEM"):
        building.build("esp32", [f"kws={MODEL}"], key=tmp_path / "key.pem")
    with pytest.raises(UserError, match="there is no signing key"):
        building.build("esp32", [f"kws={MODEL}"], key=tmp_path / "none.pem")


def test_ctrl_c_ends_the_build_with_all_its_children(play, tmp_path):
    """In a process of its own, as from a terminal: the compiler that runs must not stay behind."""
    marker = tmp_path / "child.pid"
    program = tmp_path / "slow"
    program.write_text(f"#!/bin/sh\nsleep 60 & echo $! > {marker}\necho '[1/9] x'\nwait\n")
    program.chmod(0o755)
    code = (
        "import io, os, sys\nfrom pathlib import Path\n"
        "from cicada.tools.firmware import build\nfrom cicada.tools.firmware.checks import Environment\n"
        f"env = Environment(Path('/'), Path('/'), '', '', ('', ()), (), dict(os.environ))\n"
        f"build._run([{str(program)!r}], Path({str(tmp_path)!r}), env, io.StringIO(), None)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, cwd=ROOT)
    end = time.monotonic() + 10
    while not (marker.exists() and marker.read_text().strip()) and time.monotonic() < end:
        time.sleep(0.05)
    child = int(marker.read_text())
    process.send_signal(signal.SIGINT)
    process.wait(10)
    while time.monotonic() < end and _alive(child):
        time.sleep(0.05)
    assert not _alive(child)


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False
