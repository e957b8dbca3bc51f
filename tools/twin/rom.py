"""The files MicroPython runs from: the image's payload and the modules a PC's interpreter lacks."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from cicada.tools.paths import BOARDS
from cicada.tools.stages import hash_files, stage
from cicada.tools.twin import romfs


def modules() -> Path:
    """Folder of ``boards/twin/lib`` compiled, made once (see :mod:`cicada.tools.stages`)."""
    from cicada.tools.twin.image import compile_python

    source = BOARDS / "twin" / "lib"

    def make(folder: Path) -> None:
        for path in sorted(source.glob("*.py")):
            (folder / f"{path.stem}.mpy").write_bytes(compile_python(path))

    return stage("twin-modules", {"sources": hash_files([source])}, make)


class Rom:
    """The folder one twin's interpreter runs from.

    Args:
        folder: where it is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "rom"
        self._holds: str | None = None

    def load(self, payload: bytes) -> dict[str, bytes]:
        """Put the files of an image's payload there; returns its model containers by name.

        Raises:
            ValueError: if the payload is damaged.
        """
        files = romfs.unpack(payload)
        digest = hashlib.sha256(payload).hexdigest()
        if digest != self._holds:
            shutil.rmtree(self.path, ignore_errors=True)
            shutil.copytree(modules(), self.path, ignore=shutil.ignore_patterns("inputs.json"))
            romfs.extract(payload, self.path)
            self._holds = digest
        return {
            name.removeprefix("models/").removesuffix(".cmod"): data
            for name, data in files.items()
            if name.startswith("models/") and name.endswith(".cmod")
        }
