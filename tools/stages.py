"""Stages cached by the hash of their inputs.

A stage makes one folder. The folder's name carries the SHA-256 of everything the stage depends on,
so a finished folder is right by construction and is never made twice; an interrupted stage leaves
only a ``.tmp-`` folder, which the next run sweeps away.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cicada.tools.errors import UserError, from_os_error
from cicada.tools.paths import CACHE

#: What a finished stage says about itself: its inputs, and how long it took.
ABOUT = "inputs.json"
_watchers: list[list[Path]] = []


def hash_files(paths: Iterable[Path]) -> str:
    """SHA-256 over the names and contents of files (folders are walked, sorted)."""
    digest = hashlib.sha256()
    for path in sorted(Path(p) for p in paths):
        members = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for member in members:
            if "__pycache__" in member.parts:
                continue
            digest.update(str(member.relative_to(path.parent)).encode() + b"\0")
            digest.update(hashlib.sha256(member.read_bytes()).digest())
    return digest.hexdigest()


def key(inputs: Mapping[str, object]) -> str:
    """Hash of JSON-able inputs, independent of their order (24 hex digits)."""
    text = json.dumps(inputs, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def stage(
    name: str, inputs: Mapping[str, object], make: Callable[[Path], None], cache: Path | None = None
) -> Path:
    """Return the folder of stage ``name`` for ``inputs``, making it first if it is not there yet.

    Args:
        name: short name; the first part of the folder's name.
        inputs: JSON-able description of everything the result depends on, code included.
        make: called with an empty folder to fill; if it raises, nothing of it remains.
        cache: parent folder (default ``build/cache``).
    """
    parent = cache or CACHE
    done = parent / f"{name}-{key(inputs)}"
    for folders in _watchers:
        folders.append(done)
    if done.is_dir():
        os.utime(done)
        return done
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent)
        work = Path(tempfile.mkdtemp(prefix=f".tmp-{os.getpid()}-{name}-", dir=parent))
    except OSError as error:
        raise from_os_error(error, f"preparing {parent}") from error
    try:
        began = time.monotonic()
        make(work)
        about = {"inputs": inputs, "seconds": time.monotonic() - began}
        (work / ABOUT).write_text(json.dumps(about, sort_keys=True, indent=1, default=str))
        try:
            os.replace(work, done)
        except OSError:
            if not done.is_dir():  # else another process made the same in the meantime
                raise
    except OSError as error:
        raise from_os_error(error, f"making stage '{name}' in {parent}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return done


@contextmanager
def watched() -> Iterator[list[Path]]:
    """The folders of all stages that the body uses, whether it makes them or finds them."""
    folders: list[Path] = []
    _watchers.append(folders)
    try:
        yield folders
    finally:
        _watchers.remove(folders)


def seconds(folders: Iterable[Path]) -> float:
    """How long it took to make these stages, each counted once; on whatever machine that was.

    Raises:
        UserError: one was made by a Cicada that did not note it.
    """
    found = {one: json.loads((one / ABOUT).read_text()).get("seconds") for one in set(folders)}
    for one, took in found.items():
        if took is None:
            raise UserError(f"{one} was made by an older Cicada and does not say how long it took: remove it")
    return sum(found.values())


def _sweep(parent: Path) -> None:
    """Remove what interrupted runs left behind; folders of processes still alive are kept."""
    for stale in parent.glob(".tmp-*"):
        try:
            os.kill(int(stale.name.split("-")[1]), 0)
        except (ProcessLookupError, ValueError):
            shutil.rmtree(stale, ignore_errors=True)
        except PermissionError:
            continue


def publish(source: Path, target: Path) -> None:
    """Copy ``source`` to ``target`` so that ``target`` is always either the old file or the new one."""
    write_atomic(target, source.read_bytes())


def write_atomic(target: Path, data: bytes) -> None:
    """Write ``data`` beside ``target``, flush it to the disk, then rename it into place."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise from_os_error(error, f"writing {target}") from error
