"""The ULP coprocessor of the ESP32: its program, its timer, and what it hears while the chip sleeps.

It runs in deep and light sleep; while the CPU is awake its runs change nothing and are left out. Registers
are those of SENS and RTC_CNTL that the ADC's hand-over to the coprocessor and its timer need
(ESP-IDF v5.5, ``components/soc/esp32/register/soc``); others hold what is written to them.
"""

from __future__ import annotations

import errno
import struct
from functools import cached_property

import numpy as np

from cicada.tools.errors import UserError
from cicada.tools.twin.chip import PWRON_RESET, SOFT_RESET, Chip, Peripheral, ops
from cicada.tools.twin.sensors.analog import Adc, Curve, millivolts
from cicada.tools.twin.sound import RATE
from cicada.tools.twin.ulpcore import ADC_CYCLES, HZ, MEMORY, Core, Outside, Run, Unknown
from cicada.tools.twin.ulpknown import wakes_from

_I2S_TIMING = (0x3FF4F01C, 0x3FF6D01C)  # a driver of a microphone sets them; they hold what is written
_SLOW_MEM, _RTC, _SENS = 0x50000000, 0x3FF48000, 0x3FF48800
_STATE0, _LOW_POWER_ST = _RTC + 0x18, _RTC + 0xC0
_READ_CTRL, _MEAS_WAIT2 = _SENS, _SENS + 0x0C
_ATTEN1, _MEAS_START1 = _SENS + 0x34, _SENS + 0x54
_TIMER_ON, _READY = 1 << 24, 1 << 19
_BY_CPU = 1 << 31 | 1 << 18  # of MEAS_START1: pad and start are the CPU's, not the coprocessor's
_DIGITAL = 1 << 27  # of READ_CTRL: the digital controller has the ADC
_POWER, _POWER_OFF = 3 << 18, 2 << 18  # of MEAS_WAIT2
#: As the chip's start and the ADC driver of ESP-IDF leave them; all others are 0.
_AFTER_RESET = {_ATTEN1: 0xFFFFFFFF, _MEAS_START1: _BY_CPU, _MEAS_WAIT2: _POWER}
_RESERVED = 2040  # bytes, as MicroPython's sdkconfig has it (CONFIG_ULP_COPROC_RESERVE_MEM)
_CHANNELS = (36, 37, 38, 39, 32, 33, 34, 35)
_ADC_NOISE = 4.0  # counts, RMS
_ADC_NOISE_MOST = 3.5 * _ADC_NOISE  # see sensors/noise.py
#: A sleep that only sound could end, and that nothing has ended for so long, is taken to last for ever.
_HORIZON_US = 40 * 86_400_000_000
_CYCLES_PER_US = HZ // 1_000_000


class Ulp(Peripheral):
    """Attributes:
    skipping: whether bursts that cannot wake the chip may be left out; tests turn that off.
    runs: how many runs of a program were emulated.
    """

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self.skipping = True
        self.runs = 0
        self._core = Core(Outside(self._read, self._write, self._measure))
        self._registers: dict[int, int] = dict(_AFTER_RESET)
        self._entry = 0
        self._period_us = [0] * 5
        self._next = 0  # when the next run begins, in cycles since power-on
        self._now = 0  # when the present run began
        self._loaded = False
        self._last: Run | None = None
        self.operations = {
            ops.MEM_READ: self._mem_read,
            ops.MEM_WRITE: self._mem_write,
            ops.ULP_LOAD: self._load,
            ops.ULP_PERIOD: self._period_set,
            ops.ULP_RUN: self._run,
        }

    def reset(self, cause: int) -> None:
        if cause == PWRON_RESET:
            self._core.memory[:] = bytes(MEMORY)
            self._loaded = False
        if cause != SOFT_RESET:
            timer = self._registers.get(_STATE0, 0) & _TIMER_ON if cause != PWRON_RESET else 0
            self._registers = dict(_AFTER_RESET) | {_STATE0: timer}
            self._draw(False)

    @property
    def running(self) -> bool:
        """Whether the timer starts the program again and again."""
        return bool(self._registers.get(_STATE0, 0) & _TIMER_ON)

    def first_wake(self, until_us: int) -> int | None:
        """When the program wakes the chip that falls asleep now, not after ``until_us``; None if it does not.

        Raises:
            UserError: the program does what the twin cannot; or what is heard is live and has no future.
        """
        if not self.running:
            return None
        # misc_modules_sleep_prepare of ESP-IDF's sleep_modes.c: MicroPython asks for no exception.
        self._registers[_MEAS_WAIT2] = self._registers[_MEAS_WAIT2] & ~_POWER | _POWER_OFF
        self._registers[_LOW_POWER_ST] = _READY
        self._next = max(self._next, self.chip.meter.now * _CYCLES_PER_US + self._period)
        try:
            until_us = min(until_us, self.chip.meter.now + _HORIZON_US)
            woke = self._listen(until_us * _CYCLES_PER_US)
        except Unknown as error:
            raise UserError(f"{error}: load another program") from error
        finally:
            self._registers[_LOW_POWER_ST] = 0
        self._draw(True)
        return None if woke is None else -(-woke // _CYCLES_PER_US)

    def awake(self) -> None:
        """The CPU runs again after a light sleep."""
        self._draw(False)

    @property
    def _period(self) -> int:
        return self._period_us[0] * _CYCLES_PER_US

    def _listen(self, until: int) -> int | None:
        """Run the program until it wakes the chip or stops its timer; times in cycles."""
        while self._next <= until and self.running:
            self._next += self._skip(until)
            self._now = self._next
            self._last = self._core.run(self._entry)
            self.runs += 1
            self._next += self._last.cycles + self._period
            if self._last.woke:
                return self._now + self._last.cycles
        return None

    def _skip(self, until: int) -> int:
        """Cycles until the last run before one that may wake the chip, or before ``until``.

        A known program's runs take equally long whatever they hear, so only their number counts.
        """
        if not self.skipping or self._quiet is None or self._last is None:
            return 0
        step = self._last.cycles + self._period
        loud = self.chip.world.sound.quiet_until(self._quiet, max(_sample(self._next) - 1, 0))
        if loud is None:
            return (until - self._next) // step * step
        begins = loud * HZ // RATE
        return max((min(begins - self._last.cycles, until) - self._next) // step, 0) * step

    @cached_property
    def _quiet(self) -> int | None:
        """The loudest sample, counts, with which this program surely does not wake the chip; None if there is
        no such, or if the program is not one of which that can be said."""
        wired = self.chip.board.SOUND_ADC
        known = wakes_from(self._core.memory, self._entry)
        if not known or not wired or _CHANNELS[known.channel] != wired["pin"]:
            return None
        low, high = -1, 32768
        while low < high:
            middle = (low + high + 1) // 2
            if self._spread(middle) < known.counts:
                low = middle
            else:
                high = middle - 1
        return None if low < 0 else low

    def _spread(self, peak: int) -> float:
        """Between which readings at most lie when no sample is beyond ``peak``, counts."""
        wired = self.chip.board.SOUND_ADC
        swing = peak / 32768 * wired["mv_full_scale"]
        table = millivolts(3)
        ends = np.interp([wired["bias_mv"] - swing, wired["bias_mv"] + swing], table, np.arange(4096.0))
        return float(ends[1] - ends[0]) + 2 * _ADC_NOISE_MOST + 1

    # What the program touches

    def _read(self, word: int, high: int, low: int) -> int:
        return self._registers.get(_RTC + 4 * word, 0) >> low & (1 << high - low + 1) - 1

    def _write(self, word: int, high: int, low: int, value: int) -> None:
        mask = (1 << high - low + 1) - 1 << low
        address = _RTC + 4 * word
        self._registers[address] = self._registers.get(address, 0) & ~mask | value << low & mask

    def _measure(self, unit: int, channel: int, cycles: int) -> int:
        """A reading of ADC1; 0 unless the coprocessor has it and it has power."""
        there = self._registers
        mine = not (there[_MEAS_START1] & _BY_CPU or there.get(_READ_CTRL, 0) & _DIGITAL)
        if unit or not 0 <= channel < len(_CHANNELS) or not mine or there[_MEAS_WAIT2] & _POWER == _POWER_OFF:
            return 0
        attenuation = there[_ATTEN1] >> 2 * channel & 3
        return self._adc(_CHANNELS[channel]).raw((self._now + cycles) // _CYCLES_PER_US, attenuation)

    def _adc(self, pin: int) -> Adc:
        wired = self.chip.board.SOUND_ADC
        return self._microphone if wired and pin == wired["pin"] else self._ground

    @cached_property
    def _microphone(self) -> Adc:
        return Adc(_Microphone(self.chip), noise_counts=_ADC_NOISE)

    @cached_property
    def _ground(self) -> Adc:
        return Adc(Curve.constant(0.0))

    def _draw(self, asleep: bool) -> None:
        """Current of the analog microphone, and of the coprocessor and the ADC while they work in a sleep."""
        power, loads = self.chip.board.POWER, self.chip.meter.loads
        if not self._loaded:
            loads.pop("ulp", None)
            return
        loads["ulp"] = (self.chip.board.SOUND_ADC or {}).get("ma", 0.0)
        if asleep and self._last:
            every = self._last.cycles + self._period
            loads["ulp"] += power["ulp"] * self._last.cycles / every
            loads["ulp"] += power["ulp_adc"] * self._last.conversions * (ADC_CYCLES + 4) / every

    # What the CPU asks

    def _mem_read(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        (address,) = struct.unpack("<I", payload)
        if 0 <= address - _SLOW_MEM < MEMORY:
            return 0, struct.pack("<I", self._core.word((address - _SLOW_MEM) // 4))
        self._check(address)
        return 0, struct.pack("<I", self._registers.get(address, 0))

    def _mem_write(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        address, value = struct.unpack("<II", payload)
        if 0 <= address - _SLOW_MEM < MEMORY:
            struct.pack_into("<I", self._core.memory, (address - _SLOW_MEM) & ~3, value)
            self._forget()
        else:
            self._check(address)
            self._registers[address] = value
        return 0, b""

    def _check(self, address: int) -> None:
        known = 0 <= address - _RTC < 0xC00 or address in _I2S_TIMING
        if self.chip.board.CHIP != "esp32" or not known:
            raise ValueError(f"the twin has no register at 0x{address:08x}")

    def _load(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        """``ulp_load_binary`` of ESP-IDF's ``ulp.c``, with its checks and error numbers."""
        if self.chip.board.CHIP != "esp32":
            raise OSError(errno.ENOSYS, "the twin has the coprocessor of the ESP32 only")
        (at,) = struct.unpack_from("<I", payload)
        program = payload[4:]
        if len(program) < 12 or 4 * at + len(program) > _RESERVED:
            raise OSError(-0x104, "ESP_ERR_INVALID_SIZE")
        magic, offset, text, data, bss = struct.unpack_from("<4sHHHH", program)
        if magic != b"ulp\0":
            raise OSError(-0x106, "ESP_ERR_NOT_SUPPORTED")
        if offset + text + data != len(program) // 4 * 4:
            raise OSError(-0x104, "ESP_ERR_INVALID_SIZE")
        whole = program[offset : offset + text + data] + bytes(bss)
        if 4 * at + len(whole) > MEMORY:  # ESP-IDF does not look, and would clear what lies behind
            raise OSError(-0x104, "ESP_ERR_INVALID_SIZE")
        self._core.memory[4 * at : 4 * at + len(whole)] = whole
        self._loaded = True
        self._forget()
        self._draw(False)
        return 0, b""

    def _period_set(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        if argument > 4:
            raise OSError(-0x102, "ESP_ERR_INVALID_ARG")
        (self._period_us[argument],) = struct.unpack("<I", payload)
        return 0, b""

    def _run(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self._entry = argument
        self._registers[_STATE0] = self._registers.get(_STATE0, 0) | _TIMER_ON
        self._next = self.chip.meter.now * _CYCLES_PER_US + self._period
        self._forget()
        return 0, b""

    def _forget(self) -> None:
        """What was found out about the program no longer holds."""
        self._last = None
        self.__dict__.pop("_quiet", None)


def _sample(cycles: int) -> int:
    """The sample of the world's sound at a time in cycles."""
    return cycles * RATE // HZ


class _Microphone:
    """The voltage of the analog microphone: the world's sound around its bias."""

    def __init__(self, chip: Chip) -> None:
        self._sound = chip.world.sound
        self._wired = chip.board.SOUND_ADC

    def at(self, us: int) -> float:
        """Volts at a moment."""
        sample = int(self._sound.samples(us * RATE // 1_000_000, 1)[0])
        return (self._wired["bias_mv"] + sample / 32768 * self._wired["mv_full_scale"]) / 1000
