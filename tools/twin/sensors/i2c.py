"""An I2C bus in virtual time and the base of the devices on it.

Times are integer microseconds since the world was switched on. A device never sees a time before one it has
already seen.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable


class Device:
    """One slave on the bus; this base has no registers and never interrupts.

    Args:
        address: 7-bit bus address.

    Raises:
        ValueError: ``address`` is reserved by the bus (UM10204 rev. 7.0, section 3.1.12).
    """

    def __init__(self, address: int) -> None:
        if not 0x08 <= address <= 0x77:
            raise ValueError(f"an I2C address is 0x08 to 0x77, not {address:#04x}")
        self.address = address

    def write(self, data: bytes, now_us: int) -> None:
        """The master wrote ``data`` in one transfer."""
        raise NotImplementedError

    def read(self, count: int, now_us: int) -> bytes:
        """The master reads ``count`` bytes in one transfer."""
        raise NotImplementedError

    def reset(self) -> None:
        """Power was taken away and came back: registers have their reset values."""
        raise NotImplementedError

    def current_ma(self, now_us: int) -> float:
        """What the device draws at ``now_us``, mA."""
        raise NotImplementedError

    def next_interrupt(self, after_us: int, until_us: int) -> int | None:
        """When its interrupt pin is first active in ``after_us`` to ``until_us``, if nobody talks to it.

        Returns:
            A virtual time, ``after_us`` if the pin is active already, or None. The device stays as it is.
        """
        return None

    def interrupt_level(self, now_us: int) -> int:
        """Electrical level of the interrupt pin, 0 or 1."""
        return 0


class RegisterDevice(Device):
    """A device with 8-bit registers behind a pointer: the first byte written sets the pointer, further
    bytes go into registers, a read starts at the pointer."""

    #: Fastest clock of its SPI interface, Hz; 0 where it has none that is modelled.
    spi_hz = 0
    #: Clock modes it understands. The data sheets have 3; in 0, too, bits are taken at the rising edge.
    spi_modes = (3,)

    def __init__(self, address: int) -> None:
        super().__init__(address)
        self._pointer = 0

    def write(self, data: bytes, now_us: int) -> None:
        if not data:
            return
        self._settle(now_us)
        self._pointer = data[0]
        for value in data[1:]:
            self._store(self._pointer, value, now_us)
            self._pointer = self._after(self._pointer)

    def read(self, count: int, now_us: int) -> bytes:
        self._settle(now_us)
        values = bytearray()
        for _ in range(count):
            values.append(self._fetch(self._pointer, now_us))
            self._pointer = self._after(self._pointer)
        self._read_done()
        return bytes(values)

    # The same registers a byte at a time, for SPI.

    def begin_transfer(self, now_us: int) -> None:
        """Bytes pass at ``now_us``."""
        self._settle(now_us)

    def point_at(self, register: int, many: bool) -> None:
        """Begin at a register; ``many`` says that the next ones are meant, too."""
        self._pointer = register

    def next_out(self, now_us: int, many: bool) -> int:
        """Read the register pointed at."""
        value = self._fetch(self._pointer, now_us)
        self._pointer = self._after(self._pointer) if many else self._pointer
        return value

    def next_in(self, value: int, now_us: int, many: bool) -> None:
        """Write the register pointed at."""
        self._store(self._pointer, value, now_us)
        self._pointer = self._after(self._pointer) if many else self._pointer

    def transfer_done(self) -> None:
        """The chip is no longer selected."""
        self._read_done()

    def _settle(self, now_us: int) -> None:
        """Bring the device's state up to ``now_us``."""

    def _fetch(self, register: int, now_us: int) -> int:
        """Value of one register, with the effects of reading it."""
        raise NotImplementedError

    def _store(self, register: int, value: int, now_us: int) -> None:
        """Write one register, with its effects."""
        raise NotImplementedError

    def _after(self, register: int) -> int:
        """The pointer after a byte was read or written at ``register``."""
        return (register + 1) & 0xFF

    def _read_done(self) -> None:
        """A read transfer is over."""


class Bus:
    """Devices by address.

    A transfer to an address where nothing answers raises ``OSError(ENODEV)``, as ``machine.I2C`` does on the
    ESP32 (micropython/micropython, ``ports/esp32/machine_i2c.c``: ``ESP_FAIL`` and ``ESP_ERR_INVALID_STATE``
    become ``-MP_ENODEV``).

    Raises:
        ValueError: two devices have one address.
    """

    def __init__(self, devices: Iterable[Device] = ()) -> None:
        self.devices: dict[int, Device] = {}
        for device in devices:
            self.add(device)

    def add(self, device: Device) -> None:
        """Put another device on the bus.

        Raises:
            ValueError: its address is taken.
        """
        if device.address in self.devices:
            raise ValueError(f"two devices at I2C address {device.address:#04x}")
        self.devices[device.address] = device

    def _at(self, address: int) -> Device:
        try:
            return self.devices[address]
        except KeyError:
            raise OSError(errno.ENODEV, "no device answers at this I2C address") from None

    def write(self, address: int, data: bytes, now_us: int, stop: bool = True) -> int:
        """Write ``data``; returns the number of bytes acknowledged.

        ``stop`` is accepted as ``machine.I2C`` passes it; these devices do not care whether a repeated start
        follows.
        """
        self._at(address).write(bytes(data), now_us)
        return len(data)

    def read(self, address: int, count: int, now_us: int, stop: bool = True) -> bytes:
        """Read ``count`` bytes."""
        return self._at(address).read(count, now_us)

    def scan(self) -> list[int]:
        """Addresses that answer, ascending."""
        return sorted(self.devices)

    def reset(self) -> None:
        """Every device loses its power and gets it back."""
        for device in self.devices.values():
            device.reset()

    def current_ma(self, now_us: int) -> float:
        """What all devices draw together, mA."""
        return sum(device.current_ma(now_us) for device in self.devices.values())

    def next_interrupt(self, after_us: int, until_us: int) -> int | None:
        """Earliest :meth:`Device.next_interrupt` of all devices."""
        times = [device.next_interrupt(after_us, until_us) for device in self.devices.values()]
        return min((time for time in times if time is not None), default=None)
