"""Read a node's console: log lines for people, ``EVENT`` lines for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable


class Events:
    """Collects console text and picks out the events.

    Attributes:
        text: everything said so far.
    """

    def __init__(self) -> None:
        self.text = ""
        self._line = ""

    def feed(self, text: str) -> tuple[list[str], list[dict]]:
        """Take in console text; returns the lines completed by it, and the events among them."""
        self.text += text
        *lines, self._line = (self._line + text).split("\n")
        return lines, list(parse(lines))


def parse(lines: Iterable[str]) -> Iterable[dict]:
    """The events among console lines; a garbled one is passed over, as on a noisy line."""
    for line in lines:
        if line.startswith("EVENT "):
            try:
                event = json.loads(line[6:])
            except ValueError:
                continue
            if isinstance(event, dict) and "event" in event:
                yield event
