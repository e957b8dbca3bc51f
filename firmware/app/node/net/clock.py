"""The time of day by SNTP (RFC 4330), because certificates and releases have dates.

An answer is not authenticated: a lying server can make a certificate or a release look expired, or one that
has expired look good. It cannot make a signature good, nor take a security version back. What is not a
server's answer to this very question, or cannot be true, is refused all the same.
"""

import os
import socket
import struct
import time

import machine
from micropython import const

from node import log
from node.net import LinkError
from node.updates.release import now

_PORT = const(123)
_PACKET = const(48)
_ASK = const(0x23)  # version 4, client
_STRANGERS = const(8)  # packets that are no answer to us, before we give up
_1900_TO_1970 = const(2208988800)
_1970_TO_2000 = const(946684800)
_EARLIEST = const(1735689600)  # 2025-01-01: no image with this code is older
_LATEST = const(2366841600)  # 2045-01-01
_INFINITY = const(0x10000)  # root delay and dispersion in 1/65536 s: a second (RFC 4330, section 5)
# An oscillator of RC, which counts through deep sleep on some boards, is off by up to 5 %: 72 minutes a day.
_JUMP_S = const(14400)
_AGREE_S = const(10)

#: By how many seconds the clock was set forward since somebody last asked and set this to 0.
moved = 0


def set_clock(host, timeout_s=3):
    """Ask ``host`` for the time and set the clock, in UTC.

    A clock that was set before is moved by more than four hours only if a second answer says the same.

    Raises:
        LinkError: if no usable answer comes.
    """
    global moved
    seconds, micros = _ask(host, timeout_s)
    before = now()
    if before is not None and abs(seconds - before) > _JUMP_S:
        log.warn("clock: %s says that it is %d s off, asking again" % (host, seconds - before))
        first, (seconds, micros) = seconds, _ask(host, timeout_s)
        if not -_AGREE_S <= seconds - first <= _AGREE_S:
            raise LinkError("two answers from %s differ by %d s" % (host, seconds - first))
    year, month, day, hour, minute, second, weekday = time.gmtime(seconds - _epoch())[:7]
    was = int(time.time())
    machine.RTC().datetime((year, month, day, weekday, hour, minute, second, micros))
    moved += int(time.time()) - was


def _epoch():
    """Seconds from 1970 to the beginning of this port's time."""
    return _1970_TO_2000 if time.gmtime(0)[0] == 2000 else 0


def _ask(host, timeout_s):
    """Seconds since 1970, and microseconds, when the answer came."""
    packet = bytearray(_PACKET)
    packet[0] = _ASK
    # A number drawn by lot instead of our time: nobody who does not see it can answer, and it says nothing.
    packet[40:48] = os.urandom(8)
    until = time.ticks_add(time.ticks_ms(), int(timeout_s * 1000))
    try:
        address = socket.getaddrinfo(host, _PORT)[0][-1]
        line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sent = time.ticks_ms()
            line.sendto(packet, address)
            for _ in range(_STRANGERS):
                left = time.ticks_diff(until, time.ticks_ms())
                if left <= 0:
                    break
                line.settimeout(left / 1000)
                answer, who = line.recvfrom(_PACKET + 1)
                if who == address and answer[24:32] == packet[40:48]:
                    return _read(host, answer, time.ticks_diff(time.ticks_ms(), sent))
        finally:
            line.close()
    except OSError:
        pass
    raise LinkError("no time from %s" % host)


def _read(host, answer, trip_ms):
    """The time in an answer, with half of the round trip added (RFC 4330, section 5: its checks)."""
    if len(answer) != _PACKET:
        raise LinkError("no usable time from %s" % host)
    first, stratum, delay, dispersion = struct.unpack_from("!BB2xII", answer)
    if stratum == 0:
        raise LinkError("no usable time from %s: it refuses (%s)" % (host, _letters(answer[12:16])))
    seconds, fraction = struct.unpack_from("!II", answer, 40)
    # Leap 3 says that it has no time itself, mode 4 is a server.
    if (
        first >> 6 == 3
        or first >> 3 & 7 not in (3, 4)
        or first & 7 != 4
        or stratum > 15
        or delay >= _INFINITY
        or dispersion >= _INFINITY
        or not seconds
    ):
        raise LinkError("no usable time from %s" % host)
    seconds -= _1900_TO_1970
    if seconds < 0:
        seconds += 1 << 32  # the era that begins in 2036
    if not _EARLIEST <= seconds < _LATEST:
        raise LinkError("no usable time from %s: it is not of these years" % host)
    micros = (fraction * 15625 >> 26) + trip_ms * 500
    return seconds + micros // 1000000, micros % 1000000


def _letters(code):
    """A kiss code: four letters, or what a stranger sends instead."""
    return "".join(chr(c) for c in code if 65 <= c <= 90)
