"""The folder that devices update from; any web server with range requests can offer it.

::

    BOARD/firmware.release             the newest firmware release
    BOARD/model-NAME.release           the newest release of a model
    BOARD/STEM.release .payload .from-BASE.payload .cdx.json .image

STEM is ``firmware-VERSION-SERIAL`` or ``model-NAME-VERSION-SERIAL`` (``_`` stands for a version's ``+``, and
long versions are cut); ``.image`` is what was released, the base of later deltas. What devices poll is
replaced last, when all it names is there.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cicada.tools.errors import UserError, from_os_error
from cicada.tools.paths import BUILD
from cicada.tools.release.manifest import FIRMWARE
from cicada.tools.stages import write_atomic

#: The repository unless another is named.
DEFAULT = BUILD / "releases"

_VERSION = 22  # characters; a file's name has 96 at most, and a model's name takes 32


class Series:
    """Releases of one thing for one board.

    Args:
        root: of the repository.
        board: name of the board.
        kind: ``firmware`` or ``model``.
        name: of the model's slot; ``app`` for firmware.
    """

    def __init__(self, root: Path, board: str, kind: str, name: str) -> None:
        self.folder = root / board
        self.prefix = FIRMWARE if kind == FIRMWARE else f"model-{name}"

    @property
    def newest_file(self) -> Path:
        """What devices poll."""
        return self.folder / f"{self.prefix}.release"

    def stem(self, version: str, serial: int) -> str:
        """Name of a release's files without their endings, short enough for a manifest."""
        return f"{self.prefix}-{version.replace('+', '_')[:_VERSION]}-{serial}"

    def released(self) -> dict[int, str]:
        """Stems of the releases there are, by serial, oldest first."""
        found = {serial_of(path.stem): path.stem for path in self.folder.glob(f"{self.prefix}-*.release")}
        return {serial: found[serial] for serial in sorted(key for key in found if key is not None)}

    def newest_image(self) -> list[str]:
        """Stem of the newest release, if its image is still there."""
        newest = list(self.released().values())[-1:]
        return [stem for stem in newest if (self.folder / f"{stem}.image").is_file()]

    def base(self, name: str) -> tuple[str, bytes]:
        """Label and image of a delta's base.

        Args:
            name: stem of an older release, or an image's file.

        Raises:
            UserError: if there is neither.
        """
        path = self.folder / f"{name}.image"
        if path.is_file():
            return str(serial_of(name)), path.read_bytes()
        if Path(name).is_file():
            return "", Path(name).read_bytes()
        known = ", ".join(self.released().values()) or "none"
        raise UserError(
            f"no release '{name}' in {self.folder}, and no such file: choose one of the releases ({known}), "
            "or give the file of an image"
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from releasing for this board meanwhile."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / ".lock").open("w")
        except OSError as error:
            raise from_os_error(error, f"writing to {self.folder}") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def publish(self, stem: str, files: dict[str, bytes], envelope: bytes) -> None:
        """Write a release's files, then its envelope, then the one that devices poll."""
        for name, data in files.items():
            write_atomic(self.folder / name, data)
        write_atomic(self.folder / f"{stem}.release", envelope)
        write_atomic(self.newest_file, envelope)


def serial_of(stem: str) -> int | None:
    """Serial in the name of a release; None if it has none."""
    match = re.search(r"-(\d+)$", stem, re.ASCII)
    return int(match[1]) if match else None
