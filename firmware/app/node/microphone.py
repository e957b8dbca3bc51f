"""I2S microphone, as the board describes it.

from node.microphone import Microphone
mic = Microphone(board.MICROPHONE)
mic.read()              # waits until mic.buffer holds the next 32 ms of 16-bit mono PCM

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
# MicroPython's driver fills DMA buffers of 256 frames; taken whole, a read never ends within one.
_DMA = const(2048)
_DMA_MS = const(16)
_BUFFERS = const(2)  # at a time
_SILENT_MS = const(1000)  # without a single frame: the bus does not run


class Microphone:
    """16 kHz mono microphone with one preallocated buffer.

    Args:
        description: dict of the board: ``id``, ``sck``, ``ws``, ``sd`` (pin numbers), ``slot`` (0, 1, None),
            ``gain_bits`` (each doubles the sound), ``ibuf_ms`` of sound kept while nobody reads; ``enable``
            where a pin switches the microphone on.

    Attributes:
        buffer: the newest 512 samples, 16 bits, little endian.
        slot: the slot that carries sound, None while both have been silent.
        span: distance from the lowest to the highest sample in ``buffer``; 0 when all are the same.
    """

    def __init__(self, description):
        self.buffer = bytearray(_DMA // _FRAME * _BUFFERS * 2)
        self.slot = description["slot"]
        self.span = 0
        self._gain = description["gain_bits"]
        self._frames = bytearray(_DMA * _BUFFERS)
        # What is left to fill after so many buffers; made once, as slicing allocates.
        whole = memoryview(self._frames)
        self._rest = [whole[_DMA * n :] for n in range(_BUFFERS)]
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
        """Wait for the next 32 ms and put them into ``buffer``.

        Raises:
            OSError: ETIMEDOUT if not a frame came for a second.
        """
        got = 0
        since = time.ticks_ms()
        while True:
            got += (self._i2s.readinto(self._rest[got]) or 0) // _DMA
            if got == _BUFFERS:
                break
            if time.ticks_diff(time.ticks_ms(), since) >= _SILENT_MS:
                raise OSError(errno.ETIMEDOUT)
            time.sleep_ms(_DMA_MS * (_BUFFERS - got))
        if self.slot is None:
            self._find()
        self.span = nn.mono16(self._frames, self.buffer, self.slot or 0, self._gain)

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
