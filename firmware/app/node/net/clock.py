"""The time of day by SNTP (RFC 4330), because certificates and releases have dates.

An answer is not authenticated: a lying server can make a certificate or a release look expired, or one that
has expired look good. It cannot make a signature good, nor take a security version back.
"""

import socket
import struct
import time

import machine
from micropython import const

from node.net import LinkError

_PORT = const(123)
_PACKET = const(48)
_ASK = const(0x23)  # version 4, client
_TRANSMITTED = const(40)  # offset of the time the server sent it
_1900_TO_1970 = const(2208988800)


def set_clock(host, timeout_s=3):
    """Ask ``host`` for the time and set the clock, in UTC.

    Raises:
        LinkError: if no usable answer comes.
    """
    packet = bytearray(_PACKET)
    packet[0] = _ASK
    try:
        line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            line.settimeout(timeout_s)
            line.sendto(packet, socket.getaddrinfo(host, _PORT)[0][-1])
            answer = line.recvfrom(_PACKET)[0]
        finally:
            line.close()
    except OSError:
        raise LinkError("no time from %s" % host)
    # Mode 4 is a server, stratum 0 a refusal.
    if len(answer) != _PACKET or answer[0] & 7 != 4 or not 1 <= answer[1] <= 15:
        raise LinkError("no usable time from %s" % host)
    seconds = struct.unpack_from("!I", answer, _TRANSMITTED)[0] - _1900_TO_1970
    if seconds < 0:
        seconds += 1 << 32  # the era that begins in 2036
    if time.gmtime(0)[0] == 2000:
        seconds -= 946684800
    year, month, day, hour, minute, second, weekday = time.gmtime(seconds)[:7]
    machine.RTC().datetime((year, month, day, weekday, hour, minute, second, 0))
