"""InvenSense MPU-6050 on I2C; its gyroscope stays off.

Registers: "MPU-6000 and MPU-6050 Register Map and Descriptions", RM-MPU-6000A-00 rev. 4.2 (pages below);
motion detection: the same, rev. 3.2.
"""

import time

from fifo import BIG_ENDIAN
from micropython import const

from node.drivers.accelerometer import Accelerometer, steps

_SMPLRT_DIV = const(0x19)  # page 11
_CONFIG = const(0x1A)  # page 13
_ACCEL_CONFIG = const(0x1C)  # page 15
_MOT_THR = const(0x1F)
_MOT_DUR = const(0x20)
_FIFO_EN = const(0x23)  # page 16
_INT_PIN_CFG = const(0x37)  # page 26
_INT_ENABLE = const(0x38)  # page 27
_INT_STATUS = const(0x3A)  # page 28
_USER_CTRL = const(0x6A)  # page 38
_PWR_MGMT_1 = const(0x6B)  # page 40
_PWR_MGMT_2 = const(0x6C)  # page 42
_FIFO_COUNT = const(0x72)  # page 43
_FIFO_R_W = const(0x74)  # page 44
_WHO_AM_I = const(0x75)  # page 45

_FASTEST = const(1000)
_FRAME = const(6)
_FIFO_BYTES = const(1024)
_SLEEP = const(0x40)  # of PWR_MGMT_1
_CYCLE = const(0x20)
_GYRO_OFF = const(0x07)  # of PWR_MGMT_2
_WAKE_20HZ = const(0x80)
_ACCEL_TO_FIFO = const(0x08)
_FIFO_RESET = const(0x04)  # of USER_CTRL
_FIFO_ON = const(0x40)
_LATCHED = const(0x20)  # of INT_PIN_CFG; active high
_MOTION = const(0x40)  # of the interrupt registers
_HOLD = const(7)  # high-pass filter: the difference to the last sample before
# DLPF_CFG by the lowest rate it suits: a bandwidth below half of it (page 13).
_BANDWIDTHS = ((400, 1), (200, 2), (100, 3), (50, 4), (25, 5), (0, 6))


class MPU6050(Accelerometer):
    """The accelerometer; see Accelerometer for its interface.

    Currents (PS-MPU-6000A-00 rev. 3.4, table 6.3): 0.5 mA measuring, 5 uA in standby, 70 uA armed.
    """

    TITLE = "MPU-6050"
    IDENTITY = (_WHO_AM_I, 0x68, 0x7E)
    ADDRESS = 0x68  # 0x69 with AD0 high; the identity is the same
    MANY = 0

    fifo = _FIFO_BYTES // _FRAME

    def _choose(self, rate_hz):
        self.rate_hz = 0
        if 0 < rate_hz <= _FASTEST:
            self._divider = min(int(_FASTEST / rate_hz), 256)
            self.rate_hz = _FASTEST / self._divider
            for lowest, self._bandwidth in _BANDWIDTHS:
                if self.rate_hz >= lowest:
                    break
        if self._span is not None:
            self.g_per_count = 1 / (16384 >> self._span)
        self._count = bytearray(2)

    def start(self):
        """Measure into the FIFO, from empty."""
        write = self._port.write
        write(_PWR_MGMT_1, 0)
        write(_PWR_MGMT_2, _GYRO_OFF)
        write(_INT_ENABLE, 0)
        write(_SMPLRT_DIV, self._divider - 1)
        write(_CONFIG, self._bandwidth)
        write(_ACCEL_CONFIG, self._span << 3)
        write(_FIFO_EN, 0)
        write(_USER_CTRL, _FIFO_RESET)
        write(_USER_CTRL, _FIFO_ON)
        write(_FIFO_EN, _ACCEL_TO_FIFO)
        self._started()

    def read_into(self, buf, at=0):
        """Move what the FIFO holds into ``buf`` (array 'h': x, y, z, ...) from frame ``at`` on; how many."""
        self._port.read(_FIFO_COUNT, self._count)
        held = self._count[0] << 8 | self._count[1]
        if held > _FIFO_BYTES - _FRAME:
            # Full: the oldest bytes went, and frames do not fill it evenly. They begin where they should only
            # from empty.
            self.overrun = True
            self._port.write(_USER_CTRL, _FIFO_RESET | _FIFO_ON)
            return 0
        frames = self._fitting(held // _FRAME, buf, at)
        if frames:
            self._port.drain(_FIFO_R_W, frames, buf, at, BIG_ENDIAN)
        return frames

    def standby(self):
        """Sleep: 5 uA."""
        self._port.write(_PWR_MGMT_1, _SLEEP)
        self.armed = False

    def wake_on(self, threshold_g):
        """Raise pin INT when the acceleration changes by ``threshold_g``; 20 looks a second, 70 uA."""
        count = steps(threshold_g, 0.032, 255)
        write = self._port.write
        write(_PWR_MGMT_1, 0)
        write(_PWR_MGMT_2, _GYRO_OFF)
        write(_INT_ENABLE, 0)
        write(_FIFO_EN, 0)
        write(_USER_CTRL, 0)
        write(_CONFIG, 0)
        write(_SMPLRT_DIV, 7)  # 8 kHz / 8
        write(_INT_PIN_CFG, _LATCHED)
        write(_MOT_THR, count)
        write(_MOT_DUR, 1)
        write(_ACCEL_CONFIG, 0)  # the filter is reset
        time.sleep_ms(5)
        write(_ACCEL_CONFIG, _HOLD)
        write(_INT_ENABLE, _MOTION)
        write(_PWR_MGMT_2, _WAKE_20HZ | _GYRO_OFF)
        write(_PWR_MGMT_1, _CYCLE)
        time.sleep_ms(60)  # the sample that later ones are compared with
        self.cleared()
        self.armed = True

    def cleared(self):
        """Whether it was motion that raised the interrupt, which is lowered."""
        return bool(self._port.byte(_INT_STATUS) & _MOTION)
