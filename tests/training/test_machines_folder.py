"""Folders of one's own machines are read in one scale, and whatever is wrong in them is one clear line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cicada.tools.errors import UserError
from cicada.training.corpora.machines import Recording, collect, group, open_machines
from cicada.training.corpora.signals import counts

NOISE = np.random.default_rng(5).normal(0, 0.05, (4000, 3))


def own(folder: Path, name: str, start: int = 0, about: dict | None = None, table: bool = False) -> Path:
    """One recording in the layout of `cicada collect`: 1000 frames at 800 Hz from an ADXL345."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.rint(NOISE[start : start + 1000] * 256).astype(np.int16)
    path.with_suffix(".json").write_text(json.dumps(about or {"rate_hz": 800, "g_per_count": 1 / 256}))
    if table:
        path.with_suffix(".csv").write_text("x,y,z\n" + "\n".join(",".join(map(str, row)) for row in frames))
    else:
        np.savez(path.with_suffix(".npz"), frames=frames)
    return folder


def test_a_folder_of_labels_is_read_in_counts_of_one_scale(tmp_path):
    own(tmp_path, "normal/pump_a_1")
    own(tmp_path, "worn/pump_b_1", 1000, table=True)
    about = {"rate_hz": 800.0, "g_per_count": 1 / 256, "rpm": 1450.0, "load": "half", "onset_s": 0.5}
    machines = open_machines("folder", own(tmp_path, "worn/pump_a_12", 2000, about))
    assert [(one.name, one.label, one.bearing) for one in machines.recordings] == [
        ("normal/pump_a_1", "normal", "pump_a"),
        ("worn/pump_a_12", "worn", "pump_a"),
        ("worn/pump_b_1", "worn", "pump_b"),
    ]
    np.testing.assert_array_equal(machines.recordings[2].frames, np.rint(NOISE[1000:2000] * 256) * 8)
    late = machines.recordings[1]
    assert (late.rpm, late.load, late.condition, late.seconds) == (1450, "half", {"onset_s": 0.5}, 1.25)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"rate_hz": 800}, "g_per_count"),
        ({"rate_hz": 0, "g_per_count": 0.1}, "rate_hz"),
        ({"rate_hz": 800, "g_per_count": 0.004, "speed": 3}, "speed"),
        ({"rate_hz": 800, "g_per_count": 0.004, "onset_s": 2}, "ends before its onset_s of 2"),
        ([], "does not describe a recording"),
    ],
)
def test_what_a_recordings_json_says_wrong_is_named(tmp_path, about, message):
    own(tmp_path, "normal/pump_1")
    (tmp_path / "normal/pump_1.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match=message):
        open_machines("folder", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x,y,z\n1,2,3\n4,5\n", "no table of integers"),
        ("x,y,z\n1,2,3\n4,5,b\n", "no table of integers"),
        ("time,x\n1,2\n", "must begin with x,y,z or x"),
        ("x\n", "must begin with"),
        ("", "no table of integers|must begin with"),
        ("x,y,z\n1,2,3\n", "fewer than the 256"),
    ],
)
def test_a_csv_that_is_no_recording_is_refused(tmp_path, content, message):
    own(tmp_path, "normal/pump_1", table=True)
    (tmp_path / "normal/pump_1.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        open_machines("folder", tmp_path)


def test_a_folder_without_recordings_labels_or_descriptions_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no recordings of machines: expected <label>"):
        open_machines("folder", tmp_path)
    own(tmp_path, "normal/pump_1")
    (tmp_path / "normal/pump_1.json").unlink()
    with pytest.raises(UserError, match=r"pump_1\.json.*no such file"):
        open_machines("folder", tmp_path)
    own(tmp_path, "Normal State/pump_1")
    with pytest.raises(UserError, match="does not say label and machine"):
        open_machines("folder", tmp_path)


def test_a_truncated_npz_is_refused(tmp_path):
    path = own(tmp_path, "normal/pump_1") / "normal/pump_1.npz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="no readable array 'frames'"):
        open_machines("folder", tmp_path)


def test_a_copy_under_another_label_is_refused(tmp_path):
    own(tmp_path, "normal/pump_1")
    own(tmp_path, "worn/pump_2", 1000)
    for suffix in (".npz", ".json"):
        shutil.copy(tmp_path / f"normal/pump_1{suffix}", tmp_path / f"worn/pump_9{suffix}")
    with pytest.raises(UserError, match=r"pump_1 \(normal\) and worn/pump_9 \(worn\) are the same samples"):
        open_machines("folder", tmp_path)


# ---- what all have in common


def test_a_label_that_is_missing_is_named(tmp_path):
    own(tmp_path, "normal/pump_1")
    machines = open_machines("folder", own(tmp_path, "worn/pump_2", 1000))
    assert [one.label for one in machines.only(["normal"]).recordings] == ["normal"]
    with pytest.raises(UserError, match="no recording with the label loose: it has normal, worn"):
        machines.only(["normal", "loose"])


def test_recordings_of_different_axes_or_one_name_do_not_mix():
    one = Recording("one", counts(NOISE[:1000]), 800, "normal", "a")
    flat = Recording("two", counts(NOISE[:1000, :1]), 800, "normal", "a")
    with pytest.raises(UserError, match="two has 1 axes and one has 3"):
        collect("the folder", [one, flat])
    with pytest.raises(UserError, match="two recordings called one"):
        collect("the folder", [one, Recording("one", counts(NOISE[1:1000]), 800, "normal", "a")])
    with pytest.raises(ValueError, match="no key 'colour'"):
        group([one], "colour")


def test_the_fingerprint_follows_samples_and_what_is_known_of_them():
    def made(shift: int = 0, **known) -> str:
        one = Recording("one", counts(NOISE[shift : shift + 1000]), 800, "normal", "a", **known)
        return collect("the folder", [one]).fingerprint

    assert made() == made()
    assert len({made(), made(1), made(rpm=1500.0), made(load="1"), made(segment=200)}) == 5


def test_a_kind_needs_its_folder(tmp_path):
    with pytest.raises(UserError, match="'cwru' need a folder"):
        open_machines("cwru", None)
    with pytest.raises(UserError, match="there is no folder"):
        open_machines("fan", tmp_path / "nowhere")
    with pytest.raises(ValueError, match="'mice' is no kind"):
        open_machines("mice", tmp_path)
