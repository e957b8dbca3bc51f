"""What the board measures besides sound: the I2C bus, the ADC, the chip's temperature."""

from __future__ import annotations

import errno
import struct

from cicada.tools.errors import UserError
from cicada.tools.twin.chip import Chip, Peripheral, ops
from cicada.tools.twin.peripherals.gpio import Source
from cicada.tools.twin.power import BUSY
from cicada.tools.twin.sensors.adxl345 import Adxl345
from cicada.tools.twin.sensors.analog import Adc, Curve
from cicada.tools.twin.sensors.bme280 import Bme280
from cicada.tools.twin.sensors.i2c import Bus, Device
from cicada.tools.twin.sensors.lis3dh import Lis3dh
from cicada.tools.twin.sensors.mpu6050 import Mpu6050

#: Makers of the devices a board may name, from the world and the device's entry in ``board.I2C_DEVICES``.
KINDS = {
    "adxl345": lambda world, about: Adxl345(world.motion, about["address"]),
    "mpu6050": lambda world, about: Mpu6050(world.motion, world.temperature, about["address"]),
    "lis3dh": lambda world, about: Lis3dh(world.motion, about["address"]),
    "bme280": lambda world, about: Bme280(world.temperature, world.humidity, address=about["address"]),
}
_SELF_HEATING_C = 20.0  # the die over the air around it, running: an assumption
# ADC1 and ADC2 (ESP32 datasheet, pin overview).
_ADC_PINS = (*range(32, 40), 0, 2, 4, 12, 13, 14, 15, 25, 26, 27)
_LOOK_AHEAD_US = 3_600_000_000


class Sensing(Peripheral):
    """Attributes:
    bus: the devices on the I2C bus.
    """

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self.bus = Bus(self._device(about) for about in chip.board.I2C_DEVICES)
        self._open: dict[int, int] = {}  # bus -> clock, Hz
        self._adc = Adc(_Volts(chip), chip.board.BATTERY_ADC["ratio"])
        self._ground = Adc(Curve.constant(0.0))
        self.operations = {
            ops.I2C_OPEN: self._i2c_open,
            ops.I2C_WRITE: self._i2c_write,
            ops.I2C_READ: self._i2c_read,
            ops.I2C_SCAN: self._i2c_scan,
            ops.ADC_READ: self._adc_read,
            ops.TEMPERATURE: self._temperature,
        }
        self._load()

    def _device(self, about: dict) -> Device:
        if about["kind"] not in KINDS:
            raise UserError(
                f"board '{self.chip.board.NAME}' names the unknown sensor '{about['kind']}': choose one of "
                + ", ".join(KINDS)
            )
        device = KINDS[about["kind"]](self.chip.world, about)
        if "interrupt" in about:
            self._wire(about["interrupt"], device)
        return device

    def _wire(self, pin: int, device: Device) -> None:
        """Let a device drive a pin."""

        def when(level: int, after_us: int) -> int | None:
            if device.interrupt_level(after_us) == level:
                return after_us
            return device.next_interrupt(after_us, after_us + _LOOK_AHEAD_US)

        self.chip.fitted_sources[pin] = Source(device.interrupt_level, when)

    def reset(self, cause: int) -> None:
        self._open.clear()

    def power_cut(self) -> None:
        """The sensors lose their power, too."""
        self.bus.reset()
        self._load()

    def _load(self) -> None:
        self.chip.meter.loads["sensors"] = self.bus.current_ma(self.chip.meter.now)

    def _i2c_open(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        scl, sda, hertz = struct.unpack("<BBI", payload)
        wired = self.chip.board.I2C
        right = argument == wired["id"] and (scl, sda) == (wired["scl"], wired["sda"])
        self._open[argument] = hertz if right else -hertz  # negative: nothing hangs on those pins
        return 0, b""

    def _transfer(self, bus: int, count: int) -> Bus:
        """Let ``count`` bytes and the address pass; nobody answers on a bus without devices."""
        hertz = self._open.get(bus)
        if hertz is None:
            raise OSError(errno.ENODEV, "I2C is not open")
        self.chip.advance(9 * (count + 1) * 1_000_000 // abs(hertz), BUSY)
        if hertz < 0:
            raise OSError(errno.ENODEV, "nothing is wired to these pins")
        return self.bus

    def _i2c_write(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        bus, stop, data = payload[0], bool(payload[1]), payload[2:]
        written = self._transfer(bus, len(data)).write(argument, data, self.chip.meter.now, stop)
        self._load()
        return written, b""

    def _i2c_read(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        bus, stop, count = struct.unpack("<BBI", payload)
        data = self._transfer(bus, count).read(argument, count, self.chip.meter.now, bool(stop))
        self._load()
        return 0, data

    def _i2c_scan(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        try:
            return 0, bytes(self._transfer(argument, 112).scan())
        except OSError:
            return 0, b""

    def _adc_read(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        if argument not in _ADC_PINS:
            raise ValueError("invalid pin")
        source = self._adc if argument == self.chip.board.BATTERY_ADC["pin"] else self._ground
        now, attenuation = self.chip.meter.now, payload[0]
        reading = struct.pack("<II", source.raw(now, attenuation), source.microvolts(now, attenuation))
        return 0, reading

    def _temperature(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        """The ESP32's uncalibrated sensor counts degrees Fahrenheit (MicroPython's quick reference)."""
        celsius = self.chip.world.temperature.at(self.chip.meter.now) + _SELF_HEATING_C
        return min(max(round(celsius * 9 / 5 + 32), 0), 255), b""


class _Volts:
    """The battery's voltage: what the world says, else what is left of its charge."""

    def __init__(self, chip: Chip) -> None:
        self._chip = chip

    def at(self, us: int) -> float:
        """Volts at a moment."""
        if self._chip.world.battery is not None:
            return self._chip.world.battery.at(us)
        battery = self._chip.board.BATTERY
        left = 1 - self._chip.meter.charge_mah() / battery["mah"]
        points = battery["volts"]  # (share of the charge left, V), from empty to full
        return Curve([(round(share * 1e6), volts) for share, volts in points]).at(round(left * 1e6))
