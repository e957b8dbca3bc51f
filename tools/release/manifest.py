"""Manifests of releases: what is in them, what it may be, and the one way to write it down.

A manifest is a JSON object in ASCII with sorted keys and no spaces. One manifest has one spelling, so its
SHA-256 names the release; other spellings, duplicate keys and floats among them, are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from cicada.tools.release.identity import NAME, SECURITY_LIMIT, VERSION

SCHEMA = 1
FIRMWARE, MODEL = "firmware", "model"
#: Most bytes a manifest has.
LARGEST = 2048
#: Most characters of the notes, counted as JSON writes them in ASCII.
NOTES = 256
#: Most payloads: deltas and the full image.
PAYLOADS = 3
#: Most key ids a release revokes.
REVOKED = 4
#: Erase unit of the flash; a block of a payload fills 1 to 16 of them.
SECTOR = 4096
SECTORS = 16

_KEY_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,95}", re.ASCII)
_THREE = re.compile(r"(0|[1-9]\d{0,4})(\.(0|[1-9]\d{0,4})){2}", re.ASCII)
_WORD = 2**32
_IMAGE_LIMIT = 16 << 20  # the largest flash that the boards' chips map
_BLOCK_HEADER = 36


def payload_cap(image_size: int) -> int:
    """Most bytes of a payload that makes an image of ``image_size`` bytes; devices fetch no more."""
    return image_size + image_size // 8 + 65536


def encode(manifest: dict[str, Any]) -> bytes:
    """The manifest's bytes.

    Raises:
        ValueError: for whatever :func:`validate` refuses, and for more than 2048 bytes.
    """
    validate(manifest)
    data = _write(manifest)
    if len(data) > LARGEST:
        raise ValueError(f"the manifest has {len(data)} bytes, devices take {LARGEST}")
    return data


def decode(data: bytes) -> dict[str, Any]:
    """The manifest that these bytes are; call it for bytes whose signature was verified.

    Raises:
        ValueError: with the reason, for anything that :func:`encode` could not have written.
    """
    if len(data) > LARGEST:
        raise ValueError(f"the manifest has {len(data)} bytes, not {LARGEST} at most")
    try:
        manifest = json.loads(data.decode("ascii"), parse_float=_refuse, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("the manifest is nested too deeply") from error
    validate(manifest)
    if _write(manifest) != data:
        raise ValueError("the manifest is not written in the one way that counts")
    return manifest


def _write(manifest: dict[str, Any]) -> bytes:
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def _refuse(text: str) -> None:
    raise ValueError(f"the manifest has the number {text}, which is no integer")


def validate(manifest: Any) -> None:
    """Check every field.

    Raises:
        ValueError: naming the field and what is wrong with it.
    """
    _object(manifest, "the manifest", _FIELDS)
    size = manifest["image"]["size"]
    bases = [payload["base"] for payload in manifest["payloads"]]
    if bases[-1] is not None or None in bases[:-1]:
        raise ValueError("the last payload, and no other, must be the full image (base null)")
    for kind in ("file", "first", "sha256"):
        values = [payload[kind] for payload in manifest["payloads"]]
        if len(set(values)) < len(values):
            raise ValueError(f"two payloads have the same {kind}")
    hashes = [base["sha256"] for base in bases[:-1]]
    if len(set(hashes)) < len(hashes):
        raise ValueError("two payloads have the same base")
    for payload in manifest["payloads"]:
        _check_size(payload, size)
    if manifest["kind"] == FIRMWARE and manifest["name"] != "app":
        raise ValueError(f"name is {manifest['name']!r}; firmware has the name 'app'")


def _check_size(payload: dict[str, Any], image_size: int) -> None:
    """Its size and number of blocks are possible for an image of ``image_size`` bytes."""
    sectors = -(-image_size // SECTOR)
    fewest = sectors if payload["base"] is None else -(-sectors // SECTORS)
    if not fewest <= payload["blocks"] <= sectors:
        raise ValueError(f"{payload['blocks']} blocks cannot make an image of {image_size} bytes")
    if not payload["blocks"] * (_BLOCK_HEADER + 1) <= payload["size"] <= payload_cap(image_size):
        raise ValueError(f"a payload of {payload['size']} bytes cannot make an image of {image_size} bytes")


Check = Callable[[Any, str], None]


def _object(value: Any, what: str, fields: dict[str, Check]) -> None:
    """``value`` is an object with exactly these fields, each of which passes its check."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not an object")
    if set(value) != set(fields):
        wrong = sorted(map(str, set(value) ^ set(fields)))
        raise ValueError(f"{what} lacks these fields or should not have them: {', '.join(wrong)}")
    for name, check in fields.items():
        check(value[name], name)


def _integer(low: int, high: int) -> Check:
    def check(value: Any, what: str) -> None:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"{what} is {value!r}, not an integer from {low} to {high}")

    return check


def _text(pattern: re.Pattern[str]) -> Check:
    def check(value: Any, what: str) -> None:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"{what} is {value!r}, which does not match {pattern.pattern}")

    return check


def _one_of(*allowed: Any) -> Check:
    def check(value: Any, what: str) -> None:
        if type(value) is not type(allowed[0]) or value not in allowed:
            raise ValueError(f"{what} is {value!r}, not one of {', '.join(map(str, allowed))}")

    return check


def _list(least: int, most: int, item: Check) -> Check:
    def check(value: Any, what: str) -> None:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise ValueError(f"{what} is not a list of {least} to {most}")
        for number, member in enumerate(value):
            item(member, f"{what}[{number}]")

    return check


def _notes(value: Any, what: str) -> None:
    """Printable, in one line; MicroPython's JSON reader makes two wrong characters of one past U+FFFF."""
    if not isinstance(value, str) or not value.isprintable() or any(ord(c) > 0xFFFF for c in value):
        raise ValueError(f"{what} is not one line of printable characters up to U+FFFF")
    if len(json.dumps(value)) - 2 > NOTES:
        raise ValueError(f"{what} has more than {NOTES} characters, counted as JSON writes them in ASCII")


def _image(value: Any, what: str) -> None:
    _object(value, what, {"sha256": _text(_DIGEST), "size": _integer(1, _IMAGE_LIMIT)})


def _base(value: Any, what: str) -> None:
    if value is not None:
        _image(value, what)


def _payload(value: Any, what: str) -> None:
    _object(value, what, _PAYLOAD)


def _revoke(value: Any, what: str) -> None:
    _list(0, REVOKED, _text(_KEY_ID))(value, what)
    if len(set(value)) < len(value):
        raise ValueError(f"{what} names a key twice")


_PAYLOAD: dict[str, Check] = {
    "base": _base,
    "blocks": _integer(1, _IMAGE_LIMIT // SECTOR),
    "file": _text(_FILE),
    "first": _text(_DIGEST),
    "sha256": _text(_DIGEST),
    "size": _integer(1, payload_cap(_IMAGE_LIMIT)),
}
_FIELDS: dict[str, Check] = {
    "schema": _one_of(SCHEMA),
    "product": _text(NAME),
    "board": _text(NAME),
    "kind": _one_of(FIRMWARE, MODEL),
    "name": _text(NAME),
    "version": _text(VERSION),
    "serial": _integer(1, _WORD - 1),
    "security": _integer(0, SECURITY_LIMIT - 1),
    "min_version": _text(_THREE),
    "expires": _integer(0, _WORD - 1),
    "notes": _notes,
    "revoke": _revoke,
    "image": _image,
    "payloads": _list(1, PAYLOADS, _payload),
}
