"""SLIP: frames in a stream of bytes (RFC 1055)."""

from __future__ import annotations

import re

_BROKEN = re.compile(rb"\xdb(?![\xdc\xdd])")  # an escape that escapes nothing


class Slip:
    """Frames out of a stream of bytes.

    Args:
        limit: longest frame, bytes; a longer one is dropped, so memory stays bounded.
    """

    def __init__(self, limit: int) -> None:
        self._limit = 2 * limit  # every byte may be escaped
        self._partial = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that ended within ``data``, without their escapes; broken ones are left out."""
        *ended, rest = (self._partial + data).split(b"\xc0")
        self._partial = rest[: self._limit + 1]
        whole = (f for f in ended if f and len(f) <= self._limit and not _BROKEN.search(f))
        return [f.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb") for f in whole]

    @staticmethod
    def frame(data: bytes) -> bytes:
        """``data`` as one frame."""
        return b"\xc0" + data.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"
