"""Raw samples or pictures on their way out, in pieces.

Over the network a piece is one message at ``PREFIX/DEVICE/capture``, at most 1024 bytes, little endian::

    0   4   magic b"CCAP"
    4   u8  version 1
    5   u8  form: 1 "s16", samples; 2 "s16x3", frames of x, y, z; 3 "grey8", a picture
    6   u16 flags: 1 the last piece
    8   u32 id of the capture
    12  u32 offset of the data in the whole, bytes
    16  u32 rate, Hz; width of a picture
    20  u32 length of the data, bytes
    24  data

At the console it is a line ``CAPTURE {"id", "form", "offset", "rate", "last", "data"}``, the data in base64.
Samples are 16-bit integers, least significant byte first.
"""

import binascii
import json
import struct

from micropython import const

FORMS = ("", "s16", "s16x3", "grey8")
_HEADER = "<4sBBHIIII"
_LINE = const(384)  # bytes of data in a console line
_MESSAGE = const(1000)


class Sink:
    """Where a capture goes.

    Args:
        number: id of the capture.
        send: called with each message; None for lines on the console.
    """

    def __init__(self, number, send=None):
        self._number = number
        self._send = send
        self.bytes = 0  # so far

    def write(self, data, form, rate, last=False):
        """Send some bytes.

        Args:
            data: buffer of any length and type of items.
            form: one of ``FORMS``.
            rate: samples or frames a second, Hz; of a picture its width.
            last: whether that was all.
        """
        view = memoryview(data)
        step = (_MESSAGE if self._send else _LINE) // (len(bytes(view[:1])) or 1)
        at = 0
        while True:
            part = bytes(view[at : at + step])
            at += step
            if at >= len(view):
                self._piece(part, form, rate, last)
                return
            self._piece(part, form, rate, False)

    def _piece(self, part, form, rate, last):
        if self._send:
            head = struct.pack(
                _HEADER, b"CCAP", 1, FORMS.index(form), last, self._number, self.bytes, rate, len(part)
            )
            self._send(head + part)
        else:
            about = {
                "id": self._number,
                "form": form,
                "offset": self.bytes,
                "rate": rate,
                "last": last,
                "data": binascii.b2a_base64(part).decode().strip(),
            }
            print("CAPTURE " + json.dumps(about))
        self.bytes += len(part)
