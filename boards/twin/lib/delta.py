"""``delta``: sums are made beside the chip, a request each (see firmware/modules/delta.pyi)."""

import io

import _chip
import _ops
import uctypes

_counter = io.BytesIO()


def add(target, difference):
    target = _bytes(target)
    difference = _bytes(difference)
    try:
        memoryview(target)[:0] = b""
    except TypeError:
        raise TypeError("object with buffer protocol required")
    if len(target) != len(difference):
        raise ValueError("target and difference must have the same number of bytes")
    _chip.call(_ops.DELTA_ADD, 0, target, target, difference)


def _bytes(buffer):
    """``buffer`` with a length in bytes; only writing it somewhere tells how many there are."""
    _counter.seek(0)
    count = _counter.write(buffer)
    if count == len(buffer):
        return buffer
    return uctypes.bytearray_at(uctypes.addressof(buffer), count)
