"""What survives deep sleep: a small versioned, checksummed record in RTC memory.

RTC memory holds whatever was left there after a cold start, so a record counts only if its magic,
version and CRC agree; otherwise everything starts from zero.
"""

import binascii
import struct

# magic, version, size, boots, sleeps, events, slept_ms, checked, model_slot, busy, strikes, asleep
_FORMAT = "<4sHHIIIIIBBBB"
_MAGIC = b"CRTC"
_VERSION = 3
_SIZE = struct.calcsize(_FORMAT)


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
    """

    def __init__(self, rtc):
        self._rtc = rtc
        self.boots = 0
        self.sleeps = 0
        self.events = 0
        self.slept_ms = 0
        self.checked = 0
        self.model_slot = 255
        self.busy = self.strikes = self.asleep = 0

    def load(self):
        """Read the record; returns False (and zeros) when there is none to trust."""
        raw = self._rtc.memory()
        if len(raw) < _SIZE + 4:
            return False
        fields = struct.unpack_from(_FORMAT, raw)
        if fields[:3] != (_MAGIC, _VERSION, _SIZE):
            return False
        if struct.unpack_from("<I", raw, _SIZE)[0] != binascii.crc32(raw[:_SIZE]):
            return False
        self.boots, self.sleeps, self.events, self.slept_ms, self.checked = fields[3:8]
        self.model_slot, self.busy, self.strikes, self.asleep = fields[8:]
        return True

    def save(self):
        """Write the record with its CRC."""
        raw = struct.pack(
            _FORMAT,
            _MAGIC,
            _VERSION,
            _SIZE,
            self.boots,
            self.sleeps,
            self.events,
            self.slept_ms & 0xFFFFFFFF,
            self.checked & 0xFFFFFFFF,
            self.model_slot,
            self.busy,
            min(self.strikes, 255),
            self.asleep,
        )
        self._rtc.memory(raw + struct.pack("<I", binascii.crc32(raw)))
