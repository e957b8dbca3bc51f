"""The twin's serial port on the network: an RFC 2217 server that never waits, and the auto-reset circuit.

pyserial's ``rfc2217.PortManager`` speaks the protocol; here are its socket and the port it believes to drive.
Programs open it as ``rfc2217://127.0.0.1:PORT``. Unlike a pty it has the lines DTR and RTS, by which
esptool resets a chip. pyserial's client sleeps 50 ms after every setting, which costs esptool 0.2 s a
command whatever the server does.
"""

from __future__ import annotations

import errno
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

import serial
from serial import rfc2217

from cicada.tools.errors import UserError, from_os_error

_CHUNK = 65536
_CHUNKS = 16  # read in one call at most, so that a fast sender leaves the twin its turn
_ROOM = 256 * 1024  # bytes kept for a client that reads slowly; the rest is lost
_LONGEST_OPTION = 64  # no subnegotiation of RFC 2217 is longer
_PLAIN = re.compile(rb"(?:[^\xff]+|\xff\xff)+")  # data without a command of Telnet
_IN_USE = b"\r\nThis port is in use by another program.\r\n"


@dataclass(frozen=True)
class Data:
    """Bytes that the client typed."""

    data: bytes


@dataclass(frozen=True)
class Lines:
    """The client moved a line; True is asserted, which pulls the pin low."""

    dtr: bool
    rts: bool


class NetworkPort:
    """A serial port for one client at a time. No method waits.

    Args:
        address: where to listen; port 0 takes a free one.

    Raises:
        UserError: if the address cannot be listened on.

    Attributes:
        url: what other programs open.
    """

    def __init__(self, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            # Or the port stays taken for a minute after a twin ended while a client was there.
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(address)
            self._listener.listen()
        except OSError as error:
            self._listener.close()
            host, number = address
            if error.errno == errno.EADDRINUSE:
                raise UserError(
                    f"port {number} of {host} is in use by another program: end it or choose another port"
                ) from error
            raise from_os_error(error, f"listening on {host}:{number}") from error
        self._listener.setblocking(False)
        host, number = self._listener.getsockname()
        self.url = f"rfc2217://{host}:{number}"
        self._client: socket.socket | None = None
        self._out = bytearray()
        self._events: list[Data | Lines] = []

    @property
    def wants_write(self) -> bool:
        """Whether bytes wait until the client's socket (the last of :meth:`sockets`) can be written."""
        return bool(self._out)

    def sockets(self) -> list[socket.socket]:
        """What to wait on for reading: the listener, then the client's socket if there is one."""
        return [self._listener, self._client] if self._client else [self._listener]

    def receive(self) -> list[Data | Lines]:
        """What happened since the last call, in order; also sends what waited.

        When a client goes, the lines it held are let go: ``Lines(False, False)``.
        """
        self._flush()
        # The old client first: one program often opens the port right after another closed it.
        if self._drained():
            self._accept()
        happened, self._events = self._events, []
        return happened

    def send(self, data: bytes) -> None:
        """Send to the client; lost without one, and lost beyond 256 KiB that it has not read."""
        if self._client:
            data = data[: max(_ROOM - len(self._out), 0)]
            self._out += data.replace(rfc2217.IAC, rfc2217.IAC_DOUBLED)
            self._flush()

    def close(self) -> None:
        """Hang up and stop listening."""
        self._forget()
        self._listener.close()

    def _drained(self) -> bool:
        """Read what the client sent; False if there may be more."""
        for _ in range(_CHUNKS):
            if self._client is None:
                return True
            try:
                chunk = self._client.recv(_CHUNK)
            except BlockingIOError:
                return True
            except OSError:
                chunk = b""
            if not chunk:
                self._forget()
                return True
            self._take(chunk)
            self._flush()
        return False

    def _take(self, chunk: bytes) -> None:
        """Sort a piece of the stream into data and Telnet."""
        manager, start = self._manager, 0
        while start < len(chunk):
            if manager.mode == rfc2217.M_NORMAL and manager.suboption is None:
                plain = _PLAIN.match(chunk, start)
                if plain:  # PortManager would take it byte by byte
                    self._typed(plain[0].replace(rfc2217.IAC_DOUBLED, rfc2217.IAC))
                    start = plain.end()
                    continue
            try:
                self._typed(b"".join(manager.filter(chunk[start : start + 1])))
            except (KeyError, TypeError, ValueError, struct.error):
                return self._forget()  # PortManager trips over what is not RFC 2217
            if len(manager.suboption or b"") > _LONGEST_OPTION or len(self._out) > 2 * _ROOM:
                return self._forget()  # it talks without end, or asks without ever reading the answers
            start += 1

    def _typed(self, data: bytes) -> None:
        if not data:
            return
        if self._events and isinstance(self._events[-1], Data):
            data = self._events.pop().data + data
        self._events.append(Data(data))

    def _flush(self) -> None:
        try:
            while self._client and self._out:
                del self._out[: self._client.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:
            self._forget()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # nobody, or gone again
                return
            client.setblocking(False)
            if self._client:
                _turn_away(client)
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._client = client
            self._port = _Port(self._out, lambda lines: self._events.append(lines))
            self._manager = rfc2217.PortManager(self._port, self._port)
            self._flush()

    def _forget(self) -> None:
        if self._client is None:
            return
        self._client.close()
        self._client = None
        self._out.clear()
        if self._port.dtr or self._port.rts:
            self._events.append(Lines(False, False))


def _turn_away(client: socket.socket) -> None:
    try:
        client.send(_IN_USE)
        client.shutdown(socket.SHUT_WR)
        client.recv(_CHUNK)  # closing with bytes unread would take the message back
    except OSError:
        pass
    client.close()


class _Port:
    """What ``PortManager`` takes for the serial port and for the wire to the client.

    Settings are kept, lines are passed on to ``moved``, Telnet's own bytes go to ``out``.
    """

    def __init__(self, out: bytearray, moved: Callable[[Lines], None]) -> None:
        self.write = out.extend
        self._moved = moved
        self._dtr = self._rts = False
        self.baudrate = 115200
        self.bytesize = serial.EIGHTBITS
        self.parity = serial.PARITY_NONE
        self.stopbits = serial.STOPBITS_ONE
        self.xonxoff = self.rtscts = self.break_condition = False
        self.cts = self.dsr = self.ri = self.cd = False

    @property
    def dtr(self) -> bool:
        return self._dtr

    @dtr.setter
    def dtr(self, state: bool) -> None:
        self._set(state, self._rts)

    @property
    def rts(self) -> bool:
        return self._rts

    @rts.setter
    def rts(self, state: bool) -> None:
        self._set(self._dtr, state)

    def _set(self, dtr: bool, rts: bool) -> None:
        if (dtr, rts) != (self._dtr, self._rts):
            self._dtr, self._rts = dtr, rts
            self._moved(Lines(dtr, rts))

    def reset_input_buffer(self) -> None:
        """Nothing to do: what was sent is already on the network."""

    def reset_output_buffer(self) -> None:
        """Nothing to do: what was typed is already taken."""


class ResetLines:
    """The auto-reset circuit of ESP32 boards: two transistors between DTR, RTS and the pins EN, GPIO0.

    RTS alone pulls EN low, DTR alone pulls GPIO0 low, both together pull neither (Espressif, ESP32-DevKitC
    schematics). The capacitor at EN keeps the chip in reset while both lines are asserted right after RTS
    alone was, because esptool's classic sequence passes through there (``esp_pylib/serial_reset.py``); how
    long it would do so is not modelled.

    Attributes:
        held: whether the chip is held in reset.
    """

    def __init__(self) -> None:
        self.held = False

    def feed(self, dtr: bool, rts: bool) -> str | None:
        """The lines are now so: ``"run"`` or ``"download"`` if the chip comes out of reset by it."""
        if rts and not dtr:
            self.held = True
        if not self.held or rts:
            return None
        self.held = False
        return "download" if dtr else "run"
