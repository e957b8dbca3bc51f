"""The NVS partition of an ESP32: what ``esp32.NVS`` keeps, as ESP-IDF keeps it.

    nvs = Nvs(flash, 0x9000, 0x5000)
    nvs.set_i32("node", "boots", 7)
    nvs.get_i32("node", "boots")

Follows ESP-IDF v5.5.1 (``components/nvs_flash``; the release MicroPython 1.28 recommends) flash operation by
flash operation. Setting an unchanged value writes nothing. Everything is on the flash when a call returns, so
``commit`` has nothing to do.

What holds after a power cut is what holds on the chip:

- A number or string has its old or its new value, and nothing else has changed.
- A new blob is there or not. A blob that is *replaced* may be gone: if its former chunk lies in the page
  being written, a cut between new chunk and new index makes mounting take the former for a duplicate.
- A write that was torn such that the first word of its entry stayed blank goes unnoticed. The next item is
  written over it, is damaged by that, and is gone although its call succeeded.
- An erase that was torn such that the page's header survived makes mounting move the damaged page again, and
  everything in it that was damaged is lost.

- A second cut that tears the bits of what mounting after the first one writes may lose the value that was
  being written.
- A value that was being replaced by one of another type may be there as both.

Without any power cut, a blob may be lost when replacing it fails for lack of space: its own chunk may be
erased in place of the new one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from cicada.tools.twin.flash import SECTOR, NorFlash
from cicada.tools.twin.nvs_entry import (
    BLOB,
    BLOB_DATA,
    BLOB_IDX,
    I8,
    I16,
    I32,
    I64,
    NS_INDEX,
    SZ,
    U8,
    U16,
    U32,
    U64,
    NvsError,
    c_string,
)
from cicada.tools.twin.nvs_store import Store

__all__ = ["KINDS", "Nvs", "NvsError"]

#: Types by the names :meth:`Nvs.items` gives them.
KINDS = {
    "u8": U8,
    "i8": I8,
    "u16": U16,
    "i16": I16,
    "u32": U32,
    "i32": I32,
    "u64": U64,
    "i64": I64,
    "str": SZ,
    "blob": BLOB,
}
_NAMES = {code: name for name, code in KINDS.items()} | {BLOB_IDX: "blob"}
_FORMATS = {U8: "<B", I8: "<b", U16: "<H", I16: "<h", U32: "<I", I32: "<i", U64: "<Q", I64: "<q"}

Value = int | str | bytes


class Nvs:
    """A mounted NVS partition.

    Every call opens the namespace as ``esp32.NVS`` does, which creates it if need be. Names are compared by
    their first 15 bytes, as ESP-IDF does; longer ones cannot be written.

    Args:
        flash: the chip.
        offset: address of the partition, bytes.
        size: its bytes, whole sectors.

    Raises:
        ValueError: offset or size are not whole sectors of the chip.
        NvsError: what ``nvs_flash_init`` gives back. After NO_FREE_PAGES and NEW_VERSION_FOUND MicroPython
            erases the whole partition and mounts again (``ports/esp32/main.c``).
    """

    def __init__(self, flash: NorFlash, offset: int, size: int) -> None:
        if offset % SECTOR or size % SECTOR or size <= 0 or not 0 <= offset <= flash.size - size:
            raise ValueError(f"an NVS partition has whole sectors of the flash, not {size} bytes at {offset}")
        self._store = Store(flash, offset, size)

    def open(self, namespace: str) -> None:
        """``NVS(namespace)``: open for reading and writing, which creates the namespace.

        Raises:
            NvsError: KEY_TOO_LONG (over 15 bytes), NOT_ENOUGH_SPACE.
        """
        self._store.space(_c(namespace))

    def get_i32(self, namespace: str, key: str) -> int:
        """The number called ``key``.

        Raises:
            NvsError: NOT_FOUND, also if it is of another type.
        """
        return self.get(namespace, key, "i32")

    def set_i32(self, namespace: str, key: str, value: int) -> None:
        """Write a number of 32 bits with sign.

        Raises:
            ValueError: it has more bits.
            NvsError: KEY_TOO_LONG, NOT_ENOUGH_SPACE.
        """
        self.set(namespace, key, "i32", value)

    def get_blob(self, namespace: str, key: str) -> bytes:
        """The bytes called ``key``.

        Raises:
            NvsError: NOT_FOUND, also if it is of another type. INVALID_LENGTH is for the caller to raise,
                whose buffer may be too small.
        """
        return self.get(namespace, key, "blob")

    def set_blob(self, namespace: str, key: str, value: bytes) -> None:
        """Write bytes, in several pages if need be.

        Raises:
            NvsError: KEY_TOO_LONG, NOT_ENOUGH_SPACE, VALUE_TOO_LONG (over 4000 bytes for each page but one).
        """
        self.set(namespace, key, "blob", value)

    def erase_key(self, namespace: str, key: str) -> None:
        """Remove ``key`` whatever its type.

        Raises:
            NvsError: NOT_FOUND.
        """
        self._store.erase(self._store.space(_c(namespace)), _c(key))

    def get(self, namespace: str, key: str, kind: str) -> Value:
        """The value called ``key`` of type ``kind`` (one of :data:`KINDS`): int, str or bytes.

        Raises:
            NvsError: NOT_FOUND, also if it is of another type.
        """
        ns = self._store.space(_c(namespace))
        return _decode(KINDS[kind], self._store.read(ns, KINDS[kind], _c(key)))

    def set(self, namespace: str, key: str, kind: str, value: Value) -> None:
        """Write a value of type ``kind`` (one of :data:`KINDS`); one of another type is replaced.

        Raises:
            ValueError: the number does not fit.
            NvsError: KEY_TOO_LONG, NOT_ENOUGH_SPACE, VALUE_TOO_LONG.
        """
        data = _encode(kind, value)
        self._store.write(self._store.space(_c(namespace)), KINDS[kind], _c(key), data)

    def items(self) -> Iterator[tuple[str, str, str, Value]]:
        """Namespace, key, type and value of everything, page by page; what cannot be read is left out."""
        names: dict[int, str] = {}
        for name, ns in self._store.spaces:
            names.setdefault(ns, name.decode("utf-8", "replace"))
        for item in list(self._store.items()):
            if item.ns == NS_INDEX or item.ns not in names or item.kind == BLOB_DATA:
                continue
            kind, key = _NAMES[item.kind], c_string(item.key)
            try:
                data = self._store.read(item.ns, KINDS[kind], key)
            except NvsError:
                continue
            yield names[item.ns], key.decode("utf-8", "replace"), kind, _decode(KINDS[kind], data)


def _c(text: str) -> bytes:
    """``text`` as the C string that ESP-IDF gets."""
    return text.encode().split(b"\0", 1)[0]


def _encode(kind: str, value: Value) -> bytes:
    code = KINDS[kind]
    if code in _FORMATS:
        try:
            return struct.pack(_FORMATS[code], value)
        except struct.error as error:
            raise ValueError(f"{value!r} is no {kind}") from error
    return _c(value) + b"\0" if code == SZ else bytes(memoryview(value))


def _decode(code: int, data: bytes) -> Value:
    if code in _FORMATS:
        return struct.unpack(_FORMATS[code], data)[0]
    return data.split(b"\0", 1)[0].decode("utf-8", "replace") if code == SZ else data
