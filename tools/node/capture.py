"""What a node captures, put together from its pieces.

firmware/app/node/commands/capture.py has the format.
"""

from __future__ import annotations

import base64
import struct
import wave
from pathlib import Path
from typing import Any

from cicada.tools.errors import UserError

_HEADER = struct.Struct("<4sBBHIIII")
_FORMS = ("", "s16", "s16x3", "grey8")


class Capture:
    """Collects the pieces of one capture; others' are left alone.

    Attributes:
        form: ``s16``, ``s16x3`` or ``grey8``; None before the first piece.
        rate: Hz; of a picture its width.
        complete: whether every byte up to the last one has come.
    """

    def __init__(self) -> None:
        self.form: str | None = None
        self.rate = 0
        self._pieces: dict[int, bytes] = {}
        self._id: int | None = None
        self._size: int | None = None

    def message(self, data: bytes) -> None:
        """Take a message from the broker; one that is none is left alone."""
        if len(data) < _HEADER.size:
            return
        magic, version, form, flags, number, offset, rate, length = _HEADER.unpack_from(data)
        whole = len(data) == _HEADER.size + length
        if magic == b"CCAP" and version == 1 and 0 < form < len(_FORMS) and whole:
            self._take(number, _FORMS[form], rate, offset, data[_HEADER.size :], bool(flags & 1))

    def line(self, piece: dict[str, Any]) -> None:
        """Take the JSON of a console line; one that is none is left alone."""
        try:
            data = base64.b64decode(piece["data"], validate=True)
            form = _FORMS[_FORMS.index(piece["form"], 1)]
            self._take(piece["id"], form, piece["rate"], piece["offset"], data, piece["last"])
        except (KeyError, TypeError, ValueError):
            pass

    def _take(self, number: int, form: str, rate: int, offset: int, data: bytes, last: bool) -> None:
        if self._id is None:
            self._id, self.form, self.rate = number, form, rate
        if number != self._id:
            return
        self._pieces[offset] = data
        if last:
            self._size = offset + len(data)

    @property
    def complete(self) -> bool:
        """Whether every byte up to the last one has come."""
        return self._size is not None and len(self.data) == self._size

    @property
    def data(self) -> bytes:
        """The bytes from the first one to the first gap."""
        data = b""
        for offset in sorted(self._pieces):
            if offset != len(data):
                break
            data += self._pieces[offset]
        return data

    def write(self, path: Path) -> None:
        """Write it as a file: WAV for samples, PGM for a picture.

        Raises:
            UserError: pieces are missing.
        """
        if not self.complete:
            raise UserError(f"the capture has gaps after {len(self.data)} bytes: ask for it once more")
        if self.form == "grey8":
            height = len(self.data) // max(self.rate, 1)
            path.write_bytes(b"P5 %d %d 255\n" % (self.rate, height) + self.data)
            return
        with wave.open(str(path), "wb") as file:
            file.setnchannels(3 if self.form == "s16x3" else 1)
            file.setsampwidth(2)
            file.setframerate(self.rate)
            file.writeframes(self.data)
