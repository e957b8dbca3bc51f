"""One accelerometer for the pipelines that want it: its FIFO is drained before it overruns.

How long the chip's buffer lasts is the FIFO's frames by the rate. It is drained when half of it is full,
earlier if something long is about to run.
"""

import time
from array import array

from micropython import const

FRAMES = 32  # handed on at a time
_MARGIN_MS = const(4)
_RETRY_MS = const(10000)  # after a fault


class Motion:
    """An accelerometer, running until ``close``, and its pipelines.

    Args:
        name: the sensor's.
        sensor: its driver, of :mod:`node.drivers`.
        users: its pipelines.

    Attributes:
        lost: how often samples were lost since the last look, because nobody came for them in time.
        error: a sentence if it has stopped answering and that was not reported yet, else None.
    """

    def __init__(self, name, sensor, users):
        self.name = name
        self.lost = 0
        self.error = None
        self._faulty = False
        self._sensor = sensor
        self._users = users
        self._buffer = array("h", bytes(6 * FRAMES))
        self._at = 0
        for pipeline in users:
            pipeline.attach(sensor)
        sensor.start()
        self._drained = time.ticks_ms()
        self._full_ms = int(sensor.fifo * 1000 / sensor.rate_hz)

    def room(self, now):
        """In how many ms samples get lost."""
        if self._faulty:
            return _RETRY_MS
        return self._full_ms - _MARGIN_MS - time.ticks_diff(now, self._drained)

    def wait_ms(self, now):
        """For how many ms nothing has to be drained."""
        rest = _RETRY_MS if self._faulty else self._full_ms // 2
        return rest - time.ticks_diff(now, self._drained)

    def drain(self, now):
        """Take what the FIFO holds; True if a pipeline has a window now."""
        self._drained = now
        try:
            if self._faulty:
                self._sensor.start()
                self._faulty = False
                return False
            return self._take(now)
        except OSError as error:
            if not self._faulty:
                self.error = "the accelerometer does not answer: %s" % error
            self._faulty = True
            self._begin_anew()
            return False

    def _take(self, now):
        turn = False
        buffer = self._buffer
        while True:
            got = self._sensor.read_into(buffer, self._at)
            self._at += got
            if self._at < FRAMES:
                break
            self._at = 0
            for pipeline in self._users:
                if pipeline.fed(buffer, now):
                    turn = True
        if self._sensor.overrun:
            # What comes next does not follow what was before.
            self.lost += 1
            self._begin_anew()
            self._sensor.start()
        return turn

    def _begin_anew(self):
        self._at = 0
        for pipeline in self._users:
            pipeline.broken()

    def close(self):
        """Put the accelerometer to rest."""
        try:
            self._sensor.standby()
        except OSError:
            pass  # it is gone, and draws nothing
