"""What an image says about itself: ``node/identity.py``, written for each image that is built.

The module holds three constants. ``IDENTITY`` is one line of canonical JSON between a prefix and a zero byte;
MicroPython keeps it as it is in a ``.mpy`` file and in frozen code, so that tools find it in any image.
``KEYS`` are the public keys whose signatures the image believes, ``DEVELOPMENT`` the ids of those among them
that are development keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from cicada.tools.errors import UserError
from cicada.tools.paths import FIRMWARE
from cicada.tools.release.keystore import MAX_TRUSTED, TrustedKey

PRODUCT = "cicada"
#: Names of products, boards and model slots.
NAME = re.compile(r"[a-z0-9_.-]{1,32}", re.ASCII)
#: Versions of firmware and models.
VERSION = re.compile(r"[A-Za-z0-9.+_-]{1,32}", re.ASCII)
#: Security versions are below this.
SECURITY_LIMIT = 2**31

_FOUND = re.compile(rb"CICADA-IDENTITY (\{[ -~]{0,255}\})\0")


@dataclass(frozen=True)
class Identity:
    """Who an image is.

    Attributes:
        board: name of the board it was built for.
        product: of which product it is the firmware.
        security: security version; a device that confirmed it takes no lower one again.
        version: for people.
    """

    board: str
    product: str
    security: int
    version: str

    def __post_init__(self) -> None:
        for name, pattern in (("board", NAME), ("product", NAME), ("version", VERSION)):
            value = getattr(self, name)
            if not isinstance(value, str) or not pattern.fullmatch(value):
                raise ValueError(f"{name} {value!r} does not match {pattern.pattern}")
        if type(self.security) is not int or not 0 <= self.security < SECURITY_LIMIT:
            raise ValueError(f"security {self.security!r} is not a number from 0 to {SECURITY_LIMIT - 1}")

    def constant(self) -> bytes:
        """The bytes to look for in an image, zero byte included."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return b"CICADA-IDENTITY " + text.encode("ascii") + b"\0"


def source(
    board: str,
    keys: Sequence[TrustedKey],
    version: str | None = None,
    security: int | None = None,
    product: str = PRODUCT,
) -> str:
    """Python source of ``node/identity.py``; the same arguments give the same text.

    Args:
        board: name of the board the image is for.
        keys: whose signatures the image is to believe, 1 to 4 of them.
        version, security: those of the application (default: what ``firmware/app/node/__init__.py`` says).
        product: name of the product.

    Raises:
        ValueError: for names, versions or keys that the format cannot hold.
        UserError: if the application's source does not say its version.
    """
    if not 1 <= len(keys) <= MAX_TRUSTED:
        raise ValueError(f"an image trusts 1 to {MAX_TRUSTED} keys, not {len(keys)}")
    identity = Identity(
        board=board,
        product=product,
        security=_own("SECURITY") if security is None else security,
        version=_own("VERSION") if version is None else version,
    )
    publics = "".join(f"    {_literal(key.public)},\n" for key in keys)
    loud = "".join(f"    {_literal(bytes.fromhex(key.id))},\n" for key in keys if key.development)
    return (
        '"""Who this image is and whose updates it takes; written by the build."""\n\n'
        f"IDENTITY = {identity.constant()!r}\n"
        f"KEYS = (\n{publics})\n"
        f"DEVELOPMENT = (\n{loud})\n"
    )


def read(image: bytes) -> Identity:
    """The identity in an image, whatever its format.

    Raises:
        UserError: if there is none, or there are two that differ.
    """
    found = set(_FOUND.findall(image))
    if not found:
        raise UserError(
            "the image does not say which board and version it is: build it with 'make firmware', or give an "
            "image of Cicada"
        )
    if len(found) > 1:
        raise UserError(
            f"the image has {len(found)} different identities: clean its build folder and build it again"
        )
    (text,) = found
    try:
        identity = Identity(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise UserError(f"the identity in the image is not valid ({error}): build it again") from error
    if identity.constant() != b"CICADA-IDENTITY " + text + b"\0":
        raise UserError("the identity in the image is not written as the build writes it: build it again")
    return identity


def _literal(data: bytes) -> str:
    """A bytes literal that Python and MicroPython read alike."""
    return 'b"' + "".join(f"\\x{byte:02x}" for byte in data) + '"'


def _own(name: str) -> str | int:
    """A constant of the application, read without running it."""
    path = FIRMWARE / "app" / "node" / "__init__.py"
    match = re.search(rf'^{name} = (?:"([^"]+)"|(\d+))$', path.read_text(encoding="utf-8"), re.M)
    if not match:
        raise UserError(f'{path} lacks a line like {name} = "0.1.0" or {name} = 0: add it')
    return match[1] if match[1] is not None else int(match[2])
