"""A finished build, as ESP-IDF describes it in ``flasher_args.json``, checked before it goes to a board.

Fields: ESP-IDF v5.5, ``components/esptool_py/flasher_args.json.in`` and ``esptool_py_flash_target_image`` in
``project_include.cmake``: ``flash_files`` maps offsets to files; a section each for ``bootloader``,
``partition-table``, ``otadata`` and ``app`` has ``offset``, ``file`` and ``encrypted``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from cicada.tools.errors import UserError
from cicada.tools.flashing import images
from cicada.tools.paths import BUILD
from cicada.tools.twin import partitions
from cicada.tools.twin.flash import SECTOR
from cicada.tools.twin.partitions import Partition

BOOTLOADER, TABLE, OTADATA, APP = "bootloader", "partition-table", "otadata", "app"


@dataclass(frozen=True)
class Piece:
    """Bytes that belong at ``at`` in the flash; ``name`` is that of the section or of the file."""

    name: str
    at: int
    data: bytes

    @property
    def end(self) -> int:
        """Where the sectors end that it takes."""
        return self.at + -(-len(self.data) // SECTOR) * SECTOR


@dataclass(frozen=True)
class Firmware:
    """What goes onto one board.

    Attributes:
        chip: in ESP-IDF's spelling, e.g. ``esp32s3``.
        loader: second-stage boot loader; None for the twin, which has its own.
        table: partition table; ``partitions`` is what it says.
        app: the application's image, ``image`` what it says about itself; ``slot`` is where it goes.
        rest: other contents of data partitions.
    """

    chip: str
    loader: Piece | None
    table: Piece
    app: Piece
    rest: tuple[Piece, ...]
    partitions: tuple[Partition, ...]
    slot: Partition
    image: images.Image

    @property
    def otadata(self) -> Partition | None:
        """The partition that says which slot boots."""
        return partitions.find(list(self.partitions), partitions.DATA, partitions.OTADATA)

    @property
    def flash_end(self) -> int:
        """How much flash it needs, bytes."""
        return max(p.offset + p.size for p in self.partitions)


def folder_of(board: str) -> Path:
    """Where the build of ``board`` is."""
    return BUILD / "firmware" / board


@dataclass(frozen=True)
class Parts:
    """What ``flasher_args.json`` names, unchecked.

    Attributes:
        chip: in ESP-IDF's spelling.
        named: pieces by section.
        rest: pieces that belong to none of the four sections of this module.
    """

    chip: str
    named: dict[str, Piece]
    rest: tuple[Piece, ...]


def parts(name: str, folder: Path) -> Parts:
    """Read what a build consists of.

    Args:
        name: of the board, for messages.
        folder: of the build.

    Raises:
        UserError: if something is missing or unreadable, or must be encrypted.
    """
    arguments = folder / "flasher_args.json"
    if not arguments.is_file():
        raise UserError(f"there is no firmware in {folder}: make it with 'make firmware BOARD={name}'")
    try:
        about = json.loads(arguments.read_text())
        chip = about["extra_esptool_args"]["chip"]
        files = {int(at, 0): file for at, file in about["flash_files"].items()}
        sections = {key: int(section["offset"], 0) for key, section in about.items() if "offset" in section}
        secret = [key for key in sections if about[key].get("encrypted") == "true"]
        contents = {at: (folder / file).read_bytes() for at, file in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{arguments} is not what ESP-IDF writes ({error!r}): {_again(name)}") from error
    except OSError as error:
        raise UserError(f"{error.filename} is missing in the build: {_again(name)}") from error
    if secret:
        raise UserError(f"{arguments} asks for encrypted flash ({', '.join(secret)}), which is not done here")
    named = {key: Piece(key, at, contents[at]) for key, at in sections.items() if at in contents}
    lacking = [key for key in (TABLE, APP) if key not in named]
    if lacking:
        raise UserError(f"{arguments} names no {' and no '.join(lacking)}: {_again(name)}")
    known = {named[key].at for key in (BOOTLOADER, TABLE, OTADATA, APP) if key in named}
    keys = {at: key for key, at in sections.items()}
    rest = [Piece(keys.get(at, files[at]), at, contents[at]) for at in sorted(contents) if at not in known]
    return Parts(chip, named, tuple(rest))


def slot_of(found: Parts, name: str, board: ModuleType) -> tuple[list[Partition], Partition]:
    """The partitions of a build, and the one its application goes to: what boots while otadata is blank.

    Raises:
        UserError: if the table would not boot, or the application is elsewhere.
    """
    table = _table(found.named[TABLE], name, board)
    at = found.named[APP].at
    factory = partitions.find(table, partitions.APP, partitions.FACTORY)
    slot = factory or partitions.ota_slots(table).get(0)
    if slot is None or slot.offset != at:
        raise UserError(
            f"the application of '{name}' is at 0x{at:x}, where no board would start it: {_again(name)}"
        )
    return table, slot


def read(name: str, board: ModuleType, folder: Path | None = None) -> Firmware:
    """Read a build and check that it would boot on its board.

    Args:
        name: of the board, for messages.
        board: its description; ``CHIP`` and ``FLASH_SIZE`` are used.
        folder: of the build (default: ``build/firmware/<name>``).

    Raises:
        UserError: if it is missing, incomplete or would not boot.
    """
    folder = folder or folder_of(name)
    found = parts(name, folder)
    if found.chip != board.CHIP:
        raise UserError(
            f"the firmware in {folder} is for {found.chip}, board '{name}' has {board.CHIP}: {_again(name)}"
        )
    table, slot = slot_of(found, name, board)
    app, loader = found.named[APP], found.named.get(BOOTLOADER)
    if len(app.data) > slot.size:
        raise UserError(
            f"the application of '{name}' has {len(app.data)} bytes, its slot {slot.label} only {slot.size}: "
            f"use a smaller model, or enlarge the slot in boards/{name}/partitions.csv"
        )
    image = _image(app, name, found.chip, folder)
    if loader:
        _image(loader, name, found.chip, folder)
    firmware = Firmware(found.chip, loader, found.named[TABLE], app, found.rest, tuple(table), slot, image)
    _apart(firmware, name)
    return firmware


def _again(name: str) -> str:
    return f"make it again with 'make firmware BOARD={name}'"


def _table(piece: Piece, name: str, board: ModuleType) -> list[Partition]:
    try:
        return partitions.parse(piece.data.ljust(partitions.TABLE_SIZE, b"\xff"), board.FLASH_SIZE)
    except partitions.TableError as error:
        why = f"the partition table of '{name}' would not boot ({error})"
        raise UserError(f"{why}: {_again(name)}") from error


def _image(piece: Piece, name: str, chip: str, folder: Path) -> images.Image:
    try:
        return images.inspect(piece.data, chip)
    except images.ImageError as error:
        raise UserError(f"the {piece.name} in {folder} would not boot ({error}): {_again(name)}") from error


def _apart(firmware: Firmware, name: str) -> None:
    """Every piece has a place of its own: before the table, on the table, or in one partition of data."""
    from esptool.targets import CHIP_DEFS

    table, loader = firmware.table, firmware.loader
    start = CHIP_DEFS[firmware.chip].BOOTLOADER_FLASH_OFFSET
    if loader and loader.at != start:
        raise UserError(
            f"the boot loader of '{name}' is at 0x{loader.at:x}, where {firmware.chip} does not look "
            f"(0x{start:x}): {_again(name)}"
        )
    if loader and loader.end > table.at:
        raise UserError(
            f"the boot loader of '{name}' reaches into the partition table at 0x{table.at:x}: {_again(name)}"
        )
    for piece in firmware.rest:
        data = [p for p in firmware.partitions if p.type != partitions.APP]
        if not any(p.offset <= piece.at and piece.end <= p.offset + p.size for p in data):
            raise UserError(
                f"{piece.name} of '{name}' ({len(piece.data)} bytes at 0x{piece.at:x}) lies in no data "
                f"partition that is large enough: {_again(name)}"
            )
    taken = sorted([p for p in (loader, table, firmware.app, *firmware.rest) if p], key=lambda p: p.at)
    for one, other in zip(taken, taken[1:], strict=False):
        if one.end > other.at:
            where = f"overlap at 0x{other.at:x}"
            raise UserError(f"{one.name} and {other.name} of '{name}' {where}: {_again(name)}")
