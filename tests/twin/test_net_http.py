"""HTTP on the device, against a server that behaves and one that does not."""

import hashlib
import re
import socket
import threading

import pytest

from cicada.tools.release.faulty import FaultyServer
from cicada.tools.release.serve import ReleaseServer
from support.wires import talk

PAYLOAD = hashlib.shake_128(b"payload").digest(30_000)
URL = "http://updates.test/esp32/a.payload"
HOST = "updates.test:80"
#: What a fault leads to, asked from byte 0 and from byte 5000; "good": the bytes asked for came.
OUTCOMES = {
    "ok": ("good", "good"),
    "200": ("good", "good"),
    "wrong-range": ("status 206", "another range"),
    "stale-etag": ("other bytes", "other bytes"),
    "truncate:0": ("30000 bytes early", "25000 bytes early"),
    "truncate:7000": ("ended 23000 bytes early", "ended 18000 bytes early"),
    "reset:7000": ("error 104", "error 104"),
    "too-long": ("good", "another range"),
    "endless": ("good", "good"),
    "chunked": ("encoding", "encoding"),
    "huge-header": ("header that is too long", "header that is too long"),
    "many-headers": ("too many headers", "too many headers"),
    "garbage": ("no answer|no web server|too long", "no answer|no web server|too long"),
    "404": ("status 404", "status 404"),
    "416": ("status 416", "status 416"),
    "500": ("status 500", "status 500"),
    "slow:5": ("good", "good"),
}


def digest(data):
    return hashlib.sha256(data).digest()[:4].hex()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("releases")
    (folder / "esp32").mkdir()
    (folder / "esp32" / "a.payload").write_bytes(PAYLOAD)
    (folder / "esp32" / "empty.payload").write_bytes(b"")
    (folder / "esp32" / "firmware.release").write_bytes(b"CREL" + bytes(2124))
    (folder / "esp32" / "model-kws.release").write_bytes(b"x" * 2129)
    return folder


@pytest.fixture(scope="module")
def outcomes(root):
    """Every fault at both offsets in one life of the twin, then again while its heap is watched."""
    once = [fault for fault in OUTCOMES for _ in range(2)]
    code = (
        f"faults = {list(OUTCOMES)}\n"
        "def all():\n"
        "    for fault in faults:\n"
        "        for offset in (0, 5000):\n"
        f"            attempt('%s at %d' % (fault, offset), read, '{URL}', offset, 30000 - offset)\n"
        "all()\n"
        "gc.collect(); before = gc.mem_alloc()\n"
        "all()\n"
        "gc.collect(); print('growth ->', gc.mem_alloc() - before)\n"
    )
    with FaultyServer(root, once + once) as server:
        said = talk(code, root, {HOST: server.address})
        assert server.payloads == len(once) * 2
    return said


@pytest.mark.parametrize("offset", [0, 5000])
@pytest.mark.parametrize("fault", OUTCOMES)
def test_a_fault_is_an_error_or_does_no_harm(fault, offset, outcomes):
    said, expected = outcomes[f"{fault} at {offset}"], OUTCOMES[fault][offset > 0]
    if expected == "good":
        assert said.endswith(f", {30_000 - offset}, '{digest(PAYLOAD[offset:])}')")
    elif expected == "other bytes":
        assert said.endswith(f", {30_000 - offset}, '{digest(bytes(b ^ 255 for b in PAYLOAD[offset:]))}')")
    else:
        assert re.search(f"LinkError: .*({expected})", said)


def test_faults_leave_nothing_on_the_heap(outcomes):
    assert int(outcomes["growth"]) < 512


@pytest.fixture(scope="module")
def said(root):
    """What the device says of a server that behaves."""
    code = (
        f"url = '{URL}'\n"
        "for offset in (0, 1, 4095, 29999):\n"
        "    attempt('from %d' % offset, read, url, offset)\n"
        "attempt('behind', read, url, 30000)\n"
        "attempt('empty', read, url.replace('a.p', 'empty.p'))\n"
        "attempt('small', lambda: len(http.fetch_small(url, 30000)))\n"
        "attempt('not small', http.fetch_small, url, 29999)\n"
        "attempt('nobody', http.get, 'http://nobody.test/')\n"
        "attempt('closed', http.get, 'http://closed.test/')\n"
        "attempt('injected', http.get, url, 0, None, {'X': 'a\\r\\nY: b'})\n"
        "attempt('secret', http.get, 'http://closed.test/?token=hush', 0, None, {'Authorization': 'hush'})\n"
        "way = HttpTransport({'url': 'http://updates.test'})\n"
        "attempt('newest', lambda: len(way.newest('esp32', 'cicada', 'firmware', 'app')))\n"
        "attempt('none', way.newest, 'esp32', 'cicada', 'model', 'other')\n"
        "attempt('absurd', way.newest, 'esp32', 'cicada', 'model', 'kws')\n"
        "attempt('file', lambda: way.open('esp32', 'a.payload', 9).size)\n"
        "attempt('report', way.report, 'firmware', 1, 'confirmed', ''); way.close()\n"
        "wifi.down(); attempt('down', read, url)\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as gone:
        closed = gone.getsockname()
    with ReleaseServer(root) as server:
        return talk(code, root, {HOST: server.address, "closed.test:80": closed})


@pytest.mark.parametrize("offset", [0, 1, 4095, 29_999])
def test_the_bytes_from_an_offset_on_come(offset, said):
    size = 30_000 - offset
    assert said[f"from {offset}"] == f"({size}, {size}, '{digest(PAYLOAD[offset:])}')"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("behind", "LinkError: the server answered with status 416"),
        ("empty", f"(0, 0, '{digest(b'')}')"),
        ("small", "30000"),
        ("not small", "LinkError: the server sent 30000 bytes where 29999 are the most"),
        ("nobody", "LinkError: the name nobody.test was not found"),
        ("closed", "LinkError: no connection to closed.test (error 111)"),
        ("injected", "LinkError: the value for X has a line break"),
        ("secret", "LinkError: no connection to closed.test (error 111)"),
        ("newest", "2128"),
        ("none", "None"),
        ("absurd", "LinkError: the server sent 2129 bytes where 2128 are the most"),
        ("file", "29991"),
        ("report", "None"),
        ("down", "LinkError: the name updates.test was not found"),
    ],
)
def test_what_the_device_says(name, expected, said):
    assert said[name] == expected


class Listener:
    """Answers each connection with given bytes in turn, and keeps what was asked."""

    def __init__(self, answers, keep_open=False):
        self.asked, self._answers, self._keep_open, self._lines = [], answers, keep_open, []

    def __enter__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def _serve(self):
        for answer in self._answers:
            line, _ = self._socket.accept()
            self.asked.append(line.recv(65536))
            line.sendall(answer)
            self._lines.append(line)
            if not self._keep_open:
                line.close()

    def __exit__(self, *exception):
        for one in (self._socket, *self._lines):
            one.close()

    @property
    def hosts(self):
        return {HOST: self._socket.getsockname(), "updates.test:8080": self._socket.getsockname()}


def test_a_silent_server_is_left_after_the_timeout(tmp_path):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234"
    code = (
        "def timed(timeout):\n"
        "    began = time.ticks_ms()\n"
        "    try:\n"
        f"        read('{URL}', timeout_s=timeout)\n"
        "    except LinkError as error:\n"
        "        return error, time.ticks_diff(time.ticks_ms(), began)\n"
        "for i in range(3):\n"
        "    attempt(i, timed, 0.5)\n"
    )
    with Listener([b"", b"HTTP/1.1 200 O", head], keep_open=True) as listener:
        said = talk(code, tmp_path, listener.hosts)
    for i in range(3):
        text, took = re.fullmatch(r"\(LinkError\('(.*)',\), (\d+)\)", said[str(i)]).groups()
        assert text == "the server did not answer in time" and 500 <= int(took) < 1500


def test_a_server_that_drips_does_not_hold_the_device(tmp_path):
    def drip(listener):
        line, _ = listener.accept()
        with line:
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n")
            for _ in range(200):
                line.sendall(b"x")
                if ended.wait(0.05):
                    return

    code = (
        f"body = http.get('{URL}', timeout_s=0.5)\n"
        "began = time.ticks_ms()\n"
        "attempt('drip', body.readinto, bytearray(200))\n"
        "print('took ->', time.ticks_diff(time.ticks_ms(), began))\n"
    )
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drip, args=(listener,), daemon=True).start()
        said = talk(code, tmp_path, {HOST: listener.getsockname()})
        ended.set()
    assert said["drip"] == "LinkError: the server did not answer in time"
    assert 700 <= int(said["took"]) < 1000


def test_requests_are_what_servers_expect(tmp_path):
    answer = b"HTTP/1.0 200 OK\r\n\r\nhello"
    code = (
        "attempt('get', read, 'http://updates.test:8080/a?b=c', 0, headers={'X-Key': 'v'})\n"
        "attempt('small', http.fetch_small, 'http://updates.test/', 5)\n"
        "attempt('long', http.fetch_small, 'http://updates.test/', 4)\n"
        "attempt('post', http.post, 'http://updates.test/p', b'{}', 5)\n"
        "attempt('put', lambda: http.post('http://updates.test/p', b'{}', method='PUT'))\n"
        "attempt('accepted', http.post, 'http://updates.test/p', b'')\n"
        "attempt('strange', http.post, 'http://updates.test/p', b'')\n"
    )
    answers = [answer] * 4
    answers += [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"]
    answers += [b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /q\r\nContent-Length: 0\r\n\r\n"]
    with Listener(answers) as listener:
        said = talk(code, tmp_path, listener.hosts)
        asked = listener.asked
    assert asked[0] == (
        b"GET /a?b=c HTTP/1.1\r\nHost: updates.test:8080\r\nConnection: close\r\nX-Key: v\r\n\r\n"
    )
    assert asked[1] == b"GET / HTTP/1.0\r\nHost: updates.test\r\nConnection: close\r\n\r\n"
    assert asked[3].startswith(b"POST /p HTTP/1.0\r\n")
    assert asked[3].endswith(b"Content-Length: 2\r\n\r\n{}")
    assert asked[4].startswith(b"PUT /p HTTP/1.0\r\n")
    assert said["get"].startswith("(-1, 5, ") and said["small"] == said["post"] == "b'hello'"
    assert said["long"] == "LinkError: the server sent more than 4 bytes"
    assert said["put"] == said["accepted"] == "b''"
    assert said["strange"] == "LinkError: the server answered with status 307"


def test_a_whole_file_is_thrown_away_up_to_the_offset(tmp_path):
    answers = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ]
    code = f"for i, offset in enumerate((9, 9, 2, 5)): attempt(i, read, '{URL}', offset)\n"
    with Listener(answers) as listener:
        said = talk(code, tmp_path, listener.hosts)
        assert b"\r\nRange: bytes=9-\r\n" in listener.asked[0]
    assert said["0"] == "LinkError: the file is shorter than what is here already"
    assert said["1"] == "LinkError: the connection ended 4 bytes early"
    assert said["2"] == f"(-1, 3, '{digest(b'llo')}')"
    assert said["3"] == f"(0, 0, '{digest(b'')}')"
