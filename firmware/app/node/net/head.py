"""What an HTTP answer says before its body, and what a URL may be; nothing here touches the network.

Read strictly, after RFC 9110 and RFC 9112: whoever sends anything unusual is not the server this node was
told to trust, and gets an error instead of a guess.
"""

from node.net import LinkError

MAX_LINE = 512  # bytes of a header line without its end
_MAX_LINES = 32
_MAX_URL = 512
_MAX_DIGITS = 10  # of a number of bytes
_ONCE = (b"content-length", b"content-range", b"transfer-encoding", b"content-encoding")
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def parse_url(url):
    """Split an ``http`` or ``https`` URL into ``(secure, host, port, path)``.

    Host names and IPv4 addresses, printable ASCII, no user, no fragment, no segment ``..``, at most 512
    characters.

    Raises:
        LinkError: if it is anything else. The sentence does not repeat the URL, which may hold a token.
    """
    scheme, found, rest = url.partition("://")
    if not found or scheme not in ("http", "https") or len(url) > _MAX_URL:
        raise LinkError("this is no http or https URL")
    for letter in rest:
        if not "!" <= letter <= "~":
            raise LinkError("a URL has a character that is not allowed")
    place, slash, path = rest.partition("/")
    host, colon, port = place.partition(":")
    if not host or len(host) > 253:
        raise LinkError("a URL names no host")
    for letter in host:
        if letter not in _LETTERS and letter not in ".-_":
            raise LinkError("a URL names no host")
    secure = scheme == "https"
    number = 443 if secure else 80
    if colon:
        number = int(port) if _is_number(port, 5) else 0
        if not 1 <= number <= 65535:
            raise LinkError("a URL has a port that does not exist")
    if "#" in path or ".." in path.split("?")[0].split("/"):
        raise LinkError("a URL has a path that is not allowed")
    return secure, host, number, "/" + path


class Head:
    """An answer's first lines, fed one by one.

    Attributes:
        status: three digits.
        length: of the body, -1 if not given.
        first, last: the range of a partial body, both inclusive, -1 if not given.
    """

    def __init__(self):
        self.status = self.length = self.first = self.last = -1
        self._lines = 0
        self._seen = []

    def feed(self, line):
        """Take the next line, bytes without their CR and LF; True after the last.

        Raises:
            LinkError: if the line is not as it should be.
        """
        if self.status < 0:
            self._begin(line)
            return False
        if not line:
            return True
        self._lines += 1
        if self._lines > _MAX_LINES:
            raise LinkError("the server sent too many headers")
        if len(line) > MAX_LINE:
            raise LinkError("the server sent a header that is too long")
        name, colon, value = line.partition(b":")
        if not colon or not name or name.strip() != name or b"\n" in line or b"\r" in line:
            raise LinkError("the server sent a header that is none")
        self._header(name.lower(), value.strip())
        return False

    def _begin(self, line):
        """``HTTP/1.1 200 OK`` (RFC 9112, section 4)."""
        if line[:8] not in (b"HTTP/1.1", b"HTTP/1.0") or line[8:9] != b" " or line[12:13] not in (b" ", b""):
            raise LinkError("what answered is no web server")
        if len(line[9:12]) != 3 or not _is_number(line[9:12], 3):
            raise LinkError("what answered is no web server")
        self.status = int(line[9:12])

    def _header(self, name, value):
        if name not in _ONCE:
            return
        if name in self._seen:
            raise LinkError("the server sent a header twice")
        self._seen.append(name)
        if name == b"content-length":
            self.length = _count(value)
        elif name == b"content-range":
            self._range(value)
        elif name == b"transfer-encoding" or value.lower() != b"identity":
            raise LinkError("the server sent an encoding that was not asked for")

    def _range(self, value):
        """``bytes 100-199/200``, the total ``*`` if unknown; an error's is ``bytes */200`` (RFC 9110)."""
        unit, _, rest = value.partition(b" ")
        span, slash, total = rest.partition(b"/")
        if unit.lower() != b"bytes" or not slash:
            raise LinkError("the server sent a range that is none")
        if span == b"*":
            return
        first, _, last = span.partition(b"-")
        self.first, self.last = _count(first), _count(last)
        if self.last < self.first or (total != b"*" and _count(total) <= self.last):
            raise LinkError("the server sent a range that is none")


def _is_number(text, most):
    """Whether ``text`` (str or bytes) is one to ``most`` ASCII digits, nothing else."""
    if not 1 <= len(text) <= most:
        return False
    for digit in text if isinstance(text, bytes) else text.encode():
        if not 48 <= digit <= 57:
            return False
    return True


def _count(value):
    if not _is_number(value, _MAX_DIGITS):
        raise LinkError("the server sent a length that is none")
    return int(value)
