"""Many twins at once: what they take, and that nothing of them stays."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cicada.tools.errors import UserError
from cicada.tools.twin.fleet import run_fleet
from support.twins import node_flash

# In a process of its own: what a test has imported would count as the twins' memory.
RUN = """
import contextlib, dataclasses, json, sys
from pathlib import Path
from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.twin.flash import NorFlash
from cicada.tools.twin.fleet import run_fleet
from cicada.tools.twin.sound import Sound
from cicada.tools.twin.twin import Twin
import cicada.tools.tflm
path, count, seconds, broken = Path(sys.argv[1]), *map(int, sys.argv[2:])
board, sound, begun = load_board("twin"), Sound([], 60), []
def make(number, place):
    if number == broken:
        raise UserError("no flash for this one")
    flash = NorFlash.open(path)
    return contextlib.nullcontext(Twin(flash, board, sound, place / "tty", speed=1.0, seed=number))
members = run_fleet(count, make, seconds, begun.append)
print(json.dumps({"begun": sorted(begun), "members": [dataclasses.asdict(m) for m in members]}))
"""


@pytest.fixture
def fleet(tmp_path):
    """Run a fleet of nodes, all from the same file; returns what it says of itself."""
    (tmp_path / "flash.bin").write_bytes(node_flash())

    def run(count, seconds, broken=-1):
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(tmp_path / "flash.bin"), str(count), str(seconds), str(broken)],
            env=os.environ | {"CICADA_TEST": str(tmp_path)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def left(folder):
    """Processes that a fleet of this test has left behind."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:
            continue  # it has just ended
    return found


def test_fifty_at_once_each_under_40_mb_and_started_as_fast_as_the_cores_allow(fleet, tmp_path):
    alone = fleet(1, 1)["members"][0]["started_s"]
    told = fleet(50, 6)
    members = told["members"]
    assert [m["number"] for m in members] == told["begun"] == list(range(50))
    assert not [m["error"] for m in members if m["error"]]
    assert all(m["seconds"] == pytest.approx(6.0, abs=0.2) and m["resets"] == 1 for m in members)
    assert max(m["memory_mb"] for m in members) < 40
    # All fifty start together on a few cores: half of them should be there by the time that one after the
    # other they would take (2 s on two idle cores), with as much again for those that already run.
    assert sorted(m["started_s"] for m in members)[25] < 2 * 25 * alone / min(os.cpu_count(), 50) + 1
    assert left(tmp_path) == []


def test_a_member_that_fails_is_told_and_the_others_go_on(fleet):
    assert [m["error"] for m in fleet(3, 1, broken=1)["members"]] == ["", "no flash for this one", ""]


@pytest.mark.parametrize("count", [0, -1, 5000])
def test_a_fleet_has_members_and_not_too_many(count):
    with pytest.raises(UserError, match="choose 1 to 1000"):
        run_fleet(count, lambda number, place: None, 1.0)
