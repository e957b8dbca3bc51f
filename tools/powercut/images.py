"""What scenarios are made of: images of the real application, signed releases, a flash to begin with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.paths import FIRMWARE, board_dir
from cicada.tools.powercut.scenario import FIRMWARE as FIRMWARE_KIND
from cicada.tools.powercut.scenario import HOST, Made
from cicada.tools.powercut.scenario import MODEL as MODEL_KIND
from cicada.tools.release import envelope, identity
from cicada.tools.release import manifest as manifests
from cicada.tools.release.delta import delta
from cicada.tools.release.keys import Signer
from cicada.tools.release.keystore import TrustedKey
from cicada.tools.release.payload import full
from cicada.tools.twin import appimage, factory, romfs
from cicada.tools.twin.image import compile_text
from cicada.training import container

BOARD = "twin"


class _Signer(Signer):
    """Signs the same bytes the same way every time (RFC 6979), so that a replay meets the same flash."""

    def sign(self, digest: bytes) -> bytes:
        how = ec.ECDSA(utils.Prehashed(hashes.SHA256()), deterministic_signing=True)
        r, s = utils.decode_dss_signature(self._private.sign(digest, how))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


#: Two keys that all images trust, and one that none does.
SIGNER, SECOND, STRANGER = (
    _Signer.of(f"campaign{number}", ec.derive_private_key(number, ec.SECP256R1())) for number in (1, 2, 3)
)
KEYS = [TrustedKey(key.id, key.name, key.public, "2026-01-01", False) for key in (SIGNER, SECOND)]
CONFIG = {
    "wifi": {"ssid": "cicada", "key": "twinkle twinkle"},
    "updates": {
        "transport": "http",
        "url": f"http://{HOST}/",
        "every_s": 1,
        "trial_s": 2,
        "require_uplink": True,
    },
}


@dataclass(frozen=True)
class Change:
    """One substitution in the application: ``old``, which must be there once, becomes ``new``.

    Args:
        file: below ``firmware/app``.
    """

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Image:
    """A firmware image or a model container that can be released.

    Args:
        kind: ``firmware`` or ``model``.
        name: for people.
        data: its bytes.
        security: security version.
    """

    kind: str
    name: str
    data: bytes = field(repr=False)
    security: int = 0

    def made(self, serial: int = 0) -> Made:
        """How the oracle knows it."""
        data = bytes(container.unpack(self.data)[1]) if self.kind == MODEL_KIND else self.data
        return Made(self.kind, self.name, hashlib.sha256(data).hexdigest(), serial, self.security)


@lru_cache(4096)
def _compiled(text: str, name: str) -> bytes:
    return compile_text(text, name)


def firmware(
    version: str, security: int, models: Mapping[str, bytes], changes: Sequence[Change] = ()
) -> Image:
    """An image of the real application for the twin.

    Args:
        version, security: its identity.
        models: built-in model containers by name.
        changes: what is different in it.

    Raises:
        UserError: if the text that a change replaces is not in its file exactly once.
    """
    app, files, left = FIRMWARE / "app", {}, list(changes)
    for path in sorted(app.rglob("*.py")):
        name = path.relative_to(app).as_posix()
        text = path.read_text(encoding="utf-8")
        for change in [c for c in left if c.file == name]:
            if text.count(change.old) != 1:
                raise UserError(
                    f"the text to change is {text.count(change.old)} times in firmware/app/{name}, not once: "
                    f"{change.old!r}"
                )
            text = text.replace(change.old, change.new)
            left.remove(change)
        files[name[:-3] + ".mpy"] = _compiled(text, path.name)
    if left:
        raise UserError(f"there is no file firmware/app/{left[0].file} to change")
    files["board.mpy"] = _compiled((board_dir(BOARD) / "board.py").read_text(encoding="utf-8"), "board.py")
    who = identity.source(BOARD, KEYS, version, security)
    files["node/identity.mpy"] = _compiled(who, "identity.py")
    files |= {f"models/{name}.cmod": data for name, data in models.items()}
    image = appimage.build(romfs.pack(files), version, load_board(BOARD), security)
    return Image(FIRMWARE_KIND, version, image, security)


def publish(
    root: Path,
    image: Image,
    serial: int,
    bases: Sequence[Image] = (),
    changes: Mapping[str, object] | None = None,
    signer: Signer = SIGNER,
) -> Made:
    """Put a release into the folder of a server; what was the newest of its kind there is not any more.

    Args:
        root: of the server.
        image: what is released.
        serial: of the release.
        bases: images to make deltas against.
        changes: of the manifest.
        signer: signs it.
    """
    kind, folder = image.kind, root / BOARD
    folder.mkdir(parents=True, exist_ok=True)
    name = "app" if kind == FIRMWARE_KIND else "kws"
    payloads = []
    for index, base in enumerate([*bases, None]):
        made = delta(base.data, image.data) if base else full(image.data)
        file = f"{kind}-{serial}-{index}.payload"
        (folder / file).write_bytes(made.data)
        payloads.append(
            {
                "base": _about(base.data) if base else None,
                "blocks": made.blocks,
                "file": file,
                "first": made.first.hex(),
                "sha256": made.sha256.hex(),
                "size": len(made.data),
            }
        )
    about = {
        "schema": 1,
        "product": identity.PRODUCT,
        "board": BOARD,
        "kind": kind,
        "name": name,
        "version": image.name,
        "serial": serial,
        "security": image.security,
        "min_version": "0.0.0",
        "expires": 0,
        "notes": "",
        "revoke": [],
        "image": _about(image.data),
        "payloads": payloads,
    } | dict(changes or {})
    (folder / newest(kind)).write_bytes(envelope.pack(manifests.encode(about), signer))
    return image.made(serial)


def newest(kind: str) -> str:
    """Name of the file that devices ask for."""
    return "firmware.release" if kind == FIRMWARE_KIND else "model-kws.release"


def _about(data: bytes) -> dict:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def flash(image: Image, files: bytes = b"") -> bytes:
    """Flash of a board as it was made: partition table, ``image`` in ota_0, ``files`` in partition vfs."""
    return factory.flash({"ota_0": image.data, "vfs": files})


def config(**changes: object) -> str:
    """The device's ``/cicada.json``; ``changes`` of its part ``updates``."""
    return json.dumps(CONFIG | {"updates": CONFIG["updates"] | changes})
