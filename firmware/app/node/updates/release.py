"""Releases: a signed manifest that says what an update is, and the rules it must pass.

Envelope, at most 2128 bytes, little endian::

    0   4    magic b"CREL"
    4   u8   format 1, u8 0
    6   u16  length of the manifest, 2 to 2048
    8   8    key id: the first bytes of SHA-256 of the public key
    16  64   ECDSA P-256 signature r, s over SHA-256 of bytes 0 to 15 and the manifest
    80  manifest: JSON

Nothing of the manifest is looked at before the signature is found good.
"""

import binascii
import hashlib
import json
import struct
import time

import trust
from micropython import const

from node.updates.journal import KINDS

LONGEST = const(2128)
_HEAD = const(16)
_MANIFEST = const(80)
_SLACK = const(65536)  # what a payload may have beside an eighth more than its image
_YEAR_2025 = const(1735689600)
_NAME = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"


class Refused(Exception):
    """A release that this device does not take; the text says why."""


class Release:
    """A release whose signature is good.

    Attributes:
        envelope: the bytes it came in.
        digest: SHA-256 of its manifest, which names it.
        manifest: dict, checked to have the form that the release tool writes.
        kind: ``FIRMWARE`` or ``MODEL``.
        serial, security: as in the manifest.
        size, sha256: of the image.
    """

    def __init__(self, envelope, digest, manifest):
        self.envelope = envelope
        self.digest = digest
        self.manifest = manifest
        self.kind = KINDS.index(manifest["kind"])
        self.serial = manifest["serial"]
        self.security = manifest["security"]
        self.size = manifest["image"]["size"]
        self.sha256 = unhex(manifest["image"]["sha256"], 32)


def key_id(key):
    """Eight bytes that name a public key (65 bytes: 4, X, Y)."""
    return hashlib.sha256(key).digest()[:8]


def verify(envelope, keys, revoked):
    """Check an envelope and return its :class:`Release`.

    Args:
        envelope: the bytes as they came.
        keys: public keys that count.
        revoked: ids of keys that no longer do.

    Raises:
        Refused: unless it was signed by one of the keys and is well formed.
    """
    if not _MANIFEST < len(envelope) <= LONGEST or bytes(envelope[:4]) != b"CREL":
        raise Refused("not a release")
    form, zero, length = struct.unpack_from("<BBH", envelope, 4)
    if form != 1 or zero or len(envelope) != _MANIFEST + length:
        raise Refused("a release of a form that this firmware does not know")
    view = memoryview(envelope)
    wanted = bytes(view[8:16])
    if wanted in revoked:
        raise Refused("signed with a revoked key")
    for key in keys:
        if key_id(key) == wanted:
            break
    else:
        raise Refused("signed with a key that is not trusted")
    digest = hashlib.sha256(view[:_HEAD])
    digest.update(view[_MANIFEST:])
    if not trust.verify(key, view[_HEAD:_MANIFEST], digest.digest()):
        raise Refused("the signature is wrong")
    try:
        manifest = json.loads(bytes(view[_MANIFEST:]))
        _check(manifest)
        digest = hashlib.sha256(view[_MANIFEST:]).digest()
        return Release(bytes(envelope), digest, manifest)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, MemoryError) as error:
        raise Refused("the manifest is malformed (%s)" % error)


def envelope(sector):
    """The envelope at the start of a buffer; Refused if there is none."""
    if bytes(sector[:4]) != b"CREL":
        raise Refused("there is no release")
    length = _MANIFEST + struct.unpack_from("<H", sector, 6)[0]
    if length > LONGEST:
        raise Refused("there is no release")
    return bytes(sector[:length])


def known(envelope):
    """``(size of the image, serial)`` of an envelope that was verified before."""
    manifest = json.loads(envelope[_MANIFEST:])
    return manifest["image"]["size"], manifest["serial"]


def _check(m):
    """The form of a manifest: every key, its type and its limits."""
    for key in ("product", "board", "name"):
        _text(m[key], 32)
    if m["schema"] != 1 or m["kind"] not in KINDS:
        raise ValueError("schema or kind")
    _number(m["serial"], 1, 0xFFFFFFFF)
    _number(m["security"], 0, 0x7FFFFFFF)
    _number(m["expires"], 0, 0xFFFFFFFFFF)
    version(m["min_version"])
    _text(m["version"], 32, _NAME + "+")
    for key in m["revoke"]:
        unhex(key, 8)
    _file(m["image"])
    if not 1 <= len(m["payloads"]) <= 3 or m["payloads"][-1]["base"] is not None:
        raise ValueError("payloads")
    for payload in m["payloads"]:
        if payload["base"] is not None:
            _file(payload["base"])
        _file(payload)
        unhex(payload["first"], 32)
        _text(payload["file"], 96)


def _number(value, least, most):
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError("a number is not between %d and %d" % (least, most))


def _text(value, most, letters=_NAME):
    """A name that can stand in a path: no separators, not hidden, not empty."""
    if not isinstance(value, str) or not 1 <= len(value) <= most or value[0] == ".":
        raise ValueError("a name is not one")
    for c in value:
        if c not in letters:
            raise ValueError("a name is not one")


def _file(about):
    _number(about["size"], 1, 0x7FFFFFFF)
    unhex(about["sha256"], 32)


def unhex(text, count):
    """``count`` bytes written in hex; ``ValueError`` if it is anything else."""
    value = binascii.unhexlify(text)
    if len(value) != count or len(text) != 2 * count:
        raise ValueError("a digest has another length")
    return value


def version(text):
    """``(major, minor, patch)`` of a version such as ``1.2.0`` or ``1.2.0-rc1``; ``ValueError`` else."""
    parts = text.split("-")[0].split("+")[0].split(".")
    if len(parts) != 3:
        raise ValueError("a version is not three numbers")
    return tuple(int(part) for part in parts)


def _running(identity):
    """The version of what runs; older than any if it is not three numbers, as of a build for trying out."""
    try:
        return version(identity["version"])
    except ValueError:
        return 0, 0, 0


def now():
    """Seconds since 1970, None while the clock has not been set."""
    seconds = time.time()
    if time.gmtime(0)[0] == 2000:
        seconds += 946684800
    return seconds if seconds >= _YEAR_2025 else None


def admit(release, identity, journal, capacity, time_now, again=False):
    """The rules, in their order: for this device, newer, not below the floor, not expired, not too big.

    Args:
        release: a verified release.
        identity: dict of the running firmware: product, board, version, security.
        journal: what was decided before.
        capacity: bytes of the slot.
        time_now: seconds since 1970 or None.
        again: whether the release that was confirmed last may come again, as it was lost.

    Raises:
        Refused: the first rule it breaks.
    """
    m, kind = release.manifest, release.kind
    for key in ("product", "board"):
        if m[key] != identity[key]:
            raise Refused("for %s %s, this is %s" % (key, m[key], identity[key]))
    if release.serial <= journal.decided[kind] - again:
        raise Refused("serial %d is not newer than %d" % (release.serial, journal.decided[kind]))
    floor = journal.floor[kind]
    if not kind:
        floor = max(floor, identity["security"])
    if release.security < floor:
        raise Refused("security version %d is below %d" % (release.security, floor))
    if _running(identity) < version(m["min_version"]):
        raise Refused("needs firmware %s, this is %s" % (m["min_version"], identity["version"]))
    if m["expires"] and time_now is not None and time_now >= m["expires"]:
        raise Refused("it has expired")
    if release.size > capacity:
        raise Refused("%d bytes do not fit into a slot of %d" % (release.size, capacity))
    for payload in m["payloads"]:
        if payload["size"] > release.size + release.size // 8 + _SLACK:
            raise Refused("a payload of %d bytes is too much for %d" % (payload["size"], release.size))
    keys = m["revoke"]
    if binascii.hexlify(release.envelope[8:16]).decode() in keys:
        raise Refused("it revokes the key it is signed with")
