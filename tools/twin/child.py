"""The MicroPython process: the real interpreter with the board's heap, its files and its console."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import struct
import termios
from pathlib import Path

from cicada.tools.errors import UserError
from cicada.tools.twin.chip import ops
from cicada.tools.twin.interpreter import CHIP
from cicada.tools.twin.launcher import launch

_PATIENCE_S = 10  # for the rest of a request
_TIMEVAL = struct.Struct("ll")
_HEADER = struct.calcsize(ops.REQUEST)
_LIMIT = 4 * 1024 * 1024  # no request is longer than the flash
#: The first words of the interpreter: it has nothing but the memory it was given.
_START = """
import sys, uctypes, uos, vfs
at = int(uos.getenv("CICADA_ROM"))
vfs.mount(vfs.VfsRom(memoryview(uctypes.bytearray_at(at, {size}))), "/rom")
sys.path[:] = ["/rom"]
del sys, uctypes, uos, vfs, at
import _start
_start.run(globals(), {raw})
"""


#: Bytes of the heap, as a 32-bit chip counts them, that hold what lies in flash on a chip: modules that are C
#: there (25 KB), and functions, names and constants of an application that is frozen there. All that the node
#: may import takes 66 KB here and 32 KB on the ESP32 port of MicroPython 1.28 (counted in an emulator, once,
#: not by this repository).
IN_FLASH = 58 * 1024


class Child:
    """One run of MicroPython, from boot to reset.

    Its standard output is a pipe (everything printed before a request is there before the request), its
    input a terminal, so that Ctrl-C interrupts it as on a serial console.

    Args:
        heap: bytes, as a 32-bit chip counts them; the 64-bit process gets twice that, and room for what a
            chip has in its flash (``IN_FLASH``).
        rom: memory with a ROMFS of the image's files and the twin's modules.
        flash: memory with the flash's contents.
        raw: whether a raw REPL is to follow instead of the program.

    Attributes:
        asked: whether it has asked its chip for anything.
    """

    def __init__(self, heap: int, rom: int, flash: int, raw: bool) -> None:
        self.stdin, terminal = os.openpty()
        self.stdout, output = os.pipe()
        self.chip, chip = socket.socketpair()
        try:
            _raw(terminal)
            if raw:
                os.write(self.stdin, b"\x01")
            start = _START.format(size=os.fstat(rom).st_size, raw=raw)
            self._life = launch(
                ["micropython", "-i", "-X", f"heapsize={heap + IN_FLASH}w", "-c", start],
                {"PATH": os.environ.get("PATH", ""), "CICADA_CHIP": str(CHIP)},
                {"CICADA_ROM": rom, "CICADA_FLASH": flash},
                terminal,
                output,
                chip,
            )
        except BaseException:
            self._close()
            raise
        finally:
            os.close(terminal)
            os.close(output)
            chip.close()
        os.set_blocking(self.stdout, False)
        # Blocking, but not for ever: Python's own timeouts would make two calls of each.
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.chip.setsockopt(socket.SOL_SOCKET, option, _TIMEVAL.pack(_PATIENCE_S, 0))
        self.asked = False

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

    def heed(self, interrupts: bool) -> None:
        """Let Ctrl-C interrupt the program, or be read as a character by it."""
        mode = termios.tcgetattr(self.stdin)
        wanted = mode[3] | termios.ISIG if interrupts else mode[3] & ~termios.ISIG
        if mode[3] != wanted:
            mode[3] = wanted
            termios.tcsetattr(self.stdin, termios.TCSANOW, mode)

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
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
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
        self.asked = True
        payload = self._exactly(length)
        return None if payload is None else (operation, argument, payload)

    def reply(self, data: bytes) -> bool:
        """Answer it; False if nobody is there any more."""
        try:
            self.chip.sendall(data)
        except (BrokenPipeError, ConnectionResetError, BlockingIOError):
            return False
        return True

    def _exactly(self, count: int) -> bytes | None:
        data = bytearray()
        while len(data) < count:
            try:
                chunk = self.chip.recv(count - len(data))
            except (ConnectionResetError, BlockingIOError):
                return None
            if not chunk:
                return None
            data += chunk
        return bytes(data)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._life.pid

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._life.alive()

    def died(self) -> str:
        """How it ended, for an error message."""
        code = self._life.wait()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def kill(self) -> None:
        """End it, whatever it does, and free what it held; may be called twice."""
        if self.stdin < 0:
            return
        self._life.kill()
        self._close()

    def _close(self) -> None:
        os.close(self.stdin)
        os.close(self.stdout)
        self.stdin = self.stdout = -1
        self.chip.close()


def _raw(terminal: int) -> None:
    """No echo and no line editing, but Ctrl-C still interrupts, and nothing else does."""
    mode = termios.tcgetattr(terminal)
    mode[6][termios.VQUIT] = mode[6][termios.VSUSP] = b"\0"
    mode[0] &= ~(termios.ICRNL | termios.IXON)
    mode[3] &= ~(termios.ECHO | termios.ICANON)
    mode[3] |= termios.ISIG
    termios.tcsetattr(terminal, termios.TCSANOW, mode)
