"""The main job, end to end: real speech in, a word heard inside the node out.

Runs in a build folder of its own that stays, so that only the first run trains.
"""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from cicada.tools.paths import ROOT

BUILD = ROOT / "build" / "test"
ENVIRONMENT = os.environ | {"CICADA_BUILD": str(BUILD)}


def demo(*arguments):
    command = [sys.executable, "-m", "cicada.tools.cli", "demo", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=ENVIRONMENT, check=False
    )


@pytest.fixture(scope="module")
def real(shared_data):
    """The demo on real recordings, once."""
    run = demo("--data", str(shared_data / "speech_commands"), "--words", "yes,no")
    assert run.returncode == 0, run.stdout + run.stderr
    return run


@pytest.mark.timeout(900)
def test_at_least_93_percent_on_speakers_never_trained_on(real):
    result = json.loads((BUILD / "kws" / "result.json").read_text())
    assert result["labels"] == ["_silence_", "_unknown_", "yes", "no"]
    assert result["accuracy"] >= 0.93
    assert min(result["accuracy_by_word"].values()) > 0.75  # no class is bought with another
    assert (BUILD / "kws" / "kws.tflite").stat().st_size <= 64 * 1024
    assert result["engine"] == "packed"
    assert result["model_bytes"] == (BUILD / "kws" / "kws.cpm").stat().st_size <= 32 * 1024


@pytest.mark.timeout(900)
def test_the_console_is_shown_as_it_happens(real):
    lines = real.stdout.splitlines()
    order = [
        "POWERON_RESET",
        "I boot: partition ota_0",
        "model kws",
        "listening",
        'heard "',
        "deep sleep for",
        "DEEPSLEEP_RESET",
        "woken by timer",
        'heard "',
    ]
    at = 0
    for wanted in order:
        at = next((i for i in range(at, len(lines)) if wanted in lines[i]), None)
        assert at is not None, f"{wanted} missing or out of order in:\n{real.stdout}"


@pytest.mark.timeout(900)
def test_the_table_says_what_matters(real):
    for row in (
        "data",
        "accuracy yes",
        "accuracy _unknown_",
        "model",
        "arena, bytes",
        "The model under both engines",
        "inference",
        "battery",
        "picture",
    ):
        assert row in real.stdout
    for name in ("confusion.png", "curves.png", "timeline.png"):
        picture = BUILD / "kws" / name
        assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and name in real.stdout


@pytest.mark.timeout(900)
def test_the_second_run_takes_seconds(real, shared_data):
    began = time.monotonic()
    again = demo("--data", str(shared_data / "speech_commands"), "--words", "yes,no")
    assert again.returncode == 0, again.stderr
    assert time.monotonic() - began < 30
    assert console(again.stdout) == console(real.stdout)


def console(text):
    return [line for line in text.splitlines() if " node: " in line or line.startswith("EVENT")]


@pytest.mark.timeout(900)
def test_the_twin_goes_on_in_the_background(real, shared_data):
    command = [sys.executable, "-m", "cicada.tools.cli"]
    data = ["--data", str(shared_data / "speech_commands"), "--words", "yes,no"]

    def run(*arguments):
        return subprocess.run(
            [*command, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL,
            env=ENVIRONMENT, check=False,
        )  # fmt: skip

    try:
        started = run("twin", "start", *data)
        assert started.returncode == 0, started.stderr
        assert "running already" in run("twin", "start", *data).stdout
        watched = run("monitor", "--board", "twin", "--seconds", "6")
        assert watched.returncode == 0 and "node: " in watched.stdout, watched.stdout + watched.stderr
    finally:
        stopped = run("twin", "stop")
    assert "twin stopped" in stopped.stdout
    assert run("twin", "status").returncode == 1
    assert "no twin is running" in run("monitor", "--board", "twin").stderr


def test_ctrl_c_leaves_nothing_running(tmp_path):
    """Interrupt the whole process group, as a terminal does, at several moments of a first run."""
    environment = os.environ | {"CICADA_BUILD": str(tmp_path)}
    command = [sys.executable, "-m", "cicada.tools.cli", "demo"]
    for seconds in (0.5, 3.0, 8.0):
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=environment, start_new_session=True,
        )  # fmt: skip
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=20)
        assert process.returncode != 0
        assert "Traceback" not in said, said
        with pytest.raises(ProcessLookupError):  # nobody of the group is left
            for _ in range(50):
                os.killpg(process.pid, 0)
                time.sleep(0.1)
