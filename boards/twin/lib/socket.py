"""``socket`` that goes through the board's Wi-Fi: no link, no traffic; what passes takes its time."""

import errno
import io
import struct

import _chip
import _ops
import uselect
import usocket
from usocket import AF_INET, SO_REUSEADDR, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET  # noqa: F401

AF_INET6 = 10
IPPROTO_TCP = 6
IPPROTO_UDP = 17
IPPROTO_IP = 0

_SLICE_US = 2000
_POLL, _CLOSE, _FILENO = 3, 4, 10  # ioctl of streams (MicroPython, py/stream.h)
_SERVED = 2  # added to the kind of traffic on a line that somebody else opened
_ASKS_SERVED = 5  # kind: only whether such a line is there
_count = bytearray(4)


def _traffic(kind, count):
    struct.pack_into("<I", _count, 0, count)
    _chip.call(_ops.NET_TRAFFIC, kind, _count, b"")


def getaddrinfo(host, port, *more):
    try:
        _traffic(1, 64)
        real = _chip.call(_ops.NET_RESOLVE, 0, ("%s:%d" % (host, port)).encode())[1].decode()
        host, _, port = real.rpartition(":")
        return usocket.getaddrinfo(host, int(port), *more)
    except OSError:
        raise OSError(-202)


def _reach():
    return _chip.call(_ops.NET_REACH, 0, b"", b"")


class socket(io.IOBase):
    def __init__(self, af=AF_INET, type=SOCK_STREAM, proto=0, _line=None):
        self._line = _line or usocket.socket(af, type)
        self._type = type
        self._bound = False
        self._way = _SERVED if _line else 0
        self._line.setblocking(False)
        self._timeout = None
        self._poll = uselect.poll()
        self._poll.register(self._line, uselect.POLLIN)

    def _ready(self, flag):
        return bool(self._events(flag))

    def _events(self, flags):
        """What is ready; nothing that came to a bound port when nobody can reach it by radio."""
        self._poll.modify(self._line, flags)
        ready = self._poll.poll(0)
        if not ready or (self._bound and not _reach()):
            return 0
        return ready[0][1]

    def deaf(self):
        """Whether nothing can arrive, whatever happens on this machine."""
        return self._bound and not _reach()

    def _wait(self, flag):
        """Until the line is ready, False if it may not wait; who is at its other end lives in real time."""
        waited = 0
        while not self._ready(flag):
            if self._timeout == 0:
                return False
            if self._timeout is not None and waited >= self._timeout * 1000000:
                raise OSError(errno.ETIMEDOUT)
            if self._bound:
                self._poll.poll(0 if self.deaf() else 2)
            else:
                _traffic(self._way and _ASKS_SERVED, 0)
                self._poll.poll(2)
            _chip.sleep_us(_SLICE_US)
            waited += _SLICE_US
        return True

    def _must(self, flag):
        if not self._wait(flag):
            raise OSError(errno.EAGAIN)

    def connect(self, address):
        _traffic(1, 60)
        try:
            self._line.connect(address)
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                raise
        if self._timeout == 0:
            raise OSError(errno.EINPROGRESS)
        self._wait(uselect.POLLOUT)
        _traffic(2, 60)
        if self._poll.poll(0)[0][1] & (uselect.POLLERR | uselect.POLLHUP):
            raise OSError(errno.ECONNREFUSED)

    def bind(self, address):
        if not isinstance(address, tuple):
            self._line.bind(address)
            return
        port = address[1]
        for fresh in (0, 1):
            where = _chip.call(_ops.NET_BIND, port, bytes([self._type, fresh]), b"")
            try:
                self._line.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
                self._line.bind(usocket.getaddrinfo("127.0.0.1", where)[0][-1])
                break
            except OSError:
                if fresh:
                    raise OSError(errno.EADDRINUSE)
        self._bound = True
        self._way = _SERVED

    def listen(self, backlog=2):
        self._line.listen(backlog)

    def accept(self):
        self._must(uselect.POLLIN)
        line, address = self._line.accept()
        return socket(_line=line), address

    def recv(self, count):
        self._must(uselect.POLLIN)
        data = self._line.recv(count)
        _traffic(self._way + 2, len(data))
        return data

    def recvfrom(self, count):
        self._must(uselect.POLLIN)
        data, address = self._line.recvfrom(count)
        _traffic(self._way + 2, len(data))
        return data, address

    def readinto(self, buf, count=None):
        if not self._wait(uselect.POLLIN):
            return None
        got = self._line.readinto(buf if count is None else memoryview(buf)[:count])
        _traffic(self._way + 2, got or 0)
        return got

    def read(self, count=-1):
        """To the end or ``count`` bytes; what is there, or None, if it may not wait."""
        return self._gather(1024, lambda data: len(data) == count, count)

    def readline(self):
        return self._gather(1, lambda data: data[-1:] == b"\n", -1)

    def _gather(self, most, done, count):
        data = b""
        while not done(data):
            if not self._wait(uselect.POLLIN):
                return data or None
            more = self.recv(most if count < 0 else min(most, count - len(data)))
            if not more:
                break
            data += more
        return data

    def send(self, data):
        self._must(uselect.POLLOUT)
        _traffic(self._way + 1, len(data))
        return self._line.send(data)

    def sendto(self, data, address):
        _traffic(self._way + 1, len(data))
        return self._line.sendto(data, address)

    def write(self, data, count=None):
        view = memoryview(data)[:count] if count is not None else memoryview(data)
        if self._timeout == 0:
            return self.send(view) if self._ready(uselect.POLLOUT) else None
        self.sendall(view)
        return len(view)

    def sendall(self, data):
        view = memoryview(data)
        while view:
            view = view[self.send(view) :]

    def makefile(self, *mode):
        return self

    def settimeout(self, seconds):
        self._timeout = seconds

    def setblocking(self, blocking):
        self._timeout = None if blocking else 0

    def setsockopt(self, *arguments):
        try:
            self._line.setsockopt(*arguments)
        except OSError:
            pass  # options of lwIP that the host does not know

    def fileno(self):
        return self._line.fileno()

    def ioctl(self, request, argument):
        if request == _POLL:
            return self._events(argument & (uselect.POLLIN | uselect.POLLOUT))
        if request == _FILENO:
            return self._line.fileno()
        if request == _CLOSE:
            self.close()
            return 0
        return -errno.EINVAL

    def close(self):
        self._line.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
