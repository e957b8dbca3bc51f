"""The ESP32's registers as far as a host in download mode reads them, and the flash's id behind them.

Addresses: ``esptool/targets/esp32.py`` (5.6.0). Fields: ESP32 Technical Reference Manual, eFuse block 0 and
SPI controller. Every other register is plain memory that starts as 0.
"""

from __future__ import annotations

_CHIP_MAGIC = 0x40001000
_UART_CLKDIV = 0x3FF40014
_EFUSE = 0x3FF5A000
_RTC_CALIBRATION = 0x3FF5F06C
_APB_CTL_DATE = 0x3FF6607C
_SPI = 0x3FF42000
_SPI_CMD, _SPI_USR, _SPI_USR2, _SPI_MISO_DLEN, _SPI_W0 = (_SPI + o for o in (0, 0x1C, 0x24, 0x2C, 0x80))
_SPI_CMD_USR = 1 << 18  # start the command that the other registers describe
_SPI_USR_MISO = 1 << 28  # it reads an answer

_CRYSTAL_HZ = 40_000_000
_CLOCK_8M = 128  # rate of the internal 8 MHz oscillator, of which the ROM's calibration is a multiple
_MOST = 4096  # registers kept; no host writes as many


class Registers:
    """Registers of an ESP32-D0WD-V3, revision 3.1, 240 MHz, with a 40 MHz crystal and a Winbond flash.

    Args:
        mac: the six bytes of the base MAC address.
        flash_size: of the flash, bytes, a power of two.
    """

    def __init__(self, mac: bytes, flash_size: int) -> None:
        capacity = flash_size.bit_length() - 1  # JEDEC: log2 of the bytes, 0x16 for 4 MiB
        # By opcode: RDID, three status registers.
        self._replies = {0x9F: 0x40EF | capacity << 16, 0x05: 0, 0x35: 0, 0x15: 0}
        self._fixed = {
            _CHIP_MAGIC: 0x00F01D83,
            _APB_CTL_DATE: 1 << 31,  # third bit of the major revision
            **dict.fromkeys(range(_EFUSE, _EFUSE + 0x100, 4), 0),
            _EFUSE + 4: int.from_bytes(mac[2:], "big"),
            _EFUSE + 8: mac_crc(mac) << 16 | int.from_bytes(mac[:2], "big"),
            _EFUSE + 12: 1 << 15 | 1 << 13 | 1 << 9,  # first bit of the revision, rated 240 MHz, package D0WD
            _EFUSE + 16: _CLOCK_8M,
            _EFUSE + 20: 1 << 24 | 1 << 20,  # minor revision 1, second bit of the major one
        }
        self._memory = {_RTC_CALIBRATION: _CRYSTAL_HZ * 40 // (15625 * _CLOCK_8M) << 7}
        self.set_baud(115200)

    def read(self, address: int) -> int:
        """The 32-bit value at ``address``."""
        return self._fixed.get(address, self._memory.get(address, 0))

    def write(self, address: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """Write the bits of ``mask``; it does not show in what can only be read."""
        if address not in self._memory and len(self._memory) >= _MOST:
            return
        self._memory[address] = self.read(address) & ~mask | value & mask
        if address == _SPI_CMD and self._memory[_SPI_CMD] & _SPI_CMD_USR:
            self._spi_command()

    def set_baud(self, baud: int) -> None:
        """The UART's divider follows the rate; the host works the crystal's frequency out from it."""
        self._memory[_UART_CLKDIV] = _CRYSTAL_HZ // max(baud, 1)

    def _spi_command(self) -> None:
        """A command to the flash by its opcode; one without an answer does nothing."""
        self._memory[_SPI_CMD] &= ~_SPI_CMD_USR
        if self.read(_SPI_USR) & _SPI_USR_MISO:
            bits = min(self.read(_SPI_MISO_DLEN) + 1, 32)
            reply = self._replies.get(self.read(_SPI_USR2) & 0xFF, 0xFFFFFFFF)
            self._memory[_SPI_W0] = reply & (1 << bits) - 1


def mac_crc(mac: bytes) -> int:
    """The check byte beside a MAC address in eFuse: Dallas' CRC-8 (ESP-IDF, ``efuse_hal_get_mac``)."""
    crc = 0
    for byte in mac:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc
