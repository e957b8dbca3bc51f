"""The release server: ranges as curl sees them, conditions, and nothing that is not offered."""

import argparse
import hashlib
import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools.errors import UserError
from cicada.tools.release.faulty import FaultyServer
from cicada.tools.release.files import parse_range
from cicada.tools.release.serve import ReleaseServer, add_serve, tls_context

DATA = hashlib.shake_128(b"serve").digest(200_000)
ETAG = f'"{hashlib.sha256(DATA).hexdigest()}"'
PATH = "/esp32/firmware-1.0-5.payload"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("root") / "releases"
    board = folder / "esp32"
    (board / ".hidden").mkdir(parents=True)
    (board / PATH.rpartition("/")[2]).write_bytes(DATA)
    (board / "empty").write_bytes(b"")
    (board / "a b+ü.release").write_bytes(b"name")
    for kept in ("app.image", "app.IMAGE", "sign.pem", ".dot", ".hidden/file"):
        (board / kept).write_bytes(b"secret")
    (folder.parent / "outside").write_bytes(b"secret")
    (board / "out").symlink_to(folder.parent / "outside")
    (board / "up").symlink_to(folder.parent)
    (board / "round").symlink_to("round")
    (board / "disguised").symlink_to("app.image")
    (board / "link").symlink_to("empty")
    os.mkfifo(board / "pipe")
    return folder


@pytest.fixture(scope="module")
def lines():
    return []


@pytest.fixture(scope="module")
def server(root, lines):
    with ReleaseServer(root, log=lines.append) as made:
        yield made


def ask(server, path=PATH, method="GET", **headers):
    """Status, headers and body of one request; nothing of ``path`` is normalised on the way."""
    line = http.client.HTTPConnection(*server.address, timeout=10)
    line.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers.items():
        line.putheader(name.replace("_", "-"), value)
    line.endheaders()
    answer = line.getresponse()
    body = answer.read()
    line.close()
    return answer.status, answer.headers, body


curl = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")


@curl
@pytest.mark.parametrize(
    "span", ["0-0", "0-", "1000-", "199999-", "5-9", "-1", "-500", "-999999", "150000-999999"]
)
def test_curl_gets_the_range_it_asks_for(span, server, tmp_path):
    out = tmp_path / "out"
    command = ["curl", "-sS", "-f", "-r", span, "-o", out, "-w", "%{http_code}", server.url + PATH[1:]]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    first, _, last = span.partition("-")
    expected = DATA[int(first) : int(last) + 1 if last else None] if first else DATA[-int(last) :]
    assert run.stdout == "206" and out.read_bytes() == expected


@curl
def test_curl_goes_on_where_it_broke_off(root, tmp_path):
    out = tmp_path / "out"
    with FaultyServer(root, ["truncate:70000"]) as server:
        command = ["curl", "-sS", "-C", "-", "-o", out, server.url + PATH[1:]]
        assert subprocess.run(command, capture_output=True, timeout=20).returncode == 18
        assert out.stat().st_size == 70_000
        assert subprocess.run(command, capture_output=True, timeout=20).returncode == 0
    assert out.read_bytes() == DATA


def test_a_whole_file_comes_with_its_length_and_tag(server):
    status, headers, body = ask(server)
    assert (status, body) == (200, DATA)
    assert headers["Content-Length"] == "200000" and headers["ETag"] == ETAG
    assert headers["Accept-Ranges"] == "bytes" and "Last-Modified" not in headers


def test_head_says_the_same_without_the_body(server):
    status, headers, body = ask(server, method="HEAD", Range="bytes=5-9")
    assert (status, body, headers["Content-Length"], headers["ETag"]) == (200, b"", "200000", ETAG)


@pytest.mark.parametrize("path", ["/esp32/empty", "/esp32/link", "/esp32/empty?x=../y"])
def test_an_empty_file_is_a_file(path, server):
    assert ask(server, path)[0::2] == (200, b"")


def test_names_are_decoded(server):
    assert ask(server, "/esp32/a%20b+%C3%BC.release")[0::2] == (200, b"name")


@pytest.mark.parametrize("span", ["bytes=200000-", "bytes=-0", "bytes=999999-9999999"])
def test_a_range_behind_the_end_is_refused(span, server):
    status, headers, body = ask(server, Range=span)
    assert (status, body, headers["Content-Range"]) == (416, b"", "bytes */200000")


@pytest.mark.parametrize("span", ["bytes=5-4", "bytes=a-b", "bytes=-", "lines=1-2", "bytes=0-1,5-9", "5-9"])
def test_what_is_no_single_range_means_the_whole_file(span, server):
    assert ask(server, Range=span)[0::2] == (200, DATA)


@given(first=st.integers(0, 60) | st.none(), last=st.integers(0, 60) | st.none(), size=st.integers(0, 50))
def test_ranges_select_what_slices_do(first, last, size):
    asked = parse_range(f"bytes={'' if first is None else first}-{'' if last is None else last}", size)
    if first is None and last is None or first is not None and last is not None and last < first:
        assert asked is None
        return
    data = list(range(size))
    if first is not None:
        expected = data[first : None if last is None else last + 1]
    else:
        expected = data[max(size - last, 0) :] if last else []
    assert (data[asked[0] : asked[1] + 1] if asked else []) == expected and (asked == ()) == (not expected)


@given(st.text(max_size=30) | st.text("bytes=0123456789-, ", max_size=30))
def test_any_range_header_is_parsed(header):
    asked = parse_range(header, 100)
    assert asked in (None, ()) or 0 <= asked[0] <= asked[1] < 100


@pytest.mark.parametrize("tags", [ETAG, f'"x", {ETAG}', f"W/{ETAG}", "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_who_has_the_file_gets_nothing(tags, method, server):
    status, headers, body = ask(server, method=method, If_None_Match=tags)
    assert (status, body, headers["ETag"]) == (304, b"", ETAG)


def test_who_has_another_file_gets_this_one(server):
    assert ask(server, If_None_Match='"x"')[0::2] == (200, DATA)


@pytest.mark.parametrize("tag", ['"x"', f"W/{ETAG}", "Sat, 21 Nov 2026 14:00:00 GMT"])
def test_a_range_of_another_file_is_not_continued(tag, server):
    assert ask(server, Range="bytes=5-", If_Range=tag)[0::2] == (200, DATA)
    assert ask(server, Range="bytes=5-", If_Range=ETAG)[0::2] == (206, DATA[5:])


def test_a_replaced_file_has_another_tag(tmp_path):
    file = tmp_path / "a.release"
    file.write_bytes(b"old")
    with ReleaseServer(tmp_path) as server:
        old = ask(server, "/a.release")
        (tmp_path / "new").write_bytes(b"new")
        (tmp_path / "new").replace(file)
        new = ask(server, "/a.release")
    assert (old[2], new[2]) == (b"old", b"new") and old[1]["ETag"] != new[1]["ETag"]


@pytest.mark.parametrize(
    "path",
    "/ /esp32 /esp32/ /esp32/none /../outside /esp32/../../outside /%2e%2e/outside /esp32/..%5c..%5coutside"
    " /esp32/%2e%2e%2f%2e%2e%2foutside /esp32//empty /esp32/./empty /esp32/out /esp32/up/outside /esp32/round"
    " /esp32/disguised /esp32/app.image /esp32/app.IMAGE /esp32/sign.pem /esp32/.dot /esp32/.hidden/file"
    " /esp32/app.image%00 /esp32/empty%00.release /esp32/pipe /esp32/empty/ * esp32/empty /%ff%fe"
    " http://x/esp32/.dot".split(),
)
def test_nothing_else_is_offered(path, server):
    status, headers, body = ask(server, path)
    assert status == 404 and b"secret" not in body and int(headers["Content-Length"]) == len(body)


def test_methods_that_change_things_do_not_exist(server):
    assert ask(server, method="PUT")[0] == ask(server, method="POST")[0] == 501


def test_several_requests_go_over_one_connection(server):
    line = http.client.HTTPConnection(*server.address, timeout=10)
    for span in ("bytes=0-9", "bytes=300000-", "bytes=10-19"):
        line.request("GET", PATH, headers={"Range": span})
        answer = line.getresponse()
        assert (answer.status, len(answer.read())) in [(206, 10), (416, 0)]
    line.close()


def test_a_body_nobody_asked_for_is_not_taken_for_a_request(server):
    smuggled = b"GET /esp32/empty HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(server.address, timeout=10) as line:
        line.sendall(b"GET /none HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n" + smuggled)
        text = b""
        while more := line.recv(65536):
            text += more
    assert text.count(b"HTTP/1.1 ") == 1


def test_requests_are_logged_on_one_line_each(server, lines):
    lines.clear()
    ask(server, Range="bytes=5-9")
    with socket.create_connection(server.address, timeout=10) as line:
        line.sendall(b"GET /\x1b[2J\x07 HTTP/1.0\r\n\r\n")
        line.recv(65536)
    assert len(lines) == 2 and lines[0].endswith(f"127.0.0.1 GET {PATH} HTTP/1.1 206 bytes=5-9")
    assert all(line.isprintable() for line in lines)


def test_many_get_their_files_at_once(server):
    right = []
    threads = [
        threading.Thread(target=lambda: right.append(ask(server)[2] == DATA), daemon=True) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert right == [True] * 20


def test_tls_protects_it_and_a_client_that_hesitates_holds_nobody_up(root):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    with ReleaseServer(root, tls=context) as server, socket.create_connection(server.address):
        line = http.client.HTTPSConnection(*server.address, timeout=10, context=ours)
        line.request("GET", PATH, headers={"Range": "bytes=100-"})
        answer = line.getresponse()
        assert (answer.status, answer.read()) == (206, DATA[100:])
        line.close()
        assert server.url.startswith("https://127.0.0.1:")


def test_faults_that_should_not_happen_are_sentences(root, tmp_path, server):
    with pytest.raises(UserError, match="there is no such folder"):
        ReleaseServer(tmp_path / "none")
    with pytest.raises(UserError, match="is taken by another program"):
        ReleaseServer(root, port=server.address[1])
    (tmp_path / "no.pem").write_bytes(b"none")
    with pytest.raises(UserError, match="no certificate with its key"):
        tls_context(tmp_path / "no.pem")
    with pytest.raises(UserError, match="there is no such file"):
        tls_context(tmp_path / "none.pem")
    with pytest.raises(ValueError, match="no fault 'flood'"):
        FaultyServer(root, ["flood"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--key", "k.pem"], "give the certificate, too"),
        (["--port", "70000"], "a number from 0 to 65535"),
        (["--announce", "broker"], "give HOST:PORT"),
        (["--announce", "broker:0"], "give HOST:PORT"),
    ],
)
def test_wrong_options_are_sentences(arguments, said, root):
    options = parsed(str(root), *arguments)
    with pytest.raises(UserError, match=said):
        options.run(options)


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    add_serve(parser.add_subparsers())
    return parser.parse_args(["serve", *arguments])


def test_the_command_serves_until_ctrl_c(root):
    code = (
        "import argparse, sys\nfrom cicada.tools import interrupt\n"
        "from cicada.tools.release.serve import add_serve\n"
        "parser = argparse.ArgumentParser()\nadd_serve(parser.add_subparsers())\n"
        "options = parser.parse_args(sys.argv[1:])\ninterrupt.install()\nsys.exit(options.run(options))\n"
    )
    command = [sys.executable, "-c", code, "serve", str(root), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            first = process.stdout.readline()
            url = next(word for word in first.split() if word.startswith("http://"))
            line = http.client.HTTPConnection(url.split("/")[2], timeout=10)
            line.request("GET", PATH)
            assert line.getresponse().read() == DATA
            line.close()
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=10)[0]
        finally:
            process.kill()
    assert process.returncode == 0
    assert PATH in rest and rest.splitlines()[-1] == "ended" and "Traceback" not in rest
