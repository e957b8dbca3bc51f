"""What a browser sends to the page: one request, read strictly and never beyond its limits (RFC 9112)."""

from micropython import const

MOST_HEAD = const(2048)  # bytes of the request line and the headers
MOST_BODY = const(6144)  # of a form: a CA certificate of 4 KB, some of its bytes written as three
_MOST_FIELDS = const(24)
_MOST_VALUE = const(4096)
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
        body: memoryview of a bytearray; it is decoded in place, as there is no memory for a second one.

    Returns:
        dict of text; a field that comes twice counts as the last one.

    Raises:
        Refused: this is no such form.
    """
    found = {}
    at = 0
    while at < len(body):
        equals = None
        stop = at
        while stop < len(body) and body[stop] != 0x26:
            if equals is None and body[stop] == 0x3D:
                equals = stop
            stop += 1
        equals = stop if equals is None else equals
        name, value = _plain(body[at:equals]), _plain(body[min(equals + 1, stop) : stop])
        if name is None or value is None:
            raise Refused(400, "Bad Request")
        if len(value) > _MOST_VALUE or (len(found) >= _MOST_FIELDS and name not in found):
            raise Refused(413, "Content Too Large")
        found[name] = value
        at = stop + 1
    return found


def _plain(view):
    """Text of a name or a value: ``+`` and ``%XX`` are undone in place; None if that is not possible."""
    at = count = 0
    try:
        while at < len(view):
            byte = view[at]
            if byte == 0x2B:
                byte = 0x20
            elif byte == 0x25:
                byte = _digit(view[at + 1]) << 4 | _digit(view[at + 2])
                at += 2
            view[count] = byte
            at += 1
            count += 1
        return str(view[:count], "utf-8")
    except (ValueError, IndexError, UnicodeError):
        return None


def _digit(byte):
    at = _HEX.find(bytes((byte | 0x20 if byte >= 0x41 else byte,)))
    if at < 0:
        raise ValueError
    return at
