"""Flashes of boards as somebody hands them over: an image, files on the file system, other partitions."""

from __future__ import annotations

from collections.abc import Mapping

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.firmware.tables import check_partitions
from cicada.tools.paths import FIRMWARE
from cicada.tools.twin import appimage, partitions, romfs
from cicada.tools.twin.image import compile_python, compile_text, partition_table
from cicada.tools.twin.sound import Sound
from cicada.tools.twin.twin import Twin

_BOARD = "twin"
_PATIENCE_S = 60.0  # of virtual time


def table() -> dict[str, partitions.Partition]:
    """The twin's partitions by label."""
    return {partition.label: partition for partition in check_partitions(_BOARD)}


def flash(contents: Mapping[str, bytes]) -> bytes:
    """A twin's flash: its partition table and ``contents`` by the labels of partitions, the rest erased.

    Raises:
        UserError: if something is larger than its partition.
    """
    raw, slots = partition_table(_BOARD), table()
    data = bytearray(b"\xff" * load_board(_BOARD).FLASH_SIZE)
    data[partitions.TABLE : partitions.TABLE + len(raw)] = raw
    for label, content in contents.items():
        where = slots[label]
        if len(content) > where.size:
            raise UserError(f"{label} on board '{_BOARD}' has only {where.size} bytes, not {len(content)}")
        data[where.offset : where.offset + len(content)] = content
    return bytes(data)


def file_system(files: Mapping[str, bytes]) -> bytes:
    """Contents of partition vfs with ``files`` by their paths, as a twin writes them."""
    main = (
        f"for name, data in {dict(files)!r}.items():\n"
        "    with open(name, 'wb') as file:\n"
        "        file.write(data)\n"
        "import machine\nmachine.deepsleep(1000)\n"
    )
    program = {
        "_boot.mpy": compile_python(FIRMWARE / "app" / "_boot.py"),
        "main.mpy": compile_text(main, "main.py"),
    }
    board = load_board(_BOARD)
    twin = Twin(flash({"ota_0": appimage.build(romfs.pack(program), "0", board)}), board, Sound([], 1))
    twin.power_on()
    try:
        if not twin.run_until(lambda: twin.wakes > 0, _PATIENCE_S):
            raise UserError(f"the twin could not write its files; its console:\n{twin.text}")
    finally:
        twin.power_off()
    vfs = table()["vfs"]
    return twin.flash.read(vfs.offset, vfs.size)
