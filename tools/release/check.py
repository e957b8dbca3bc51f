"""Check a finished release as a device would, and further: every payload must make the image."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cicada.tools.errors import UserError, from_os_error
from cicada.tools.release import envelope, keys, payload
from cicada.tools.release.envelope import Release


@dataclass(frozen=True)
class Checked:
    """A release that is right.

    Attributes:
        release: its envelope.
        payloads: of each the file's name and what was found.
    """

    release: Release
    payloads: tuple[tuple[str, str], ...]


def check(file: Path) -> Checked:
    """Check an envelope and the payloads beside it.

    Deltas are applied where an image they start from is in the folder; of others the chain is checked.

    Raises:
        UserError: for the first thing that is wrong.
    """
    try:
        release = envelope.unpack(_read(file, envelope.LARGEST + 1), keys.trusted())
    except ValueError as error:
        raise UserError(f"{file} is no release to trust: {error}") from error
    found = []
    for about in release.manifest["payloads"]:
        path = file.parent / about["file"]
        try:
            found.append((about["file"], _payload(about, release.manifest["image"], path)))
        except ValueError as error:
            raise UserError(f"{path} is not the payload of this release ({error}): make it again") from error
    return Checked(release, tuple(found))


def _payload(about: dict[str, Any], image: dict[str, Any], path: Path) -> str:
    data = _read(path, about["size"] + 1)
    if len(data) != about["size"] or hashlib.sha256(data).hexdigest() != about["sha256"]:
        raise ValueError("its size or SHA-256 differs")
    first = bytes.fromhex(about["first"])
    blocks = sum(1 for _ in payload.read(data, first))
    if blocks != about["blocks"]:
        raise ValueError(f"it has {blocks} blocks, not {about['blocks']}")
    text = f"{about['size']:,} bytes, {blocks} blocks, "
    base = None
    if about["base"]:
        base = _base(path.parent, about["base"]["sha256"])
        if base is None:
            return text + "chain whole; its base is not here"
    made = payload.apply(data, first, image["size"], base)
    if hashlib.sha256(made).hexdigest() != image["sha256"]:
        raise ValueError("it makes another image")
    return text + "makes the image"


def _base(folder: Path, digest: str) -> bytes | None:
    for path in sorted(folder.glob("*.image")):
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() == digest:
            return data
    return None


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
