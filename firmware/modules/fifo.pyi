"""Interface of the ``fifo`` module: what an accelerometer has buffered, in one call.

At 3200 samples a second there are 312 us for each; a loop in Python that reads one takes longer on a chip.
These functions fetch many over MicroPython's own bus objects. They know no chip: which register, how many
frames and how a chip hands them out is the driver's business.

This stub is the contract. On chips the module is C (``firmware/modules/fifo``); on the twin it is a shim
(``boards/twin/lib/fifo.py``) that asks the twin once for each call.
"""

from array import array

from machine import I2C, SPI, Pin, SoftI2C, SoftSPI

#: Every frame is a transfer of its own, the register named anew and at least 5 us after the last: chips that
#: drop a frame when its registers have been read (ADXL345). Without it all frames are one long transfer.
EACH: int = 1
#: The high byte of a value comes first on the bus.
BIG_ENDIAN: int = 2

def drain_i2c(
    bus: I2C | SoftI2C,
    address: int,
    register: int,
    frames: int,
    buffer: array | memoryview,
    at: int,
    flags: int,
) -> None:
    """Read ``frames`` frames of three 16-bit values from a FIFO on I2C into ``buffer``, from frame ``at`` on.

    ``register`` is the byte that the chip is sent before a transfer. ``buffer`` is an ``array('h')``, or a
    memoryview of one: x, y, z, x, ... in the order the chip sends them; values outside the frames stay as
    they are. ``flags`` is a sum of ``EACH`` and ``BIG_ENDIAN``, or 0. Nothing is allocated.

    Raises:
        OSError: the chip does not answer (the bus's own number); what was read before is in ``buffer``.
        ValueError: the frames do not fit into the buffer, or an argument is out of range.
        TypeError: ``bus`` or ``buffer`` is something else.
    """

def drain_spi(
    bus: SPI | SoftSPI, cs: Pin, command: int, frames: int, buffer: array | memoryview, at: int, flags: int
) -> None:
    """The same on SPI: ``cs`` goes low for each transfer, whose first byte is ``command``.

    ``cs`` is high again afterwards, whatever happens. Raises what :func:`drain_i2c` does, but a chip that
    does not answer cannot be told from one that sends zeros or ones.
    """
