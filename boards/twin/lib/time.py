"""``time`` on the chip's own clock."""

import _chip
import _ops

_PERIOD = 1 << 30


def ticks_us():
    _chip.call(_ops.CLOCK, 0, b"", b"")
    return _chip.now_us & (_PERIOD - 1)


def ticks_ms():
    _chip.call(_ops.CLOCK, 0, b"", b"")
    return _chip.now_us // 1000 & (_PERIOD - 1)


ticks_cpu = ticks_us


def ticks_add(ticks, delta):
    return ticks + delta & (_PERIOD - 1)


def ticks_diff(end, start):
    return (end - start + _PERIOD // 2 & (_PERIOD - 1)) - _PERIOD // 2


def sleep_us(us):
    if us > 0:
        _chip.microseconds(_ops.SLEEP, us)


def sleep_ms(ms):
    sleep_us(ms * 1000)


def sleep(seconds):
    sleep_us(int(seconds * 1000000))


def time_ns():
    ticks_us()
    return _chip.now_us * 1000


def time():
    return time_ns() // 1000000000
