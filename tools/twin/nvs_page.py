"""One page of an NVS partition: its entries, their states, and what a power cut may have left of them.

A page is a flash sector: a header of 32 bytes, two state bits for each of 126 entries, and the entries. They
are written one after another and each is marked written after that; erasing one marks it erased.

Format and algorithm: ESP-IDF v5.5.1 ``components/nvs_flash/src/nvs_page.cpp`` and ``nvs_item_hash_list.cpp``.
Every write and erase comes in the order, at the address and with the bytes of that source, also where it is
weak (see :mod:`cicada.tools.twin.nvs`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from cicada.tools.twin.flash import SECTOR, NorFlash
from cicada.tools.twin.nvs_entry import (
    ACTIVE,
    ANY,
    BLOB,
    BLOB_DATA,
    BLOB_IDX,
    CHUNK_ANY,
    CHUNK_MAX,
    CORRUPT,
    EMPTY,
    ENTRIES,
    ENTRY,
    ERASED,
    FREEING,
    FULL,
    ILLEGAL,
    NS_ANY,
    UNINITIALIZED,
    VARIABLE,
    VERSION,
    VERSION_ANY,
    WRITTEN,
    Item,
    NvsError,
    c_string,
    crc32,
    lookup_hash,
)

_NONE = 0xFFFFFFFF  # no such entry
_TABLE, _DATA = 32, 64


class Page:
    """One sector of the partition and what ESP-IDF keeps of it in RAM.

    Args:
        flash: the chip.
        base: address of the sector, bytes.

    Raises:
        NvsError: ESP_ERR_NVS_NEW_VERSION_FOUND.
    """

    def __init__(self, flash: NorFlash, base: int) -> None:
        self._flash, self._base = flash, base
        self.sequence, self.version = _NONE, VERSION
        self._forget()
        page = flash.read(base, SECTOR)
        state, sequence, version = struct.unpack_from("<IIB", page)
        self.state = CORRUPT
        if state == UNINITIALIZED:
            if page == b"\xff" * SECTOR:
                self.state = UNINITIALIZED
        elif int.from_bytes(page[28:32], "little") == crc32(page[4:28]):
            self.sequence = sequence
            if version < VERSION:
                raise NvsError("ESP_ERR_NVS_NEW_VERSION_FOUND")
            self.version = version
            if state in (ACTIVE, FULL, FREEING):
                self.state = state
                self._load(page[_TABLE:_DATA])

    def _forget(self) -> None:
        self.state = UNINITIALIZED
        self.used = 0
        self._table = bytearray(b"\xff" * 32)
        self._next = self._first = _NONE
        self._index: list[tuple[int, int]] = []  # (hash, entry) in the order of writing

    @property
    def live(self) -> bool:
        """Whether it has a sequence number."""
        return self.state not in (UNINITIALIZED, CORRUPT)

    @property
    def unused(self) -> int:
        """Entries that would be won by moving the page; huge, as the C code's, if damage miscounted them."""
        return (ENTRIES - (self.used & 0xFFFF)) & 0xFFFFFFFF

    @property
    def tailroom(self) -> int:
        """Bytes of a blob's chunk that still fit."""
        if self.state == UNINITIALIZED:
            return CHUNK_MAX
        if self.state == FULL:
            return 0
        return max(0, (ENTRIES - self._next - 1) * ENTRY)

    # --- flash ---------------------------------------------------------------------------------------------

    def _program(self, at: int, data: bytes) -> None:
        # ESP-IDF does not look whether what it writes to is blank. After a torn write it may not be, and the
        # chip then leaves the AND of both.
        old = self._flash.read(self._base + at, len(data))
        both = int.from_bytes(old, "little") & int.from_bytes(data, "little")
        self._flash.program(self._base + at, both.to_bytes(len(data), "little"))

    def _raw(self, index: int) -> bytes:
        return self._flash.read(self._base + _DATA + index * ENTRY, ENTRY)

    def entry(self, index: int) -> Item:
        """The entry ``index``, whatever it holds."""
        return Item.parse(self._raw(index))

    def _state(self, index: int) -> int:
        return self._table[index >> 2] >> (index & 3) * 2 & 3

    def _mark(self, begin: int, end: int, state: int) -> None:
        """Set the states of entries, from the last word of 16 states to the first."""
        for index in reversed(range(begin, end)):
            shift = (index & 3) * 2
            self._table[index >> 2] = self._table[index >> 2] & ~(3 << shift) | state << shift
            if index == begin or index % 16 == 0:
                word = index // 16 * 4
                self._program(_TABLE + word, bytes(self._table[word : word + 4]))

    def _become(self, state: int) -> None:
        self._program(0, state.to_bytes(4, "little"))
        self.state = state

    def _begin(self) -> None:
        header = struct.pack("<IB", self.sequence, self.version).ljust(24, b"\xff")
        self._program(0, struct.pack("<I24sI", ACTIVE, header, crc32(header)))
        self.state, self._next = ACTIVE, 0
        self._table = bytearray(b"\xff" * 32)

    def mark_full(self) -> None:
        """Take no more items. Raises NvsError unless the page is active."""
        if self.state != ACTIVE:
            raise NvsError("ESP_ERR_NVS_INVALID_STATE")
        self._become(FULL)

    def mark_freeing(self) -> None:
        """Say that its items are being moved. Raises NvsError unless the page is active or full."""
        if self.state not in (ACTIVE, FULL):
            raise NvsError("ESP_ERR_NVS_INVALID_STATE")
        self._become(FREEING)

    def erase(self) -> None:
        """Erase the sector."""
        self._flash.erase(self._base, SECTOR)
        self._forget()

    # --- items ---------------------------------------------------------------------------------------------

    def _append(self, raw: bytes) -> None:
        if self._next >= ENTRIES:
            raise NvsError("ESP_FAIL")
        self._program(_DATA + self._next * ENTRY, raw)
        self._mark(self._next, self._next + 1, WRITTEN)
        if self._first == _NONE:
            self._first = self._next
        self.used += 1
        self._next += 1

    def write(self, ns: int, kind: int, key: bytes, data: bytes, chunk: int = CHUNK_ANY) -> None:
        """Write one item.

        Raises:
            NvsError: PAGE_FULL, KEY_TOO_LONG or VALUE_TOO_LONG.
        """
        if self.state == UNINITIALIZED:
            self._begin()
        if self.state == FULL:
            raise NvsError("ESP_ERR_NVS_PAGE_FULL")
        if len(key) > 15:
            raise NvsError("ESP_ERR_NVS_KEY_TOO_LONG")
        if len(data) > CHUNK_MAX:
            raise NvsError("ESP_ERR_NVS_VALUE_TOO_LONG")
        variable = kind in VARIABLE
        span = 1 + (-(-len(data) // ENTRY) if variable else 0)
        if self._next + span > ENTRIES:
            raise NvsError("ESP_ERR_NVS_PAGE_FULL")
        content = struct.pack("<HHI", len(data), 0xFFFF, crc32(data)) if variable else data
        item = Item.make(ns, kind, span, key, chunk, content)
        self._index.append((lookup_hash(ns, item.key, chunk), self._next))
        self._append(item.pack())
        if not variable:
            return
        whole = len(data) // ENTRY
        if whole:
            self._program(_DATA + self._next * ENTRY, data[: whole * ENTRY])
            self._mark(self._next, self._next + whole, WRITTEN)
            self.used += whole
            self._next += whole
        if len(data) % ENTRY:
            self._append(data[whole * ENTRY :].ljust(ENTRY, b"\xff"))

    def find(
        self,
        ns: int,
        kind: int,
        key: bytes | None,
        start: int = 0,
        chunk: int = CHUNK_ANY,
        version: int = VERSION_ANY,
    ) -> tuple[int, Item]:
        """The first item from entry ``start`` on that matches, and where it is. Unsound ones met are erased.

        Raises:
            NvsError: NOT_FOUND; TYPE_MISMATCH if the first with this key has another type.
        """
        missing = NvsError("ESP_ERR_NVS_NOT_FOUND")
        if not self.live or start >= ENTRIES:
            raise missing
        index = max(start, self._first)
        if ns != NS_ANY and key is not None and (kind != BLOB_DATA or chunk != CHUNK_ANY):
            # A blob index has the same hash as any other item of its key.
            index = self._lookup(index, lookup_hash(ns, c_string(key).ljust(16, b"\0"), chunk))
        while index < min(self._next, ENTRIES):
            here = index
            index += 1
            if self._state(here) != WRITTEN:
                continue
            item = self.entry(here)
            if not item.sound(here):
                self.erase_item(here)
                continue
            if item.kind in VARIABLE:
                index = here + item.span
            if ns not in (NS_ANY, item.ns) or (key is not None and c_string(key) != c_string(item.key)):
                continue
            if kind == BLOB_DATA and (item.kind != kind if chunk == CHUNK_ANY else item.chunk != chunk):
                continue
            if kind == BLOB and chunk == CHUNK_ANY and item.kind == BLOB_IDX:
                raise NvsError("ESP_ERR_NVS_TYPE_MISMATCH")
            if kind == BLOB and chunk == CHUNK_ANY and item.kind == BLOB_DATA:
                continue
            if kind == BLOB_IDX and (
                item.chunk != CHUNK_ANY or version not in (VERSION_ANY, item.chunk_start)
            ):
                continue
            if kind not in (ANY, item.kind):
                if key is None and ns == NS_ANY and chunk == CHUNK_ANY:
                    continue
                raise NvsError("ESP_ERR_NVS_TYPE_MISMATCH")
            return here, item
        raise missing

    def _lookup(self, start: int, wanted: int) -> int:
        return next((i for h, i in self._index if h == wanted and i >= start), _NONE)

    def items(self, ns: int, kind: int, key: bytes | None = None) -> Iterator[tuple[int, Item]]:
        """All that :meth:`find` finds one after another, up to its first error."""
        at = 0
        try:
            while True:
                index, item = self.find(ns, kind, key, at)
                yield index, item
                at = index + item.span
        except NvsError:
            return

    def read(self, ns: int, kind: int, key: bytes, chunk: int = CHUNK_ANY) -> bytes:
        """The bytes of an item.

        Raises:
            NvsError: as :meth:`find`; NOT_FOUND also if the bytes are damaged, the item is erased then.
        """
        index, item = self.find(ns, kind, key, chunk=chunk)
        if item.kind not in VARIABLE:
            return item.data[: item.kind & 0x0F]
        data = self._content(index, item)
        if crc32(data) != item.data_crc:
            self.erase_item(index)
            raise NvsError("ESP_ERR_NVS_NOT_FOUND")
        return data

    def holds(self, ns: int, kind: int, key: bytes, data: bytes, chunk: int = CHUNK_ANY) -> bool:
        """Whether an item has the bytes ``data``, undamaged. Raises NvsError as :meth:`find`."""
        index, item = self.find(ns, kind, key, chunk=chunk)
        if item.kind not in VARIABLE:
            return item.data[: item.kind & 0x0F] == data
        return self._content(index, item) == data and crc32(data) == item.data_crc

    def _content(self, index: int, item: Item) -> bytes:
        return b"".join(self._raw(i) for i in range(index + 1, index + item.span))[: item.size]

    def drop(
        self, ns: int, kind: int, key: bytes, chunk: int = CHUNK_ANY, version: int = VERSION_ANY
    ) -> None:
        """Erase the item that :meth:`find` finds. Raises NvsError as that does."""
        self.erase_item(self.find(ns, kind, key, chunk=chunk, version=version)[0])

    def erase_item(self, index: int) -> None:
        """Mark the item at entry ``index`` erased, with its data if it is sound."""
        span = 1
        if self._state(index) == WRITTEN:
            item = self.entry(index)
            self._index = [pair for pair in self._index if pair[1] != index]
            if item.sound(index):
                span = item.span
            self.used -= sum(self._state(i) == WRITTEN for i in range(index, index + span))
        self._mark(index, index + span, ERASED)
        if index == self._first:
            rest = range(index + span, min(self._next, ENTRIES))
            self._first = next((i for i in rest if self._state(i) == WRITTEN), _NONE)
        if self._next != _NONE:
            self._next = max(self._next, index + span)

    def copy_to(self, other: Page) -> None:
        """Copy every live entry to ``other``, entry by entry."""
        if self._first == _NONE:
            return
        if other.state == UNINITIALIZED:
            other._begin()
        index = self._first
        while index < ENTRIES:
            if self._state(index) != WRITTEN:
                if index == self._first:
                    raise NvsError("ESP_FAIL")
                index += 1
                continue
            item = self.entry(index)
            other._index.append((lookup_hash(item.ns, item.key, item.chunk), other._next))
            other._append(item.pack())
            end = index + item.span
            if end > ENTRIES:
                raise NvsError("ESP_FAIL")
            for i in range(index + 1, end):
                other._append(self._raw(i))
            index = end

    # --- loading -------------------------------------------------------------------------------------------

    def _load(self, table: bytes) -> None:
        """Learn what the page holds and put right what a power cut left."""
        self._table = bytearray(table)
        written = [i for i in range(ENTRIES) if self._state(i) == WRITTEN]
        self.used = len(written)
        if written:
            self._first = written[0]
        if self.state == ACTIVE:
            self._find_end()
            self._load_active()
        else:
            self._load_full()

    def _find_end(self) -> None:
        self._next = next((i for i in range(ENTRIES) if self._state(i) == EMPTY), _NONE)
        # An entry may have been written whose state was not: its first word tells.
        while self._next < ENTRIES and self._raw(self._next)[:4] != b"\xff" * 4:
            self.used -= self._state(self._next) == WRITTEN
            self._mark(self._next, self._next + 1, ERASED)
            self._next += 1

    def _load_active(self) -> None:
        last, item, index = _NONE, None, 0
        end = min(self._next, ENTRIES)
        while index < end:
            here, state = index, self._state(index)
            index += 1
            if state == ERASED:
                last = _NONE
                continue
            if state == ILLEGAL:
                last = _NONE
                self.erase_item(here)
                continue
            last, item = here, self.entry(here)
            if not item.sound(here):
                self.erase_item(here)
                continue
            wanted = lookup_hash(item.ns, item.key, item.chunk)
            self._index.append((wanted, here))
            twin = self._lookup(0, wanted)
            if item.kind in VARIABLE:
                index = here + item.span
                if any(self._state(i) != WRITTEN for i in range(here, index)):
                    last = _NONE
                    self.erase_item(here)
                    continue
            if twin < here:
                self.erase_item(twin)
        if last == _NONE:
            return
        # Whether the last item is there twice. For a chunk of a blob this finds any chunk of that blob, also
        # one of its former value.
        try:
            twin, _ = self.find(item.ns, item.kind, item.key)
        except NvsError:
            return
        if twin < last:
            self.erase_item(twin)

    def _load_full(self) -> None:
        index = self._first
        while index < ENTRIES:
            here = index
            index += 1
            if self._state(here) != WRITTEN:
                continue
            item = self.entry(here)
            if not item.sound(here):
                self.erase_item(here)
                continue
            self._index.append((lookup_hash(item.ns, item.key, item.chunk), here))
            if item.kind in VARIABLE:
                index = here + item.span
                if any(self._state(i) != WRITTEN for i in range(here + 1, index)):
                    self.erase_item(here)
