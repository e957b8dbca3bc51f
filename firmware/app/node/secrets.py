"""Credentials in NVS, where neither the file system nor the console shows them.

secrets = Secrets()
secrets.set("wifi", {"ssid": "barn", "key": "..."})
secrets.get("wifi")

Every name has two places in NVS, ``NAME.0`` and ``NAME.1``, and the number ``places`` says, with two
bits a name, which of them counts: 0 neither, 1 the first, 2 the second. A change is written to the place
that does not count, read back, and then ``places`` is set. NVS changes a number as a whole (docs of ESP-IDF's
``nvs_flash``), which it does not promise for a blob that is replaced. So several names change together, and
a power cut leaves all of them old or all of them new.

What is in NVS is not encrypted: whoever reads out the flash has it. What was erased or replaced lies there
until NVS reuses its page; a factory reset erases the partition (``node.reset``).
"""

import binascii
import json
import struct

import esp32
from micropython import const

#: Every name there is; the position is its place in ``places``, so new ones go to the end.
NAMES = ("wifi", "mqtt", "ca", "client_cert", "client_key", "pending", "setup_key")
#: Bytes of a value. Of the 16 KB of NVS one page is kept free and the radio's calibration takes 2 KB; this
#: leaves room for certificates and their successors. ESP-IDF's own limit is 4000 bytes for each page but one.
MOST = const(2048)
_SPACE = "cicada"
_PLACES = "places"
_SCRATCH = const(2052)  # MOST and a CRC-32
#: Times something is written: a write that a power cut tore may go unnoticed, and then spoils the next one.
_TRIES = const(3)

#: Values that :meth:`Secrets.blob` gives in place of the kept ones, while provisioning tries them.
tried = {}


class Secrets:
    """The secrets of this device. Nothing here is printed, and errors name names alone."""

    def __init__(self):
        self._nvs = esp32.NVS(_SPACE)

    def get(self, name):
        """The JSON value called ``name``; None if there is none, or if it is damaged."""
        data = self.blob(name)
        try:
            return None if data is None else json.loads(data)
        except ValueError:
            return None

    def set(self, name, value):
        """Keep a JSON value. Errors: as for :meth:`update`."""
        self.update({name: value})

    def blob(self, name):
        """The bytes called ``name``; None if there are none, or if they are damaged."""
        if name in tried:
            return tried[name]
        place = self._place(self._places(), name)
        return self._read("%s.%d" % (name, place - 1)) if place else None

    def set_blob(self, name, data):
        """Keep bytes. Errors: as for :meth:`update`."""
        self.update({name: bytes(data)})

    def erase(self, name):
        """Forget a value; nothing happens if there is none."""
        self.update({name: None})

    def clear(self):
        """Forget everything."""
        self.update({name: None for name in NAMES})

    def update(self, changes):
        """Change several values at once: a power cut leaves all of them old or all of them new.

        Args:
            changes: name -> JSON value, bytes, or None to forget it.

        Raises:
            ValueError: a name that does not exist, or a value of more than ``MOST`` bytes.
            OSError: NVS is full or does not work; everything is as before.
        """
        places = after = self._places()
        try:
            for name, value in changes.items():
                place = self._place(places, name)
                if value is None:
                    new = 0
                else:
                    new = 2 if place == 1 else 1
                    self._write("%s.%d" % (name, new - 1), name, value)
                shift = 2 * NAMES.index(name)
                after = after & ~(3 << shift) | new << shift
            for _ in range(_TRIES):
                if self._places() == after:
                    break
                self._nvs.set_i32(_PLACES, after)
                self._nvs.commit()
            else:
                raise OSError("NVS does not keep what counts")
        finally:
            # What counts no more, or never came to count.
            places = self._places()
            for name in changes:
                if name in NAMES:
                    self._tidy(name, self._place(places, name))

    def _places(self):
        try:
            return self._nvs.get_i32(_PLACES)
        except OSError:
            return 0

    def _place(self, places, name):
        if name not in NAMES:
            raise ValueError("there is no secret called %s" % name)
        place = places >> 2 * NAMES.index(name) & 3
        return place if place < 3 else 0

    def _read(self, key):
        buf = bytearray(_SCRATCH)
        try:
            count = self._nvs.get_blob(key, buf)
        except OSError:
            return None
        if count < 4 or struct.unpack_from("<I", buf)[0] != binascii.crc32(memoryview(buf)[4:count]):
            return None
        return bytes(memoryview(buf)[4:count])

    def _write(self, key, name, value):
        data = bytes(value) if isinstance(value, (bytes, bytearray)) else json.dumps(value).encode()
        if len(data) > MOST:
            raise ValueError("the secret %s has more than %d bytes" % (name, MOST))
        framed = struct.pack("<I", binascii.crc32(data)) + data
        for _ in range(_TRIES):
            self._nvs.set_blob(key, framed)
            self._nvs.commit()
            if self._read(key) == data:
                return
        raise OSError("NVS does not keep %s" % name)

    def _tidy(self, name, place):
        for other in (0, 1):
            if other != place - 1:
                try:
                    self._nvs.erase_key("%s.%d" % (name, other))
                    self._nvs.commit()
                except OSError:
                    pass  # it is not there
