"""Download of the public Speech Commands archive: resumable, checked before unpacking, never half there."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from cicada.tools.errors import UserError, from_os_error
from cicada.training.progress import Advance, bar

URL = "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz"
# Published in the checksums of TensorFlow Datasets (datasets/speech_commands/checksums.tsv, with the size of
# 2428923189 bytes) and in torchaudio (datasets/speechcommands.py).
SHA256 = "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"

_CHUNK = 1 << 20
_TIMEOUT_S = 30.0
#: Failures in a row, without a byte received in between, after which it is given up; seconds between tries.
_ATTEMPTS = 4
_PAUSE_S = 2.0


class _Broken(Exception):
    """The connection failed; trying again may help."""


def fetch_speech_commands(target: Path, url: str = URL, sha256: str = SHA256) -> Path:
    """Download and unpack Speech Commands v0.02 (2.3 GB, 105,829 recordings; CC BY 4.0).

    A broken download continues where it stopped, in this run or the next. The finished folder appears under
    its name in one step; one that is there already is left as it is.

    Args:
        target: folder to make. What is unfinished lies beside it, as ``<target>.part`` (with ``.json``) and
            ``.<target>.unpacking``.
        url: where the archive (tar.gz) is.
        sha256: its SHA-256 in hexadecimal.

    Returns:
        ``target``.

    Raises:
        UserError: no network, another content, an unsafe or damaged archive, no room on the disk.
    """
    target = Path(target).absolute()
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url} is not an address to download from: it must start with https:// or http://")
    try:
        if target.is_dir() and any(target.iterdir()):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        if _size(part) and _noted(part).get("url") != url:
            _forget(part)
        _download(url, part)
        _verify(part, url, sha256)
        _unpack(part, target)
        _forget(part)
    except OSError as error:
        raise from_os_error(error, f"fetching recordings into {target}") from error
    return target


# ---- download


def _download(url: str, part: Path) -> None:
    """Complete ``part``, asking only for the bytes that it lacks."""
    failures = 0
    with ExitStack() as stack:
        progress = _Meter(stack, "download recordings")
        while True:
            before = _size(part)
            try:
                with _ask(url, part, before) as reply:
                    if reply is not None:
                        _receive(reply, part, url, progress)
                return
            except _Broken as error:
                failures = 1 if _size(part) > before else failures + 1
                if failures >= _ATTEMPTS:
                    raise _by_hand(url, part, str(error)) from error
                time.sleep(_PAUSE_S)


@contextmanager
def _ask(url: str, part: Path, have: int) -> Iterator[http.client.HTTPResponse | None]:
    """Ask for everything from byte ``have`` on; None if there is no more than that."""
    request = urllib.request.Request(url, headers={"User-Agent": "cicada", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        # If the file has changed since, the server must send all of the new one (RFC 9110, 13.1.5).
        if validator := _noted(part).get("validator"):
            request.add_header("If-Range", validator)
    try:
        reply = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            # Nothing after what we have: either that is all, or it is too much and belongs to another file.
            if error.headers.get("Content-Range", "") == f"bytes */{have}":
                yield None
                return
            _forget(part)
            raise _Broken("the file has changed on the server") from error
        if error.code < 500 and error.code not in (408, 429):
            raise _by_hand(url, part, f"the server answers {error.code} {error.reason}") from error
        raise _Broken(f"the server answers {error.code} {error.reason}") from error
    except (http.client.HTTPException, OSError) as error:
        raise _Broken(str(getattr(error, "reason", error)) or type(error).__name__) from error
    with reply:
        yield reply


def _receive(reply: http.client.HTTPResponse, part: Path, url: str, progress: _Meter) -> None:
    """Append a reply to ``part``, or replace ``part`` if the server starts from the beginning."""
    start, end = 0, None
    if reply.status == 206:
        span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", reply.headers.get("Content-Range", ""))
        if not span or int(span[1]) != _size(part):
            _forget(part)
            raise _Broken("the server sent another part of the file than asked for")
        start, end = int(span[1]), int(span[2]) + 1
    elif reply.length is not None:
        end = reply.length
    _remember(part, url, reply)
    progress.at(start, end)
    with part.open("ab" if start else "wb") as file:
        while chunk := _read(reply):
            file.write(chunk)
            progress.at(file.tell())
        received = file.tell()
    if end is not None and received != end:
        raise _Broken(f"the connection broke off after {received >> 20} MiB")


def _read(reply: http.client.HTTPResponse) -> bytes:
    try:
        return reply.read1(_CHUNK)
    except (http.client.HTTPException, OSError) as error:
        raise _Broken(str(error) or type(error).__name__) from error


def _remember(part: Path, url: str, reply: http.client.HTTPResponse) -> None:
    """Note what ``part`` is the beginning of, so that only that is ever continued."""
    tag = reply.headers.get("ETag", "")
    # A weak tag may stand for other bytes; If-Range takes strong ones and dates only.
    validator = tag if tag and not tag.startswith("W/") else reply.headers.get("Last-Modified", "")
    _notes(part).write_text(json.dumps({"url": url, "validator": validator}))


def _noted(part: Path) -> dict[str, str]:
    """Where ``part`` is from (``url``) and its ETag or date (``validator``); empty if that is not known."""
    try:
        noted = json.loads(_notes(part).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)


def _by_hand(url: str, part: Path, reason: str) -> UserError:
    kept = f" (it goes on after the {_size(part) >> 20} MiB already here)" if _size(part) else ""
    return UserError(
        f"{url} cannot be downloaded ({reason}): check the network and run the same command again{kept},"
        " or download it elsewhere, unpack it with 'tar xzf' into a folder and name that with DATA="
    )


# ---- check and unpack


def _verify(part: Path, url: str, sha256: str) -> None:
    digest = hashlib.sha256()
    with ExitStack() as stack, part.open("rb") as file:
        progress = _Meter(stack, "check recordings")
        progress.at(0, _size(part))
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            progress.at(file.tell())
    if digest.hexdigest() != sha256.lower():
        _forget(part)
        raise UserError(
            f"what came from {url} is not the archive expected (SHA-256 {digest.hexdigest()[:16]}… instead of"
            f" {sha256[:16]}…) and was deleted: run the same command again; if that does not help, something"
            " between here and the server changes downloads"
        )


def _unpack(part: Path, target: Path) -> None:
    """Unpack into a folder beside ``target``, then rename it: ``target`` is whole or absent."""
    work = target.with_name(f".{target.name}.unpacking")
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir()
        with ExitStack() as stack, part.open("rb") as raw:
            progress = _Meter(stack, "unpack recordings")
            progress.at(0, _size(part))
            with tarfile.open(fileobj=raw, mode="r|gz") as archive:
                for member in archive:
                    _unpack_member(archive, member, work)
                    progress.at(raw.tell())
        work.replace(target)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(
            f"{part} is a damaged archive ({error}): delete it and run the same command again"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _unpack_member(archive: tarfile.TarFile, member: tarfile.TarInfo, work: Path) -> None:
    name = PurePosixPath(member.name)
    # Names are checked here, not left to tarfile: its filters are missing in early 3.10 and 3.11.
    if (
        name.is_absolute()
        or ".." in name.parts
        or "\\" in member.name
        or not (member.isfile() or member.isdir())
    ):
        raise UserError(
            f"the archive has the unsafe entry '{member.name}' and was not unpacked: it is not the"
            " Speech Commands archive; get another copy"
        )
    path = work / name
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    source: BinaryIO | None = archive.extractfile(member)  # type: ignore[assignment]
    if source is not None:
        with source, path.open("wb") as file:
            shutil.copyfileobj(source, file)


class _Meter:
    """A progress bar in MiB that is told positions in bytes, and is drawn once the total is known."""

    def __init__(self, stack: ExitStack, what: str) -> None:
        self._stack, self._what = stack, what
        self._advance: Advance | None = None
        self._shown = 0

    def at(self, position: int, total: int | None = None) -> None:
        """Now at byte ``position``; the first ``total`` given draws the bar."""
        if self._advance is None and total is not None:
            self._advance = self._stack.enter_context(bar(f"{self._what}, MiB", -(-total >> 20)))
        if self._advance is not None:
            mib = -(-position >> 20)
            self._advance(mib - self._shown)
            self._shown = mib
