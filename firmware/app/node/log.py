"""Console lines and events, and the last lines again for whoever asks later.

Log lines look like ESP-IDF's, ``I (1234) node: text``, so that the usual monitors colour them. An
event is one line, ``EVENT`` and a JSON object, for programs that listen at the console.

The last log lines are kept in 1.5 KB of memory. Nobody logs a secret, so none is in there.
"""

import binascii
import hashlib
import io
import json
import sys
import time
from collections import OrderedDict

_RING = 1536
_ring = bytearray(_RING)
_at = 0  # where the next byte goes
_full = False


def info(text):
    """Print an ordinary line."""
    _line("I", text)


def warn(text):
    """Print a line about something that is not as it should be."""
    _line("W", text)


def error(text):
    """Print a line about something that failed."""
    _line("E", text)


def event(kind, number, fields):
    """Print one event.

    Args:
        kind: what happened, e.g. ``"keyword"``.
        number: running number of the event on this device; survives deep sleep.
        fields: dict of JSON values that belong to it.
    """
    record = OrderedDict((("schema", 1), ("event", kind), ("n", number), ("ms", time.ticks_ms())))
    for name in sorted(fields):
        record[name] = fields[name]
    print("EVENT " + json.dumps(record))


def tail(count):
    """The last log lines, oldest first.

    Args:
        count: how many at most; there are no more than 1.5 KB of them.
    """
    kept = bytes(_ring[_at:]) + bytes(_ring[:_at]) if _full else bytes(_ring[:_at])
    lines = kept.split(b"\n")[_full:-1]  # where the ring has come round, the oldest line has lost its head
    return [line.decode() for line in lines[max(0, len(lines) - count) :]] if count > 0 else []


def crash(exception):
    """Print the traceback of an exception.

    Returns:
        ``(text, digest)``: class and message of the exception, and 8 hex digits, the beginning of the SHA-256
        of its traceback without the message. The same place in the same firmware has the same digest.
    """
    name = type(exception).__name__
    text = "%s: %s" % (name, exception)
    try:
        paper = io.StringIO()
        sys.print_exception(exception, paper)
        where = paper.getvalue()
    except MemoryError:
        sys.print_exception(exception)
        where = ""
    else:
        sys.stdout.write(where)
    # The last lines are the message, which may hold numbers that differ from time to time.
    where = "\n".join([line for line in where.split("\n") if line.startswith("  ")]) + name
    return text, binascii.hexlify(hashlib.sha256(where.encode()).digest()[:4]).decode()


def _line(letter, text):
    line = "%s (%d) node: %s" % (letter, time.ticks_ms(), text)
    print(line)
    _keep(line)


def _keep(line):
    """Put a line into the ring, in one piece without line breaks."""
    global _at, _full
    data = line.replace("\n", " ").encode()
    if len(data) >= _RING:
        data = data[: _RING // 2]
    for part in (data, b"\n"):
        room = _RING - _at
        if len(part) >= room:
            _ring[_at:] = part[:room]
            part = part[room:]
            _at = 0
            _full = True
        _ring[_at : _at + len(part)] = part
        _at += len(part)
