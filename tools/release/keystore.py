"""The key store's files: ``trust.json`` and one encrypted PEM file a key."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cicada.tools.errors import UserError, from_os_error
from cicada.tools.paths import ROOT
from cicada.tools.release import pkcs8
from cicada.tools.stages import write_atomic

#: Most keys an image trusts, and most revoked ones a release names.
MAX_TRUSTED = 4
#: Shortest passphrase that is taken for a new key.
SHORTEST = 8

_KEY_FIELDS = {"id", "name", "public", "created", "development"}
_REVOKED_FIELDS = {"id", "name", "public", "when"}


@dataclass(frozen=True)
class TrustedKey:
    """A public key that images trust.

    Attributes:
        id: key id, 16 hex digits.
        name: for people.
        public: its point, 65 bytes: 4, X, Y (SEC 1, 2.3.3).
        created: ISO date; empty for the development key.
        development: anybody with the build folder can sign with it.
    """

    id: str
    name: str
    public: bytes
    created: str
    development: bool


@dataclass(frozen=True)
class Store:
    """Contents of ``trust.json``: trusted keys, oldest first, and revoked ones as JSON objects."""

    folder: Path
    keys: list[TrustedKey]
    revoked: list[dict[str, str]]


def key_id(public: bytes) -> str:
    """Id of a public key: the first 8 bytes of the SHA-256 of its point, in hex."""
    return hashlib.sha256(public).hexdigest()[:16]


def folder() -> Path:
    """Where the store is: ``$CICADA_KEYS``, else ``keys`` in the checkout."""
    return Path(os.environ.get("CICADA_KEYS") or ROOT / "keys").resolve()


def load() -> Store | None:
    """The store; None if there is none.

    Raises:
        UserError: if its list is missing beside keys, or not what :func:`save` writes.
    """
    where = folder()
    path = where / "trust.json"
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        if any(where.glob("*.pem")):
            raise UserError(f"{where} holds keys but no trust.json: put it back from a backup") from None
        return None
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
    try:
        return _parse(where, json.loads(text))
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}): put it back from a backup") from error


def _parse(where: Path, about: dict) -> Store:
    if about["schema"] != 1:
        raise ValueError(f"schema {about['schema']} is not known")
    keys, revoked = [], []
    for item in about["keys"]:
        if set(item) != _KEY_FIELDS:
            raise ValueError(f"a key has the fields {sorted(item)}")
        point = _checked(item)
        keys.append(TrustedKey(item["id"], item["name"], point, item["created"], item["development"]))
    for item in about["revoked"]:
        if set(item) != _REVOKED_FIELDS:
            raise ValueError(f"a revoked key has the fields {sorted(item)}")
        _checked(item)
        revoked.append(item)
    ids = [key.id for key in keys] + [item["id"] for item in revoked]
    names = [key.name for key in keys] + [item["name"] for item in revoked]
    if len(set(ids)) < len(ids) or len(set(names)) < len(names):
        raise ValueError("a key is listed twice")
    if not 1 <= len(keys) <= MAX_TRUSTED:
        raise ValueError(f"{len(keys)} keys are trusted")
    return Store(where, keys, revoked)


def _checked(item: dict) -> bytes:
    """The point of a listed key, which must be one, and the one its id names."""
    point = bytes.fromhex(item["public"])
    ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    if len(point) != 65 or key_id(point) != item["id"]:
        raise ValueError(f"the id of key '{item['name']}' does not fit its public key")
    return point


def save(store: Store) -> None:
    """Write the list of trusted and revoked keys."""
    about = {
        "schema": 1,
        "keys": [
            {
                "id": key.id,
                "name": key.name,
                "public": key.public.hex(),
                "created": key.created,
                "development": key.development,
            }
            for key in store.keys
        ],
        "revoked": store.revoked,
    }
    write_atomic(store.folder / "trust.json", (json.dumps(about, indent=1) + "\n").encode())


def entry(name: str, public: bytes) -> TrustedKey:
    """A key made now."""
    return TrustedKey(key_id(public), name, public, _today(), False)


def revocation(key: TrustedKey) -> dict[str, str]:
    """What the list says about a key revoked now."""
    return {"id": key.id, "name": key.name, "public": key.public.hex(), "when": _today()}


def _today() -> str:
    return datetime.now(timezone.utc).date().isoformat()


def passphrase(name: str, twice: bool = False) -> bytes:
    """Passphrase of key ``name``: ``$CICADA_PASSPHRASE``, else asked for at the terminal.

    Args:
        name: of the key.
        twice: it is for a new key: ask again, and refuse a short one.
    """
    text = os.environ.get("CICADA_PASSPHRASE")
    if text is None:
        if not sys.stdin.isatty():
            raise UserError(
                f"key '{name}' needs its passphrase and there is no terminal: set CICADA_PASSPHRASE"
            )
        text = getpass.getpass(f"passphrase of key '{name}': ")
        if twice and text != getpass.getpass("again: "):
            raise UserError("the two passphrases differ: run the same command again")
    if twice and len(text) < SHORTEST:
        raise UserError(f"the passphrase of key '{name}' is short: take {SHORTEST} characters or more")
    return text.encode()


def write_private(path: Path, private: ec.EllipticCurvePrivateKey, secret: bytes | None) -> None:
    """Write a private key, encrypted with ``secret`` unless that is None; never over an existing file."""
    plain = serialization.NoEncryption()
    if secret is None:
        data = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    else:
        data = pkcs8.encrypt(
            private.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, plain),
            secret,
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, beside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # made with mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(beside, path)
        except FileExistsError:
            if secret is not None:  # the development key may have been made by another process just now
                raise UserError(f"{path} exists: choose another name for the new key") from None
        finally:
            Path(beside).unlink(missing_ok=True)
    except OSError as error:
        raise from_os_error(error, f"writing {path}") from error


def read_private(path: Path, encrypted: bool = True) -> ec.EllipticCurvePrivateKey:
    """Read a private key; asks for its passphrase if it is ``encrypted``.

    Raises:
        UserError: if it is missing or damaged, or the passphrase is wrong.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing: sign where the key is, or bring its file here") from None
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
    try:
        secret = passphrase(path.stem) if encrypted else None
        private = serialization.load_pem_private_key(data, secret)
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} cannot be read: the passphrase is wrong or the file damaged") from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise UserError(f"{path} is no key on the curve P-256: make one with 'cicada keys new'")
    return private
