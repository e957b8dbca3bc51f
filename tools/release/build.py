"""Make a release of an image or a model: payloads, manifest, signature, bill of materials.

What the image says about itself is taken from the image, so that a manifest cannot promise anything else.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.flashing import images
from cicada.tools.release import envelope, identity, keys, sbom
from cicada.tools.release import manifest as manifests
from cicada.tools.release.delta import WORTHWHILE, delta
from cicada.tools.release.keys import Signer
from cicada.tools.release.payload import Payload, apply, full
from cicada.tools.release.repository import DEFAULT, Series
from cicada.tools.twin import partitions
from cicada.tools.twin.image import partition_table
from cicada.training import container

#: A model slot begins with a sector for the release's envelope.
MODEL_AT = 4096


@dataclass(frozen=True)
class Content:
    """What is to be released, checked.

    Attributes:
        image: bytes that the device stores.
        board, product, kind, name, version, security: as in the manifest.
    """

    image: bytes
    board: str
    product: str
    kind: str
    name: str
    version: str
    security: int


@dataclass(frozen=True)
class Delta:
    """A delta that was tried; ``kept`` if it was worth it. ``base`` is its name."""

    base: str
    size: int
    kept: bool


@dataclass(frozen=True)
class Made:
    """A release that was made.

    Attributes:
        folder: where its files are.
        stem: their names without endings.
        manifest: what was signed.
        key: id of the key that signed.
        deltas: those that were tried.
    """

    folder: Path
    stem: str
    manifest: dict[str, Any]
    key: str
    deltas: tuple[Delta, ...]


def make_envelope(manifest: dict[str, Any], signer: Signer) -> bytes:
    """The envelope of a manifest.

    Raises:
        ValueError: if the manifest is not valid.
    """
    return envelope.pack(manifests.encode(manifest), signer)


def firmware(image: bytes, board: str | None = None) -> Content:
    """Firmware to be released.

    Args:
        image: ESP-IDF app image, or the twin's.
        board: which it must be for (default: whichever it says).

    Raises:
        UserError: if it says it is for another board, would not boot there or does not fit.
    """
    who = identity.read(image)
    if board not in (None, who.board):
        raise UserError(f"the image is for board '{who.board}', not '{board}': name that board, or its image")
    slot = min(p.size for p in partitions.ota_slots(_table(who.board)).values())
    try:
        images.inspect(image, load_board(who.board).CHIP)
    except images.ImageError as error:
        raise UserError(f"the image would not boot on '{who.board}' ({error}): build it again") from error
    _fits(image, slot, who.board)
    return Content(image, who.board, who.product, manifests.FIRMWARE, "app", who.version, who.security)


def model(data: bytes, board: str, security: int = 0) -> Content:
    """A model to be released.

    Args:
        data: container, see :mod:`cicada.training.container`.
        board: which boards it is for.
        security: security version.

    Raises:
        UserError: if it is not whole, or the board has no room for it.
    """
    try:
        about, _ = container.unpack(data)
    except ValueError as error:
        raise UserError(f"that is no whole model container ({error}): make one with 'make train'") from error
    for name, pattern in (("name", identity.NAME), ("version", identity.VERSION)):
        if not isinstance(about.get(name), str) or not pattern.fullmatch(about[name]):
            raise UserError(
                f"the model's {name} is {about.get(name)!r}, which does not match {pattern.pattern}: train "
                "it under another one"
            )
    slots = [p.size for p in _table(board) if p.label in ("model_0", "model_1")]
    if not slots:
        raise UserError(f"board '{board}' has no partitions model_0 and model_1: add them to partitions.csv")
    _fits(data, min(slots) - MODEL_AT, board)
    return Content(
        bytes(data), board, identity.PRODUCT, manifests.MODEL, about["name"], about["version"], security
    )


def _table(board: str) -> list[partitions.Partition]:
    raw = partition_table(board).ljust(partitions.TABLE_SIZE, b"\xff")
    return partitions.parse(raw, load_board(board).FLASH_SIZE)


def _fits(image: bytes, room: int, board: str) -> None:
    if len(image) > room:
        raise UserError(
            f"it has {len(image)} bytes, its slot on board '{board}' only {room}: make it smaller, or "
            "enlarge the slot in partitions.csv"
        )


def release(
    content: Content,
    bases: Sequence[str] | None = None,
    serial: int | None = None,
    min_version: str = "0.0.0",
    expires: int = 0,
    notes: str = "",
    key: str | None = None,
    out: Path | None = None,
    progress: Callable[[str, float], None] = lambda what, share: None,
) -> Made:
    """Make a release and put it into the repository.

    Args:
        content: from :func:`firmware` or :func:`model`.
        bases: older releases or files of images to make deltas against, two at most (default: the newest
            release there is).
        serial: larger than those of all releases before it (default: Unix time).
        min_version: of the firmware that must run already.
        expires: Unix seconds; 0 for never.
        notes: for people, one line.
        key: name of the key to sign with; see :func:`cicada.tools.release.keys.signer`.
        out: root of the repository (default: ``build/releases``).
        progress: called with what is being made and the share of it that is done.

    Raises:
        UserError: for whatever of this cannot be, and nothing is written then.
    """
    signer = keys.signer(key)
    series = Series(out or DEFAULT, content.board, content.kind, content.name)
    with series.locked():
        done = series.released()
        serial = _serial(serial, done)
        stem = series.stem(content.version, serial)
        named = series.newest_image() if bases is None else list(dict.fromkeys(bases))
        if len(named) >= manifests.PAYLOADS:
            raise UserError(
                f"a release has {manifests.PAYLOADS - 1} deltas at most: name fewer older releases"
            )
        whole = full(content.image)
        payloads, files, tried = [], {}, []
        for name in named:
            label, base = series.base(name)
            made = delta(base, content.image, lambda share, name=name: progress(f"delta from {name}", share))
            kept = len(made.data) <= WORTHWHILE * len(whole.data)
            tried.append(Delta(name, len(made.data), kept))
            if kept:
                label = label or hashlib.sha256(base).hexdigest()[:8]
                _add(payloads, files, f"{stem}.from-{label}.payload", made, content.image, base)
        _add(payloads, files, f"{stem}.payload", whole, content.image, None)
        manifest = {
            "schema": manifests.SCHEMA,
            "product": content.product,
            "board": content.board,
            "kind": content.kind,
            "name": content.name,
            "version": content.version,
            "serial": serial,
            "security": content.security,
            "min_version": min_version,
            "expires": expires,
            "notes": notes,
            "revoke": keys.revoked(),
            "image": _about(content.image),
            "payloads": payloads,
        }
        try:
            signed = make_envelope(manifest, signer)
        except ValueError as error:
            raise UserError(f"the release cannot be written: {error}") from error
        files[f"{stem}.image"] = content.image
        files[f"{stem}.cdx.json"] = sbom.bill(manifest, content.image).encode()
        series.publish(stem, files, signed)
    return Made(series.folder, stem, manifest, signer.id, tuple(tried))


def _serial(wanted: int | None, done: dict[int, str]) -> int:
    newest = max(done, default=0)
    if wanted is None:
        return max(int(time.time()), newest + 1)
    if wanted <= newest:
        raise UserError(
            f"serial {wanted} is not larger than that of {done[newest]}, and devices would refuse it: leave "
            "--serial away, or take a larger one"
        )
    return wanted


def _add(
    payloads: list[dict[str, Any]],
    files: dict[str, bytes],
    name: str,
    made: Payload,
    image: bytes,
    base: bytes | None,
) -> None:
    """Add a payload, after making sure that it makes the image."""
    if apply(made.data, made.first, len(image), base) != image:
        raise AssertionError(f"{name} does not make the image")
    files[name] = made.data
    payloads.append(
        {
            "base": None if base is None else _about(base),
            "blocks": made.blocks,
            "file": name,
            "first": made.first.hex(),
            "sha256": made.sha256.hex(),
            "size": len(made.data),
        }
    )


def _about(image: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(image).hexdigest(), "size": len(image)}
