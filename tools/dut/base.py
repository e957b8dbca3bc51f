"""What a test may do with a board, whether it is made of software or not."""

from __future__ import annotations

import re
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from cicada.tools.twin.events import parse

_SHOWN = 20  # console lines in the message of a failure
# The raw REPL reads from a buffer of 260 bytes (MICROPY_HW_STDIN_BUFFER of MicroPython's ESP32 port);
# mpremote sends it 256 bytes every 10 ms.
_CHUNK, _CHUNK_S = 256, 0.01
_ANSWER_S = 1.0  # how long a REPL may take to answer a key
_CTRL_A, _CTRL_B, _CTRL_C, _CTRL_D = "\x01", "\x02", "\x03", "\x04"
_RAW_PROMPT = re.compile(r"raw REPL; CTRL-B to exit\n>")
_PROMPT = re.compile(r">>> ")
#: Answer of the raw REPL to a program: ``OK``, output, 0x04, traceback, 0x04, ``>`` (MicroPython reference,
#: "The raw REPL").
_RAW_ANSWER = re.compile(r"OK(.*?)\x04(.*?)\x04>", re.DOTALL)

Pattern = str | bytes | re.Pattern


class ExpectTimeout(AssertionError, TimeoutError):
    """The board did not say what it should have said; the message has the last lines it did say."""


class ExecError(Exception):
    """Code given to :meth:`Dut.exec` raised an exception on the board.

    Args:
        code: what ran.
        traceback: as MicroPython printed it.

    Attributes:
        traceback: as above.
        exception: its last line, such as ``ValueError: bad``.
    """

    def __init__(self, code: str, traceback: str) -> None:
        self.traceback = traceback.strip()
        self.exception = self.traceback.rpartition("\n")[2]
        numbered = "\n".join(f"{number:4} {line}" for number, line in enumerate(code.split("\n"), 1))
        super().__init__(f"the board raised {self.exception}\n{self.traceback}\nin the code\n{numbered}")


class Dut(ABC):
    """A device under test.

    Seconds are virtual ones on the twin, which runs only within the methods here, and seconds of the wall
    clock on a board. Console text has ``\\n`` at the end of its lines whatever the board sent. Every
    ``expect`` looks at what lies behind the match of the one before, and a reset or power-on moves that
    place to the end.
    """

    #: Whether it is made of software. Then ``dut.twin`` is the :class:`cicada.tools.twin.twin.Twin`.
    is_twin = False
    _clock = "s"

    def __init__(self) -> None:
        self._at = 0

    @property
    @abstractmethod
    def text(self) -> str:
        """Everything the console said since the fixture was made."""

    @property
    @abstractmethod
    def now(self) -> float:
        """Seconds since the fixture was made."""

    @abstractmethod
    def write(self, data: str | bytes) -> None:
        """Type at the console; nothing is added, so end a line for the REPL with ``\\r`` yourself."""

    @abstractmethod
    def reset(self) -> None:
        """Press EN. What the console said before is passed over by the next ``expect``.

        On a board RTS does it, as in esptool; a port without that line skips the test.
        """

    @abstractmethod
    def power_off(self) -> None:
        """Take the power away; on a board, where nobody can, the test is skipped."""

    @abstractmethod
    def power_on(self) -> None:
        """Give it power again; what the console said before is passed over by the next ``expect``."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it; the fixture does that."""

    @abstractmethod
    def _run(self, done: Callable[[], bool], seconds: float) -> bool:
        """Take in what the console says until ``done()`` or for ``seconds``; returns ``done()``."""

    def expect(self, pattern: Pattern | Sequence[Pattern], timeout: float = 30.0) -> re.Match:
        """Wait until the console has said something that matches.

        Args:
            pattern: a regular expression, or several. Those not compiled yet get ``re.MULTILINE``. ``bytes``
                are matched with the text in UTF-8 and give groups of bytes. A line may still be on its way:
                end the pattern with ``\\n`` when it must see a whole one.
            timeout: seconds.

        Returns:
            the match that begins first; of several patterns, ``match.re`` says which.

        Raises:
            ExpectTimeout: an ``AssertionError`` and ``TimeoutError``, with the last console lines.
        """
        __tracebackhide__ = True
        patterns = [_compiled(one) for one in _several(pattern)]
        match = self._await(patterns, timeout)
        if match is None:
            raise self._silent(" or ".join(repr(p.pattern) for p in patterns), timeout)
        return match

    def expect_exact(self, text: str | bytes | Sequence[str | bytes], timeout: float = 30.0) -> re.Match:
        """As :meth:`expect`, for text in which no character has a special meaning."""
        __tracebackhide__ = True
        texts = _several(text)
        match = self._await([re.compile(re.escape(one)) for one in texts], timeout)
        if match is None:
            raise self._silent(" or ".join(map(repr, texts)), timeout)
        return match

    def events(self) -> list[dict]:
        """All events so far: the objects of the lines ``EVENT {json}`` (:mod:`cicada.tools.twin.events`)."""
        return list(parse(self.text.rpartition("\n")[0].split("\n")))

    def expect_event(self, kind: str, timeout: float = 30.0) -> dict:
        """Wait for the next event whose ``event`` is ``kind``; others on the way are passed over.

        Raises:
            ExpectTimeout: as for :meth:`expect`.
        """
        __tracebackhide__ = True
        line = re.compile(r"^EVENT .*\n", re.MULTILINE)
        end = self.now + timeout
        while match := self._await([line], max(end - self.now, 0.0)):
            for event in parse([match.group().rstrip("\n")]):
                if event["event"] == kind:
                    return event
        raise self._silent(f"an event of kind {kind!r}", timeout)

    def exec(self, code: str, timeout: float = 30.0) -> str:
        """Run code on the board and return what it printed.

        The program is interrupted first (Ctrl-C) and does not go on afterwards: :meth:`reset` starts it
        again. The REPL waits at the end, for :meth:`write`, too; code that never returns, as
        ``machine.deepsleep()``, belongs there.

        Args:
            code: MicroPython; indentation common to all lines is taken away.
            timeout: seconds for the interruption, and again for the code.

        Raises:
            ExecError: with the board's traceback, if the code raises.
            ExpectTimeout: if the program cannot be interrupted or the code does not end.
        """
        __tracebackhide__ = True
        code = textwrap.dedent(code).strip("\n")
        self._enter_raw(timeout)
        # A line's end even behind no code at all, for Ctrl-D alone is a soft reset.
        self._type(f"{code}\n{_CTRL_D}".encode())
        answer = self._await([_RAW_ANSWER], timeout)
        if answer is None:
            raise self._silent("that the code has ended", timeout)
        self.write(_CTRL_B)
        self._await([_PROMPT], _ANSWER_S)
        if answer[2]:
            raise ExecError(code, answer[2])
        return answer[1]

    def _enter_raw(self, timeout: float) -> None:
        """From whatever runs to the prompt of the raw REPL.

        One try may be lost: a board hears nothing in deep sleep, and while a boot loader runs.
        """
        __tracebackhide__ = True
        end = self.now + timeout
        while True:
            self._run(self._hears, max(end - self.now, 0.0))
            self._skip()
            self.write(_CTRL_C)
            self._await([_PROMPT], _ANSWER_S)
            self._skip()
            self.write(_CTRL_A)
            if self._await([_RAW_PROMPT], _ANSWER_S):
                return
            if self.now >= end:
                raise self._silent("the prompt of its raw REPL after Ctrl-C", timeout)

    def _hears(self) -> bool:
        """Whether something typed now reaches the program; True where that cannot be known."""
        return True

    def _type(self, data: bytes) -> None:
        """Type no faster than a REPL reads."""
        for at in range(0, len(data), _CHUNK):
            self.write(data[at : at + _CHUNK])
            self._run(lambda: False, _CHUNK_S)

    def _skip(self) -> None:
        """Pass over everything said so far."""
        self._at = len(self.text)

    def _await(self, patterns: Sequence[re.Pattern], timeout: float) -> re.Match | None:
        """The first match behind the place reached, which moves to its end; None if there is none."""
        searched, match = -1, None

        def done() -> bool:
            nonlocal searched, match
            text = self.text
            if len(text) != searched:  # the twin asks at every step
                searched = len(text)
                match = _first(patterns, text[self._at :])
            return match is not None

        self._run(done, timeout)
        if match is not None:
            self._at += _characters(match)
        return match

    def _silent(self, wanted: str, timeout: float) -> ExpectTimeout:
        lines = self.text.rstrip("\n").split("\n")[-_SHOWN:]
        said = "\n".join(f"    {line}" for line in lines)
        end = f"its console ended with\n{said}" if self.text else "it said nothing at all"
        what = f"the board did not say {wanted} within {timeout:g} {self._clock}"
        return ExpectTimeout(f"{what}{self._doubt()}; {end}")

    def _doubt(self) -> str:
        """What the console's text says about the connection, as part of a sentence."""
        return ""


def _several(given: Pattern | Sequence[Pattern]) -> list[Pattern]:
    several = list(given) if isinstance(given, (list, tuple)) else [given]
    if not several:
        raise ValueError("nothing to expect: the list of patterns is empty")
    return several


def _compiled(pattern: Pattern) -> re.Pattern:
    return pattern if isinstance(pattern, re.Pattern) else re.compile(pattern, re.MULTILINE)


def _first(patterns: Sequence[re.Pattern], text: str) -> re.Match | None:
    """The match that begins first; among equals, that of the pattern named first."""
    best, start = None, len(text) + 1
    for pattern in patterns:
        found = pattern.search(text.encode() if isinstance(pattern.pattern, bytes) else text)
        if found and (at := _characters(found, found.start())) < start:
            best, start = found, at
    return best


def _characters(match: re.Match, at: int | None = None) -> int:
    """A place in what was matched (its end, if not given), counted in characters."""
    at = match.end() if at is None else at
    return len(match.string[:at].decode("utf-8", "ignore")) if isinstance(match.string, bytes) else at
