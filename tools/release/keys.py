"""Keys that sign releases, and the list of those that images trust.

A key store is a folder: ``NAME.pem`` is a private key (PKCS#8, encrypted with a passphrase, readable by its
owner only), ``trust.json`` says which public keys new images trust and which were revoked. A key's id is the
first 8 bytes of the SHA-256 of its public point (65 bytes, SEC 1, 2.3.3), written as 16 hex digits.

Without a store a development key is made once and used; it is not encrypted, and whatever uses it says so.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from cicada.tools.errors import UserError
from cicada.tools.paths import BUILD
from cicada.tools.release import keystore
from cicada.tools.release.keystore import MAX_TRUSTED, TrustedKey, key_id

#: Name of the key that is used while there is no key store.
DEVELOPMENT = "development"

_NAME = re.compile(r"[a-z0-9_-]{1,32}", re.ASCII)
_warned = False


@dataclass(frozen=True)
class Signer:
    """A private key that can sign.

    Attributes:
        id: key id, 16 hex digits.
        name: of the key.
        public: its point, 65 bytes.
    """

    id: str
    name: str
    public: bytes
    _private: ec.EllipticCurvePrivateKey = field(repr=False, compare=False)

    @classmethod
    def of(cls, name: str, private: ec.EllipticCurvePrivateKey) -> Signer:
        """The signer of a private key on P-256."""
        public = _point(private)
        return cls(key_id(public), name, public, private)

    def sign(self, digest: bytes) -> bytes:
        """ECDSA signature of a SHA-256: r and s, 32 bytes each, most significant byte first."""
        der = self._private.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        r, s = utils.decode_dss_signature(der)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify(public: bytes, signature: bytes, digest: bytes) -> bool:
    """Whether ``signature`` (r and s, 64 bytes) is that of ``digest`` (32 bytes) by the key ``public``."""
    if len(public) != 65 or public[0] != 4 or len(signature) != 64 or len(digest) != 32:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
        point.verify(utils.encode_dss_signature(r, s), digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    except (ValueError, InvalidSignature):
        return False
    return True


def trusted() -> list[TrustedKey]:
    """The keys that new images trust, oldest first: those of the key store, else the development key."""
    store = keystore.load()
    return store.keys if store else [_development().trusted]


def store_folder() -> Path | None:
    """Where the key store is; None if there is none and the development key is used."""
    store = keystore.load()
    return store.folder if store else None


def revocations() -> list[dict[str, str]]:
    """Revoked keys, oldest first: ``id``, ``name``, ``public`` and ``when`` of each."""
    store = keystore.load()
    return store.revoked if store else []


def revoked() -> list[str]:
    """Ids of revoked keys that a release names: the newest four."""
    return [item["id"] for item in revocations()[-MAX_TRUSTED:]]


def signer(name: str | None = None) -> Signer:
    """The private key ``name``; asks for its passphrase where the environment does not say it.

    Args:
        name: of a trusted key (default: the oldest trusted one, which all devices know already), or
            ``development``.

    Raises:
        UserError: if there is no such key, it is not trusted, or the passphrase is wrong.
    """
    store = keystore.load()
    if name == DEVELOPMENT or (name is None and store is None):
        return _development().signer
    if store is None:
        raise UserError(f"there is no key '{name}' and no key store: make one with 'cicada keys new {name}'")
    key = store.keys[0] if name is None else next((key for key in store.keys if key.name == name), None)
    if key is None:
        names = ", ".join(key.name for key in store.keys)
        raise UserError(f"no trusted key '{name}' in {store.folder}: choose one of {names}")
    found = Signer.of(key.name, keystore.read_private(store.folder / f"{key.name}.pem"))
    if found.id != key.id:
        raise UserError(
            f"{store.folder / key.name}.pem is not the key that trust.json means by '{key.name}': put the "
            "right file back"
        )
    return found


def new(name: str) -> TrustedKey:
    """Make a key and trust it. The first one makes the store, and ends the use of the development key.

    Raises:
        UserError: if the name is taken or not allowed, or four keys are trusted already.
    """
    if not _NAME.fullmatch(name) or name == DEVELOPMENT:
        raise UserError(f"'{name}' cannot name a key: use 1 to 32 of a-z, 0-9, _ and -, not 'development'")
    store = keystore.load() or keystore.Store(keystore.folder(), [], [])
    if len(store.keys) >= MAX_TRUSTED:
        raise UserError(f"{MAX_TRUSTED} keys are trusted already, and images hold no more: revoke one first")
    taken = [key.name for key in store.keys] + [entry["name"] for entry in store.revoked]
    if name in taken:
        raise UserError(f"there is or was a key '{name}' in {store.folder}: choose another name")
    private = ec.generate_private_key(ec.SECP256R1())
    keystore.write_private(store.folder / f"{name}.pem", private, keystore.passphrase(name, twice=True))
    key = keystore.entry(name, _point(private))
    keystore.save(keystore.Store(store.folder, [*store.keys, key], store.revoked))
    return key


def revoke(name: str) -> TrustedKey:
    """Trust a key no longer; releases made from now on tell devices to forget it.

    Raises:
        UserError: if it is not trusted, or the last one that is.
    """
    store = keystore.load()
    key = next((key for key in store.keys if key.name == name), None) if store else None
    if key is None:
        raise UserError(f"no trusted key '{name}' in {keystore.folder()}: see 'cicada keys list'")
    if len(store.keys) == 1:
        raise UserError(
            f"'{name}' is the only key: devices would take no update any more; make another one first with "
            "'cicada keys rotate'"
        )
    left = [other for other in store.keys if other.name != name]
    keystore.save(keystore.Store(store.folder, left, [*store.revoked, keystore.revocation(key)]))
    return key


@dataclass(frozen=True)
class _Development:
    signer: Signer
    trusted: TrustedKey


def _development() -> _Development:
    """The development key, made if there is none; says once on standard error what it is."""
    global _warned
    path = BUILD / "keys" / f"{DEVELOPMENT}.pem"
    if not path.exists():
        keystore.write_private(path, ec.generate_private_key(ec.SECP256R1()), None)
    signer = Signer.of(DEVELOPMENT, keystore.read_private(path, encrypted=False))
    if not _warned:
        _warned = True
        sys.stderr.write(
            f"WARNING: development key {signer.id}: whoever can read {_short(path)} can sign updates for "
            "what is built here; 'cicada keys new NAME' makes a real key\n"
        )
    return _Development(signer, TrustedKey(signer.id, DEVELOPMENT, signer.public, "", True))


def _point(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def _short(path: Path) -> str:
    return str(path.relative_to(BUILD.parent)) if path.is_relative_to(BUILD.parent) else str(path)
