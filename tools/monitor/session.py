"""A session at the console: board, keyboard, screen, and the time in between when the board is unplugged."""

from __future__ import annotations

import os
import selectors
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from cicada.tools.errors import UserError
from cicada.tools.monitor import keys
from cicada.tools.monitor.decoder import Decoder
from cicada.tools.monitor.filter import Filter
from cicada.tools.monitor.keys import Action, Keys
from cicada.tools.monitor.screen import Log, Screen, local_time, since_start
from cicada.tools.paths import BUILD

if TYPE_CHECKING:
    from cicada.tools.monitor.link import Link

_IDLE_S = 0.1  # silence after which an unfinished line is shown as it is
_AGAIN_S = 0.25  # between attempts to open a port that went away
#: How long a port may be away when nobody is there to end the waiting.
ALONE_S = 5.0


def monitor(
    port: str,
    baud: int,
    seconds: float | None = None,
    *,
    elf: Path | None = None,
    timestamps: str | None = None,
    log: Path | None = None,
    rules: str = "",
    reset: bool = False,
) -> int:
    """Show the console of ``port`` until Ctrl-], or until ``seconds`` have passed.

    A port that goes away is waited for: as long as somebody is at the keyboard, else until ``seconds`` have
    passed, or for 5 s.

    Args:
        port: its name or URL.
        baud: bits per second.
        seconds: length of the session; None for no end.
        elf: the firmware's ELF file, for source lines; None for none.
        timestamps: ``local`` or ``start`` put a time before each line.
        log: file to append everything to.
        rules: which log lines to show (:class:`cicada.tools.monitor.filter.Filter`).
        reset: restart the board at the beginning.

    Returns:
        Exit code: 1 if the port went away and did not come back.

    Raises:
        UserError: if the port is missing, forbidden or in use, or another argument cannot be used.
    """
    from cicada.tools.monitor.link import Link

    terminal = sys.stdout.isatty()
    screen = Screen(
        sys.stdout,
        sys.stderr,
        terminal=terminal,
        colours=terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        rules=Filter(rules),
        stamp={"local": local_time, "start": since_start()}.get(timestamps or ""),
        decoder=Decoder(elf) if elf else None,
    )
    link = Link(port, baud)
    end = time.monotonic() + seconds if seconds is not None else None
    with ExitStack() as stack:
        stack.callback(screen.close)
        session = _Session(screen, link, lambda: Link(port, baud), port, end)
        stack.callback(session.close)
        if log:
            screen.log = Log(log, port)
        if session.typing:
            stack.enter_context(keys.raw(sys.stdin.fileno()))
            screen.note(
                f"{port} at {baud} baud, Ctrl-] quits, Ctrl-C goes to the board, Ctrl-T Ctrl-H helps",
                log=False,
            )
        return session.run(reset)


class _Session:
    """The loop: bytes from the board to the screen, keys to the board."""

    def __init__(
        self, screen: Screen, link: Link, again: Callable[[], Link], port: str, end: float | None
    ) -> None:
        self._screen, self._link, self._again, self._port = screen, link, again, port
        self._end = end
        self._keys = Keys()
        self._deaf = False  # the board did not take the last key
        self.typing = sys.stdin.isatty()
        self._selector = selectors.DefaultSelector()
        self._selector.register(link, selectors.EVENT_READ)
        if self.typing:
            self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ, "keyboard")

    def run(self, reset: bool) -> int:
        """Until the end of the session, after a ``reset`` if wanted; its exit code."""
        from cicada.tools.monitor.link import Gone

        while not self._over():
            try:
                if reset:
                    reset = False
                    self.reset()
                if not self._turn():
                    return 0
            except Gone:
                code = self._wait()
                if code is not None:
                    return code
        return 0

    def reset(self) -> None:
        """Restart the board, or say why not."""
        if not self._link.reset():
            self._screen.note(
                f"{self._port} has no line RTS that could reset the board: press its button, "
                "or type Ctrl-C and Ctrl-D"
            )

    def close(self) -> None:
        """Let the port go."""
        self._selector.close()
        if self._link:
            self._link.close()

    def _over(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end

    def _turn(self) -> bool:
        """Wait for something and deal with it; False to quit."""
        wait = _IDLE_S if self._end is None else min(_IDLE_S, max(0.0, self._end - time.monotonic()))
        ready = self._selector.select(wait)
        if not ready:
            self._screen.idle()
        for key, _ in ready:
            if key.data == "keyboard":
                if not self._typed():
                    return False
            else:
                self._screen.feed(self._link.read())
        return True

    def _typed(self) -> bool:
        typed = keys.read(sys.stdin.fileno())
        for what in self._keys.feed(typed):
            if isinstance(what, bytes):
                self._send(what)
            elif not self._act(what):
                return False
        return bool(typed)

    def _send(self, data: bytes) -> None:
        taken = self._link.write(data)
        if not taken and not self._deaf:
            self._screen.note("the board does not take what is typed")
        self._deaf = not taken

    def _act(self, action: Action) -> bool:
        """Do what a key of the monitor asks for; False to quit."""
        screen = self._screen
        if action is Action.QUIT:
            return False
        if action is Action.RESET:
            self.reset()
        elif action is Action.LOG:
            self._toggle_log()
        elif action is Action.PAUSE:
            screen.paused = not screen.paused
            text = "output hidden, Ctrl-T Ctrl-Y shows it again" if screen.paused else "output shown"
            screen.note(text, log=False)
        elif action is Action.HELP:
            for line in keys.HELP.splitlines():
                screen.note(line, log=False)
        else:
            screen.note("no such key, Ctrl-T Ctrl-H lists them", log=False)
        return True

    def _toggle_log(self) -> None:
        screen = self._screen
        if screen.log:
            path, log, screen.log = screen.log.path, screen.log, None
            log.close()
            screen.note(f"log {_short(path)} ended")
            return
        try:
            path = BUILD / "monitor" / time.strftime("%Y-%m-%d-%H%M%S.log")
            screen.log = Log(path, self._port)
            screen.note(f"logging to {_short(path)}", log=False)
        except UserError as error:
            screen.note(str(error))

    def _wait(self) -> int | None:
        """Until the port is back (None), or somebody or the time ends it (the exit code)."""
        screen, alone = self._screen, None
        self._selector.unregister(self._link)
        self._link.close()
        self._link = None
        screen.cut()
        screen.note(f"{self._port} is gone, waiting for it to come back" + " (Ctrl-] quits)" * self.typing)
        if not self.typing and self._end is None:
            alone = time.monotonic() + ALONE_S
        while not self._over() and (alone is None or time.monotonic() < alone):
            for _ in self._selector.select(_AGAIN_S):
                typed = keys.read(sys.stdin.fileno())
                if not typed or b"\x03" in typed or Action.QUIT in self._keys.feed(typed):
                    return 0
            try:
                self._link = self._again()
            except UserError:
                continue
            self._selector.register(self._link, selectors.EVENT_READ)
            screen.note(f"{self._port} is back")
            return None
        return 1


def _short(path: Path) -> str:
    return os.path.relpath(path) if path.resolve().is_relative_to(Path.cwd()) else str(path)
