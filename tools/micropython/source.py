"""Source trees of MicroPython and of mbedTLS, which its ``trust`` module calls.

They are those of a checkout named by ``MICROPYTHON_DIR``, or else Debian's source packages. A package comes
through a list and folders of our own, so the system's lists of packages stay as they are and nobody needs to
be root. apt itself checks the signature of Debian's archive (with the keyring of the package
debian-archive-keyring) and the hashes of what it loads.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from cicada.tools.errors import UserError
from cicada.tools.stages import hash_files, stage

#: Suite of Debian whose source package is taken; the stable suites carry older ones.
SUITE = "sid"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: Oldest MicroPython the modules are written for.
OLDEST = (1, 26, 0)
#: Parts of the tree that reach an interpreter.
_PARTS = ("py", "extmod", "shared", "lib/libm", "lib/oofatfs", "lib/littlefs", "ports/unix", "ports/qemu")


class ToolMissing(UserError):
    """A program, a package or the network is not there; nothing is wrong with the sources."""


@dataclass(frozen=True)
class Source:
    """A source tree.

    Attributes:
        path: its root.
        version: e.g. ``(1, 26, 1)``.
        identity: changes whenever the files that reach an interpreter do.
    """

    path: Path
    version: tuple[int, int, int]
    identity: str


def find() -> Source:
    """Return the source tree, fetching Debian's once if ``MICROPYTHON_DIR`` is not set.

    Raises:
        UserError: the folder holds no MicroPython, or too old a one.
        ToolMissing: Debian's package cannot be fetched.
    """
    named = os.environ.get("MICROPYTHON_DIR")
    path = Path(named).expanduser().resolve() if named else fetch()
    what = f"MICROPYTHON_DIR={named}" if named else f"Debian's source package in {path}"
    version = read_version(path)
    if version is None:
        raise UserError(f"{what} is no MicroPython source tree: it has no py/mpconfig.h with a version")
    if version < OLDEST:
        raise UserError(f"{what} is MicroPython {_text(version)}: {_text(OLDEST)} or newer is needed")
    return Source(path, version, hash_files([path / part for part in _PARTS if (path / part).is_dir()]))


def find_mbedtls() -> Path:
    """Return mbedTLS's source tree: the one in ``MICROPYTHON_DIR``, or else Debian's, fetched once.

    Raises:
        ToolMissing: Debian's package cannot be fetched.
    """
    named = os.environ.get("MICROPYTHON_DIR")
    inside = Path(named).expanduser().resolve() / "lib" / "mbedtls" if named else None
    if inside and (inside / "library" / "ecdsa.c").is_file():
        return inside
    return fetch("mbedtls")


def read_version(path: Path) -> tuple[int, int, int] | None:
    """Version of the tree at ``path`` (from ``py/mpconfig.h``), or None if there is none."""
    header = path / "py" / "mpconfig.h"
    text = header.read_text(errors="replace") if header.is_file() else ""
    found = [
        re.search(rf"#define MICROPY_VERSION_{part} (\d+)", text) for part in ("MAJOR", "MINOR", "MICRO")
    ]
    if not all(found):
        return None
    major, minor, micro = (int(match.group(1)) for match in found if match)
    return major, minor, micro


def fetch(package: str = "micropython") -> Path:
    """Download and unpack Debian's source package, unless that is done already; its folder.

    Raises:
        ToolMissing: apt or its keyring is missing, or the network is.
    """

    def make(folder: Path) -> None:
        _download(folder / "apt", package)
        _unpack(folder / "apt", folder / package)
        shutil.rmtree(folder / "apt")

    return stage(f"{package}-source", {"suite": SUITE}, make) / package


def mirror() -> str:
    """Debian's archive that this machine's apt is set up with.

    Raises:
        ToolMissing: it has none.
    """
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)"],
        capture_output=True,
        text=True,
        errors="replace",
    ).stdout
    # Security updates lie in an archive of their own, which has no sid.
    found = [line for line in told.splitlines() if line and "security" not in line]
    if not found:
        raise ToolMissing(
            "apt's sources name no archive of Debian: add one, or set MICROPYTHON_DIR to a checkout"
        )
    return found[0]


def _download(folder: Path, package: str = "micropython") -> None:
    """Have apt load the package's files into ``folder``."""
    hint = "or set MICROPYTHON_DIR to a checkout of MicroPython"
    if not shutil.which("apt-get"):
        raise ToolMissing(
            f"MicroPython's sources come from Debian, and there is no apt-get here: use Debian, {hint}"
        )
    if not KEYRING.is_file():
        raise ToolMissing(f"{KEYRING} is missing, which Debian's packages are checked against:"
                          f" install debian-archive-keyring, {hint}")  # fmt: skip
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb-src [signed-by={KEYRING}] {mirror()} {SUITE} main\n")
    options = {
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferencesparts": "-",
        # Root's apt would otherwise load as a user who may not see this folder.
        "APT::Sandbox::User": "root",
        "APT::Update::Error-Mode": "any",
        "Acquire::Retries": "1",
    }
    apt = ["apt-get", "-q", *(part for key, value in options.items() for part in ("-o", f"{key}={value}"))]
    for command in (["update"], ["source", "--download-only", package]):
        result = subprocess.run(
            [*apt, *command], cwd=folder, capture_output=True, text=True, errors="replace"
        )
        if result.returncode != 0:
            lines = [line for line in result.stderr.splitlines() if line.startswith("E:")]
            first = (lines or result.stderr.splitlines() or ["it gave no message"])[0]
            raise ToolMissing(
                f"loading the sources of {package} with apt failed ({first}): check the network, {hint}"
            )


def _unpack(files: Path, target: Path) -> None:
    """Unpack the package's upstream archive from ``files`` to the folder ``target``.

    Debian's patches are left out: they change how Debian's own packages are built, not the interpreter.
    """
    archives = sorted(files.glob("*.orig.tar.*"))
    if len(archives) != 1:
        raise UserError(f"Debian's source package has {len(archives)} upstream archives instead of one:"
                        " set MICROPYTHON_DIR to a checkout of MicroPython")  # fmt: skip
    unpacked = files / "unpacked"
    # Debian 12's Python (3.11.2) has no filters yet; apt has checked who made the archive.
    safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archives[0]) as archive:
        archive.extractall(unpacked, **safe)
    (top,) = unpacked.iterdir()
    top.rename(target)


def _text(version: tuple[int, int, int]) -> str:
    return ".".join(map(str, version))
