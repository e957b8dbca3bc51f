"""Analog Devices ADXL345 on I2C or SPI.

Registers: ADXL345 data sheet, rev. E, table 19 (page 23), described on pages 24 to 28.
"""

import errno
import time

from fifo import EACH
from micropython import const

from node.drivers.accelerometer import Accelerometer, steps

_DEVID = const(0x00)
_THRESH_ACT = const(0x24)  # 62.5 mg a step
_ACT_INACT_CTL = const(0x27)
_BW_RATE = const(0x2C)
_POWER_CTL = const(0x2D)
_INT_ENABLE = const(0x2E)
_INT_MAP = const(0x2F)
_INT_SOURCE = const(0x30)
_DATA_FORMAT = const(0x31)
_DATAX0 = const(0x32)
_FIFO_CTL = const(0x38)
_FIFO_STATUS = const(0x39)

_FASTEST = const(3200)  # by rate code 15; each code below halves it (table 7)
_LOW_POWER = const(0x10)  # of BW_RATE
_RATE_100HZ = const(0x0A)
_MEASURE = const(0x08)  # of POWER_CTL
_ACTIVITY = const(0x10)  # of the interrupt registers
_WATERMARK = const(0x02)
_OVERRUN = const(0x01)
_FULL_RESOLUTION = const(0x08)  # of DATA_FORMAT: 3.9 mg a count in every range; pins active high
_STREAM = const(0x80)  # of FIFO_CTL: the newest frames are kept
_HALF = const(16)  # frames at which the interrupt pin tells
_FIFO = const(32)
_ACT_AC_XYZ = const(0xF0)  # against the acceleration at the start, all axes


class ADXL345(Accelerometer):
    """The accelerometer; see Accelerometer for its interface.

    I2C at 400 kHz carries 800 samples a second for sure (data sheet, page 18); faster rates want SPI.
    Currents (tables 1, 7 and 8): 140 uA from 100 to 1600 Hz and at 3200, 90 uA at 50 Hz, 0.1 uA in standby,
    50 uA armed.
    """

    TITLE = "ADXL345"
    IDENTITY = (_DEVID, 0xE5, 0xFF)
    ADDRESS = 0x53  # 0x1D with ALT ADDRESS high
    MANY = 0

    g_per_count = 1 / 256
    fifo = _FIFO

    def _choose(self, rate_hz):
        code = 15
        while code > 0 and rate_hz <= _FASTEST / (1 << (16 - code)):
            code -= 1
        self._code = code
        self.rate_hz = _FASTEST / (1 << (15 - code)) if 0 < rate_hz <= _FASTEST else 0

    def start(self):
        """Measure into the FIFO, from empty."""
        write = self._port.write
        write(_POWER_CTL, 0)
        write(_INT_ENABLE, 0)
        write(_INT_MAP, 0)
        write(_BW_RATE, self._code)
        write(_DATA_FORMAT, _FULL_RESOLUTION | self._span)
        write(_FIFO_CTL, 0)  # empties it
        write(_FIFO_CTL, _STREAM | _HALF)
        write(_INT_ENABLE, _WATERMARK)
        write(_POWER_CTL, _MEASURE)
        self._started()

    def read_into(self, buf, at=0):
        """Move what the FIFO holds into ``buf`` (array 'h': x, y, z, ...) from frame ``at`` on; how many."""
        frames = self._port.byte(_FIFO_STATUS) & 0x3F
        if frames >= _FIFO:
            if frames > _FIFO + 1:  # the data lines float high
                raise OSError(errno.ENODEV)
            if self._port.byte(_INT_SOURCE) & _OVERRUN:
                self.overrun = True
        frames = self._fitting(frames, buf, at)
        if frames:
            self._port.drain(_DATAX0, frames, buf, at, EACH)
        return frames

    def standby(self):
        """Stop measuring: 0.1 uA."""
        self._port.write(_POWER_CTL, 0)
        self.armed = False

    def wake_on(self, threshold_g):
        """Raise pin INT1 when the acceleration changes by ``threshold_g``; 100 Hz in low power, 50 uA."""
        count = steps(threshold_g, 0.0625, 255)
        write = self._port.write
        write(_POWER_CTL, 0)
        write(_INT_ENABLE, 0)
        write(_INT_MAP, 0)
        write(_FIFO_CTL, 0)
        write(_BW_RATE, _LOW_POWER | _RATE_100HZ)
        write(_DATA_FORMAT, _FULL_RESOLUTION | 3)
        write(_THRESH_ACT, count)
        write(_ACT_INACT_CTL, _ACT_AC_XYZ)
        write(_POWER_CTL, _MEASURE)
        write(_INT_ENABLE, _ACTIVITY)
        time.sleep_ms(25)  # turn-on time and the sample that later ones are compared with
        self.cleared()
        self.armed = True

    def cleared(self):
        """Whether it was motion that raised the interrupt, which is lowered."""
        return bool(self._port.byte(_INT_SOURCE) & _ACTIVITY)
