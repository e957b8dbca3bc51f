"""STMicroelectronics LIS3DH on I2C or SPI.

Registers: LIS3DH datasheet DocID17530 rev. 2, table 21, described in section 8; FIFO and high-pass filter:
application note AN3308.
"""

import time

from micropython import const

from node.drivers.accelerometer import Accelerometer, first, steps

_WHO_AM_I = const(0x0F)
_CTRL1 = const(0x20)
_CTRL2 = const(0x21)
_CTRL3 = const(0x22)
_CTRL4 = const(0x23)
_CTRL5 = const(0x24)
_CTRL6 = const(0x25)
_REFERENCE = const(0x26)
_OUT_X_L = const(0x28)
_FIFO_CTRL = const(0x2E)
_FIFO_SRC = const(0x2F)
_INT1_CFG = const(0x30)
_INT1_SRC = const(0x31)
_INT1_THS = const(0x32)
_INT1_DURATION = const(0x33)

_RATES = (1, 10, 25, 50, 100, 200, 400)  # by code from 1 on (table 31)
_FASTEST = const(1344)
_CODE_1344 = const(9)
_CODE_100 = const(5)
_XYZ = const(0x07)  # of CTRL_REG1
_LOW_POWER = const(0x08)
_FILTERED_INT1 = const(0x01)  # of CTRL_REG2: the high-pass filter before the interrupt
_ON_INT1 = const(0x40)  # of CTRL_REG3
_WATERMARK_INT1 = const(0x04)
_HIGH_RESOLUTION = const(0x08)  # of CTRL_REG4
_FIFO_ON = const(0x40)  # of CTRL_REG5
_LATCH_INT1 = const(0x08)
_STREAM = const(0x80)  # of FIFO_CTRL_REG: the newest frames are kept
_HALF = const(16)
_FULL = const(0x40)  # of FIFO_SRC_REG
_FIFO = const(32)
_ANY_HIGH = const(0x2A)  # of INT1_CFG: any axis above the threshold
_ACTIVE = const(0x40)  # of INT1_SRC
_MG_PER_DIGIT = (1, 2, 4, 12)  # high resolution, by range (table 4); digits are the upper 12 bits
_MG_PER_STEP = (16, 32, 62, 186)  # of INT1_THS


class LIS3DH(Accelerometer):
    """The accelerometer; see Accelerometer for its interface.

    Currents (table 12): 185 uA at 1344 Hz, 20 uA at 100 Hz, 0.5 uA in standby, 10 uA armed.
    """

    TITLE = "LIS3DH"
    IDENTITY = (_WHO_AM_I, 0x33, 0xFF)
    ADDRESS = 0x18  # 0x19 with SA0 high
    MANY = 0x80

    fifo = _FIFO

    def _choose(self, rate_hz):
        index = first(_RATES, rate_hz) if rate_hz > 0 else 0
        self._code = _CODE_1344 if index is None else index + 1
        self.rate_hz = _FASTEST if index is None else _RATES[index]
        if not 0 < rate_hz <= _FASTEST:
            self.rate_hz = 0
        elif self._span is not None:
            self.g_per_count = _MG_PER_DIGIT[self._span] / 16000

    def start(self):
        """Measure into the FIFO, from empty."""
        write = self._port.write
        write(_CTRL1, 0)
        write(_INT1_CFG, 0)
        write(_CTRL2, 0)
        write(_CTRL3, _WATERMARK_INT1)
        write(_CTRL4, _HIGH_RESOLUTION | self._span << 4)
        write(_CTRL5, _FIFO_ON)
        write(_CTRL6, 0)
        write(_FIFO_CTRL, 0)  # empties it
        write(_FIFO_CTRL, _STREAM | _HALF)
        write(_CTRL1, self._code << 4 | _XYZ)
        self._started()

    def read_into(self, buf, at=0):
        """Move what the FIFO holds into ``buf`` (array 'h': x, y, z, ...) from frame ``at`` on; how many."""
        source = self._port.byte(_FIFO_SRC)
        frames = source & 0x1F
        if source & _FULL:
            self.overrun = True
            frames = _FIFO
        frames = self._fitting(frames, buf, at)
        if frames:
            self._port.drain(_OUT_X_L, frames, buf, at, 0)
        return frames

    def standby(self):
        """Power down: 0.5 uA."""
        self._port.write(_CTRL1, 0)
        self.armed = False

    def wake_on(self, threshold_g):
        """Raise pin INT1 when the acceleration changes by ``threshold_g``; 100 Hz in low power, 10 uA.

        The high-pass filter takes gravity away (2 Hz at this rate).
        """
        span = 0
        while span < 3 and threshold_g * 1000 > 127 * _MG_PER_STEP[span]:
            span += 1
        count = steps(threshold_g, _MG_PER_STEP[span] / 1000, 127)
        write = self._port.write
        write(_CTRL1, 0)
        write(_INT1_CFG, 0)
        write(_CTRL2, _FILTERED_INT1)
        write(_CTRL3, _ON_INT1)
        write(_CTRL4, span << 4)
        write(_CTRL5, _LATCH_INT1)
        write(_CTRL6, 0)  # active high
        write(_INT1_THS, count)
        write(_INT1_DURATION, 0)
        write(_CTRL1, _CODE_100 << 4 | _LOW_POWER | _XYZ)
        time.sleep_ms(25)
        self._port.byte(_REFERENCE)  # sets the filter to what is felt now
        write(_INT1_CFG, _ANY_HIGH)
        time.sleep_ms(25)
        self.cleared()
        self.armed = True

    def cleared(self):
        """Whether it was motion that raised the interrupt, which is lowered."""
        return bool(self._port.byte(_INT1_SRC) & _ACTIVE)
