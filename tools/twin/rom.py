"""What MicroPython runs from: the image's payload and the modules a PC's interpreter lacks, in memory."""

from __future__ import annotations

import os
import weakref
from functools import lru_cache
from pathlib import Path

from cicada.tools.paths import BOARDS
from cicada.tools.stages import hash_files, stage
from cicada.tools.twin import romfs

_KEPT = 4  # images whose memory is kept: the two of an update, and two more


@lru_cache
def modules() -> dict[str, bytes]:
    """``boards/twin/lib`` compiled, made once (see :mod:`cicada.tools.stages`): files by name."""
    from cicada.tools.twin.image import compile_python

    source = BOARDS / "twin" / "lib"

    def make(folder: Path) -> None:
        for path in sorted(source.glob("*.py")):
            (folder / f"{path.stem}.mpy").write_bytes(compile_python(path))

    made = stage("twin-modules", {"sources": hash_files([source])}, make)
    return {path.name: path.read_bytes() for path in sorted(made.glob("*.mpy"))}


class _Image:
    """Memory with a ROMFS of an image's files and the twin's modules.

    Attributes:
        blobs: model containers by name.
        memory: file descriptor.
    """

    def __init__(self, payload: bytes) -> None:
        files = romfs.unpack(payload)
        self.blobs = {
            name.removeprefix("models/").removesuffix(".cmod"): data
            for name, data in files.items()
            if name.startswith("models/") and name.endswith(".cmod")
        }
        try:
            packed = romfs.pack(modules() | files)
        except (AttributeError, TypeError) as error:
            raise ValueError("a file of the ROMFS is a folder, too") from error
        self.memory = os.memfd_create("rom")
        weakref.finalize(self, os.close, self.memory)
        with open(self.memory, "wb", closefd=False) as file:
            file.write(packed)


_image = lru_cache(_KEPT)(_Image)


class Rom:
    """What one twin's interpreters run from."""

    def __init__(self) -> None:
        self._image: _Image | None = None

    @property
    def memory(self) -> int:
        """File descriptor of memory with a ROMFS of the image loaded last and of the twin's modules."""
        return self._image.memory

    def load(self, payload: bytes) -> dict[str, bytes]:
        """Take the files of an image's payload; returns its model containers by name.

        Raises:
            ValueError: if the payload is damaged.
        """
        self._image = _image(payload)
        return self._image.blobs
