"""The items of an NVS partition by namespace, type and key; blobs in chunks; recovery of blobs.

Algorithm: ESP-IDF v5.5.1 ``components/nvs_flash/src/nvs_storage.cpp``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress

from cicada.tools.twin.flash import NorFlash
from cicada.tools.twin.nvs_entry import (
    ACTIVE,
    ANY,
    BLOB,
    BLOB_DATA,
    BLOB_IDX,
    CHUNK_ANY,
    CHUNK_MAX,
    ENTRY,
    FULL,
    NS_ANY,
    NS_INDEX,
    PRIMITIVE,
    SZ,
    U8,
    VERSION_0,
    VERSION_1,
    VERSION_ANY,
    Item,
    NvsError,
    c_string,
)
from cicada.tools.twin.nvs_page import Page
from cicada.tools.twin.nvs_pages import Pages


class Store:
    """A mounted partition, in ESP-IDF's terms: numbers of namespaces, type codes, keys and values as bytes.

    Args:
        flash: the chip.
        offset: address of the partition, bytes.
        size: its bytes, whole sectors.

    Raises:
        NvsError: NO_FREE_PAGES, NEW_VERSION_FOUND, or what moving pages again meets.
    """

    def __init__(self, flash: NorFlash, offset: int, size: int) -> None:
        self._pages = Pages(flash, offset, size)
        #: Names and numbers. Damage may give a name several; the first counts, all numbers are taken.
        self.spaces: list[tuple[bytes, int]] = []
        for page in self._pages.used:
            for _, item in page.items(NS_INDEX, U8):
                self.spaces.append((c_string(item.key), item.data[0]))
        self._drop_broken_blobs()

    def items(self) -> Iterator[Item]:
        """Every live item's head entry, page by page."""
        for page in self._pages.used:
            yield from (item for _, item in page.items(NS_ANY, ANY))

    def erase(self, ns: int, key: bytes) -> None:
        """Erase ``key`` whatever its type. Raises NvsError if there is none."""
        page, item = self._find(ns, ANY, key)
        if item.kind in (BLOB_DATA, BLOB_IDX):
            self._erase_blob(ns, key, VERSION_ANY)
        else:
            page.drop(ns, ANY, key)

    def space(self, name: bytes) -> int:
        """Number of a namespace; a new one is written at once."""
        for known, number in self.spaces:
            if known == c_string(name):
                return number
        taken = {number for _, number in self.spaces}
        number = next((n for n in range(1, 255) if n not in taken), None)
        if number is None:
            raise NvsError("ESP_ERR_NVS_NOT_ENOUGH_SPACE")
        self.write(NS_INDEX, U8, name, bytes([number]))
        self.spaces.append((c_string(name), number))
        return number

    def _find(
        self, ns: int, kind: int, key: bytes, chunk: int = CHUNK_ANY, version: int = VERSION_ANY
    ) -> tuple[Page, Item]:
        for page in self._pages.used:
            try:
                return page, page.find(ns, kind, key, chunk=chunk, version=version)[1]
            except NvsError:
                continue
        raise NvsError("ESP_ERR_NVS_NOT_FOUND")

    def read(self, ns: int, kind: int, key: bytes) -> bytes:
        """The bytes of an item.

        Raises:
            NvsError: NOT_FOUND, also if there is one of another type.
        """
        if kind == BLOB:
            try:
                return self._read_blob(ns, key)
            except NvsError as error:
                if error.name != "ESP_ERR_NVS_NOT_FOUND":
                    raise
        return self._find(ns, kind, key)[0].read(ns, kind, key)

    def _read_blob(self, ns: int, key: bytes) -> bytes:
        _, head = self._find(ns, BLOB_IDX, key)
        data, fault = b"", None
        for number in range(head.chunk_count):
            chunk = head.chunk_start + number & 0xFF
            try:
                page, item = self._find(ns, BLOB_DATA, key, chunk)
                if item.size > head.blob_size - len(data):
                    raise NvsError("ESP_ERR_NVS_INVALID_LENGTH")
            except NvsError as error:
                fault = error
                with suppress(NvsError):  # as ESP-IDF, which does not look
                    self._erase_blob(ns, key, VERSION_ANY)
                break
            data += page.read(ns, BLOB_DATA, key, chunk)
        if len(data) != head.blob_size:
            raise NvsError("ESP_FAIL")
        if fault:
            raise fault
        return data

    def _is(self, ns: int, kind: int, key: bytes, data: bytes) -> bool:
        """Whether ``key`` holds ``data`` already."""
        try:
            return self._compare(ns, kind, key, data)
        except NvsError:
            return False

    def _compare(self, ns: int, kind: int, key: bytes, data: bytes) -> bool:
        if kind != BLOB:
            return self._find(ns, kind, key)[0].holds(ns, kind, key, data)
        _, head = self._find(ns, BLOB_IDX, key)
        if len(data) != head.blob_size:
            return False
        at = 0
        for number in range(head.chunk_count):
            chunk = head.chunk_start + number & 0xFF
            page, item = self._find(ns, BLOB_DATA, key, chunk)
            if not page.holds(ns, BLOB_DATA, key, data[at : at + item.size], chunk):
                return False
            at += item.size
        return at == len(data)

    # --- writing -------------------------------------------------------------------------------------------

    def write(self, ns: int, kind: int, key: bytes, data: bytes) -> None:
        """Write an item unless it is there already, then erase what was there before.

        Raises:
            NvsError: KEY_TOO_LONG, NOT_ENOUGH_SPACE, VALUE_TOO_LONG.
        """
        stored = BLOB_IDX if kind == BLOB else kind
        old = None
        # The same type first; another type of the same key is replaced, too.
        for wanted in (stored, *PRIMITIVE, SZ, BLOB_IDX, BLOB):
            try:
                old = self._find(ns, wanted, key)
                break
            except NvsError:
                continue
        was = old[0].sequence if old else None
        same_kind = old is not None and old[1].kind == stored
        if same_kind and self._is(ns, kind, key, data):
            return
        if kind == BLOB:
            start = VERSION_0
            if same_kind:
                if old[1].chunk_start not in (VERSION_0, VERSION_1):
                    raise NvsError("ESP_FAIL")
                start = VERSION_0 if old[1].chunk_start == VERSION_1 else VERSION_1
            self._write_blob(ns, key, data, start)
        else:
            self._write_small(ns, kind, key, data)
        if old is None:
            return
        page, item = old
        if item.kind == BLOB_IDX:
            self._erase_blob(ns, key, item.chunk_start)
            return
        if page.state not in (ACTIVE, FULL) or page.sequence != was:
            page, item = self._find(ns, item.kind, key)  # it was moved
        page.drop(ns, item.kind, key)

    def _write_small(self, ns: int, kind: int, key: bytes, data: bytes) -> None:
        try:
            self._pages.current.write(ns, kind, key, data)
            return
        except NvsError as error:
            if error.name != "ESP_ERR_NVS_PAGE_FULL":
                raise
        self._next_page()
        try:
            self._pages.current.write(ns, kind, key, data)
        except NvsError as error:
            if error.name == "ESP_ERR_NVS_PAGE_FULL":
                raise NvsError("ESP_ERR_NVS_NOT_ENOUGH_SPACE") from error
            raise

    def _next_page(self) -> None:
        if self._pages.current.state != FULL:
            self._pages.current.mark_full()
        self._pages.request()

    def _write_blob(self, ns: int, key: bytes, data: bytes, start: int) -> None:
        if len(data) > min(self._pages.count - 1, 127) * CHUNK_MAX:
            raise NvsError("ESP_ERR_NVS_VALUE_TOO_LONG")
        room = self._pages.current.tailroom
        while (room < len(data) or (room == 0 and not data)) and room < CHUNK_MAX // 10:
            self._next_page()
            if self._pages.current.tailroom == room:
                raise NvsError("ESP_ERR_NVS_NOT_ENOUGH_SPACE")
            room = self._pages.current.tailroom
        pages: list[Page] = []
        try:
            self._write_chunks(ns, key, data, start, pages)
        except NvsError as error:
            if error.name == "ESP_ERR_NVS_PAGE_FULL":
                raise NvsError("ESP_ERR_NVS_NOT_ENOUGH_SPACE") from error
            # Chunks from 0 on, whichever version was being written, and on the pages they were written to,
            # moved or not: ESP-IDF may leave new chunks or remove old ones here.
            for number, page in enumerate(pages):
                with suppress(NvsError):
                    page.drop(ns, BLOB_DATA, key, number)
            raise

    def _write_chunks(self, ns: int, key: bytes, data: bytes, start: int, pages: list[Page]) -> None:
        rest, count = data, 0
        while True:
            page = self._pages.current
            room = page.tailroom
            if not room:
                raise NvsError("ESP_ERR_NVS_NOT_ENOUGH_SPACE")
            page.write(ns, BLOB_DATA, key, rest[:room], start + count)
            pages.append(page)
            count += 1
            left = room - len(rest)
            rest = rest[room:]
            if rest or left < ENTRY:
                self._next_page()
            if not rest:
                break
        head = struct.pack("<IBBH", len(data), count, start, 0xFFFF)
        self._pages.current.write(ns, BLOB_IDX, key, head)

    def _erase_blob(self, ns: int, key: bytes, version: int) -> None:
        """Erase a blob's index, then its chunks, of one version or of all."""
        for turn in range(2 if version == VERSION_ANY else 1):
            try:
                page, _ = self._find(ns, BLOB_IDX, key, version=version)
                page.drop(ns, BLOB_IDX, key, version=version)
            except NvsError:
                if turn == 0:
                    raise
        low = VERSION_1 if version == VERSION_1 else VERSION_0
        high = VERSION_1 if version == VERSION_0 else VERSION_ANY
        for page in self._pages.used:
            for index, item in page.items(ns, BLOB_DATA, key):
                if low <= item.chunk < high:
                    page.erase_item(index)

    # --- recovery ------------------------------------------------------------------------------------------

    def _drop_broken_blobs(self) -> None:
        """Erase blob indices whose chunks are not all there, then chunks without an index."""
        pages = self._pages.used
        heads = [item for page in pages for _, item in page.items(NS_ANY, BLOB_IDX)]
        sizes, counts = [0] * len(heads), [0] * len(heads)
        for page in pages:
            for _, item in page.items(NS_ANY, BLOB_DATA):
                number = next((n for n, head in enumerate(heads) if _may_belong(item, head)), None)
                if number is not None:
                    sizes[number] += item.size
                    counts[number] += 1
        whole = []
        for head, size, count in zip(heads, sizes, counts, strict=True):
            if (size, count) == (head.blob_size, head.chunk_count):
                whole.append(head)
                continue
            for page in pages:
                try:
                    page.drop(head.ns, BLOB_IDX, head.key, version=head.chunk_start)
                    break
                except NvsError:
                    continue
        for page in pages:
            for _, item in page.items(NS_ANY, BLOB_DATA):
                if not any(_belongs(item, head) for head in whole):
                    with suppress(NvsError):
                        page.drop(item.ns, BLOB_DATA, item.key, item.chunk)


def _may_belong(item: Item, head: Item) -> bool:
    """Whether a chunk is of a blob's name and version."""
    end = VERSION_1 if head.chunk_start == VERSION_0 else VERSION_ANY
    return _same_name(item, head) and head.chunk_start <= item.chunk < end


def _belongs(item: Item, head: Item) -> bool:
    """Whether a chunk is one of those a blob's index counts."""
    return _same_name(item, head) and head.chunk_start <= item.chunk < head.chunk_start + head.chunk_count


def _same_name(item: Item, head: Item) -> bool:
    return item.ns == head.ns and c_string(item.key) == c_string(head.key)
