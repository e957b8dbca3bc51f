"""What the board measures besides sound: sensors and their buses, the ADC, the chip's temperature.

A sensor is described by a dict, in ``board.I2C_DEVICES`` or in the world's ``devices``: its ``kind``;
``bus``, which is ``"i2c"`` unless it is ``"spi"`` or ``"1-wire"``; ``address`` on I2C, chip select ``cs`` on
SPI, ``pin`` on 1-Wire; ``interrupt``, the pin its interrupt is wired to; ``until``, when it is unplugged
(virtual us). One of the world's takes the place of the board's at the same address.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable

from cicada.tools.errors import UserError
from cicada.tools.twin.chip import Chip, Peripheral, ops
from cicada.tools.twin.peripherals.gpio import Source
from cicada.tools.twin.peripherals.serial_buses import EACH, PAUSE_US, little_endian, transfers
from cicada.tools.twin.power import BUSY, IDLE
from cicada.tools.twin.sensors.adxl345 import Adxl345
from cicada.tools.twin.sensors.analog import Adc, Curve
from cicada.tools.twin.sensors.bme280 import Bme280
from cicada.tools.twin.sensors.i2c import Bus, Device
from cicada.tools.twin.sensors.lis3dh import Lis3dh
from cicada.tools.twin.sensors.mpu6050 import Mpu6050
from cicada.tools.twin.sensors.onewire import Ds18b20, Wire
from cicada.tools.twin.sensors.spi import Slave

#: Usual addresses of the devices a board may name, and their makers from the world and an address.
KINDS = {
    "adxl345": (0x53, lambda world, address: Adxl345(world.motion, address)),
    "mpu6050": (0x68, lambda world, address: Mpu6050(world.motion, world.temperature, address)),
    "lis3dh": (0x18, lambda world, address: Lis3dh(world.motion, address)),
    "bme280": (0x76, lambda world, address: Bme280(world.temperature, world.humidity, address=address)),
}
#: What hangs on one wire.
WIRE_KINDS = {"ds18b20": lambda world, serial: Ds18b20(world.temperature, serial)}
_SERIAL = 0x1CADA  # of the first thermometer
_STUCK_US = 50_000  # until MicroPython gives a bus up that is held low (machine.I2C, timeout)
_SELF_HEATING_C = 20.0  # the die over the air around it, running: an assumption
# ADC1 and ADC2 (pin overviews of the chips' datasheets).
_ADC_PINS = {
    "esp32": (*range(32, 40), 0, 2, 4, 12, 13, 14, 15, 25, 26, 27),
    "esp32s3": tuple(range(1, 21)),
    "esp32c3": tuple(range(6)),
}
_LOOK_AHEAD_US = 3_600_000_000


class Sensing(Peripheral):
    """Attributes:
    bus: the devices on the I2C bus.
    slaves: those on SPI, by chip select pin.
    wires: 1-Wire buses by pin.
    """

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self.bus = Bus()
        self.slaves: dict[int, Slave] = {}
        self.wires: dict[int, Wire] = {}
        for about in chip.board.I2C_DEVICES:
            self._add_i2c(about)
        fitted = set(self.bus.devices)
        for about in chip.world.devices:
            add = {"i2c": self._add_i2c, "spi": self._add_spi, "1-wire": self._add_wire}
            if about.get("bus", "i2c") == "i2c" and self._address(about) in fitted:
                fitted.remove(self._address(about))
                del self.bus.devices[self._address(about)]
            add[about.get("bus", "i2c")](about)
        for pin in (chip.board.I2C["scl"], chip.board.I2C["sda"]):  # resistors pull the lines up
            chip.fitted_sources.setdefault(pin, Source(lambda us: 1, lambda level, us: us if level else None))
        self._open: dict[int, int] = {}  # bus -> clock, Hz
        self._adc = Adc(_Volts(chip), chip.board.BATTERY_ADC["ratio"])
        self._ground = Adc(Curve.constant(0.0))
        self.operations = {
            ops.I2C_OPEN: self._i2c_open,
            ops.I2C_WRITE: self._i2c_write,
            ops.I2C_READ: self._i2c_read,
            ops.I2C_SCAN: self._i2c_scan,
            ops.FIFO_I2C: self._drain,
            ops.ADC_READ: self._adc_read,
            ops.TEMPERATURE: self._temperature,
        }
        self.weigh()

    # Wiring.

    def _known(self, about: dict, kinds: dict) -> object:
        if about["kind"] not in kinds:
            raise UserError(
                f"board '{self.chip.board.NAME}' names the unknown sensor '{about['kind']}': choose one of "
                + ", ".join(kinds)
            )
        return kinds[about["kind"]]

    def _address(self, about: dict) -> int:
        return about.get("address") or self._known(about, KINDS)[0]

    def _add_i2c(self, about: dict) -> None:
        address = self._address(about)
        device = self._known(about, KINDS)[1](self.chip.world, address)
        if address in self.bus.devices:
            raise UserError(f"two sensors have the I2C address 0x{address:02x}: give one another")
        self.bus.add(device)
        self._wire(about, device, lambda: self.bus.devices.pop(address))

    def _add_spi(self, about: dict) -> None:
        cs, (address, make) = about["cs"], self._known(about, KINDS)
        device = make(self.chip.world, address)
        if not device.spi_hz:
            raise UserError(f"the twin's {about['kind']} has no SPI: wire it to I2C")
        if cs in self.slaves:
            raise UserError(f"two sensors have pin {cs} as their chip select: give each its own")
        self.slaves[cs] = Slave(device)
        self.chip.fitted_sinks[cs] = self.slaves[cs].select
        self._wire(about, device, lambda: (self.slaves.pop(cs), self.chip.fitted_sinks.pop(cs)))

    def _add_wire(self, about: dict) -> None:
        wire = self.wires.setdefault(about["pin"], Wire())
        device = self._known(about, WIRE_KINDS)(self.chip.world, _SERIAL + len(wire.devices))
        wire.devices.append(device)
        self._wire(about, device, lambda: wire.devices.remove(device))

    def _wire(self, about: dict, device: object, unplug: Callable[[], object]) -> None:
        """Let a device drive its pin, and have it unplugged when its time comes."""
        pin = about.get("interrupt")
        if pin is not None:

            def when(level: int, after_us: int) -> int | None:
                if device.interrupt_level(after_us) == level:
                    return after_us
                return device.next_interrupt(after_us, after_us + _LOOK_AHEAD_US)

            self.chip.fitted_sources[pin] = Source(device.interrupt_level, when)

        def gone() -> None:
            unplug()
            self.chip.fitted_sources.pop(pin, None)
            self.weigh()

        if about.get("until") is not None:
            self.chip.at(about["until"], gone)

    def reset(self, cause: int) -> None:
        self._open.clear()

    def power_cut(self) -> None:
        """The sensors lose their power, too."""
        for device in self._devices():
            device.reset()
        self.weigh()

    def _devices(self) -> list[Device | Ds18b20]:
        wired = [device for wire in self.wires.values() for device in wire.devices]
        return [*self.bus.devices.values(), *(slave.device for slave in self.slaves.values()), *wired]

    def weigh(self) -> None:
        """Tell the meter what the sensors draw now."""
        now = self.chip.meter.now
        self.chip.meter.loads["sensors"] = sum(device.current_ma(now) for device in self._devices())

    # I2C.

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
        lines = [self.chip.board.I2C["scl"], self.chip.board.I2C["sda"]]
        levels = [self.chip.world.levels[pin] for pin in lines if pin in self.chip.world.levels]
        if not all(level.at(self.chip.meter.now) for level in levels):
            self.chip.advance(_STUCK_US, IDLE)
            raise OSError(errno.ENODEV, "the bus is held low")
        self.chip.advance(9 * (count + 1) * 1_000_000 // abs(hertz), BUSY)
        if hertz < 0:
            raise OSError(errno.ENODEV, "nothing is wired to these pins")
        return self.bus

    def _i2c_write(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        bus, stop, data = payload[0], bool(payload[1]), payload[2:]
        written = self._transfer(bus, len(data)).write(argument, data, self.chip.meter.now, stop)
        self.weigh()
        return written, b""

    def _i2c_read(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        bus, stop, count = struct.unpack("<BBI", payload)
        data = self._transfer(bus, count).read(argument, count, self.chip.meter.now, bool(stop))
        self.weigh()
        return 0, data

    def _drain(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        """What the module ``fifo`` asks for."""
        bus, register, frames, flags = struct.unpack("<BBHB", payload)
        data = b""
        for count in transfers(frames, flags):
            self._transfer(bus, 1).write(argument, bytes([register]), self.chip.meter.now, False)
            data += self._transfer(bus, count).read(argument, count, self.chip.meter.now)
            self.chip.advance(PAUSE_US if flags & EACH else 0, BUSY)
        self.weigh()
        return 0, little_endian(data, flags)

    def _i2c_scan(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        try:
            return 0, bytes(self._transfer(argument, 112).scan())
        except OSError:
            return 0, b""

    def _adc_read(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        if argument not in _ADC_PINS[self.chip.board.CHIP]:
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
