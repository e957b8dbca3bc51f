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
_POLL = 3  # ioctl of streams
_count = bytearray(4)


def _traffic(kind, count):
    struct.pack_into("<I", _count, 0, count)
    _chip.call(_ops.NET_TRAFFIC, kind, _count, b"")


def getaddrinfo(host, port, *more):
    try:
        _traffic(1, 64)
    except OSError:
        raise OSError(-202)
    return usocket.getaddrinfo(host, port, *more)


class socket(io.IOBase):
    def __init__(self, af=AF_INET, type=SOCK_STREAM, proto=0, _line=None):
        self._line = _line or usocket.socket(af, type)
        self._line.setblocking(False)
        self._timeout = None
        self._poll = uselect.poll()
        self._poll.register(self._line, uselect.POLLIN)

    def _wait(self, flag):
        """Until the line is ready; whoever is at its other end lives in real time."""
        self._poll.modify(self._line, flag)
        waited = 0
        while not self._poll.poll(0):
            if self._timeout is not None and waited >= self._timeout * 1000000:
                raise OSError(errno.ETIMEDOUT if self._timeout else errno.EAGAIN)
            _traffic(0, 0)
            self._poll.poll(2)
            _chip.sleep_us(_SLICE_US)
            waited += _SLICE_US

    def connect(self, address):
        _traffic(1, 60)
        try:
            self._line.connect(address)
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                raise
        self._wait(uselect.POLLOUT)
        _traffic(2, 60)
        if self._poll.poll(0)[0][1] & (uselect.POLLERR | uselect.POLLHUP):
            raise OSError(errno.ECONNREFUSED)

    def bind(self, address):
        self._line.bind(address)

    def listen(self, backlog=2):
        self._line.listen(backlog)

    def accept(self):
        self._wait(uselect.POLLIN)
        line, address = self._line.accept()
        return socket(_line=line), address

    def recv(self, count):
        self._wait(uselect.POLLIN)
        data = self._line.recv(count)
        _traffic(2, len(data))
        return data

    def recvfrom(self, count):
        self._wait(uselect.POLLIN)
        data, address = self._line.recvfrom(count)
        _traffic(2, len(data))
        return data, address

    def readinto(self, buf, count=None):
        view = memoryview(buf)[:count] if count is not None else buf
        self._poll.modify(self._line, uselect.POLLIN)
        if self._timeout == 0 and not self._poll.poll(0):
            return None
        self._wait(uselect.POLLIN)
        got = self._line.readinto(view)
        _traffic(2, got or 0)
        return got

    def read(self, count=-1):
        data = b""
        while count < 0 or len(data) < count:
            more = self.recv(1024 if count < 0 else count - len(data))
            if not more:
                break
            data += more
        return data

    def readline(self):
        data = b""
        while not data.endswith(b"\n"):
            more = self.recv(1)
            if not more:
                break
            data += more
        return data

    def send(self, data):
        self._wait(uselect.POLLOUT)
        _traffic(1, len(data))
        return self._line.send(data)

    def sendto(self, data, address):
        _traffic(1, len(data))
        return self._line.sendto(data, address)

    def write(self, data, count=None):
        view = memoryview(data)[:count] if count is not None else memoryview(data)
        if self._timeout == 0:
            return self.send(view)
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
            self._poll.modify(self._line, argument & (uselect.POLLIN | uselect.POLLOUT))
            ready = self._poll.poll(0)
            return ready[0][1] if ready else 0
        if request == 4:
            self.close()
        return 0

    def close(self):
        self._line.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
