"""Makes text that cannot harm a terminal of the bytes that a board sends.

Allowed control sequences are colours (SGR) and what MicroPython's line editing sends: moving the cursor
within the line and clearing to its end (ECMA-48; MicroPython's ``shared/readline/readline.c``). Everything
else is made visible.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

_ALLOWED = re.compile(r"\x1b\[(?:[0-9;]{0,16}m|[0-9]{0,3}[DK])")
_BEGINNING = re.compile(r"\x1b(?:\[[0-9;]{0,16})?\Z")  # of a sequence whose rest has not come
_PLAIN = re.compile(r"[^\x00-\x1f\x7f-\x9f]+")
_KEPT = "\t\b\r"


@dataclass(frozen=True)
class Piece:
    """A part of what the board said, never beyond the end of a line.

    Attributes:
        text: safe to show.
        kind: ``text``, ``colour`` (SGR), ``move`` (within the line) or ``end`` (of a line).
    """

    text: str
    kind: str = "text"


class Cleaner:
    """Bytes in, safe pieces out; UTF-8, control sequences and line ends may arrive in parts."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def feed(self, data: bytes) -> list[Piece]:
        """Pieces that ``data`` completes."""
        text = self._held + self._decoder.decode(data)
        self._held = ""
        beginning = _BEGINNING.search(text)
        # The second half of a line's end may come with the next bytes, as may the rest of a sequence.
        at = beginning.start() if beginning else len(text) - text.endswith("\r")
        text, self._held = text[:at], text[at:]
        return list(_pieces(text))

    def flush(self) -> list[Piece]:
        """What was held back, because nothing more comes for a while."""
        text, self._held = self._held + self._decoder.decode(b"", final=True), ""
        return list(_pieces(text))


def _pieces(text: str) -> Iterator[Piece]:
    at = 0
    while at < len(text):
        plain, sequence = _PLAIN.match(text, at), _ALLOWED.match(text, at)
        if plain:
            yield Piece(plain[0])
            at = plain.end()
        elif sequence:
            yield Piece(sequence[0], "colour" if sequence[0].endswith("m") else "move")
            at = sequence.end()
        elif text[at] == "\n" or text.startswith("\r\n", at):
            yield Piece("\n", "end")
            at = text.index("\n", at) + 1
        else:
            yield Piece(text[at] if text[at] in _KEPT else visible(text[at]), "text")
            at += 1


def visible(character: str) -> str:
    """A control character as ``^G``, ``^[`` or ``\\x9b``."""
    number = ord(character)
    if number < 0x20 or number == 0x7F:
        return "^" + chr(number ^ 0x40)
    return f"\\x{number:02x}"
