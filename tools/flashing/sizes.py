"""Sizes of a build's components, from its linker map by esp-idf-size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cicada.tools.errors import UserError

#: Where bytes end up. Code in RAM is IRAM wherever the chip has it; "other" is RTC memory and external RAM.
COLUMNS = ("flash code", "flash data", "IRAM", "DRAM", "other")
_PLACES = {"Flash Code": 0, "Flash Data": 1, "IRAM": 2, "DRAM": 3, "DIRAM": 3}


@dataclass(frozen=True)
class Sizes:
    """Bytes of one build.

    Attributes:
        components: by name, one number for each of :data:`COLUMNS`.
        memories: used bytes and size (0 if unknown) of each kind of memory the chip has.
    """

    components: dict[str, tuple[int, ...]]
    memories: dict[str, tuple[int, int]]

    @property
    def total(self) -> tuple[int, ...]:
        """Sum over all components."""
        return tuple(sum(column) for column in zip(*self.components.values(), strict=True))

    def to_json(self) -> dict:
        """Plain lists and dictionaries."""
        return {"components": self.components, "memories": self.memories}

    @classmethod
    def from_json(cls, data: dict) -> Sizes:
        """What :meth:`to_json` gave."""
        components = {name: tuple(map(int, row)) for name, row in data["components"].items()}
        if any(len(row) != len(COLUMNS) for row in components.values()):
            raise ValueError("sizes of another kind")
        return cls(components, {name: tuple(map(int, row)) for name, row in data["memories"].items()})


def measure(map_file: Path, chip: str) -> Sizes:
    """Read a linker map.

    Args:
        map_file: as GNU ld writes it for an ESP-IDF project.
        chip: which it should be for.

    Raises:
        UserError: if esp-idf-size is missing, or cannot read the map.
    """
    try:
        from esp_idf_size import memorymap
        from esp_pylib.errors import FatalError
    except ImportError as error:
        raise UserError("esp-idf-size is missing: install it with pip install -e '.[flash]'") from error
    try:
        found = memorymap.get(str(map_file), load_symbols=False)
    except (FatalError, ValueError, KeyError, IndexError) as error:
        why = f"{map_file} is no linker map that esp-idf-size can read ({error})"
        raise UserError(f"{why}: build again") from error
    if found["target"] != chip:
        raise UserError(f"{map_file} is for {found['target']}, the build for {chip}: build again")
    components: dict[str, list[int]] = {}
    memories = {}
    for memory, about in found["memory_types"].items():
        if about["used"]:
            memories[memory] = (about["used"], about["size"])
        for section, contents in about["sections"].items():
            place = 2 if section.startswith(".iram") else _PLACES.get(memory, 4)
            for archive, part in contents["archives"].items():
                row = components.setdefault(component(archive), [0] * len(COLUMNS))
                row[place] += part["size"]
    return Sizes({name: tuple(row) for name, row in components.items() if sum(row)}, memories)


def component(archive: str) -> str:
    """Name of what an archive was built of: ``esp-idf/main/libmain.a`` is ``main``."""
    name = archive.replace("\\", "/").rsplit("/", 1)[-1]
    if archive.startswith("("):
        return archive  # esp-idf-size's "(exe)": objects without an archive
    return name.removeprefix("lib").removesuffix(".a")
