"""Fetching the archive from a server that drops, ignores, lies or is not there."""

from __future__ import annotations

import hashlib
import io
import re
import socket
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from cicada.tools.errors import UserError
from cicada.training.corpora import fetch

FILES = {
    "./README.md": b"the data set",
    "./yes/a_nohash_0.wav": np.random.default_rng(1).bytes(400_000),
    "./no/b_nohash_0.wav": np.random.default_rng(2).bytes(300_000),
}


def tar(files: dict[str, bytes], **special: bytes) -> bytes:
    """A tar.gz of ``files``; ``special`` entries have the tar type given (b"2" is a symbolic link)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, kind in special.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    return buffer.getvalue()


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Server:
    """What the server does, and what it was asked."""

    content: bytes = b""
    etag: str | None = '"one"'
    drop_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    asked: list[str | None] = field(default_factory=list)
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        if self.statuses:
            request.send_error(self.statuses.pop(0))
            return
        start = 0
        unchanged = request.headers.get("If-Range") in (None, self.etag)
        if wanted and self.ranges and unchanged:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start >= len(self.content):
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{len(self.content)}")
                request.send_header("Content-Length", "0")
                request.end_headers()
                return
            request.send_response(206)
            last = len(self.content) - 1
            request.send_header("Content-Range", f"bytes {start}-{last}/{len(self.content)}")
        else:
            request.send_response(200)
        body = self.content[start:]
        request.send_header("Content-Length", str(len(body)))
        if self.etag:
            request.send_header("ETag", self.etag)
        request.end_headers()
        if self.drop_after:
            request.wfile.write(body[: self.drop_after.pop(0)])
            request.wfile.flush()
            request.connection.shutdown(socket.SHUT_RDWR)
            return
        request.wfile.write(body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server(content=tar(FILES))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, *_: object) -> None:
            """Tests need no access log."""

    monkeypatch.setattr(fetch, "_PAUSE_S", 0.0)
    # A proxy configured for the machine must not see requests to this very machine.
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_port}/speech.tar.gz"
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


def get(server: Server, folder: Path, sha256: str | None = None) -> Path:
    return fetch.fetch_speech_commands(folder / "speech", server.url, sha256 or sha(server.content))


def complete(folder: Path) -> bool:
    """All files there with their contents, and nothing unfinished beside the folder."""
    for name, content in FILES.items():
        assert (folder / name).read_bytes() == content
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    return True


def refused(server: Server, folder: Path, sha256: str | None = None) -> str:
    with pytest.raises(UserError) as error:
        get(server, folder, sha256)
    assert "\n" not in str(error.value)
    assert not (folder / "speech").exists() and not (folder / ".speech.unpacking").exists()
    return str(error.value)


def test_fetch_unpacks_and_then_leaves_it_alone(server, tmp_path):
    assert complete(get(server, tmp_path))
    assert complete(get(server, tmp_path))
    assert server.asked == [None]


def test_a_dropped_connection_is_continued_where_it_broke(server, tmp_path):
    server.drop_after = [100_000, 150_000]
    assert complete(get(server, tmp_path))
    assert server.asked == [None, "bytes=100000-", "bytes=250000-"]


def test_the_next_run_continues_what_the_last_one_left(server, tmp_path):
    server.drop_after = [100_000]
    server.asked.clear()
    server.statuses = []
    server.drop_after += [0] * 4
    message = refused(server, tmp_path)
    assert "run the same command again" in message and "DATA=" in message
    assert (tmp_path / "speech.part").stat().st_size == 100_000
    server.asked.clear()
    server.drop_after = []
    assert complete(get(server, tmp_path))
    assert server.asked == ["bytes=100000-"]


def test_a_server_that_ignores_ranges_starts_from_the_beginning(server, tmp_path):
    server.ranges = False
    server.drop_after = [100_000]
    assert complete(get(server, tmp_path))


def test_a_file_that_changed_meanwhile_is_not_mixed_with_the_old_one(server, tmp_path):
    server.drop_after = [100_000, 0, 0, 0, 0]
    old = sha(server.content)
    refused(server, tmp_path, old)
    server.content = tar({**FILES, "./extra": b"new"})
    server.etag = '"two"'
    server.drop_after = []
    get(server, tmp_path)
    assert (tmp_path / "speech" / "extra").read_bytes() == b"new"


def test_a_part_from_another_address_is_not_continued(server, tmp_path):
    (tmp_path / "speech.part").write_bytes(b"something else")
    (tmp_path / "speech.part.json").write_text('{"url": "http://elsewhere/", "validator": "x"}')
    assert complete(get(server, tmp_path))
    assert server.asked == [None]


def test_a_complete_part_is_not_fetched_again(server, tmp_path):
    (tmp_path / "speech.part").write_bytes(server.content)
    (tmp_path / "speech.part.json").write_text(f'{{"url": "{server.url}", "validator": ""}}')
    assert complete(get(server, tmp_path))
    assert server.asked == [f"bytes={len(server.content)}-"]


def test_a_part_that_is_too_long_is_dropped(server, tmp_path):
    (tmp_path / "speech.part").write_bytes(server.content + b"more")
    (tmp_path / "speech.part.json").write_text(f'{{"url": "{server.url}", "validator": ""}}')
    assert complete(get(server, tmp_path))


def test_a_server_in_trouble_is_asked_again(server, tmp_path):
    server.statuses = [503, 500]
    assert complete(get(server, tmp_path))


def test_a_file_that_is_not_there_is_said_at_once(server, tmp_path):
    server.statuses = [404, 404]
    assert "404" in refused(server, tmp_path)
    assert len(server.asked) == 1


def test_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "_PAUSE_S", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        # Bound but not listening: connections are refused.
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x.tar.gz"
        message = refused(Server(url=url), tmp_path)
    assert url in message and "unpack it with 'tar xzf'" in message and "DATA=" in message


def test_other_content_is_deleted_not_unpacked(server, tmp_path):
    message = refused(server, tmp_path, sha256="0" * 64)
    assert "SHA-256" in message and "deleted" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["../escaped.txt", "/tmp/escaped.txt", "yes/../../escaped.txt", "..\\escaped.txt"]
)
def test_entries_that_would_leave_the_folder_are_refused(server, tmp_path, name):
    server.content = tar({"yes/a_nohash_0.wav": b"x", name: b"evil"})
    folder = tmp_path / "inner"
    assert "unsafe entry" in refused(server, folder)
    assert not list(tmp_path.rglob("*escaped.txt"))


def test_links_are_refused(server, tmp_path):
    server.content = tar({}, **{"passwd": tarfile.SYMTYPE})
    assert "unsafe entry 'passwd'" in refused(server, tmp_path)


def test_a_damaged_archive_is_said(server, tmp_path):
    server.content = tar(FILES)[:-1000]
    assert "damaged" in refused(server, tmp_path)
    server.content = b"no archive at all"
    (tmp_path / "speech.part").unlink()
    assert "damaged" in refused(server, tmp_path)


def test_a_full_disk_keeps_what_is_there(server, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch.shutil, "copyfileobj", full)
    assert "disk is full" in refused(server, tmp_path)
    assert (tmp_path / "speech.part").read_bytes() == server.content


def test_addresses_other_than_http_are_refused(tmp_path):
    assert "must start with https://" in refused(Server(url="file:///etc/passwd"), tmp_path)


def test_the_pinned_archive():
    assert fetch.URL.startswith("https://") and fetch.URL.endswith("/speech_commands_v0.02.tar.gz")
    assert fetch.SHA256.startswith("af14739e") and len(bytes.fromhex(fetch.SHA256)) == 32
