"""Line to the process that plays the chip: one socket, one request at a time.

Buffers are preallocated, so that a call made in a loop allocates nothing.
"""

import os
import socket
import struct

import _ops

_request = bytearray(struct.calcsize(_ops.REQUEST))
_reply = bytearray(struct.calcsize(_ops.REPLY))
_u64 = bytearray(8)
_socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
_socket.connect(struct.pack("<H108s", socket.AF_UNIX, os.getenv("CICADA_CHIP").encode()))

#: microseconds since boot, as of the last answer
now_us = 0


def call(op, argument=0, payload=b"", into=None):
    """One round trip.

    Args:
        op, argument, payload: see ``_ops``.
        into: buffer for the answer's payload; without it the payload is returned.

    Returns:
        ``value`` when ``into`` is given, else ``(value, payload)``.
    """
    global now_us
    struct.pack_into(_ops.REQUEST, _request, 0, op, argument, len(payload))
    _socket.write(_request)
    if payload:
        _socket.write(payload)
    if _socket.readinto(_reply) != len(_reply):
        raise SystemExit
    # By hand, as struct.unpack would allocate a tuple at every call; the layout is _ops.REPLY.
    r = _reply
    status = r[0]
    value = r[2] | r[3] << 8
    length = r[4] | r[5] << 8 | r[6] << 16 | r[7] << 24
    now_us = r[8] | r[9] << 8 | r[10] << 16 | r[11] << 24 | r[12] << 32 | r[13] << 40 | r[14] << 48
    if status == _ops.OS_ERROR:
        raise OSError(value)
    if status == _ops.VALUE_ERROR:
        raise ValueError(_socket.read(length).decode())
    if into is None:
        return value, (_socket.read(length) if length else b"")
    if length != len(into):
        raise OSError(5)
    if length:
        _socket.readinto(into)
    return value


def microseconds(op, us):
    """A call whose payload is a duration."""
    struct.pack_into("<Q", _u64, 0, us)
    return call(op, 0, _u64, b"")
