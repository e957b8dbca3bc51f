"""``time`` on the chip's own clock; its epoch is 2000-01-01, as on the ESP32."""

import _chip
import _ops
import utime

_PERIOD = 1 << 30
_clock = bytearray(8)
_EPOCH_S = 946684800  # 2000-01-01 in the seconds of 1970, which the interpreter's own functions count


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
        _chip.sleep_us(us)


def sleep_ms(ms):
    sleep_us(ms * 1000)


def sleep(seconds):
    sleep_us(int(seconds * 1000000))


def time_ns():
    # By hand, so that it costs no memory, as on a chip; int.from_bytes and struct would.
    _chip.call(_ops.DATETIME, 0, b"", _clock)
    us, at = 0, 7
    while at >= 0:
        us = us << 8 | _clock[at]
        at -= 1
    return us * 1000


def time():
    return time_ns() // 1000000000


def gmtime(seconds=None):
    return utime.gmtime((time() if seconds is None else seconds) + _EPOCH_S)[:8]


localtime = gmtime


def mktime(fields):
    y, m, d = fields[0], fields[1], fields[2]
    # Days since 2000-03-01, by counting years from March.
    y -= m <= 2
    m = (m + 9) % 12
    days = 365 * (y - 2000) + (y // 4 - 500) - (y // 100 - 20) + (y // 400 - 5)
    days += (m * 306 + 5) // 10 + d - 1 + 60
    return days * 86400 + fields[3] * 3600 + fields[4] * 60 + fields[5]
