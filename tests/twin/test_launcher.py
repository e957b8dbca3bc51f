"""The process that forks interpreters: shared, replaced when it is gone, and never left behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.twin import launcher
from cicada.tools.twin.twin import Twin
from support.twins import QUIET, script_flash

BOARD = load_board("twin")
ENDLESS = "import time\nprint('begun')\nwhile True: time.sleep(1)\n"


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def started(flash):
    """A twin whose program has said that it began."""
    twin = Twin(flash, BOARD, QUIET)
    twin.power_on()
    assert twin.run_until(lambda: "begun" in twin.text, 10)
    return twin


@pytest.fixture
def flash(tmp_path):
    return script_flash(ENDLESS, tmp_path)


def test_all_interpreters_of_a_process_have_the_same_parent(flash):
    twins = [started(flash) for _ in range(3)]
    parents = {parent_of(twin.pid) for twin in twins}
    assert len(parents) == 1 and parent_of(parents.pop()) == os.getpid()
    pids = [twin.pid for twin in twins]
    for twin in twins:
        twin.power_off()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_warm_process_that_was_killed_takes_its_interpreters_along_and_is_replaced(flash):
    twin = started(flash)
    pid, warm = twin.pid, parent_of(twin.pid)
    os.kill(warm, signal.SIGKILL)
    with pytest.raises(UserError, match="MicroPython on the twin died .signal SIGKILL."):
        twin.run_until(lambda: False)
    twin.power_off()
    assert not Path(f"/proc/{pid}/exe").exists()
    other = started(flash)
    assert parent_of(other.pid) != warm
    other.power_off()


def test_twins_run_in_threads_of_one_process(flash):
    said = []

    def run():
        twin = Twin(flash, BOARD, QUIET)
        twin.run(3)
        said.append(twin.text.count("begun"))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert said == [1] * 4


def test_a_forked_process_runs_twins_of_its_own_and_leaves_those_of_its_parent(flash):
    twin = started(flash)
    child = os.fork()
    if not child:
        code = 1
        try:
            other = started(flash)
            code = 0 if parent_of(other.pid) == parent_of(twin.pid) else 2
            other.power_off()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    before = twin.now
    assert not twin.run_until(lambda: False, 2) and twin.now >= before + 2
    twin.power_off()


def test_nothing_is_left_of_a_process_that_was_killed(flash, tmp_path):
    (tmp_path / "flash.bin").write_bytes(flash)
    code = (
        "import sys\nfrom pathlib import Path\nfrom cicada.tools.board import load_board\n"
        "from cicada.tools.twin.sound import Sound\nfrom cicada.tools.twin.twin import Twin\n"
        "twin = Twin(Path(sys.argv[1]).read_bytes(), load_board('twin'), Sound([], 1))\n"
        "twin.power_on()\ntwin.run_until(lambda: 'begun' in twin.text)\n"
        "print(twin.pid, flush=True)\nsys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "flash.bin")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline())
        both = [Path(f"/proc/{number}/exe") for number in (pid, parent_of(pid))]
        assert all(path.exists() for path in both)
        process.kill()
    end = time.monotonic() + 5
    while any(path.exists() for path in both) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(path.exists() for path in both)


def test_lives_leave_no_descriptors_behind(flash):
    def count():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    started(flash).power_off()
    before = count()
    for _ in range(5):
        started(flash).power_off()
    assert count() == before


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "micropython is missing: install the twin"),
        (SimpleNamespace(origin="/nowhere/micropython_module.so"), "micropython does not start"),
    ],
)
def test_a_missing_or_broken_installation_is_one_line(found, message, flash, monkeypatch):
    launcher._end()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: found)
    with pytest.raises(UserError, match=message) as how:
        started(flash)
    assert "\n" not in str(how.value)
    launcher._end()
    monkeypatch.undo()
    started(flash).power_off()
