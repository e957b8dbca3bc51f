"""What the drivers of accelerometers share."""

import errno
import time

from micropython import const

from node.drivers import SensorError
from node.drivers.registers import probe

_SILENT_MS = const(500)  # without a single frame: something is wrong


class Accelerometer:
    """An accelerometer with a FIFO.

    Opening one asks for its identity and changes nothing: after deep sleep ``cleared`` still tells what woke.

    Args:
        port: the chip's registers (node.drivers.registers).
        rate_hz: samples a second wanted; the chip's next faster rate is taken.
        range_g: largest acceleration wanted; the next wider range is taken.

    Attributes:
        rate_hz: samples a second as the data sheet has them.
        g_per_count: of a value in a frame.
        fifo: frames the chip buffers.
        overrun: the FIFO was full, so frames are missing or may be; until ``start``.
        armed: it waits for motion to raise its interrupt.

    Raises:
        SensorError: the chip is another one, does not answer, or has no such rate or range.
    """

    TITLE = ""
    IDENTITY = ()  # register, value, mask
    RANGES = (2, 4, 8, 16)

    def __init__(self, port, rate_hz=100, range_g=4):
        self._port = port
        self._span = first(self.RANGES, range_g)
        self._choose(rate_hz)
        if self._span is None or not self.rate_hz:
            raise SensorError(
                "an %s has no %s samples a second at +-%s g: give other rate_hz or range_g"
                % (self.TITLE, rate_hz, range_g)
            )
        self.overrun = self.armed = False
        self._patience = max(_SILENT_MS, int(4000 / self.rate_hz))
        self._heard = 0
        probe(self.TITLE, port, *self.IDENTITY)

    def _choose(self, rate_hz):
        """Set ``rate_hz`` to a rate the chip has, not below this; 0 if there is none."""

    def _started(self):
        self.overrun = self.armed = False
        self._heard = time.ticks_ms()

    def _fitting(self, held, buf, at):
        """How many of ``held`` frames in the FIFO fit into ``buf`` from ``at`` on.

        Raises:
            OSError: there have been none for long: ENODEV if the chip is not there any more, ETIMEDOUT if it
                is and does not measure.
        """
        now = time.ticks_ms()
        if held:
            self._heard = now
        elif time.ticks_diff(now, self._heard) > self._patience:
            register, value, mask = self.IDENTITY
            there = self._port.byte(register) & mask == value
            raise OSError(errno.ETIMEDOUT if there else errno.ENODEV)
        return max(min(held, len(buf) // 3 - at), 0)


def first(values, wanted):
    """Index of the first of ascending ``values`` that is not below ``wanted``; None if all are."""
    for i, value in enumerate(values):
        if wanted <= value:
            return i
    return None


def steps(threshold_g, step_g, most):
    """A threshold in the chip's steps.

    Raises:
        ValueError: it is beyond what the chip can hold.
    """
    count = round(threshold_g / step_g)
    if not 0 < count <= most:
        raise ValueError("threshold_g must be %.3f to %.1f" % (step_g, step_g * most))
    return count
