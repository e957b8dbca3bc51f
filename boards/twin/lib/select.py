"""``select`` that waits in virtual time: asyncio's event loop, above all."""

import _chip
import uselect
from uselect import POLLERR, POLLHUP, POLLIN, POLLOUT  # noqa: F401

_STEP_US = 1000
_DEAF_US = 50000  # a step while nobody can be there


class poll:
    def __init__(self):
        self._poll = uselect.poll()
        self._any = []

    def register(self, obj, *flags):
        if obj not in self._any:
            self._any.append(obj)
        return self._poll.register(obj, *flags)

    def unregister(self, obj):
        if obj in self._any:
            self._any.remove(obj)
        return self._poll.unregister(obj)

    def _deaf(self):
        """Whether nothing can come: only sockets are waited for that nobody reaches."""
        for obj in self._any:
            if not (hasattr(obj, "deaf") and obj.deaf()):
                return False
        return True

    def modify(self, obj, flags):
        return self._poll.modify(obj, flags)

    def _wait(self, timeout):
        """Until something is ready or ``timeout`` ms of virtual time have passed."""
        end = None if timeout < 0 else _chip.now_us + timeout * 1000
        while True:
            ready = self._poll.poll(0)
            if ready or (end is not None and _chip.now_us >= end):
                return ready
            if not self._any and end is not None:
                _chip.sleep_us(end - _chip.now_us)
            elif self._deaf():
                _chip.sleep_us(_DEAF_US if end is None else min(_DEAF_US, end - _chip.now_us))
            else:
                # Somebody outside may answer, and needs real time for it.
                ready = self._poll.poll(1)
                if ready:
                    return ready
                _chip.sleep_us(_STEP_US if end is None else min(_STEP_US, end - _chip.now_us))

    def poll(self, timeout=-1, flags=0):
        return self._wait(timeout)

    def ipoll(self, timeout=-1, flags=0):
        if timeout == 0:
            return self._poll.ipoll(0)  # as on the chip it allocates nothing
        return iter(self._wait(timeout))


def select(r, w, x, timeout=None):
    p = poll()
    for obj in r:
        p.register(obj, POLLIN)
    for obj in w:
        p.register(obj, POLLOUT)
    ready = p.poll(-1 if timeout is None else int(timeout * 1000))
    return (
        [obj for obj, event in ready if event & POLLIN],
        [obj for obj, event in ready if event & POLLOUT],
        [],
    )
