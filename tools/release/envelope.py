"""Release envelopes: a manifest, who signed it, and the signature.

Layout, little-endian, at most 2128 bytes::

    0   magic      4 bytes  b"CREL"
    4   format     u8       1
    5   reserved   u8       0
    6   length     u16      of the manifest, 2 to 2048
    8   key id     8 bytes
    16  signature  64 bytes: ECDSA P-256, r and s, over the SHA-256 of bytes 0 to 15 and the manifest
    80  manifest   see :mod:`cicada.tools.release.manifest`

Nothing of the manifest is read before its signature was verified.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cicada.tools.release import keys
from cicada.tools.release import manifest as manifests
from cicada.tools.release.keys import Signer, TrustedKey

MAGIC = b"CREL"
FORMAT = 1
HEADER_SIZE = 80
#: Most bytes of an envelope.
LARGEST = HEADER_SIZE + manifests.LARGEST

_FIELDS = struct.Struct("<4sBBH8s")


@dataclass(frozen=True)
class Release:
    """A verified envelope.

    Attributes:
        manifest: valid, see :func:`cicada.tools.release.manifest.validate`.
        key: who signed it.
        digest: SHA-256 of the manifest's bytes, which names the release.
    """

    manifest: dict[str, Any]
    key: TrustedKey
    digest: bytes


def pack(manifest: bytes, signer: Signer) -> bytes:
    """Sign the bytes of a manifest, whatever they say.

    Raises:
        ValueError: if there are fewer than 2 or more than 2048 of them.
    """
    if not 2 <= len(manifest) <= manifests.LARGEST:
        raise ValueError(f"a manifest has 2 to {manifests.LARGEST} bytes, not {len(manifest)}")
    fields = _FIELDS.pack(MAGIC, FORMAT, 0, len(manifest), bytes.fromhex(signer.id))
    return fields + signer.sign(hashlib.sha256(fields + manifest).digest()) + manifest


def unpack(data: bytes, trusted: Sequence[TrustedKey]) -> Release:
    """Check an envelope: form, then signature, then manifest.

    Args:
        data: the whole envelope.
        trusted: keys whose signatures count.

    Raises:
        ValueError: with the reason.
    """
    if not HEADER_SIZE + 2 <= len(data) <= LARGEST:
        raise ValueError(f"a release has {HEADER_SIZE + 2} to {LARGEST} bytes, not {len(data)}")
    magic, version, reserved, length, key_id = _FIELDS.unpack_from(data)
    if magic != MAGIC:
        raise ValueError(f"not a release: magic {magic!r}, not {MAGIC!r}")
    if version != FORMAT or reserved:
        raise ValueError(f"release format {version} (reserved {reserved}) is not known; this is {FORMAT}")
    if length != len(data) - HEADER_SIZE:
        raise ValueError(
            f"the release says its manifest has {length} bytes, {len(data) - HEADER_SIZE} follow"
        )
    key = next((key for key in trusted if key.id == key_id.hex()), None)
    if key is None:
        raise ValueError(f"signed by key {key_id.hex()}, which is not trusted")
    signature, manifest = data[_FIELDS.size : HEADER_SIZE], data[HEADER_SIZE:]
    if not keys.verify(key.public, signature, hashlib.sha256(data[: _FIELDS.size] + manifest).digest()):
        raise ValueError(f"the signature is not one of key {key.id} over this manifest")
    return Release(manifests.decode(manifest), key, hashlib.sha256(manifest).digest())
