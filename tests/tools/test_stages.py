"""Stages: made once, never half, whatever stops them."""

import errno
import os
import subprocess
import sys
import time

import pytest

from cicada.tools import stages
from cicada.tools.errors import UserError


def test_made_once_for_the_same_inputs(tmp_path):
    made = []

    def make(folder):
        made.append(1)
        (folder / "out").write_text("x")

    first = stages.stage("s", {"a": 1, "b": [2]}, make, tmp_path)
    again = stages.stage("s", {"b": [2], "a": 1}, make, tmp_path)
    other = stages.stage("s", {"a": 2, "b": [2]}, make, tmp_path)
    assert first == again != other and len(made) == 2
    assert (first / "out").read_text() == "x"


@pytest.mark.parametrize("fault", [RuntimeError("x"), KeyboardInterrupt()])
def test_an_interrupted_stage_leaves_nothing(fault, tmp_path):
    def make(folder):
        (folder / "half").write_text("half")
        raise fault

    with pytest.raises(type(fault)):
        stages.stage("s", {}, make, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_makers_of_the_same_stage_agree(tmp_path):
    def make(folder):
        if not list(tmp_path.glob("s-*")):
            stages.stage("s", {}, lambda inner: (inner / "out").write_text("first"), tmp_path)
        (folder / "out").write_text("second")

    done = stages.stage("s", {}, make, tmp_path)
    assert (done / "out").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == [done.name]


def test_a_full_disk_is_one_sentence(tmp_path):
    def make(folder):
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "big"))

    with pytest.raises(UserError, match="disk is full; free some space"):
        stages.stage("s", {}, make, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_stage_is_swept_but_a_running_one_is_not(tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom cicada.tools.stages import stage\n"
        "def make(f):\n    print('making', flush=True); time.sleep(60)\n"
        f"stage('s', {{}}, make, Path({str(tmp_path)!r}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    stages.stage("t", {}, lambda folder: None, tmp_path)
    assert list(tmp_path.glob(".tmp-*-s-*")), "swept while its maker was alive"
    process.kill()
    process.wait()
    time.sleep(0.05)
    stages.stage("u", {}, lambda folder: None, tmp_path)
    assert not list(tmp_path.glob(".tmp-*"))


def test_hash_sees_names_and_contents(tmp_path):
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "a").write_text("1")
    before = stages.hash_files([folder])
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.pyc").write_text("noise")
    assert stages.hash_files([folder]) == before
    os.rename(folder / "a", folder / "b")
    renamed = stages.hash_files([folder])
    (folder / "b").write_text("2")
    assert len({before, renamed, stages.hash_files([folder])}) == 3


def test_atomic_write_keeps_the_old_file_when_it_fails(tmp_path, monkeypatch):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(UserError, match="disk is full"):
        stages.write_atomic(target, b"new")
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


def test_who_watches_learns_what_was_used_and_how_long_it_took_to_make(tmp_path):
    def make(folder):
        time.sleep(0.05)
        (folder / "x").write_text("x")

    stages.stage("a", {"n": 1}, make, tmp_path)
    with stages.watched() as used:
        found = stages.stage("a", {"n": 1}, make, tmp_path)
        made = stages.stage("b", {"n": 2}, make, tmp_path)
    stages.stage("c", {"n": 3}, make, tmp_path)
    assert used == [found, made]
    assert 0.1 <= stages.seconds([*used, found]) < 5


def test_a_stage_that_does_not_say_how_long_it_took_is_one_line(tmp_path):
    made = stages.stage("old", {}, lambda folder: None, tmp_path)
    (made / stages.ABOUT).write_text("{}")
    with pytest.raises(UserError, match=r"old-\w+ was made by an older Cicada .*: remove it"):
        stages.seconds([made])
