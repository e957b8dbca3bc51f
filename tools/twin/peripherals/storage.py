"""``esp32.Partition`` and ``esp32.NVS`` on the flash."""

from __future__ import annotations

import json
import struct

from cicada.tools.twin import ota, partitions
from cicada.tools.twin.chip import Chip, Peripheral, ops
from cicada.tools.twin.nvs import Nvs, NvsError
from cicada.tools.twin.partitions import Partition


class Storage(Peripheral):
    """Partitions are named by their offset: an argument is the offset in 4 KiB sectors."""

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self._nvs: Nvs | None = None
        self._names: list[str] = []
        self.operations = {
            ops.PARTITIONS: self._list,
            ops.PARTITION_READ: self._read,
            ops.PARTITION_WRITE: self._write,
            ops.PARTITION_ERASE: self._erase,
            ops.PARTITION_MAP: self._map,
            ops.BOOT_PARTITION: self._boot_partition,
            ops.NEXT_UPDATE: self._next_update,
            ops.SET_BOOT: self._set_boot,
            ops.MARK_VALID: self._mark_valid,
            ops.NVS_OPEN: self._nvs_open,
            ops.NVS_GET: self._nvs_get,
            ops.NVS_SET: self._nvs_set,
            ops.NVS_ERASE: self._nvs_erase,
        }

    def reset(self, cause: int) -> None:
        self._nvs = None
        self._names = []

    def _list(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        """JSON: every partition as its ``info()``; the value is the index of the running one."""
        rows = [[p.type, p.subtype, p.offset, p.size, p.label, p.encrypted] for p in self.chip.table]
        return self.chip.table.index(self.chip.running), json.dumps(rows).encode()

    def _partition(self, argument: int) -> Partition:
        return next(p for p in self.chip.table if p.offset == argument * 4096)

    def _span(self, argument: int, at: int, count: int) -> int:
        """Offset in the flash of ``count`` bytes from ``at`` in a partition."""
        partition = self._partition(argument)
        if at > partition.size:
            raise ota.EspError("ESP_ERR_INVALID_ARG")
        if at + count > partition.size:
            raise ota.EspError("ESP_ERR_INVALID_SIZE")
        return partition.offset + at

    def _read(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        at, count = struct.unpack("<II", payload)
        data = self.chip.flash.read(self._span(argument, at, count), count)
        self.chip.work(count * self.chip.board.CYCLES["per_flash_byte"])
        return 0, data

    def _write(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        at = struct.unpack_from("<I", payload)[0]
        data = memoryview(payload)[4:]
        self.chip.flash.program(self._span(argument, at, len(data)), data)
        return 0, b""

    def _erase(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        at, count = struct.unpack("<II", payload)
        if at % 4096 or count % 4096:
            raise ota.EspError("ESP_ERR_INVALID_SIZE" if count % 4096 else "ESP_ERR_INVALID_ARG")
        self.chip.flash.erase(self._span(argument, at, count), count)
        return 0, b""

    def _map(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        """The interpreter has the flash in its memory; what it looks at there is nobody's to see, so that
        counts as having been looked at as a whole."""
        partition = self._partition(argument)
        self.chip.flash.view(partition.offset, partition.size)
        return 0, b""

    def _boot_partition(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        chosen = ota.boot_partition(self.chip.flash, self.chip.table)
        return (0xFFFF if chosen is None else chosen.offset // 4096), b""

    def _next_update(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        chosen = ota.next_update(self.chip.table, self._partition(argument))
        return (0xFFFF if chosen is None else chosen.offset // 4096), b""

    def _set_boot(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        ota.set_boot(self.chip.flash, self.chip.table, self.chip.board.CHIP, self._partition(argument))
        return 0, b""

    def _mark_valid(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        ota.mark_valid(self.chip.flash, self.chip.table)
        return 0, b""

    def _nvs_open(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        if self._nvs is None:
            where = partitions.find(self.chip.table, partitions.DATA, partitions.NVS)
            if where is None:
                raise ota.EspError("ESP_ERR_NVS_PART_NOT_FOUND", 0x110F)
            self._nvs = self._mounted(where)
        name = payload.decode()
        self._nvs.open(name)
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name), b""

    def _mounted(self, where: Partition) -> Nvs:
        """The partition's NVS; one that cannot be mounted is erased, as the port's ``main.c`` does."""
        try:
            return Nvs(self.chip.flash, where.offset, where.size)
        except NvsError as error:
            if error.name not in ("ESP_ERR_NVS_NO_FREE_PAGES", "ESP_ERR_NVS_NEW_VERSION_FOUND"):
                raise
        self.chip.flash.erase(where.offset, where.size)
        return Nvs(self.chip.flash, where.offset, where.size)

    def _nvs_get(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        name, kind, key = self._names[argument], payload[:1], payload[1:].decode()
        if kind == b"b":
            return 0, self._nvs.get_blob(name, key)
        return 0, struct.pack("<i", self._nvs.get_i32(name, key))

    def _nvs_set(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        name, kind, size = self._names[argument], payload[:1], payload[1]
        key, value = payload[2 : 2 + size].decode(), payload[2 + size :]
        if kind == b"b":
            self._nvs.set_blob(name, key, value)
        else:
            self._nvs.set_i32(name, key, struct.unpack("<i", value)[0])
        return 0, b""

    def _nvs_erase(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        name = self._names[argument]
        self._nvs.erase_key(name, payload.decode())
        return 0, b""
