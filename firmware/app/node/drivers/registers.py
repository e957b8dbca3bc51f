"""Registers of a chip on I2C or on SPI: the same few calls for both.

None of the calls that a running sensor needs (``byte``, ``read``, ``drain``) allocates anything.
"""

import fifo
from machine import Pin
from micropython import const

from node.drivers import SensorError

_READ = const(0x80)  # bits of the first byte on SPI, of the ADXL345 and the LIS3DH alike
_MANY = const(0x40)
#: What both chips take on SPI: clock high between transfers, 5 MHz at most (ADXL345).
SPI_HZ = const(5000000)
SPI_POLARITY = const(1)
SPI_PHASE = const(1)


class OnI2C:
    """A chip's registers on I2C.

    Args:
        bus: machine.I2C.
        lines: pin numbers of SCL and SDA, to find out why nobody answers.
        address: of the chip.
        many: bit of the register's number that asks for the next ones, too, where a chip wants one.
    """

    def __init__(self, bus, lines, address, many=0):
        self._bus = bus
        self._lines = lines
        self._address = address
        self._many = many
        self._one = bytearray(1)

    def byte(self, register):
        """One register."""
        self._bus.readfrom_mem_into(self._address, register, self._one)
        return self._one[0]

    def read(self, register, into):
        """Registers from ``register`` on."""
        self._bus.readfrom_mem_into(self._address, register | self._many, into)

    def write(self, register, value):
        """Set one register."""
        self._one[0] = value
        self._bus.writeto_mem(self._address, register, self._one)

    def drain(self, register, frames, into, at, flags):
        """Frames of a FIFO; see the module ``fifo``."""
        fifo.drain_i2c(self._bus, self._address, register | self._many, frames, into, at, flags)

    def __str__(self):
        return "I2C address 0x%02x (SCL %d, SDA %d)" % ((self._address,) + tuple(self._lines))

    def silence(self):
        """Why nobody answers, as far as the lines tell."""
        for name, pin in zip(("SCL", "SDA"), self._lines):
            if not Pin(pin).value():
                return "%s (pin %d) is held low: look for a short or a chip without power" % (name, pin)
        return "nothing answers: check wiring, power and address"


class OnSPI:
    """A chip's registers on SPI.

    Args:
        bus: machine.SPI.
        cs: number of the pin that selects the chip.
    """

    def __init__(self, bus, cs):
        self._bus = bus
        self._number = cs
        self._cs = Pin(cs, Pin.OUT, value=1)
        self._one = bytearray(1)
        self._two = bytearray(2)

    def byte(self, register):
        """One register."""
        self._two[0] = register | _READ
        self._two[1] = 0
        self._exchange()
        return self._two[1]

    def read(self, register, into):
        """Registers from ``register`` on."""
        self._one[0] = register | _READ | _MANY
        self._cs(0)
        self._bus.write(self._one)
        self._bus.readinto(into)
        self._cs(1)

    def write(self, register, value):
        """Set one register."""
        self._two[0] = register
        self._two[1] = value
        self._exchange()

    def _exchange(self):
        self._cs(0)
        self._bus.write_readinto(self._two, self._two)
        self._cs(1)

    def drain(self, register, frames, into, at, flags):
        """Frames of a FIFO; see the module ``fifo``."""
        fifo.drain_spi(self._bus, self._cs, register | _READ | _MANY, frames, into, at, flags)

    def __str__(self):
        return "SPI with chip select at pin %d" % self._number

    def silence(self):
        """Why nobody answers: on SPI nothing tells."""
        return "nothing answers: check wiring, power and chip select"


def probe(title, port, register, wanted, mask=0xFF):
    """Make sure that the chip at ``port`` is what it should be.

    Args:
        title: name of the chip, for people.
        port: OnI2C or OnSPI.
        register, wanted, mask: where its identity is, and what counts of it.

    Raises:
        SensorError: it is another one, or nobody answers.
    """
    try:
        found = port.byte(register)
    except OSError:
        raise SensorError("no %s at %s: %s" % (title, port, port.silence()))
    if found & mask == wanted:
        return
    if isinstance(port, OnSPI) and found in (0, 255):
        raise SensorError("no %s at %s: %s" % (title, port, port.silence()))
    raise SensorError(
        "no %s at %s: the chip there says 0x%02x, not 0x%02x; check which chip it is"
        % (title, port, found, wanted)
    )
