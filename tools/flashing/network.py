"""A serial port on the network (RFC 2217) that does not dawdle."""

from __future__ import annotations

from serial import rfc2217


class NetworkLine(rfc2217.Serial):
    """pyserial's client, except that a new timeout is not negotiated with the server.

    A timeout concerns nobody but the reader, yet pyserial 3.5 sends all of the port's settings again and
    sleeps at least 50 ms; esptool sets timeouts at every command.
    """

    @property
    def timeout(self) -> float | None:
        """How long a read waits, s; None for ever."""
        return self._timeout

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self._timeout = seconds
