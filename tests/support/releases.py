"""What tests of releases share: a key store, manifests, images that say who they are."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from cicada.tools.board import load_board
from cicada.tools.release import identity, keys
from cicada.tools.release.keys import Signer, TrustedKey
from cicada.tools.release.payload import Payload, full
from cicada.tools.twin import appimage

PASSPHRASE = "correct horse"


def key_of(number: int, name: str = "test") -> tuple[Signer, TrustedKey]:
    """A key that is always the same, as signer and as trusted."""
    signer = Signer.of(name, ec.derive_private_key(number, ec.SECP256R1()))
    return signer, TrustedKey(signer.id, name, signer.public, "2026-01-01", False)


def image_of(board: str = "twin", version: str = "1.2.3", security: int = 0, content: bytes = b"") -> bytes:
    """An image that boots as far as the boot loader is concerned, and says who it is."""
    who = identity.Identity(board, "cicada", security, version)
    return appimage.build(who.constant() + content, version, load_board(board))


def manifest_of(image: bytes, payload: Payload | None = None, **changes: Any) -> dict[str, Any]:
    """A valid manifest of a full release, with ``changes``."""
    payload = payload or full(image)
    return {
        "schema": 1,
        "product": "cicada",
        "board": "twin",
        "kind": "firmware",
        "name": "app",
        "version": "1.2.3",
        "serial": 7,
        "security": 0,
        "min_version": "0.0.0",
        "expires": 0,
        "notes": "",
        "revoke": [],
        "image": {"sha256": hashlib.sha256(image).hexdigest(), "size": len(image)},
        "payloads": [
            {
                "base": None,
                "blocks": payload.blocks,
                "file": "firmware-1.2.3-7.payload",
                "first": payload.first.hex(),
                "sha256": payload.sha256.hex(),
                "size": len(payload.data),
            }
        ],
    } | changes


def code(seed: int, size: int) -> bytes:
    """Bytes as compressible as machine code, about."""
    chance = random.Random(seed)
    words = [chance.randbytes(chance.choice((2, 3, 4))) for _ in range(200)]
    return b"".join(chance.choice(words) for _ in range(size // 2))[:size]


def use_store(monkeypatch: Any, folder: Path) -> Path:
    """Let the key store be in ``folder`` and the development key beside it; nobody is asked for anything."""
    monkeypatch.setenv("CICADA_KEYS", str(folder / "keys"))
    monkeypatch.setenv("CICADA_PASSPHRASE", PASSPHRASE)
    monkeypatch.setattr(keys, "BUILD", folder / "build")
    monkeypatch.setattr(keys, "_warned", False)
    return folder / "keys"
