"""MicroPython's ROMFS: written by mpremote, read here (format: MicroPython, ``extmod/vfs_rom.c``)."""

from __future__ import annotations

from collections.abc import Iterator

_MAGIC = b"\xd2\xcd\x31"
_VERBATIM, _POINTER, _DIRECTORY, _FILE = 2, 3, 4, 5


def pack(files: dict[str, bytes]) -> bytes:
    """ROMFS image of ``files`` (path with ``/`` -> contents)."""
    from mpremote.romfs import VfsRomWriter

    writer = VfsRomWriter()

    def write(tree: dict) -> None:
        for name, entry in sorted(tree.items()):
            if isinstance(entry, dict):
                writer.opendir(name)
                write(entry)
                writer.closedir()
            else:
                writer.mkfile(name, entry)

    tree: dict = {}
    for path, data in files.items():
        *folders, name = path.split("/")
        at = tree
        for folder in folders:
            at = at.setdefault(folder, {})
        at[name] = data
    write(tree)
    return writer.finalise()


def unpack(image: bytes) -> dict[str, bytes]:
    """Files of a ROMFS image; ``ValueError`` if it is malformed."""
    if image[:3] != _MAGIC:
        raise ValueError("no ROMFS here")
    length, start = _uint(image, 3)
    if start + length > len(image):
        raise ValueError("ROMFS is cut short")
    return dict(_walk(image, start, start + length, ""))


def _uint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, at
    raise ValueError("ROMFS is cut short")


def _record(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Kind, start and end of the payload of the record at ``at``."""
    kind, at = _uint(data, at)
    length, at = _uint(data, at)
    if at + length > end:
        raise ValueError("ROMFS record reaches past its parent")
    return kind, at, at + length


def _walk(data: bytes, at: int, end: int, prefix: str) -> Iterator[tuple[str, bytes]]:
    while at < end:
        kind, start, at = _record(data, at, end)
        if kind not in (_DIRECTORY, _FILE):
            continue
        size, start = _uint(data, start)
        name = prefix + data[start : start + size].decode("ascii")
        start += size
        if kind == _DIRECTORY:
            yield from _walk(data, start, at, name + "/")
            continue
        inner, first, last = _record(data, start, at)
        if inner == _POINTER:
            size, first = _uint(data, first)
            offset, first = _uint(data, first)
            first, last = offset, offset + size
        if last > len(data):
            raise ValueError("ROMFS file reaches past the image")
        yield name, data[first:last]
