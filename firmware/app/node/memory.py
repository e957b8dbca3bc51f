"""What survives deep sleep: a small versioned, checksummed record in RTC memory.

RTC memory holds whatever was left there after a cold start, so a record counts only if its magic,
version and CRC agree; otherwise everything starts from zero.
"""

import binascii
import struct

# magic, version, size of all before the CRC,
# boots, sleeps, events, slept_ms, checked, model_slot, busy, strikes, asleep, crashes
_FORMAT = "<4sHHIIIIIBBBBB"
_MAGIC = b"CRTC"
_VERSION = 4
_SIZE = struct.calcsize(_FORMAT)
_SECTION = "<BH"  # id, bytes; the bytes follow
_HEAD = struct.calcsize(_SECTION)
MOST = 2048  # bytes of RTC memory that MicroPython's ESP32 port offers

#: Sections: what parts of the node want back after a sleep, each in a form of its own.
FILTERS = 1
FUSION = 2
UPLINK = 3
HEALTH = 4
PLAN = 5
PIPELINES = 6
OUTBOX = 7
APP = 8


class Memory:
    """Counters kept through deep sleep; ``load`` once after boot, ``save`` before sleeping.

    Args:
        rtc: ``machine.RTC()``; only its ``memory`` method is used.

    Attributes:
        boots, sleeps, events, slept_ms: what was counted since power-on.
        checked: when updates were last looked for, in ``time.time()``.
        model_slot: the slot of the model that was verified last, 255 for the built-in one.
        busy: 1 while the model runs, so that a crash can be laid at its door.
        strikes: crashes of that kind in a row.
        asleep: 1 if the node itself went to sleep, with nothing left undone.
        crashes: resets in a row that nobody asked for.
    """

    def __init__(self, rtc):
        self._rtc = rtc
        self.boots = 0
        self.sleeps = 0
        self.events = 0
        self.slept_ms = 0
        self.checked = 0
        self.model_slot = 255
        self.busy = self.strikes = self.asleep = self.crashes = 0
        self._sections = {}

    def load(self):
        """Read the record; returns False (and zeros) when there is none to trust."""
        raw = self._rtc.memory()
        if len(raw) < _SIZE + 4:
            return False
        fields = struct.unpack_from(_FORMAT, raw)
        size = fields[2]
        if fields[:2] != (_MAGIC, _VERSION) or not _SIZE <= size <= len(raw) - 4:
            return False
        if struct.unpack_from("<I", raw, size)[0] != binascii.crc32(memoryview(raw)[:size]):
            return False
        self.boots, self.sleeps, self.events, self.slept_ms, self.checked = fields[3:8]
        self.model_slot, self.busy, self.strikes, self.asleep, self.crashes = fields[8:]
        at = _SIZE
        while at < size:
            section, length = struct.unpack_from(_SECTION, raw, at)
            at += _HEAD
            self._sections[section] = raw[at : at + length]
            at += length
        return True

    def section(self, section):
        """What was put into a section before the sleep; empty bytes if nothing was."""
        return self._sections.get(section, b"")

    def put(self, section, data):
        """Keep bytes for after the sleep, from the next ``save`` on.

        Raises:
            ValueError: there is no room for them; what was there before stays.
        """
        others = sum([_HEAD + len(kept) for number, kept in self._sections.items() if number != section])
        if _SIZE + others + _HEAD + len(data) + 4 > MOST:
            raise ValueError("section %d: no room for %d bytes in RTC memory" % (section, len(data)))
        self._sections[section] = bytes(data)

    def save(self):
        """Write everything with its CRC."""
        raw = bytearray(_SIZE)
        for section, data in self._sections.items():
            raw += struct.pack(_SECTION, section, len(data))
            raw += data
        struct.pack_into(
            _FORMAT,
            raw,
            0,
            _MAGIC,
            _VERSION,
            len(raw),
            self.boots,
            self.sleeps,
            self.events,
            self.slept_ms & 0xFFFFFFFF,
            self.checked & 0xFFFFFFFF,
            self.model_slot,
            self.busy,
            min(self.strikes, 255),
            self.asleep,
            min(self.crashes, 255),
        )
        self._rtc.memory(bytes(raw + struct.pack("<I", binascii.crc32(raw))))
