"""Folders of pictures: what is read, how it is split, and what is refused."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cicada.tools.errors import UserError
from cicada.training.corpora import pictures
from cicada.training.corpora.pictures import open_pictures
from support import galleries


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return galleries.make(tmp_path_factory.mktemp("pictures") / "door")


@pytest.fixture
def folder(template, tmp_path):
    return shutil.copytree(template, tmp_path / "door")


def test_a_folder_is_split_with_every_label_in_every_split(folder):
    gallery = open_pictures(folder, galleries.LABELS)
    assert gallery.counts() == {
        "train": {"empty": 22, "person": 22},
        "validation": {"empty": 4, "person": 4},
        "test": {"empty": 4, "person": 4},
    }
    assert gallery == open_pictures(folder, galleries.LABELS)
    assert gallery.labels == galleries.LABELS and "door" in gallery.source


def test_pictures_that_are_added_move_few_others(folder):
    before = {p.path: p.split for p in open_pictures(folder, galleries.LABELS).pictures}
    rng = np.random.default_rng(8)
    for number in range(10):
        galleries.drawn("empty", rng).save(folder / "empty" / f"new{number}.jpg")
    after = open_pictures(folder, galleries.LABELS)
    moved = sum(before[p.path] != p.split for p in after.pictures if p.path in before)
    assert moved <= 6 and len(after.pictures) == 70


def test_the_fingerprint_changes_with_content_and_labels(folder):
    first = open_pictures(folder, galleries.LABELS).fingerprint
    assert open_pictures(folder, galleries.LABELS[::-1]).fingerprint != first
    galleries.drawn("empty", np.random.default_rng(1)).save(folder / "empty" / "000.png")
    assert open_pictures(folder, galleries.LABELS).fingerprint != first


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_group_and_no_copy_is_in_two_splits(tmp_path_factory, data):
    # Files need not be pictures here: nothing is decoded.
    folder = tmp_path_factory.mktemp("groups")
    size = data.draw(st.integers(30, 60))
    for label in galleries.LABELS:
        for number in range(size):
            group = data.draw(st.sampled_from(["", *(f"camera{n}" for n in range(8))]))
            path = folder / label / group / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            # Few enough contents outside of groups that there are copies.
            path.write_bytes(
                f"{label}{group}{data.draw(st.integers(0, 40)) if not group else number}".encode()
            )
    try:
        found = open_pictures(folder, galleries.LABELS).pictures
    except UserError as error:
        assert "too few" in str(error)
        return
    assert len(found) == 2 * size
    for what in ("group", "digest"):
        splits: dict[str, set[str]] = {}
        for picture in found:
            splits.setdefault(getattr(picture, what), set()).add(picture.split)
        assert all(len(one) == 1 for one in splits.values())


def test_the_owners_split_is_kept(folder, tmp_path):
    owned = tmp_path / "owned"
    files = {label: sorted((folder / label).iterdir()) for label in galleries.LABELS}
    for split, rows in (("train", slice(0, 20)), ("validation", slice(20, 25)), ("test", slice(25, 30))):
        for label, paths in files.items():
            (owned / split / label).mkdir(parents=True)
            for path in paths[rows]:
                shutil.copy(path, owned / split / label)
    gallery = open_pictures(owned, galleries.LABELS)
    assert gallery.counts()["validation"] == {"empty": 5, "person": 5}
    assert all(p.path.parts[-3] == p.split for p in gallery.pictures)
    # A copy across the owner's own split is a leak, and so is one camera's day.
    shutil.copy(owned / "train/empty/000.png", owned / "test/empty/other name.png")
    with pytest.raises(UserError, match="in two splits"):
        open_pictures(owned, galleries.LABELS)
    (owned / "test/empty/other name.png").unlink()
    for split, name in (("train", "001"), ("test", "026")):
        (owned / split / "empty/monday").mkdir()
        shutil.move(owned / split / f"empty/{name}.png", owned / split / "empty/monday")
    with pytest.raises(UserError, match="group 'monday' in two splits"):
        open_pictures(owned, galleries.LABELS)


def _empty(folder):
    shutil.rmtree(folder / "person")
    (folder / "person").mkdir()


def _text(folder):
    (folder / "empty/notes.txt").write_text("a picture of the hall")


def _both(folder):
    shutil.copy(folder / "empty/003.png", folder / "person/999.png")


def _few_groups(folder):
    for label in galleries.LABELS:
        (folder / label / "monday").mkdir()
        for path in (folder / label).glob("*.png"):
            shutil.move(path, folder / label / "monday")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda f: shutil.rmtree(f), "there is no folder"),
        (lambda f: shutil.rmtree(f / "person"), "no folder 'person'"),
        (_empty, "too few pictures or groups of 'person' \\(0 train, 0 validation, 0 test"),
        (lambda f: (f / "cat").mkdir(), "'cat', which is none of the labels empty, person"),
        (_text, "notes.txt is no picture"),
        (_both, "is 'person', and as .*003.png it is 'empty'"),
        (_few_groups, "too few pictures or groups of 'empty'"),
    ],
)
def test_a_folder_that_teaches_nothing_is_refused(folder, spoil, reason):
    spoil(folder)
    with pytest.raises(UserError, match=reason):
        open_pictures(folder, galleries.LABELS)


def _picture(path):
    return pictures.Picture(path, 0, "g", "train", "d")


def test_colours_become_luma_and_photographs_stand_upright(tmp_path):
    image = Image.new("RGB", (3, 2))
    image.putdata([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (9, 9, 9)])
    image.save(tmp_path / "a.png")
    # ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B.
    assert _picture(tmp_path / "a.png").load().tolist() == [[76, 150, 29], [255, 0, 9]]
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: turn it clockwise by a quarter
    image.save(tmp_path / "b.png", exif=exif)
    assert _picture(tmp_path / "b.png").load().tolist() == [[255, 76], [0, 150], [9, 29]]


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"no picture", lambda b: b""])
def test_a_damaged_picture_is_named(folder, damage):
    path = folder / "empty" / "001.png"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"001.png is damaged, or no picture"):
        _picture(path).load()


def test_a_picture_too_large_for_the_scaler_is_refused(tmp_path):
    Image.new("L", (4097, 2)).save(tmp_path / "wide.png")
    with pytest.raises(UserError, match="4097 x 2 pixels"):
        _picture(tmp_path / "wide.png").load()
