"""The model container ``.cmod``: one blob with a manifest, a model and a hash over both.

Layout, little-endian::

    0   magic        4 bytes  b"CMOD"
    4   version      u16      1
    6   header_size  u16      64
    8   total_len    u32      length of the whole blob
    12  manifest_off u32      64
    16  manifest_len u32
    20  model_off    u32      a multiple of 16, after the manifest; zeros fill the gap
    24  model_len    u32
    28  flags        u32      0
    32  sha256       32 bytes over bytes [0:32] and [64:total_len]
    64  manifest     UTF-8 JSON object with "schema": 1, "type" and the model's "sha256"

The reader trusts nothing before it has checked it: first sizes, then the hash, then the content.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any

MAGIC = b"CMOD"
VERSION = 1
HEADER_SIZE = 64
MODEL_ALIGNMENT = 16
SCHEMA = 1

_FIELDS = struct.Struct("<4sHHIIIIII")
_DIGEST_AT = _FIELDS.size


def pack(manifest: Mapping[str, Any], model: bytes) -> bytes:
    """Make a container; the same input gives the same bytes.

    Args:
        manifest: JSON-able description; ``schema`` and ``sha256`` are filled in here.
        model: the model's bytes, not empty.

    Raises:
        ValueError: if the model is empty, or the manifest has no ``type`` or holds NaN or infinity.
    """
    if not model:
        raise ValueError("the model is empty")
    if not isinstance(manifest.get("type"), str):
        raise ValueError("the manifest has no 'type'")
    full = {**manifest, "schema": SCHEMA, "sha256": hashlib.sha256(model).hexdigest()}
    text = json.dumps(
        full, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()
    model_off = -(-(HEADER_SIZE + len(text)) // MODEL_ALIGNMENT) * MODEL_ALIGNMENT
    total = model_off + len(model)
    fields = _FIELDS.pack(
        MAGIC, VERSION, HEADER_SIZE, total, HEADER_SIZE, len(text), model_off, len(model), 0
    )
    body = text.ljust(model_off - HEADER_SIZE, b"\0") + bytes(model)
    return fields + hashlib.sha256(fields + body).digest() + body


def unpack(blob: bytes | bytearray | memoryview) -> tuple[dict[str, Any], memoryview]:
    """Check a container and return its manifest and a read-only view of its model.

    Raises:
        ValueError: with the reason, for anything that :func:`pack` could not have written.
    """
    view = memoryview(blob).toreadonly().cast("B")
    if len(view) < HEADER_SIZE:
        raise ValueError(f"container is cut short: {len(view)} bytes, a header has {HEADER_SIZE}")
    magic, version, header, total, manifest_off, manifest_len, model_off, model_len, flags = (
        _FIELDS.unpack_from(view)
    )
    if magic != MAGIC:
        raise ValueError(f"not a model container: magic {magic!r}, not {MAGIC!r}")
    if version != VERSION:
        raise ValueError(f"container version {version} is not known; this reader knows {VERSION}")
    if header != HEADER_SIZE:
        raise ValueError(f"header size {header}, not {HEADER_SIZE}")
    if total != len(view):
        raise ValueError(f"container says {total} bytes but has {len(view)}")
    if flags != 0:
        raise ValueError(f"flags {flags:#x} are not known")
    if manifest_off != HEADER_SIZE or manifest_off + manifest_len > model_off:
        raise ValueError("the manifest is not between the header and the model")
    if model_off % MODEL_ALIGNMENT or model_len == 0 or model_off + model_len != total:
        raise ValueError("the model is empty, not aligned, or does not end where the container ends")
    digest = hashlib.sha256(view[:_DIGEST_AT])
    digest.update(view[HEADER_SIZE:])
    if digest.digest() != bytes(view[_DIGEST_AT:HEADER_SIZE]):
        raise ValueError("the hash does not fit the content: the container is damaged")
    model = view[model_off:]
    return _manifest(bytes(view[manifest_off : manifest_off + manifest_len]), model), model


def _manifest(text: bytes, model: memoryview) -> dict[str, Any]:
    try:
        manifest = json.loads(text.decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"the manifest is not UTF-8 JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise ValueError("the manifest is not a JSON object")
    if manifest.get("schema") != SCHEMA:
        raise ValueError(
            f"manifest schema {manifest.get('schema')!r} is not known; this reader knows {SCHEMA}"
        )
    if not isinstance(manifest.get("type"), str):
        raise ValueError("the manifest has no 'type'")
    if manifest.get("sha256") != hashlib.sha256(model).hexdigest():
        raise ValueError("the manifest's sha256 is not that of the model")
    return manifest
