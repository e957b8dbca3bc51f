"""Currents of the sensors a node may have, at rest, at work and on guard.

From the twin's models of them, whose files name the data sheets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cicada.tools.twin.sensors import adxl345, lis3dh, mpu6050

# Bosch BME280 data sheet, table 1: sleep; Maxim DS18B20 data sheet: standby.
_STANDBY_MA = {
    "adxl345": adxl345._STANDBY_UA / 1000,
    "lis3dh": lis3dh._POWER_DOWN_UA / 1000,
    "mpu6050": mpu6050._IDLE_MA,
    "bme280": 0.0001,
    "ds18b20": 0.00075,
}
# As the drivers' ``wake_on`` sets them: ADXL345 100 Hz in low power, LIS3DH and MPU-6050 at their slow rates.
_ARMED_MA = {
    "adxl345": adxl345._CURRENT_LOW_POWER[10] / 1000,
    "lis3dh": 0.010,
    "mpu6050": mpu6050._WAKE_MA[2],
}
_I2C_HZ, _SPI_HZ = 400_000, 5_000_000


def standby_ma(kind: str) -> float:
    """Lowest current of a powered sensor, mA."""
    return _STANDBY_MA[kind]


def armed_ma(kind: str) -> float:
    """Current of an accelerometer that waits for motion, mA."""
    return _ARMED_MA[kind]


def running_ma(kind: str, rate_hz: float) -> float:
    """Current of an accelerometer that measures, mA."""
    if kind == "adxl345":
        code = next(code for code in range(16) if 3200 / 2 ** (15 - code) >= min(rate_hz, 3200) * 0.99)
        return adxl345._CURRENT[code] / 1000
    if kind == "lis3dh":
        rate = min((one for one in lis3dh._CURRENT if one >= rate_hz), default=1344)
        return lis3dh._CURRENT[rate] / 1000
    return mpu6050._ACCEL_ONLY_MA


def transfer_us(about: Mapping[str, Any]) -> float:
    """Time on the bus for one frame of three 16-bit values, us: address, register, address and six bytes."""
    if about["bus"] == "spi":
        return 7 * 8 / _SPI_HZ * 1e6
    return 9 * 9 / _I2C_HZ * 1e6
