"""A twin that goes on in the background, for ``make twin`` and ``make monitor BOARD=twin``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from cicada.tools.board import load_board
from cicada.tools.errors import UserError, from_os_error
from cicada.tools.paths import BUILD
from cicada.tools.stages import write_atomic
from cicada.tools.twin.playlist import scene
from cicada.tools.twin.twin import Twin, default_port

_STARTING_S = 60.0


def _state() -> Path:
    return BUILD / "twin" / "running.json"


def _running() -> int | None:
    """Process number of the twin in the background, or None."""
    try:
        pid = int(json.loads(_state().read_text())["pid"])
        os.kill(pid, 0)
    except (OSError, ValueError, KeyError):
        return None
    # The number may belong to another program by now.
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return pid
    return pid if b"twin" in words else None


def start(data: Path | None, words: list[str], seed: int) -> int:
    """Start a twin in the background, in real time, hearing the demo's recordings over and over."""
    pid = _running()
    if pid is not None:
        print(f"a twin is running already (process {pid}): make monitor BOARD=twin, or make twin-stop")
        return 0
    _ready(data, words, seed)
    command = [sys.executable, "-m", "cicada.tools.cli", "twin", "run", "--words", ",".join(words)]
    command += ["--seed", str(seed)] + (["--data", str(data.resolve())] if data else [])
    log = BUILD / "twin" / "twin.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise from_os_error(error, "starting the twin") from error
    end = time.monotonic() + _STARTING_S
    while not default_port().exists():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            last = (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(f"the twin did not start: {last} (all of it in {log})")
        time.sleep(0.05)
    write_atomic(_state(), json.dumps({"pid": process.pid}).encode())
    print(f"twin running (process {process.pid}), console at {default_port()}")
    print("watch it: make monitor BOARD=twin    end it: make twin-stop")
    return 0


def stop() -> int:
    """Stop the twin in the background; nothing to do is no error."""
    pid = _running()
    if pid is None:
        print("no twin is running")
        return 0
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 10
    while _running() is not None and time.monotonic() < end:
        _reap(pid)
        time.sleep(0.05)
    if _running() is not None:
        os.kill(pid, signal.SIGKILL)
    _state().unlink(missing_ok=True)
    print("twin stopped")
    return 0


def status() -> int:
    """Say whether a twin runs; the exit code is 0 if it does, else 1."""
    pid = _running()
    print(f"twin running (process {pid}), console at {default_port()}" if pid else "no twin is running")
    return 0 if pid else 1


def run(data: Path | None, words: list[str], seed: int, seconds: float | None, speed: float) -> int:
    """Run a twin in the foreground, its console on standard output."""
    image, sound = _ready(data, words, seed)

    def show(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    twin = Twin(
        image.read_bytes(), load_board("twin"), sound, default_port(), show, speed if speed > 0 else None
    )
    twin.run(seconds if seconds is not None else float("inf"))
    return 0


def _ready(data: Path | None, words: list[str], seed: int):
    """Flash image and scene, trained and built if they are not there yet."""
    from cicada.tools.demo import flash, train
    from cicada.training.corpora import open_corpus

    train(data, words, seed)
    sound = scene(open_corpus(data, words, seed=seed), seed, loop=True)
    return flash("twin"), sound


def _reap(pid: int) -> None:
    """Collect the process if it is our own child (started in this very process, as tests do)."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
