"""A name server that knows one answer: every name is here. Phones then open the page by themselves."""

from micropython import const

MOST = const(300)  # bytes of a question that is read
_HEAD = const(12)
_MOST_NAME = const(255)
_MOST_LABEL = const(63)


def answer(packet, address):
    """The answer to a DNS question (RFC 1035, section 4).

    Args:
        packet: bytes that came.
        address: our IPv4 address, four bytes.

    Returns:
        bytes to send back, or None for what is no question. Questions for anything but an A record get an
        empty answer, so that nobody waits for an IPv6 address.
    """
    # QR, opcode and TC must be 0, and there must be one question.
    if len(packet) < _HEAD + 5 or packet[2] & 0xFA or packet[4] or packet[5] != 1:
        return None
    at = _HEAD
    while packet[at]:
        if packet[at] > _MOST_LABEL:  # a pointer, which a question does not need
            return None
        at += packet[at] + 1
        if at >= len(packet) or at - _HEAD > _MOST_NAME:
            return None
    end = at + 5
    if end > len(packet):
        return None
    is_a = bytes(packet[at + 1 : end]) == b"\x00\x01\x00\x01"
    # An answer with authority; recursion as it was desired, and available.
    head = (
        bytes(packet[:2]) + bytes((0x84 | packet[2] & 1, 0x80)) + b"\x00\x01\x00" + bytes((is_a,)) + bytes(4)
    )
    body = bytes(packet[_HEAD:end])
    if not is_a:
        return head + body
    # The name of question at offset 12, type A, class IN, one minute at most.
    return head + body + b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04" + address
