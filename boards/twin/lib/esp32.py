"""``esp32`` as MicroPython's ESP32 port has it: partitions, NVS, what wakes the chip."""

import json
import struct

import _chip
import _ops
import _wake

WAKEUP_ALL_LOW = False
WAKEUP_ANY_HIGH = True
HEAP_DATA = 4
HEAP_EXEC = 1
_NATIVE = 4096
_partitions = []


def _table():
    if not _partitions:
        running, rows = _chip.call(_ops.PARTITIONS)
        _partitions.extend(tuple(row) for row in json.loads(rows))
        _partitions.append(running)
    return _partitions


class Partition:
    BOOT = 0
    RUNNING = 1
    TYPE_APP = 0
    TYPE_DATA = 1

    def __init__(self, id, block_size=_NATIVE):
        table = _table()
        if isinstance(id, tuple):  # from here alone: what info() returns
            self._set(id, block_size)
        elif isinstance(id, str):
            for kind in (0, 1):
                for info in table[:-1]:
                    if info[0] == kind and info[4] == id:
                        return self._set(info, block_size)
            raise OSError(2)
        elif id == self.RUNNING:
            self._set(table[table[-1]], block_size)
        elif id == self.BOOT:
            self._set(_by_sector(_chip.call(_ops.BOOT_PARTITION, 0, b"", b"")), block_size)
        else:
            raise ValueError

    def _set(self, info, block_size):
        self._info = info
        self._sector = info[2] // _NATIVE
        self._block = block_size
        self._cache = bytearray(_NATIVE) if block_size < _NATIVE else None
        self._span = bytearray(8)
        self._at = bytearray(4)

    @staticmethod
    def find(type=0, subtype=255, label=None, block_size=_NATIVE):
        found = []
        for info in sorted(_table()[:-1], key=lambda info: info[2]):
            if info[0] == type and subtype in (255, info[1]) and label in (None, info[4]):
                found.append(Partition(info, block_size))
        return found

    def info(self):
        return self._info

    def _read(self, at, buf):
        struct.pack_into("<II", self._span, 0, at, len(buf))
        _chip.call(_ops.PARTITION_READ, self._sector, self._span, buf)

    def _write(self, at, buf):
        struct.pack_into("<I", self._at, 0, at)
        _chip.call(_ops.PARTITION_WRITE, self._sector, self._at, b"", buf)

    def _erase(self, at, count):
        struct.pack_into("<II", self._span, 0, at, count)
        _chip.call(_ops.PARTITION_ERASE, self._sector, self._span, b"")

    def readblocks(self, block, buf, offset=0):
        self._read(block * self._block + offset, buf)

    def writeblocks(self, block, buf, offset=None):
        at = block * self._block
        if offset is not None:
            self._write(at + offset, buf)
        elif self._block >= _NATIVE:
            self._erase(at, len(buf))
            self._write(at, buf)
        else:
            self._rewrite(at, buf)

    def _rewrite(self, at, buf):
        """Blocks smaller than a sector: read, erase, write back. Not safe from power cuts, as on the chip."""
        cache, end = memoryview(self._cache), at + len(buf)
        sector = at // _NATIVE * _NATIVE
        skip = at % _NATIVE
        while sector < end:
            if skip or end < sector + _NATIVE:
                self._read(sector, cache)
            self._erase(sector, _NATIVE)
            if skip:
                self._write(sector, cache[:skip])
            if end < sector + _NATIVE:
                self._write(end, cache[end - sector :])
            skip = 0
            sector += _NATIVE
        self._write(at, buf)

    def ioctl(self, op, arg):
        if op in (1, 2, 3):
            return 0
        if op == 4:
            return self._info[3] // self._block
        if op == 5:
            return self._block
        if op == 6:
            if self._block != _NATIVE:
                return -22
            self._erase(arg * _NATIVE, _NATIVE)
            return 0

    def set_boot(self):
        _chip.call(_ops.SET_BOOT, self._sector)

    def get_next_update(self):
        return Partition(_by_sector(_chip.call(_ops.NEXT_UPDATE, self._sector, b"", b"")))

    @classmethod
    def mark_app_valid_cancel_rollback(cls):
        _chip.call(_ops.MARK_VALID)

    def __repr__(self):
        return "<Partition type=%d, subtype=%d, address=%d, size=%d, label=%s, encrypted=%d>" % self._info


def _by_sector(sector):
    for info in _table()[:-1]:
        if info[2] == sector * _NATIVE:
            return info
    raise OSError(2)


class NVS:
    def __init__(self, namespace):
        self._handle = _chip.call(_ops.NVS_OPEN, 0, namespace.encode(), b"")

    def _set(self, kind, key, value):
        key = key.encode()
        _chip.call(_ops.NVS_SET, self._handle, kind + bytes([len(key)]) + key, b"", value)

    def set_i32(self, key, value):
        self._set(b"i", key, struct.pack("<i", value))

    def get_i32(self, key):
        return struct.unpack("<i", _chip.call(_ops.NVS_GET, self._handle, b"i" + key.encode())[1])[0]

    def set_blob(self, key, value):
        self._set(b"b", key, value)

    def get_blob(self, key, buffer):
        data = _chip.call(_ops.NVS_GET, self._handle, b"b" + key.encode())[1]
        if len(data) > len(buffer):
            raise OSError(-0x110C, "ESP_ERR_NVS_INVALID_LENGTH")
        memoryview(buffer)[: len(data)] = data
        return len(data)

    def erase_key(self, key):
        _chip.call(_ops.NVS_ERASE, self._handle, key.encode())

    def commit(self):
        pass  # every set is on the flash already, as in ESP-IDF

    def __repr__(self):
        return "<NVS namespace>"


def wake_on_ext0(pin=-1, level=None):
    _wake.ext0(pin, level)


def wake_on_ext1(pins=None, level=None):
    _wake.ext1(pins, level)


def wake_on_gpio(pins=None, level=None):
    _wake.gpio(pins, level)


def wake_on_touch(wake):
    _wake.touch(wake)


def wake_on_ulp(wake):
    _wake.ulp(wake)


class ULP:
    RESERVE_MEM = 2040

    def set_wakeup_period(self, period_index, period_us):
        _chip.call(_ops.ULP_PERIOD, period_index, struct.pack("<I", period_us))

    def load_binary(self, load_addr, program_binary):
        _chip.call(_ops.ULP_LOAD, 0, struct.pack("<I", load_addr), None, program_binary)

    def run(self, entry_point):
        _chip.call(_ops.ULP_RUN, entry_point // 4)


def raw_temperature():
    return _chip.call(_ops.TEMPERATURE, 0, b"", b"")


def gpio_deep_sleep_hold(enable):
    if enable:
        raise ValueError("the twin's pins do not hold in deep sleep")


def idf_heap_info(capabilities):
    import gc

    # Words of this interpreter are twice as wide as the chip's.
    free = gc.mem_free() // 2
    return [(free + gc.mem_alloc() // 2, free, free, free)]
