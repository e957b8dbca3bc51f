"""Measures on the twin what heap an update takes; :mod:`cicada.tools.bench.board` leaves it there as boot.py.

A garbage collection at every request to the chip, and wherever something is unpacked, tells what is in use.
What is printed is the most there was while updates were looked for, less what was in use before. All modules
are imported by then: in a chip's image they are frozen in flash.
"""

import gc

import _chip
import deflate
import delta  # noqa: F401 - the updater imports it when it first meets a patch
import machine
import node.app
import node.net.http_transport
import node.net.wifi  # noqa: F401
from node.updates import payload, service, updater  # noqa: F401

_call = _chip.call
_check = service.Service.check
_reset = machine.reset
_before = _most = 0
_looking = False


def _look():
    global _most
    if _looking:
        gc.collect()
        _most = max(_most, gc.mem_alloc())


def _asked(*arguments):
    _look()
    return _call(*arguments)


class _Deflate:
    """The module ``deflate``, whose streams are looked at while they are in use."""

    RAW = deflate.RAW

    class DeflateIO:
        def __init__(self, *arguments):
            self._stream = deflate.DeflateIO(*arguments)

        def readinto(self, buf):
            count = self._stream.readinto(buf)
            _look()
            return count

        def read(self, count):
            return self._stream.read(count)


def _said():
    global _looking
    if _looking:
        _looking = False
        print("HEAP", _most - _before)


def _checked(self):
    global _before, _most, _looking
    gc.collect()
    _before = _most = gc.mem_alloc()
    _looking = True
    try:
        return _check(self)
    finally:
        _said()


def _restarted():
    _said()
    _reset()


_chip.call = _asked
payload.deflate = _Deflate
service.Service.check = _checked
machine.reset = _restarted
