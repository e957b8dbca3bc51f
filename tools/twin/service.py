"""A twin that goes on in the background, for ``make twin`` and ``make monitor BOARD=twin``."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from cicada.tools.board import load_board
from cicada.tools.choice import Choice
from cicada.tools.errors import UserError, from_os_error
from cicada.tools.paths import BUILD
from cicada.tools.stages import write_atomic
from cicada.tools.twin.flash import NorFlash
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


def start(choice: Choice) -> int:
    """Start a twin in the background, in real time, hearing the demo's recordings over and over."""
    pid = _running()
    if pid is not None:
        print(f"a twin is running already (process {pid}): make monitor BOARD=twin, or make twin-stop")
        return 0
    ready(choice)
    command = [sys.executable, "-m", "cicada.tools.cli", "twin", "run", *choice.arguments()]
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
    status()
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
    if not pid:
        print("no twin is running")
        return 1
    print(f"twin running (process {pid})")
    print(f"  console, REPL, mpremote: {default_port()}")
    with contextlib.suppress(OSError):
        print(f"  esptool: {_url().read_text()}")
    return 0


def run(
    choice: Choice,
    seconds: float | None,
    speed: float,
    picture: Path | None = None,
    fresh: bool = False,
) -> int:
    """Run a twin in the foreground, its console on standard output; its flash is kept for the next time.

    Args:
        choice: what to train, if it is not there.
        seconds: of virtual time; None for ever.
        speed: times real time; 0 for no limit.
        picture: where to draw current over time at the end.
        fresh: start from the image instead of what an earlier run left in the flash.
    """
    image, sound = ready(choice)

    def show(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    flash, kept = _kept_flash(image, fresh)
    twin = Twin(
        flash,
        load_board("twin"),
        sound,
        default_port(),
        show,
        speed if speed > 0 else None,
        network_port=("127.0.0.1", 0),
    )
    try:
        twin.power_on()
        write_atomic(_url(), twin.ports.network.url.encode())
        twin.run_until(lambda: False, float("inf") if seconds is None else seconds)
    finally:
        twin.power_off()
        _url().unlink(missing_ok=True)
        write_atomic(kept, flash.snapshot().data)
        if picture:
            from cicada.tools.twin.report import print_report, report

            print_report(report(twin, picture))
    return 0


def report_scene(choice: Choice, seconds: float, picture: Path) -> int:
    """Run the demo's scene on a fresh twin and report current over time and battery life."""
    from cicada.tools.twin.report import print_report, report

    image, sound = ready(choice)
    twin = Twin(image.read_bytes(), load_board("twin"), sound)
    twin.run(seconds)
    print_report(report(twin, picture))
    return 0


def _kept_flash(image: Path, fresh: bool) -> tuple[NorFlash, Path]:
    """Flash as the last run with the same image left it, and the file to keep it in."""
    kept = BUILD / "twin" / f"kept-{hashlib.sha256(image.read_bytes()).hexdigest()[:16]}.bin"
    if not fresh and kept.is_file() and kept.stat().st_size == image.stat().st_size:
        image = kept
    for other in kept.parent.glob("kept-*.bin"):
        if other != kept:
            other.unlink()
    return NorFlash.open(image), kept


def _url() -> Path:
    """File that holds the address of the running twin's port for esptool."""
    return BUILD / "twin" / "rfc2217"


def ready(choice: Choice):
    """Flash image and scene, trained and built if they are not there yet."""
    from cicada.tools.demo import flash, train
    from cicada.training.corpora import open_corpus

    train(choice)
    sound = scene(open_corpus(choice.data, choice.words, seed=choice.seed), choice.seed, loop=True)
    return flash("twin"), sound


def _reap(pid: int) -> None:
    """Collect the process if it is our own child (started in this very process, as tests do)."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
