"""How a chip with registers answers on SPI."""

from __future__ import annotations

from cicada.tools.twin.sensors.i2c import RegisterDevice

_READ, _MANY = 0x80, 0x40


class Slave:
    """A register device behind a chip select pin.

    A transfer begins when its pin goes low. The first byte is bit 7 for a read, bit 6 for more than one
    register, and the register's number (ADXL345 data sheet, rev. E, figures 36 to 38; LIS3DH datasheet
    DocID17530 rev. 2, section 6.2). A clock that is too fast or of another mode is understood by nobody.

    Args:
        device: the registers.
    """

    def __init__(self, device: RegisterDevice) -> None:
        self.device = device
        self.selected = False
        self._command: int | None = None

    def select(self, level: int) -> None:
        """The chip select pin has this level now."""
        if level and self._command is not None:
            self.device.transfer_done()
        if level or not self.selected:
            self._command = None
        self.selected = not level

    def transfer(self, data: bytes, hertz: int, mode: int, now_us: int) -> bytes:
        """Exchange bytes while selected; ``mode`` is clock polarity times two plus phase."""
        if mode not in self.device.spi_modes or hertz > self.device.spi_hz:
            return bytes(len(data))
        device, answer = self.device, bytearray()
        device.begin_transfer(now_us)
        for value in data:
            if self._command is None:
                self._command = value
                device.point_at(value & 0x3F, bool(value & _MANY))
                answer.append(0xFF)
            elif self._command & _READ:
                answer.append(device.next_out(now_us, bool(self._command & _MANY)))
            else:
                device.next_in(value, now_us, bool(self._command & _MANY))
                answer.append(0xFF)
        return bytes(answer)
