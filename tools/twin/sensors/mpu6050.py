"""InvenSense MPU-6050 on I2C.

Registers from "MPU-6000 and MPU-6050 Register Map and Descriptions" (RM-MPU-6000A-00, revisions 3.2 and 4.2;
3.2 still describes motion detection), scales, noise and currents from the Product Specification
(PS-MPU-6000A-00, revision 3.4). Not modelled: the motion processor (DMP), the auxiliary bus, free fall and
zero motion. Motion is looked for in the output samples; the part looks at 1 kHz.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from cicada.tools.twin.sensors.accelerometer import Accelerometer, counts
from cicada.tools.twin.sensors.analog import Curve
from cicada.tools.twin.sensors.detect import HighPass
from cicada.tools.twin.sensors.motion import Motion
from cicada.tools.twin.sensors.noise import Noise

_SMPLRT_DIV, _CONFIG, _GYRO_CONFIG, _ACCEL_CONFIG = 0x19, 0x1A, 0x1B, 0x1C
_MOT_THR, _MOT_DUR, _FIFO_EN, _INT_PIN_CFG, _INT_ENABLE, _INT_STATUS = 0x1F, 0x20, 0x23, 0x37, 0x38, 0x3A
_ACCEL_OUT, _GYRO_OUT, _GYRO_END, _MOT_DETECT_STATUS = 0x3B, 0x43, 0x48, 0x61
_SIGNAL_PATH_RESET, _MOT_DETECT_CTRL, _USER_CTRL = 0x68, 0x69, 0x6A
_PWR_MGMT_1, _PWR_MGMT_2, _FIFO_COUNT, _FIFO_R_W, _WHO_AM_I = 0x6B, 0x6C, 0x72, 0x74, 0x75
_READ_ONLY = {
    _INT_STATUS,
    *range(_ACCEL_OUT, 0x61),
    _MOT_DETECT_STATUS,
    _FIFO_COUNT,
    _FIFO_COUNT + 1,
    _WHO_AM_I,
}

MOTION, FIFO_OVERFLOW, DATA_READY = 0x40, 0x10, 0x01
_DEVICE_RESET, _SLEEP, _CYCLE = 0x80, 0x40, 0x20
_FIFO_BYTES = 1024
_PULSE_US = 50  # product specification, table 6.4: t_INT
# Table 6.2: "intelligence function increment". Earlier revisions say 1 mg and I2Cdev's driver 2 mg: try the
# threshold on the real part.
_G_PER_THRESHOLD = 0.032
_ACCEL_BANDWIDTH = (260, 184, 94, 44, 21, 10, 5, 260)  # by DLPF_CFG, Hz
_GYRO_BANDWIDTH = (256, 188, 98, 42, 20, 10, 5, 256)
_ACCEL_DENSITY = 400e-6  # g / sqrt(Hz), table 6.2
_GYRO_DENSITY = 0.005  # degrees per second / sqrt(Hz), table 6.1
_WAKE_HZ = (Fraction(5, 4), Fraction(5), Fraction(20), Fraction(40))
# High-pass cutoff by ACCEL_HPF, Hz (register map revision 3.2, section 4.5); 7 holds the last sample.
_HIGH_PASS = {1: 5.0, 2: 2.5, 3: 1.25, 4: 0.63}
_HOLD = 7
# Supply current, mA (table 6.3).
_NORMAL_MA, _GYRO_ONLY_MA, _ACCEL_ONLY_MA, _IDLE_MA = 3.8, 3.6, 0.5, 0.005
_WAKE_MA = (0.010, 0.020, 0.070, 0.140)


class Mpu6050(Accelerometer):
    """The accelerometer and gyroscope; see the module for what it is made after.

    Args:
        motion: what it feels; it does not turn, so the gyroscope shows its noise.
        temperature: of the part, degrees Celsius by virtual time.
        address: 0x68, or 0x69 with AD0 high.
        seed: of its noise.
    """

    _keep = 512  # frames of one gyroscope axis that the FIFO holds

    def __init__(
        self, motion: Motion, temperature: Curve | None = None, address: int = 0x68, seed: int = 1
    ) -> None:
        super().__init__(address, motion, seed)
        self._temperature = temperature or Curve.constant(25.0)
        self.reset()

    def reset(self) -> None:
        self._stop_clock()
        self._registers = bytearray(0x76)
        self._registers[_PWR_MGMT_1] = _SLEEP
        self._registers[_WHO_AM_I] = 0x68
        self._pulsed: int | None = None
        self._fifo = bytearray()
        self._held_count = 0
        self._begin_detection()

    def _begin_detection(self) -> None:
        self._filter: HighPass | None = None
        self._hold: np.ndarray | None = None
        self._over_ms = 0.0

    # Clock, filter, noise.

    def _cycling(self) -> bool:
        return bool(self._registers[_PWR_MGMT_1] & _CYCLE)

    def _rate(self) -> Fraction | None:
        if self._registers[_PWR_MGMT_1] & _SLEEP:
            return None
        if self._cycling():
            return _WAKE_HZ[self._registers[_PWR_MGMT_2] >> 6]
        base = 8000 if self._registers[_CONFIG] & 7 in (0, 7) else 1000
        return Fraction(base, 1 + self._registers[_SMPLRT_DIV])

    def _bandwidth(self) -> float | None:
        return None if self._cycling() else float(_ACCEL_BANDWIDTH[self._registers[_CONFIG] & 7])

    def _noise_g(self) -> np.ndarray:
        bandwidth = _ACCEL_BANDWIDTH[0 if self._cycling() else self._registers[_CONFIG] & 7]
        return np.full(3, _ACCEL_DENSITY * math.sqrt(bandwidth * math.pi / 2))

    def _retime(self, now_us: int) -> None:
        super()._retime(now_us)
        if self._taken == 0:
            self._gyro_noise = Noise((self._seed + (1 << 32), self._start_us))

    def _shared(self) -> list[object]:
        return [*super()._shared(), self._temperature]

    def _watching(self) -> bool:
        return bool(self._registers[_INT_ENABLE] & MOTION)

    def current_ma(self, now_us: int) -> float:
        if self._registers[_PWR_MGMT_1] & _SLEEP:
            return _IDLE_MA
        standby = self._registers[_PWR_MGMT_2]
        if self._cycling():
            return _WAKE_MA[standby >> 6]
        accelerometer, gyroscope = standby & 0x38 != 0x38, standby & 0x07 != 0x07
        if accelerometer and gyroscope:
            return _NORMAL_MA
        if gyroscope:
            return _GYRO_ONLY_MA
        return _ACCEL_ONLY_MA if accelerometer else _IDLE_MA

    # Samples.

    def _take(self, times: np.ndarray, g: np.ndarray) -> None:
        r = self._registers
        span = r[_ACCEL_CONFIG] >> 3 & 3
        raw = counts(g, 16384 >> span, -32768, 32767)
        if self._watching():
            self._detect(times, raw / (16384 >> span))
        first = self._taken - len(times)
        keep = min(len(times), self._keep)
        frames = np.empty((keep, 7), np.int32)
        frames[:, :3] = raw[-keep:]
        celsius = [self._temperature.at(int(time)) for time in times[-keep:].tolist()]
        # Table 6.3: 340 counts a degree, -521 counts at 35 degrees.
        frames[:, 3] = np.rint((np.array(celsius) - 35) * 340 - 521)
        frames[:, 4:] = self._rotation(first + len(times) - keep, keep)
        off = r[_PWR_MGMT_2] & 0x3F | (0x07 if self._cycling() else 0)
        for bit, column in enumerate((6, 5, 4, 2, 1, 0)):
            if off >> bit & 1:
                frames[:, column] = 0
        r[_ACCEL_OUT : _GYRO_END + 1] = frames[-1].astype(">i2").tobytes()
        self._raise(DATA_READY, times[0], times[-1])
        if r[_USER_CTRL] & 0x40 and r[_FIFO_EN] & 0xF8:
            self._queue(times[-keep:], frames)

    def _rotation(self, first: int, count: int) -> np.ndarray:
        config = self._registers[_CONFIG] & 7
        rms = _GYRO_DENSITY * math.sqrt(_GYRO_BANDWIDTH[config] * math.pi / 2)
        per_degree = 131.072 / (1 << (self._registers[_GYRO_CONFIG] >> 3 & 3))
        return counts(self._gyro_noise.take(first, count) * rms, per_degree, -32768, 32767)

    def _queue(self, times: np.ndarray, frames: np.ndarray) -> None:
        enabled = self._registers[_FIFO_EN]
        columns = [0, 1, 2] if enabled & 0x08 else []
        columns += [column for bit, column in ((0x80, 3), (0x40, 4), (0x20, 5), (0x10, 6)) if enabled & bit]
        before = len(self._fifo)
        self._fifo += frames[:, columns].astype(">i2").tobytes()
        if len(self._fifo) > _FIFO_BYTES:
            frame = 2 * len(columns)
            which = (_FIFO_BYTES - before) // frame
            self._raise(FIFO_OVERFLOW, times[min(max(which, 0), len(times) - 1)])
            del self._fifo[: len(self._fifo) - _FIFO_BYTES]

    def _raise(self, bit: int, time: int, last: int | None = None) -> None:
        """``bit`` was set at ``time``, and for the last time at ``last``."""
        r = self._registers
        if not r[_INT_ENABLE] & bit:
            return
        if not (r[_INT_STATUS] & bit and r[_INT_PIN_CFG] & 0x20):
            self._mark(time)
        r[_INT_STATUS] |= bit
        self._pulsed = max(int(time if last is None else last), self._pulsed or 0)

    # Detection.

    def _detect(self, times: np.ndarray, g: np.ndarray) -> None:
        r = self._registers
        moved = self._moved(g)
        over = np.abs(moved) > r[_MOT_THR] * _G_PER_THRESHOLD
        any_over = over.any(axis=1)
        if not any_over.any() and self._over_ms == 0:
            return
        step = max(1.0, 1000 / float(self._running))  # the counter counts milliseconds
        fall = (None, 1, 2, 4)[r[_MOT_DETECT_CTRL] & 3]
        for index, hit in enumerate(any_over.tolist()):
            if not hit:
                self._over_ms = 0.0 if fall is None else max(0.0, self._over_ms - fall * step)
                continue
            self._over_ms += step
            if self._over_ms >= r[_MOT_DUR]:
                self._over_ms = 0.0
                status = 0
                for axis in np.flatnonzero(over[index]).tolist():
                    status |= (0x80 if moved[index, axis] < 0 else 0x40) >> (2 * axis)
                r[_MOT_DETECT_STATUS] = status
                self._raise(MOTION, times[index])

    def _moved(self, g: np.ndarray) -> np.ndarray:
        mode = self._registers[_ACCEL_CONFIG] & 7
        if mode == _HOLD:
            if self._hold is None:
                self._hold = g[0].copy()
            return g - self._hold
        cutoff = _HIGH_PASS.get(mode)
        if cutoff is None:  # in reset, the filter puts out nothing
            return np.zeros_like(g)
        share = cutoff / float(self._running)
        if self._filter is None or self._filter.cutoff != share:
            self._filter = HighPass(share)
        return self._filter.run(g)

    # Registers.

    def _asserted(self, now_us: int) -> bool:
        if self._registers[_INT_PIN_CFG] & 0x20:
            return bool(self._registers[_INT_STATUS] & self._registers[_INT_ENABLE])
        return self._pulsed is not None and now_us < self._pulsed + _PULSE_US

    def _active_high(self) -> bool:
        return not self._registers[_INT_PIN_CFG] & 0x80

    def _after(self, register: int) -> int:
        return register if register == _FIFO_R_W else super()._after(register)

    def _fetch(self, register: int, now_us: int) -> int:
        r = self._registers
        if register == _FIFO_R_W:
            if self._fifo:
                r[_FIFO_R_W] = self._fifo.pop(0)
            return r[_FIFO_R_W]
        if register == _FIFO_COUNT:
            self._held_count = len(self._fifo)
            return self._held_count >> 8
        if register == _FIFO_COUNT + 1:
            return self._held_count & 0xFF
        value = r[register] if register < len(r) else 0
        if register == _INT_STATUS or r[_INT_PIN_CFG] & 0x10:
            r[_INT_STATUS] = 0
        if register == _MOT_DETECT_STATUS:
            r[register] = 0
        return value

    def _store(self, register: int, value: int, now_us: int) -> None:
        r = self._registers
        if register in _READ_ONLY or not 0x0D <= register < len(r):
            return
        if register == _PWR_MGMT_1 and value & _DEVICE_RESET:
            self.reset()
            return
        if register == _FIFO_R_W:
            self._fifo = (self._fifo + bytes([value]))[-_FIFO_BYTES:]
            return
        if register == _SIGNAL_PATH_RESET:  # its bits clear themselves
            if value & 2:
                r[_ACCEL_OUT : _ACCEL_OUT + 6] = bytes(6)
            if value & 1:
                r[_ACCEL_OUT + 6 : _GYRO_OUT] = bytes(2)
            if value & 4:
                r[_GYRO_OUT : _GYRO_END + 1] = bytes(6)
            return
        if register == _USER_CTRL and value & 0x04:
            self._fifo.clear()
            value &= ~0x04
        before, r[register] = r[register], value
        if register == _INT_ENABLE:
            r[_INT_STATUS] &= value
        if register in (_MOT_THR, _MOT_DUR, _INT_ENABLE, _ACCEL_CONFIG, _PWR_MGMT_1) and value != before:
            self._begin_detection()
        self._retime(now_us)
