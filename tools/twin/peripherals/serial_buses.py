"""SPI and 1-Wire: how the program reaches the sensors that hang there."""

from __future__ import annotations

import errno
import struct

from cicada.tools.twin.chip import Chip, Peripheral, ops
from cicada.tools.twin.power import BUSY
from cicada.tools.twin.sensors.onewire import Wire

_FRAME_BYTES = 6
_MOST_FRAMES = 512
#: Between frames that are transfers of their own, us; flags of the module ``fifo``.
PAUSE_US = 5
EACH, _BIG_ENDIAN = 1, 2
_RESET_US, _BIT_US = 960, 65  # 1-Wire (DS18B20 data sheet, page 20): reset and presence, a time slot


def little_endian(data: bytes, flags: int) -> bytes:
    """Frames as the module ``fifo`` hands them out."""
    if not flags & _BIG_ENDIAN:
        return data
    swapped = bytearray(data)
    swapped[0::2], swapped[1::2] = data[1::2], data[0::2]
    return bytes(swapped)


def transfers(frames: int, flags: int) -> list[int]:
    """Bytes of each transfer that the module ``fifo`` makes of so many frames.

    Raises:
        ValueError: no chip has so many.
    """
    if frames > _MOST_FRAMES:
        raise ValueError("malformed request")
    if flags & EACH:
        return [_FRAME_BYTES] * frames
    return [_FRAME_BYTES * frames] if frames else []


class Spi(Peripheral):
    """The SPI controllers; :class:`.sensing.Sensing` has what is wired to them."""

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self._open: dict[int, tuple[int, int, bool]] = {}  # bus -> Hz, mode, whether the sensors hang there
        self.operations = {
            ops.SPI_OPEN: self._start,
            ops.SPI_TRANSFER: self._exchange,
            ops.FIFO_SPI: self._drain,
        }

    def reset(self, cause: int) -> None:
        self._open.clear()

    def _start(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self._open.pop(argument, None)
        if payload:
            hertz, mode, *pins = struct.unpack("<IBBBB", payload)
            if not 0 < hertz <= 80_000_000:
                raise ValueError("invalid baudrate")
            wired = getattr(self.chip.board, "SPI", None)
            right = wired is not None and pins == [wired["sck"], wired["mosi"], wired["miso"]]
            self._open[argument] = hertz, mode, right
        return 0, b""

    def _transfer(self, bus: int, data: bytes) -> bytes:
        """Whatever is selected answers; nobody pulls the line up, so it reads as zeros without."""
        if bus not in self._open:
            raise OSError(errno.ENODEV, "SPI is not open")
        hertz, mode, right = self._open[bus]
        self.chip.advance(-(-8 * len(data) * 1_000_000 // hertz), BUSY)
        answer = bytes(len(data))
        for slave in self.chip.parts["sensing"].slaves.values() if right else ():
            if slave.selected:
                said = slave.transfer(data, hertz, mode, self.chip.meter.now)
                answer = bytes(a | b for a, b in zip(answer, said, strict=True))
        self.chip.parts["sensing"].weigh()
        return answer

    def _exchange(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        return 0, self._transfer(argument, payload)

    def _drain(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        cs, command, frames, flags = struct.unpack("<BBHB", payload)
        gpio, data = self.chip.parts["gpio"], b""
        for count in transfers(frames, flags):
            gpio.drive(cs, 0)
            data += self._transfer(argument, bytes([command]) + bytes(count))[1:]
            gpio.drive(cs, 1)
            self.chip.advance(PAUSE_US if flags & EACH else 0, BUSY)
        return 0, little_endian(data, flags)


class OneWire(Peripheral):
    """Pins as 1-Wire buses; :class:`.sensing.Sensing` has what is wired to them."""

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self.operations = {ops.ONEWIRE: self._step}

    def _step(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        what, value = payload
        if what == ops.OW_READ and value not in (1, 8):
            raise ValueError("malformed request")
        bits = {ops.OW_RESET: 0, ops.OW_READ: value, ops.OW_WRITE: 8, ops.OW_WRITE_BIT: 1}[what]
        self.chip.advance(_BIT_US * bits if bits else _RESET_US, BUSY)
        now, result = self.chip.meter.now, 0
        wire = self.chip.parts["sensing"].wires.get(argument, Wire())
        low = argument in self.chip.world.levels and not self.chip.world.levels[argument].at(now)
        if what == ops.OW_RESET:
            result = int(bool(wire.reset() or low))
        elif what == ops.OW_READ:
            result = 0 if low else wire.read(bits, now)
        else:
            wire.write(value, bits, now)
        self.chip.parts["sensing"].weigh()
        return result, b""
