"""Pictures in folders: ``<label>/*.png``, split by us, or ``<split>/<label>/*.png``, split by their owner.

A folder within a label's folder is a group: pictures that go together, such as those of one camera on one
day. A group stays on one side of the split, and so does a picture with its exact copies. Nothing is ignored:
a folder that is no label, a file that is no picture and a picture under two labels are refused.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cicada.tools.errors import UserError, from_os_error
from cicada.training.corpora.base import SPLITS, fingerprint
from cicada.training.evaluation import groups

SUFFIXES = (".png", ".jpg", ".jpeg")
#: Fewest pictures of a label in each split for training to mean anything.
MIN_PICTURES = {"train": 10, "validation": 2, "test": 2}
#: Shares of the groups of each label, where the folder does not say which split a picture is in.
SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}
_LARGEST = 4096  # pixels along a side, the most that the device's scaler takes


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        path: of its file.
        label: number of its label.
        group: what must not be in two splits.
        split: the one it is in.
        digest: SHA-256 (hex) of the file.
    """

    path: Path
    label: int
    group: str
    split: str
    digest: str

    def load(self) -> np.ndarray:
        """The picture in gray, ``uint8[rows, columns]``: luma of ITU-R BT.601, turned as its EXIF says.

        Raises:
            UserError: the file is damaged, or too large for the device's scaler.
        """
        from PIL import Image, ImageOps

        try:
            with Image.open(self.path) as image:
                if max(image.size) > _LARGEST:
                    raise UserError(
                        f"{self.path} has {image.size[0]} x {image.size[1]} pixels: make it {_LARGEST} or"
                        " smaller along each side"
                    )
                return np.asarray(ImageOps.exif_transpose(image).convert("L"))
        except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged files
            raise UserError(f"{self.path} is damaged, or no picture ({error}): remove it") from error


@dataclass(frozen=True)
class Gallery:
    """All pictures of a folder.

    Attributes:
        source: one phrase that says what they are.
        labels: in the model's order.
        pictures: sorted by path.
        fingerprint: changes if and only if pictures, labels or split change.
    """

    source: str
    labels: tuple[str, ...]
    pictures: list[Picture]
    fingerprint: str

    def of(self, split: str) -> list[Picture]:
        """Those of a split."""
        return [picture for picture in self.pictures if picture.split == split]

    def counts(self) -> dict[str, dict[str, int]]:
        """Pictures of each split by label."""
        counted = Counter((picture.split, picture.label) for picture in self.pictures)
        return {
            split: {name: counted[split, number] for number, name in enumerate(self.labels)}
            for split in SPLITS
        }


def open_pictures(folder: Path, labels: Sequence[str]) -> Gallery:
    """Open a folder; the files are read, but no picture is decoded.

    Raises:
        UserError: there is no such folder, it has another layout, a picture has two labels, a group or a
            picture is in two splits, or a label has too few pictures.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: name the folder of pictures with --data")
    names = {path.name for path in _folders(folder)}
    given = bool(names) and names <= set(SPLITS)
    roots = {split: folder / split for split in SPLITS} if given else {"": folder}
    found = [
        Picture(path, number, group, split, digest)
        for split, root in roots.items()
        for number, label in enumerate(_checked(root, labels))
        for path, group, digest in _pictures(root / label)
    ]
    _refuse_two_labels(found, labels, folder)
    if not given:
        found = _split(found)
    groups.refuse(((p.group, p.split, str(p.path.relative_to(folder))) for p in found), str(folder), "group")
    copies = ((p.digest, p.split, str(p.path.relative_to(folder))) for p in found)
    groups.refuse(copies, str(folder), "picture")
    rows = [[str(p.path.relative_to(folder)), p.label, p.split, p.digest] for p in found]
    gallery = Gallery(
        f"pictures in {folder.name} ({len(found)}, {len({p.group for p in found})} groups)",
        tuple(labels),
        found,
        fingerprint(list(labels), rows),
    )
    _refuse_few(gallery, folder)
    return gallery


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        raise from_os_error(error, f"reading {folder}") from error


def _checked(root: Path, labels: Sequence[str]) -> Sequence[str]:
    """The labels, if ``root`` has a folder for each and no other."""
    names = {path.name for path in _folders(root)} if root.is_dir() else set()
    missing, strange = sorted(set(labels) - names), sorted(names - set(labels))
    if missing:
        raise UserError(f"{root} has no folder '{missing[0]}': put the pictures of that label there")
    if strange:
        raise UserError(
            f"{root} has a folder '{strange[0]}', which is none of the labels {', '.join(labels)}: name it in"
            " `labels`, or move it away"
        )
    return labels


def _pictures(folder: Path) -> Iterator[tuple[Path, str, str]]:
    """Path, group and SHA-256 of each picture of a label."""
    try:
        files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
        for path in files:
            if path.suffix.lower() not in SUFFIXES:
                raise UserError(f"{path} is no picture ({', '.join(SUFFIXES)}): move it away")
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            within = path.relative_to(folder).parts
            # A group has one name under all labels: the same camera sees somebody, and then nobody.
            yield path, within[0] if len(within) > 1 else digest, digest
    except OSError as error:
        raise from_os_error(error, f"reading {folder}") from error


def _refuse_two_labels(found: Sequence[Picture], labels: Sequence[str], folder: Path) -> None:
    first: dict[str, Picture] = {}
    for picture in found:
        known = first.setdefault(picture.digest, picture)
        if known.label != picture.label:
            raise UserError(
                f"{picture.path.relative_to(folder)} is '{labels[picture.label]}', and as"
                f" {known.path.relative_to(folder)} it is '{labels[known.label]}': remove the wrong one"
            )


def _split(found: Sequence[Picture]) -> list[Picture]:
    """The pictures with a split each: of the groups of each set of labels the shares of :data:`SHARES`.

    By the hash of the group's name, so that pictures that are added move few of the others.
    """
    labels: dict[str, set[int]] = defaultdict(set)
    for picture in found:
        labels[picture.group].add(picture.label)
    alike: dict[frozenset[int], list[str]] = defaultdict(list)
    for group, numbers in labels.items():
        alike[frozenset(numbers)].append(group)
    split_of: dict[str, str] = {}
    for members in alike.values():
        members.sort(key=lambda group: hashlib.sha256(group.encode()).digest())
        held_out = {split: max(1, round(SHARES[split] * len(members))) for split in ("validation", "test")}
        for split, count in held_out.items():
            # With fewer than three groups there is nothing to hold out; the counts are refused later.
            chosen = members[:count] if len(members) > 1 else []
            split_of |= dict.fromkeys(chosen, split)
            members = members[len(chosen) :]
        split_of |= dict.fromkeys(members, "train")
    return [Picture(p.path, p.label, p.group, split_of[p.group], p.digest) for p in found]


def _refuse_few(gallery: Gallery, folder: Path) -> None:
    counts = gallery.counts()
    for label in gallery.labels:
        if any(counts[split][label] < least for split, least in MIN_PICTURES.items()):
            have = ", ".join(f"{counts[split][label]} {split}" for split in SPLITS)
            needed = ", ".join(f"{least} {split}" for split, least in MIN_PICTURES.items())
            raise UserError(
                f"{folder} has too few pictures or groups of '{label}' ({have}; at least {needed} are"
                " needed): take more"
            )
