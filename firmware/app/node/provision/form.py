"""What a browser sends to the page: one request, read strictly and never beyond its limits (RFC 9112)."""

from micropython import const

MOST_HEAD = const(2048)  # bytes of the request line and the headers
MOST_BODY = const(8192)  # of a form: a CA certificate of 4 KB, some of its bytes written as three
_MOST_FIELDS = const(24)
_HEX = b"0123456789abcdef"


class Refused(Exception):
    """A request that is not answered with a page; ``args`` are status and reason."""


class Request:
    """The head of a request.

    Args:
        head: its bytes up to the empty line.

    Attributes:
        method, path: ``GET`` or ``POST``; without what follows a question mark.
        host: name or address the browser believes to talk to, without a port; "" if it does not say.
        length: bytes of the body.

    Raises:
        Refused: it is none, or more than this page needs.
    """

    def __init__(self, head):
        lines = bytes(head).split(b"\r\n")
        parts = lines[0].split(b" ")
        if len(parts) != 3 or parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
            raise Refused(400, "Bad Request")
        if parts[0] not in (b"GET", b"POST", b"HEAD"):
            raise Refused(405, "Method Not Allowed")
        self.method = parts[0].decode()
        target = parts[1].split(b"?")[0]
        for byte in target:
            if not 0x21 <= byte <= 0x7E:
                raise Refused(400, "Bad Request")
        self.path = target.decode()
        self.host = ""
        length = None
        kind = b""
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            if not colon or not name or name.strip() != name:
                raise Refused(400, "Bad Request")
            name = name.lower()
            value = value.strip()
            if name == b"content-length":
                if length is not None or not value.isdigit() or len(value) > 6:
                    raise Refused(400, "Bad Request")
                length = int(value)
            elif name == b"transfer-encoding":
                raise Refused(501, "Not Implemented")
            elif name == b"content-type":
                kind = value.split(b";")[0].strip().lower()
            elif name == b"host":
                try:
                    self.host = value.decode().split(":")[0].lower()
                except UnicodeError:
                    raise Refused(400, "Bad Request")
        self.length = length or 0
        if self.method == "POST":
            if length is None:
                raise Refused(411, "Length Required")
            if length > MOST_BODY:
                raise Refused(413, "Content Too Large")
            if kind != b"application/x-www-form-urlencoded":
                raise Refused(415, "Unsupported Media Type")
        elif self.length:
            raise Refused(400, "Bad Request")


def fields(body):
    """The fields of a form, ``application/x-www-form-urlencoded`` (WHATWG URL standard, section 5).

    Args:
        body: bytes.

    Returns:
        dict of text; a field that comes twice counts as the last one.

    Raises:
        Refused: this is no such form.
    """
    found = {}
    pieces = bytes(body).split(b"&") if body else []
    if len(pieces) > _MOST_FIELDS:
        raise Refused(400, "Bad Request")
    for piece in pieces:
        name, _, value = piece.partition(b"=")
        try:
            found[_plain(name).decode()] = _plain(value).decode()
        except (ValueError, IndexError, UnicodeError):
            raise Refused(400, "Bad Request")
    return found


def _plain(data):
    """``data`` with ``+`` and ``%XX`` undone."""
    out = bytearray(len(data))
    at = count = 0
    while at < len(data):
        byte = data[at]
        if byte == 0x2B:
            byte = 0x20
        elif byte == 0x25:
            byte = _digit(data[at + 1]) << 4 | _digit(data[at + 2])
            at += 2
        out[count] = byte
        at += 1
        count += 1
    return bytes(memoryview(out)[:count])


def _digit(byte):
    at = _HEX.find(bytes((byte | 0x20 if byte >= 0x41 else byte,)))
    if at < 0:
        raise ValueError
    return at
