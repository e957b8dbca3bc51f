"""Signed commands: made here, taken by one device, once.

firmware/app/node/commands/envelope.py has the format.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from cicada.tools.errors import UserError, from_os_error
from cicada.tools.release import keystore
from cicada.tools.release.keys import Signer

_FORMAT = "<4sBBH6s8sII"
#: Longest body, bytes.
LONGEST_BODY = 1024


def pack(
    signer: Signer, device: bytes, counter: int, expiry: int, command: str, arguments: Mapping[str, Any]
) -> bytes:
    """An envelope.

    Args:
        signer: whose public key the device lists in ``commands.keys``.
        device: its id, 6 bytes.
        counter: greater than any that this key has used before with this device.
        expiry: Unix time, 0 for never.
        command, arguments: what to do.

    Raises:
        UserError: the arguments are too long.
    """
    body = json.dumps({"command": command, "arguments": dict(arguments)}, separators=(",", ":")).encode()
    if len(body) > LONGEST_BODY:
        raise UserError(f"the command has {len(body)} bytes, {LONGEST_BODY} at most: change less at a time")
    return seal(signer, device, counter, expiry, body)


def seal(signer: Signer, device: bytes, counter: int, expiry: int, body: bytes) -> bytes:
    """An envelope around any body."""
    key = bytes.fromhex(signer.id)
    head = struct.pack(_FORMAT, b"CCMD", 1, 0, len(body), device, key, counter, expiry)
    return head + body + signer.sign(hashlib.sha256(head + body).digest())


def device_id(text: str) -> bytes:
    """A device's id from its 12 hex digits.

    Raises:
        UserError: it is none.
    """
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != 6:
        raise UserError(f"'{text}' is no device: give the 12 hex digits of its id, which its topics have")
    return data


def key(path: Path) -> Signer:
    """The private key in a PEM file; asks for its passphrase if it has one.

    Raises:
        UserError: see :func:`cicada.tools.release.keystore.read_private`.
    """
    try:
        encrypted = b"ENCRYPTED" in path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing: 'cicada node key {path}' makes a key") from None
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
    return Signer.of(path.stem, keystore.read_private(path, encrypted))


def new_key(path: Path) -> Signer:
    """Make a key, encrypted with a passphrase; never over an existing file.

    Raises:
        UserError: there is a file, or the passphrase is too short.
    """
    private = ec.generate_private_key(ec.SECP256R1())
    keystore.write_private(path, private, keystore.passphrase(path.stem, twice=True))
    return Signer.of(path.stem, private)


def next_counter(path: Path, now: float | None = None) -> int:
    """A number that this key has not used before: Unix time, or one more than the last.

    The last one lies beside the key, in ``KEY.counter``, so that neither a clock that is set back nor two
    commands within a second repeat one.

    Args:
        path: of the key.
        now: Unix time (default: the clock's).

    Raises:
        UserError: the file cannot be written.
    """
    beside = path.with_name(path.name + ".counter")
    try:
        handle = os.open(beside, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(handle, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            last = file.read().strip()
            if last and not last.isdigit():
                raise UserError(f"{beside} holds no number: delete it if this machine's clock is right")
            number = max(int(time.time() if now is None else now), int(last or 0) + 1)
            file.seek(0)
            file.truncate()
            file.write(f"{number}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise from_os_error(error, f"writing {beside}") from error
    if number > 0xFFFFFFFF:
        raise UserError(f"{beside} has come to its end: make another key")
    return number
