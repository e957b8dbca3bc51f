"""I2S microphone, as the board describes it.

from node.microphone import Microphone
mic = Microphone(board.MICROPHONE)
mic.read()              # waits until mic.buffer holds the next 16 ms of 16-bit mono PCM

MEMS microphones send 24 bits, left-justified in one of a frame's two slots of 32. Which of them depends
on a pin of the microphone, and which one a driver calls left on its version: a board whose ``slot`` is
None has it found by listening.

The driver is read as a stream that is never waited for inside: so Ctrl-C works, and a bus without a clock
is an error instead of a program that hangs.
"""

import errno
import select
import time

import nn
from machine import I2S, Pin
from micropython import const

RATE = const(16000)
_FRAME = const(8)  # bytes of two slots
# One DMA buffer of MicroPython's driver: taken whole, a read is never left half full.
_FRAMES = const(256)
_WAIT_MS = const(8)  # half of what a DMA buffer lasts
_SILENT_MS = const(1000)  # without a single frame: the bus does not run


class Microphone:
    """16 kHz mono microphone with one preallocated buffer.

    Args:
        description: dict of the board: ``id``, ``sck``, ``ws``, ``sd`` (pin numbers), ``slot`` (0, 1, None),
            ``gain_bits`` (each doubles the sound), ``ibuf_ms`` of sound kept while nobody reads; ``enable``
            where a pin switches the microphone on.

    Attributes:
        buffer: the newest 256 samples, 16 bits, little endian.
        slot: the slot that carries sound, None while both have been silent.
        span: distance from the lowest to the highest sample in ``buffer``; 0 when all are the same.
    """

    def __init__(self, description):
        self.buffer = bytearray(_FRAMES * 2)
        self.slot = description["slot"]
        self.span = 0
        self._gain = description["gain_bits"]
        self._frames = bytearray(_FRAMES * _FRAME)
        enable = description.get("enable")
        self._enable = None if enable is None else Pin(enable, Pin.OUT, value=1)
        self._i2s = I2S(
            description["id"],
            sck=Pin(description["sck"]),
            ws=Pin(description["ws"]),
            sd=Pin(description["sd"]),
            mode=I2S.RX,
            bits=32,
            format=I2S.STEREO,
            rate=RATE,
            ibuf=RATE * description["ibuf_ms"] // 1000 * _FRAME,
        )
        # Being asked once whether it is ready makes the driver return what there is instead of waiting.
        poll = select.poll()
        poll.register(self._i2s, select.POLLIN)
        poll.poll(0)

    def read(self):
        """Wait for the next 16 ms and put them into ``buffer``.

        Raises:
            OSError: ETIMEDOUT if not a frame came for a second.
        """
        got = self._i2s.readinto(self._frames)
        if got != _FRAMES * _FRAME:
            self._wait(got or 0)
        if self.slot is None:
            self._find()
        self.span = nn.mono16(self._frames, self.buffer, self.slot or 0, self._gain)

    def _wait(self, got):
        since = time.ticks_ms()
        while got < _FRAMES * _FRAME:
            if time.ticks_diff(time.ticks_ms(), since) >= _SILENT_MS:
                raise OSError(errno.ETIMEDOUT)
            time.sleep_ms(_WAIT_MS)
            rest = memoryview(self._frames)[got:] if got else self._frames
            got += self._i2s.readinto(rest) or 0

    def _find(self):
        """Take the slot in which more is going on, once anything is."""
        first = nn.mono16(self._frames, self.buffer, 0, 0)
        second = nn.mono16(self._frames, self.buffer, 1, 0)
        if first or second:
            self.slot = 1 if second > first else 0

    def close(self):
        """Stop the peripheral and switch the microphone off where that is possible."""
        self._i2s.deinit()
        if self._enable is not None:
            self._enable.value(0)
