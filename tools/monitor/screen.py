"""What the board said, line by line: to the screen, filtered and coloured, and to a log file, all of it."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from cicada.tools.errors import from_os_error
from cicada.tools.monitor.decoder import Decoder
from cicada.tools.monitor.filter import LOG_LINE, Filter, may_become_log_line
from cicada.tools.monitor.text import Cleaner, Piece

# ECMA-48 SGR. Levels as ESP-IDF colours them (``esp_log_color.h``).
_LEVELS = {"E": "\x1b[31m", "W": "\x1b[33m", "I": "\x1b[32m"}
_NOTE, _BELOW, _PLAIN = "\x1b[33m", "\x1b[36m", "\x1b[0m"


def local_time() -> str:
    """Time of day with milliseconds."""
    return datetime.datetime.now().strftime("%H:%M:%S.%f")[:-3] + " "


def since_start() -> Callable[[], str]:
    """A clock that begins now: seconds with milliseconds."""
    began = time.monotonic()
    return lambda: f"{time.monotonic() - began:10.3f} "


class Log:
    """A text file that only grows, headed by a line with date and port.

    Args:
        path: of the file; its folder is made.
        port: named in the first line.

    Raises:
        UserError: if it cannot be written.
    """

    def __init__(self, path: Path, port: str) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8", errors="replace", newline="")
            now = datetime.datetime.now().astimezone()
            self.write(f"--- {now.isoformat(sep=' ', timespec='seconds')} {port}\n")
        except OSError as error:
            raise from_os_error(error, f"writing the log {path}") from error

    def write(self, text: str) -> None:
        """Append at once, or a crash of this machine would take the interesting part with it.

        Raises:
            OSError: as the file system does.
        """
        self._file.write(text)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Screen:
    """Lines of the board as they come, with notes of the monitor between them.

    Args:
        out: where the board's words go.
        err: where the monitor's own go.
        terminal: whether ``out`` is a terminal, which understands cursor movements.
        colours: whether to colour, and to let the board's colours through.
        rules: what to show.
        stamp: gives the beginning of a line; None for none.
        decoder: adds source lines; None for none.
        log: gets everything; None for none.

    Attributes:
        paused: nothing the board says is shown; the log goes on.
    """

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        *,
        terminal: bool = False,
        colours: bool = False,
        rules: Filter | None = None,
        stamp: Callable[[], str] | None = None,
        decoder: Decoder | None = None,
        log: Log | None = None,
    ) -> None:
        self._out, self._err = out, err
        self._terminal, self._colours = terminal, colours
        self._rules = rules or Filter("")
        self._stamp, self._decoder, self.log = stamp, decoder, log
        self._cleaner = Cleaner()
        self.paused = False
        self._coloured = False  # the terminal is not in its plain colour
        self._within = False  # the cursor is within a line
        self._begin()

    def _begin(self) -> None:
        self._line = ""
        self._prefix: str | None = None
        self._waiting: list[Piece] = []  # until it is clear whether to show the line
        self._shown: bool | None = None
        self._tinted = False

    def feed(self, data: bytes) -> None:
        """Show what the board sent."""
        for piece in self._cleaner.feed(data):
            self._take(piece)
        self._out.flush()

    def idle(self) -> None:
        """Nothing came for a moment: show what was held back in the hope of more."""
        for piece in self._cleaner.flush():
            self._take(piece)
        if self._waiting and self._shown is None:
            self._decide()
        self._out.flush()

    def cut(self) -> None:
        """The board is gone, so the line that it began stays unfinished."""
        self.idle()
        if self._prefix is not None:
            self._finish()

    def note(self, text: str, log: bool = True) -> None:
        """A line of the monitor itself, for the log file too unless it only concerns the keyboard."""
        self._break()
        self._plain()
        self._out.flush()
        line = f"--- {text}"
        self._err.write(f"{_NOTE}{line}{_PLAIN}\n" if self._colours and self._err.isatty() else f"{line}\n")
        self._err.flush()
        if log:
            self._record(("\n" if self._line else "") + f"{line}\n")

    def close(self) -> None:
        """Leave the terminal in its plain colour, at the beginning of a line, and close the log."""
        self.idle()
        self._plain()
        if self._terminal:
            self._break()
        self._out.flush()
        if self.log:
            self._record("\n" if self._line else "")
            self.log.close()
            self.log = None

    def _take(self, piece: Piece) -> None:
        if self._prefix is None:
            self._prefix = self._stamp() if self._stamp else ""
            self._record(self._prefix)
        if piece.kind == "end":
            self._finish()
            return
        if piece.kind == "text":
            self._line += piece.text
            self._record(piece.text)
        if self._shown is None:
            self._waiting.append(piece)
            if self._line and not may_become_log_line(self._line):
                self._decide()
        elif self._shown:
            self._put(piece)

    def _decide(self) -> None:
        """Show what waited, or hide the line."""
        self._shown = self._rules.shows(self._line)
        if not self._shown:
            return
        self._show(self._prefix or "")
        level = LOG_LINE.match(self._line)
        if self._colours and level and not any(piece.kind == "colour" for piece in self._waiting):
            self._show(_LEVELS.get(level[1], ""))
            self._tinted = self._coloured = level[1] in _LEVELS
        for piece in self._waiting:
            self._put(piece)

    def _put(self, piece: Piece) -> None:
        if piece.kind == "colour":
            if self._colours:
                self._show(piece.text)
                self._coloured = piece.text not in ("\x1b[m", _PLAIN)
        elif piece.kind == "text" or self._terminal:
            self._show(piece.text)
            self._within = True

    def _finish(self) -> None:
        if self._shown is None:
            self._decide()
        line, shown = self._line, self._shown
        self._record("\n")
        if shown:
            self._show((_PLAIN if self._tinted else "") + "\n")
            self._coloured = self._coloured and not self._tinted
        self._within = False
        self._begin()
        if self._decoder is None:
            return
        warning = self._decoder.check(line)
        if warning:
            self.note(warning)
        for below in self._decoder.feed(line) if shown else ():
            self._show(f"{_BELOW}--- {below}{_PLAIN}\n" if self._colours else f"--- {below}\n")
            self._record(f"--- {below}\n")

    def _break(self) -> None:
        """Begin a new line on the screen if the cursor is within one, even while output is hidden."""
        if self._within:
            self._out.write("\n")
            self._within = False

    def _plain(self) -> None:
        """Back to the terminal's own colour, even while output is hidden."""
        if self._coloured:
            self._out.write(_PLAIN)
            self._coloured = False

    def _show(self, text: str) -> None:
        if not self.paused:
            self._out.write(text)

    def _record(self, text: str) -> None:
        if self.log is None or not text:
            return
        try:
            self.log.write(text)
        except OSError as error:
            path, self.log = self.log.path, None
            self.note(f"the log {path} ends here: {error.strerror or error}")
