"""Heads of answers and URLs: whatever comes is read rightly or refused, and MicroPython agrees."""

import http.client
import io
import string
import sys
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.paths import FIRMWARE
from support.twins import micropython


@pytest.fixture(scope="module")
def net():
    """``node.net`` as CPython imports it, out of reach of other tests."""
    before = {name for name in sys.modules if name.partition(".")[0] == "node"}
    sys.path.insert(0, str(FIRMWARE / "app"))
    try:
        import node.net
        import node.net.head

        yield node.net
    finally:
        sys.path.remove(str(FIRMWARE / "app"))
        for name in [name for name in sys.modules if name.partition(".")[0] == "node"]:
            if name not in before:
                del sys.modules[name]


def read(net, lines):
    """What a head says, or "refused"; None if it is not over."""
    head = net.head.Head()
    try:
        for line in lines:
            if head.feed(line):
                return head.status, head.length, head.first, head.last
    except net.LinkError:
        return "refused"
    return None


OK = b"HTTP/1.1 200 OK"
NAMES = [b"Content-Length", b"content-range", b"Transfer-Encoding", b"ETag", b"X", b"Content-Encoding"]
VALUES = [b"0", b"12", b"99999999999", b"-1", b"1e3", b"+1", b"bytes 5-9/10", b"bytes 5-9/*", b"bytes */10"]
VALUES += [b"bytes 9-5/10", b"bytes 5-10/10", b"chunked", b"identity", b"", b"gzip", b"bytes=5-9", b"\xb2"]
header = st.builds(
    lambda name, colon, value: name + colon + value,
    st.sampled_from(NAMES) | st.binary(max_size=20),
    st.sampled_from([b": ", b":", b" :", b""]),
    st.sampled_from(VALUES) | st.binary(max_size=30),
)
heads = st.tuples(st.just(OK) | st.binary(max_size=20), st.lists(header, max_size=6)).map(
    lambda both: [both[0], *both[1], b""]
)


@given(lines=heads)
@settings(max_examples=500, deadline=None)
def test_any_head_is_read_or_refused(net, lines):
    said = read(net, lines)
    if said == "refused" or said is None:
        return
    status, length, first, last = said
    assert 0 <= status <= 999 and length >= -1
    assert first == last == -1 or 0 <= first <= last


@given(status=st.integers(100, 999), length=st.integers(0, 10**10 - 1), more=st.text(string.ascii_letters))
def test_what_is_read_is_what_cpython_reads(net, status, length, more):
    lines = [b"HTTP/1.1 %d %b" % (status, more.encode()), b"Content-Length: %d" % length, b"X-A: b", b""]

    class Line:
        def makefile(self, mode):
            return io.BytesIO(b"\r\n".join([*lines, b""]))

    theirs = http.client.HTTPResponse(Line())
    if status != 100:  # which they wait behind
        theirs.begin()
        assert read(net, lines)[0] == theirs.status
        assert read(net, lines)[1] == int(theirs.headers["content-length"])


@given(first=st.integers(0, 10**9), size=st.integers(1, 10**9), rest=st.none() | st.integers(1, 10**9))
def test_ranges_are_read(net, first, size, rest):
    last = first + size - 1
    total = b"*" if rest is None else b"%d" % (last + rest)
    line = b"Content-Range: bytes %d-%d/%b" % (first, last, total)
    assert read(net, [b"HTTP/1.1 206 Partial", line, b""]) == (206, -1, first, last)


@pytest.mark.parametrize(
    "lines",
    [
        [b"HTTP/2 200"],
        [b"HTTP/1.1 20x OK"],
        [b"HTTP/1.1 2000 OK"],
        [b"HTTP/1.1  200 OK"],
        [b"ICY 200 OK"],
        [b""],
        [OK, b"no colon"],
        [OK, b" folded: line"],
        [OK, b"Name : value"],
        [OK, b": value"],
        [OK, b"X: a\nContent-Length: 5"],
        [OK, b"Content-Length: 5", b"Content-Length: 5"],
        [OK, b"Content-Length: 5, 5"],
        [OK, b"Content-Length: "],
        [OK, b"Content-Length: 0x10"],
        [OK, b"Content-Length: 12345678901"],
        [OK, b"Transfer-Encoding: chunked"],
        [OK, b"Transfer-Encoding: identity"],
        [OK, b"Content-Encoding: gzip"],
        [OK, b"Content-Range: bytes 5-4/10"],
        [OK, b"Content-Range: bytes 5-10/10"],
        [OK, b"Content-Range: lines 5-9/10"],
        [OK, b"Content-Range: bytes 5-9"],
        [OK, b"X: " + b"a" * 510],
        [OK, *[b"X: y"] * 33],
    ],
)
def test_what_is_unusual_is_refused(net, lines):
    assert read(net, [*lines, b""]) == "refused"


def test_as_many_and_as_long_headers_as_it_takes(net):
    assert read(net, [OK, *[b"X: " + b"a" * 509] * 32, b""]) == (200, -1, -1, -1)
    assert read(net, [b"HTTP/1.0 404", b"Content-Encoding: identity", b""]) == (404, -1, -1, -1)


URLS = {
    "http://a/": (False, "a", 80, "/"),
    "https://updates.example.org": (True, "updates.example.org", 443, "/"),
    "https://10.0.0.2:8443/x/y?z=..": (True, "10.0.0.2", 8443, "/x/y?z=.."),
    "http://a:65535/..b/c..": (False, "a", 65535, "/..b/c.."),
}
NO_URLS = [
    "",
    "a",
    "ftp://a/",
    "HTTP://a/",
    "http:/a",
    "http://",
    "http:///x",
    "http://a:0/",
    "http://a:65536/",
]
NO_URLS += ["http://a:/", "http://a:8o/", "http://u@a/", "http://u:p@a/", "http://[::1]/", "http://a/../b"]
NO_URLS += [
    "http://a/b/..",
    "http://a/b c",
    "http://a/\r\nX: y",
    "http://a/\u00e9",
    "http://\u00e9/",
    "http://a/#b",
]
NO_URLS += [
    "http://a/" + "b" * 512,
    "http://" + "a" * 254 + "/",
    "http://a:\u0661/",
    "http://a?b",
    "http://a\\b/",
]


@pytest.mark.parametrize("url", URLS)
def test_urls_are_split(net, url):
    assert net.head.parse_url(url) == URLS[url]


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_no_url_is_refused_and_not_repeated(net, url):
    with pytest.raises(net.LinkError) as error:
        net.head.parse_url(url)
    assert not url or url not in str(error.value)


@given(st.text(st.characters(max_codepoint=300), max_size=40).map(lambda rest: "http://" + rest))
def test_urls_are_split_as_cpython_splits_them(net, url):
    try:
        secure, host, port, path = net.head.parse_url(url)
    except net.LinkError:
        return
    theirs = urlsplit(url)
    assert host.lower() == theirs.hostname and port == (theirs.port or 80) and not theirs.username
    assert path == (theirs.path or "/") + ("?" + theirs.query if "?" in url else "")


@given(cases=st.lists(heads, min_size=100, max_size=100), urls=st.lists(st.text(max_size=30), min_size=5))
@settings(max_examples=3, deadline=None)
def test_micropython_reads_them_alike(net, cases, urls):
    urls = [*urls, *["http://" + url for url in urls], *URLS, *NO_URLS]
    code = (
        "from node.net import LinkError\nfrom node.net.head import Head, parse_url\n"
        "def read(lines):\n"
        "    head = Head()\n"
        "    try:\n"
        "        for line in lines:\n"
        "            if head.feed(line): return head.status, head.length, head.first, head.last\n"
        "    except LinkError: return 'refused'\n"
        "def split(url):\n"
        "    try: return parse_url(url)\n"
        "    except LinkError: return 'refused'\n"
        f"for lines in {cases}: print(read(lines))\n"
        f"for url in {urls!a}: print(split(url))\n"
    )

    def split(url):
        try:
            return net.head.parse_url(url)
        except net.LinkError:
            return "refused"

    expected = [str(read(net, lines)) for lines in cases] + [str(split(url)) for url in urls]
    assert micropython(code).splitlines() == expected
