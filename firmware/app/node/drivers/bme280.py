"""Bosch BME280 on I2C: temperature, humidity, pressure.

Registers and compensation: BME280 data sheet, BST-BME280-DS002-15, rev. 1.6: memory map table 18, trimming
values table 16, integer formulas section 4.2.3 (temperature and humidity in 32 bits, pressure in 64),
measuring time appendix 9.1.
"""

import errno
import struct
import time

from micropython import const

from node.drivers.registers import probe

_CALIB_1 = const(0x88)
_CALIB_1_BYTES = const(26)
_ID = const(0xD0)
_CALIB_2 = const(0xE1)
_CALIB_2_BYTES = const(7)
_CTRL_HUM = const(0xF2)
_STATUS = const(0xF3)
_CTRL_MEAS = const(0xF4)
_CONFIG = const(0xF5)
_DATA = const(0xF7)

_ONCE = const(0x01)  # of CTRL_HUM: one sample
_ONCE_FORCED = const(0x25)  # of CTRL_MEAS: one sample each of temperature and pressure, then sleep
_MEASURING = const(0x08)  # of STATUS
_TYPICAL_MS = const(9)
_TRIES = const(10)  # 2 ms apart; 9.3 ms is the longest a measurement takes
_NONE_20 = const(0x80000)  # what the data registers hold when nothing was measured
_NONE_16 = const(0x8000)


class BME280:
    """The sensor. It sleeps (0.1 uA) but for the 9 ms of a reading.

    Args:
        port: its registers (node.drivers.registers.OnI2C).

    Raises:
        SensorError: the chip is another one, or does not answer.
    """

    TITLE = "BME280"
    ADDRESS = 0x76  # 0x77 with SDO high
    MANY = 0

    def __init__(self, port):
        self._port = port
        probe(self.TITLE, port, _ID, 0x60)  # a BMP280, which has no humidity, says 0x58
        self._trimming = None

    def read(self):
        """Measure once: ``temperature_c``, ``humidity_percent``, ``pressure_hpa``.

        Raises:
            OSError: it does not answer any more (the bus's number), or ETIMEDOUT if it does not measure.
        """
        if self._trimming is None:
            self._trimming = self._calibration()
        write = self._port.write
        write(_CONFIG, 0)
        write(_CTRL_HUM, _ONCE)
        write(_CTRL_MEAS, _ONCE_FORCED)
        time.sleep_ms(_TYPICAL_MS)
        for _ in range(_TRIES):
            if not self._port.byte(_STATUS) & _MEASURING:
                break
            time.sleep_ms(2)
        data = bytearray(8)
        self._port.read(_DATA, data)
        p = data[0] << 12 | data[1] << 4 | data[2] >> 4
        t = data[3] << 12 | data[4] << 4 | data[5] >> 4
        h = data[6] << 8 | data[7]
        if _NONE_20 in (p, t) or h == _NONE_16:
            raise OSError(errno.ETIMEDOUT)
        centi, pa_256, pct_1024 = compensate(self._trimming, t, p, h)
        return {
            "temperature_c": centi / 100,
            "humidity_percent": round(pct_1024 / 1024, 1),
            "pressure_hpa": round(pa_256 / 25600, 2),
        }

    def standby(self):
        """Sleep, as it does between readings anyway."""
        self._port.write(_CTRL_MEAS, 0)

    def _calibration(self):
        first, second = bytearray(_CALIB_1_BYTES), bytearray(_CALIB_2_BYTES)
        self._port.read(_CALIB_1, first)
        self._port.read(_CALIB_2, second)
        h2, h3, high4, shared, high5, h6 = struct.unpack("<hBbBbb", second)
        humidity = (first[25], h2, h3, high4 * 16 + (shared & 15), high5 * 16 + (shared >> 4), h6)
        return struct.unpack("<HhhHhhhhhhhh", first) + humidity


def compensate(trimming, raw_t, raw_p, raw_h):
    """What raw readings mean.

    Args:
        trimming: dig_T1 to dig_T3, dig_P1 to dig_P9, dig_H1 to dig_H6.
        raw_t, raw_p, raw_h: of 20, 20 and 16 bits.

    Returns:
        Hundredths of a degree Celsius, Pa * 256, % * 1024; integers.
    """
    t1, t2, t3, p1, p2, p3, p4, p5, p6, p7, p8, p9, h1, h2, h3, h4, h5, h6 = trimming
    off = (raw_t >> 4) - t1
    fine = (((raw_t >> 3) - (t1 << 1)) * t2 >> 11) + ((off * off >> 12) * t3 >> 14)
    return (
        fine * 5 + 128 >> 8,
        _pressure(fine, raw_p, p1, p2, p3, p4, p5, p6, p7, p8, p9),
        (_humidity(fine, raw_h, h1, h2, h3, h4, h5, h6)),
    )


def _pressure(fine, raw, p1, p2, p3, p4, p5, p6, p7, p8, p9):
    v = fine - 128000
    offset = v * v * p6 + (v * p5 << 17) + (p4 << 35)
    scale = (v * v * p3 >> 8) + (v * p2 << 12)
    scale = ((1 << 47) + scale) * p1 >> 33
    if scale == 0:
        return 0  # as no part has it; the formula would divide by it
    p = ((1048576 - raw << 31) - offset) * 3125
    # Division in C rounds towards zero; p is positive wherever there is air.
    p = p // scale
    q = p >> 13
    return (p + (p9 * q * q >> 25) + (p8 * p >> 19) >> 8) + (p7 << 4)


def _humidity(fine, raw, h1, h2, h3, h4, h5, h6):
    v = fine - 76800
    x = (raw << 14) - (h4 << 20) - h5 * v + 16384 >> 15
    y = ((v * h6 >> 10) * ((v * h3 >> 11) + 32768) >> 10) + 2097152
    x *= y * h2 + 8192 >> 14
    x -= ((x >> 15) * (x >> 15) >> 7) * h1 >> 4
    return min(max(x, 0), 419430400) >> 12
