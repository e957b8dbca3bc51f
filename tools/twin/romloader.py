"""The ESP32's serial boot loader and esptool's stub, as a protocol engine without a chip.

SLIP frames go in, SLIP frames come out; flash is changed through :class:`NorFlash` only. The uploaded stub is
accepted but not run: from then on the engine answers as the stub does.

Sources: Espressif, *esptool documentation*, "Serial Protocol" (frames, commands, error codes); what the host
reads is in ``esptool/loader.py``, ``esptool/cmds.py`` and ``esptool/targets/esp32.py`` (5.6.0); what the stub
answers is in espressif/esp-flasher-stub, ``src/command_handler.c``. Where the ROM's error code is not
documented, the nearest one of the documented list is given.

Left out: encrypted writing, reading out of or into RAM, the flash's status registers and SFDP table, and the
time that bytes take on a serial line.
"""

from __future__ import annotations

import hashlib
import operator
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from cicada.tools.twin.flash import SECTOR, IllegalOperation, NorFlash
from cicada.tools.twin.romregisters import Registers
from cicada.tools.twin.slip import Slip

_SYNC_WORD = 0x20120707  # the first bytes of SYNC's data, which the ROM gives back as the answer's value
_SYNC_SIZE = 36
_FRAME = 16384 + 64  # the stub's largest data block and what stands before it
_READ_SLOW = 64  # bytes the ROM's READ_FLASH_SLOW returns
_STUB_BLOCK = 4096  # largest packet of the stub's READ_FLASH


@dataclass(frozen=True)
class _Fault:
    """An error as each of the two says it: the ROM's second status byte, the stub's first."""

    rom: int
    stub: int


_LENGTH = _Fault(0x05, 0xC0)
_CHECKSUM = _Fault(0x07, 0xC1)
_UNKNOWN = _Fault(0x05, 0xC3)
_WRITE = _Fault(0x08, 0xC4)
_READ = _Fault(0x09, 0xC4)
_READ_LENGTH = _Fault(0x0A, 0xC3)
_MODE = _Fault(0x06, 0xC6)
_INFLATE = _Fault(0x0B, 0xC7)
_SHORT = _Fault(0x05, 0xC8)
_TOO_MUCH = _Fault(0x05, 0xC9)
_NOT_DONE_HERE = _Fault(0x05, 0xFF)


class _Refused(Exception):
    """A command is answered with this fault."""

    def __init__(self, fault: _Fault) -> None:
        super().__init__(fault)
        self.fault = fault


@dataclass
class _Writing:
    """Flash download mode: data go to ``at`` until ``end``; sectors before ``erased`` are blank."""

    at: int
    end: int
    erased: int
    inflate: Any = None  # zlib's decompressor in the FLASH_DEFL commands


@dataclass
class _Reading:
    """The stub's READ_FLASH: ``size`` bytes from ``at`` in packets of ``block``; ``sent`` are gone."""

    at: int
    size: int
    block: int
    sent: int = 0


def checksum(data: bytes) -> int:
    """The loader's checksum: exclusive or of all bytes and 0xEF."""
    return reduce(operator.xor, data, 0xEF)


class RomLoader:
    """The chip in download mode.

    Args:
        flash: what is read, erased and programmed; its size decides the JEDEC id.
        mac: the chip's six-byte base MAC address.

    Attributes:
        stub: whether the stub runs instead of the ROM.
        run_requested: the host asked for the application (FLASH_END or FLASH_DEFL_END to the ROM,
            RUN_USER_CODE to the stub). The loader is silent from then on, until :meth:`greeting`.
    """

    def __init__(self, flash: NorFlash, mac: bytes) -> None:
        if len(mac) != 6:
            raise ValueError(f"a MAC address has 6 bytes, not {len(mac)}")
        self._flash = flash
        self._mac = bytes(mac)
        common: dict[int, Callable[[bytes], bytes | None]] = {
            0x02: self._begin,
            0x03: self._data,
            0x04: self._end,
            0x05: self._mem_begin,
            0x06: self._mem_end,
            0x07: self._mem_data,
            0x08: self._sync,
            0x09: self._write_reg,
            0x0A: self._read_reg,
            0x0B: lambda data: self._accept(data, 24),  # SPI_SET_PARAMS: the size is the flash's own
            0x0D: lambda data: self._accept(data, 4 if self.stub else 8),  # SPI_ATTACH
            0x0F: self._change_baud,
            0x10: lambda data: self._begin(data, zlib.decompressobj()),
            0x11: self._data,
            0x12: self._end,
            0x13: self._md5,
        }
        self._rom_commands = {**common, 0x0E: self._read_slow}
        self._stub_commands = {
            **common,
            0x14: self._security_info,
            0xD0: lambda data: self._erase(0, self._flash.size),
            0xD1: lambda data: self._erase(*self._words(data, 2)),
            0xD2: self._read_flash,
            0xD3: self._run,
        }
        self.greeting()

    def greeting(self) -> bytes:
        """Restart the ROM in download mode; what it prints there.

        The text is the one of the ESP32's ROM (revision 3) after a reset by EN with GPIO0 low.
        """
        self.stub = self.run_requested = False
        self._slip = Slip(_FRAME)
        self._late: _Fault | None = None
        self._writing: _Writing | None = None
        self._reading: _Reading | None = None
        self._memory: int | None = None  # bytes of RAM download still to come
        self._check = 0  # the checksum in the command's header
        self._value = 0  # the value in the answer's header
        self._after = b""  # what follows the answer
        self._registers = Registers(self._mac, self._flash.size)
        return (
            b"ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET),"
            b"boot:0x3 (DOWNLOAD_BOOT(UART0/UART1/SDIO_REI_REO_V2))\r\nwaiting for download\r\n"
        )

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the host, give the bytes that answer them.

        Raises:
            PowerCut: from the flash; then call :meth:`greeting`. Nothing else, whatever comes in.
        """
        return b"".join(self._frame(frame) for frame in self._slip.feed(data))

    def _frame(self, frame: bytes) -> bytes:
        if self.run_requested:
            return b""
        if self._reading:
            if len(frame) == 4:
                return self._next_packet(int.from_bytes(frame, "little"))
            self._reading = None  # a command instead: the host gave up
        if len(frame) < 8:
            return b""
        direction, op, size, self._check = struct.unpack_from("<BBHI", frame)
        if direction and not self.stub:
            return b""
        self._value, self._after = 0, b""
        try:
            if direction:
                raise _Refused(_UNKNOWN)
            if size != len(frame) - 8:
                raise _Refused(_LENGTH)
            if self._late:
                late, self._late = self._late, None
                raise _Refused(late)
            command = (self._stub_commands if self.stub else self._rom_commands).get(op)
            if command is None:
                raise _Refused(_UNKNOWN)
            stub = self.stub
            payload = command(frame[8:])
            status = bytes(2 if stub else 4)
        except _Refused as refused:
            code = refused.fault
            payload, status = b"", bytes([code.stub, 0]) if self.stub else bytes([1, code.rom, 0, 0])
        if payload is None:
            return b""
        body = payload + status
        answer = Slip.frame(struct.pack("<BBHI", 1, op, len(body), self._value) + body)
        return (answer * 8 if op == 0x08 and not any(status) else answer) + self._after

    @staticmethod
    def _accept(data: bytes, size: int) -> bytes:
        """A command that has nothing to do here; ``size`` is what its data must have."""
        if len(data) != size:
            raise _Refused(_LENGTH)
        return b""

    @staticmethod
    def _words(data: bytes, count: int) -> tuple[int, ...]:
        """``count`` 32-bit words, which must be all there is."""
        if len(data) != 4 * count:
            raise _Refused(_LENGTH)
        return struct.unpack(f"<{count}I", data)

    def _block(self, data: bytes) -> bytes:
        """What a data command carries, after its length and checksum were found right."""
        if len(data) < 16:
            raise _Refused(_SHORT)
        if int.from_bytes(data[:4], "little") != len(data) - 16:
            raise _Refused(_TOO_MUCH)
        if checksum(data[16:]) != self._check:
            raise _Refused(_CHECKSUM)
        return data[16:]

    # Talking, RAM and registers

    def _sync(self, data: bytes) -> bytes:
        self._accept(data, _SYNC_SIZE)
        self._value = 0 if self.stub else _SYNC_WORD  # by this the host tells them apart
        return b""

    def _change_baud(self, data: bytes) -> bytes:
        baud, _ = self._words(data, 2)
        self._registers.set_baud(baud)
        return b""

    def _mem_begin(self, data: bytes) -> bytes:
        self._memory, *_ = self._words(data, 4)
        return b""

    def _mem_data(self, data: bytes) -> bytes:
        if self._memory is None:
            raise _Refused(_MODE)
        block = self._block(data)
        if len(block) > self._memory:
            raise _Refused(_TOO_MUCH)
        self._memory -= len(block)
        return b""

    def _mem_end(self, data: bytes) -> bytes:
        """Leave RAM download; whatever is then started is taken for the stub, which says that it runs."""
        stay, _ = self._words(data, 2)
        if self._memory is None:
            raise _Refused(_MODE)
        self._memory = None
        if not stay:
            self.stub, self._writing = True, None
            self._after = Slip.frame(b"OHAI")
        return b""

    def _run(self, _: bytes) -> None:
        self.run_requested = True  # the one command without an answer

    def _security_info(self, _: bytes) -> bytes:
        raise _Refused(_NOT_DONE_HERE)  # the ESP32 has none; its ROM does not know the command at all

    def _read_reg(self, data: bytes) -> bytes:
        (address,) = self._words(data, 1)
        self._value = self._registers.read(address)
        return b""

    def _write_reg(self, data: bytes) -> bytes:
        if not data or len(data) % 16:
            raise _Refused(_SHORT)
        for address, value, mask, _ in struct.iter_unpack("<4I", data):
            self._registers.write(address, value, mask)
        return b""

    # Flash

    def _begin(self, data: bytes, inflate: Any = None) -> bytes:
        """FLASH_BEGIN. The ROM erases all of it now, the stub as data arrive."""
        encrypt = 0
        if self.stub and len(data) == 20:
            encrypt, data = int.from_bytes(data[16:], "little"), data[:16]
        size, _, _, at = self._words(data, 4)
        if encrypt:
            raise _Refused(_NOT_DONE_HERE)
        self._inside(at, size, _WRITE)
        self._writing = _Writing(at, at + size, at // SECTOR * SECTOR, inflate)
        if not self.stub:
            self._erase_to(at + size)
        return b""

    def _data(self, data: bytes) -> bytes:
        """FLASH_DATA and FLASH_DEFL_DATA. The stub answers first, so it tells of a fault one command late."""
        writing = self._writing
        if writing is None:
            raise _Refused(_MODE)
        block = self._block(data)
        if writing.inflate and writing.inflate.eof:
            raise _Refused(_TOO_MUCH)
        try:
            self._store(writing, block)
        except _Refused as refused:
            if not self.stub:
                raise
            self._late = refused.fault
        return b""

    def _store(self, writing: _Writing, block: bytes) -> None:
        room = writing.end - writing.at
        if writing.inflate:
            try:
                block = writing.inflate.decompress(block, room + 1)
            except zlib.error as error:
                raise _Refused(_INFLATE) from error
            if len(block) > room or writing.inflate.unused_data:
                raise _Refused(_TOO_MUCH)
        block = block[:room]  # the host fills its last block up
        self._erase_to(writing.at + len(block))
        try:
            self._flash.program(writing.at, block)
        except IllegalOperation as error:
            raise _Refused(_WRITE) from error
        writing.at += len(block)

    def _end(self, data: bytes) -> bytes:
        """FLASH_END. It ends the ROM's loader whatever its argument is; the stub stays."""
        self._words(data, 1)
        if self._writing is None:
            raise _Refused(_MODE)
        if self.stub and self._writing.at != self._writing.end:
            raise _Refused(_LENGTH)
        self._writing = None
        self.run_requested = not self.stub
        return b""

    def _erase_to(self, end: int) -> None:
        """Erase what is not yet erased of the sectors that end behind ``end``."""
        writing = self._writing
        stop = -(-end // SECTOR) * SECTOR
        if stop > writing.erased:
            self._flash.erase(writing.erased, stop - writing.erased)
            writing.erased = stop

    def _erase(self, at: int, size: int) -> bytes:
        if at % SECTOR or size % SECTOR:
            raise _Refused(_LENGTH)
        self._inside(at, size, _WRITE)
        self._flash.erase(at, size)
        return b""

    def _md5(self, data: bytes) -> bytes:
        at, size, _, _ = self._words(data, 4)
        self._inside(at, size, _READ)
        digest = hashlib.md5(self._flash.read(at, size))
        return digest.digest() if self.stub else digest.hexdigest().encode()

    def _read_slow(self, data: bytes) -> bytes:
        at, size = self._words(data, 2)
        if size > _READ_SLOW:
            raise _Refused(_READ_LENGTH)
        self._inside(at, size, _READ)
        return self._flash.read(at, size).ljust(_READ_SLOW, b"\0")

    def _read_flash(self, data: bytes) -> bytes:
        """READ_FLASH. Like the stub it keeps one packet on its way, whatever number the host allows."""
        at, size, block, _ = self._words(data, 4)
        if not 0 < block <= _STUB_BLOCK:
            raise _Refused(_LENGTH)
        self._inside(at, size, _READ)
        self._reading = _Reading(at, size, block)
        self._after = self._next_packet(0)
        return b""

    def _next_packet(self, acknowledged: int) -> bytes:
        """The next packet, or after the last one was acknowledged the MD5 of all."""
        reading = self._reading
        left = reading.size - reading.sent
        if left:
            packet = self._flash.read(reading.at + reading.sent, min(reading.block, left))
            reading.sent += len(packet)
            return Slip.frame(packet)
        if acknowledged < reading.size:
            return b""
        self._reading = None
        return Slip.frame(hashlib.md5(self._flash.read(reading.at, reading.size)).digest())

    def _inside(self, at: int, size: int, fault: _Fault) -> None:
        if at + size > self._flash.size:
            raise _Refused(fault)
