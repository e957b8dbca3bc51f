"""Line to the process that plays the chip: one socket, one request at a time.

Buffers are preallocated, so that a call made in a loop allocates nothing.
"""

import struct
import sys

import _ops
import uos

_request = bytearray(struct.calcsize(_ops.REQUEST))
_reply = bytearray(struct.calcsize(_ops.REPLY))
_u64 = bytearray(8)
_rest = bytearray(64)
_line = open(int(uos.getenv("CICADA_CHIP")), "r+b")

#: microseconds since boot, as of the last answer
now_us = 0
#: handlers of interrupts by handle: (function, its argument)
handlers = {}
_handling = False
#: handlers wait until this is false again (machine.disable_irq)
held = False


def call(op, argument=0, payload=b"", into=None, more=b""):
    """One round trip.

    Args:
        op, argument, payload: see ``_ops``; ``more`` is appended to ``payload``.
        into: buffer for the answer's payload, which may be shorter; without it the payload is returned.

    Returns:
        ``value`` when ``into`` is given, else ``(value, payload)``.
    """
    global now_us
    struct.pack_into(_ops.REQUEST, _request, 0, op, argument, len(payload) + len(more))
    _line.write(_request)
    if payload:
        _line.write(payload)
    if more:
        _line.write(more)
    broken = False
    try:
        got = _line.readinto(_reply)
    except KeyboardInterrupt:
        # The signal of a Ctrl-C, which should have come with an answer. What was asked is still answered, and
        # an answer that nobody reads would be taken for the next one.
        broken = True
        got = _line.readinto(_reply)
    if got != len(_reply):
        raise SystemExit
    # By hand, as struct.unpack would allocate a tuple at every call; the layout is _ops.REPLY.
    r = _reply
    status = r[0]
    flags = r[1]
    value = r[2] | r[3] << 8
    length = r[4] | r[5] << 8 | r[6] << 16 | r[7] << 24
    now_us = r[8] | r[9] << 8 | r[10] << 16 | r[11] << 24 | r[12] << 32 | r[13] << 40 | r[14] << 48
    answer = None
    if status or into is None:
        try:
            answer = _line.read(length) if length else b""
        except MemoryError:
            _drain(length)
            raise
    elif length > len(into):
        _drain(length)
        raise OSError(5)
    elif length:
        _line.readinto(into, length)
    if flags & _ops.INTERRUPT and not (_handling or held):
        _handle()
    if flags & _ops.CTRL_C or broken:
        raise KeyboardInterrupt
    if status:
        _fail(status, value, answer)
    return (value, answer) if into is None else value


def _drain(length):
    """Throw an answer away: what is left of it would be taken for the next one."""
    while length:
        length -= _line.readinto(_rest, min(length, len(_rest)))


def microseconds(op, us, argument=0):
    """A call whose payload is a duration."""
    struct.pack_into("<Q", _u64, 0, us)
    return call(op, argument, _u64, b"")


def sleep_us(us):
    """Wait; handlers of interrupts run in between."""
    call(_ops.CLOCK, 0, b"", b"")
    end = now_us + us
    while now_us < end:
        microseconds(_ops.SLEEP, end - now_us, int(_handling or held))


def handle_for(function, argument):
    """Number under which an interrupt finds its handler."""
    handle = 1
    while handle in handlers:
        handle += 1
    handlers[handle] = (function, argument)
    return handle


def _handle():
    """Run the handler of one interrupt, between two requests and never within one; more wait for the next."""
    global _handling
    _handling = True
    try:
        handle = call(_ops.IRQ_TAKE, 0, b"", b"")
        if handle in handlers:
            function, argument = handlers[handle]
            try:
                function(argument)
            except Exception as exception:
                sys.print_exception(exception)
    finally:
        _handling = False


def _fail(status, value, payload):
    if status == _ops.OS_ERROR:
        raise OSError(value)
    if status == _ops.VALUE_ERROR:
        raise ValueError(payload.decode())
    number, name = payload.decode().split(" ")
    raise OSError(-int(number), name)
