"""I2S microphone, as the board describes it.

from node.microphone import Microphone
mic = Microphone(board.MICROPHONE, chunk_ms=100)
mic.read()              # blocks until mic.buffer holds 100 ms of 16-bit mono PCM

MEMS microphones send 24 bits, left-justified in one of a frame's two slots of 32. Which of them depends
on a pin of the microphone, and which one a driver calls left on its version: a board whose ``slot`` is
None has it found by listening.
"""

import nn
from machine import I2S, Pin
from micropython import const

RATE = const(16000)
_BYTES = const(2)  # a sample
_FRAME = const(8)  # bytes of two slots
_PIECE_MS = const(50)  # read at a time: what stands in RAM as frames is four times what it becomes


class Microphone:
    """16 kHz mono microphone with one preallocated buffer.

    Args:
        description: dict of the board: ``id``, ``sck``, ``ws``, ``sd`` (pin numbers), ``slot`` (0, 1, None),
            ``gain_bits`` (each doubles the sound), ``ibuf_ms`` of sound kept while nobody reads; ``enable``
            where a pin switches the microphone on.
        chunk_ms: audio read at a time, a multiple of 50.

    Attributes:
        buffer: the newest chunk.
        slot: the slot that carries sound, None while both have been silent.
        span: distance from the lowest to the highest sample of the newest piece; 0 when it is all the same.
    """

    def __init__(self, description, chunk_ms):
        self.buffer = bytearray(RATE * chunk_ms // 1000 * _BYTES)
        self.slot = description["slot"]
        self.span = 0
        self._gain = description["gain_bits"]
        self._frames = bytearray(RATE * _PIECE_MS // 1000 * _FRAME)
        size = RATE * _PIECE_MS // 1000 * _BYTES
        whole = memoryview(self.buffer)
        # Slices are made once, as making them allocates.
        self._pieces = [whole[at : at + size] for at in range(0, len(self.buffer), size)]
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

    def read(self):
        """Fill ``buffer``."""
        for piece in self._pieces:
            self._i2s.readinto(self._frames)
            if self.slot is None:
                self._find()
            self.span = nn.mono16(self._frames, piece, self.slot or 0, self._gain)

    def _find(self):
        """Take the slot in which more is going on, once anything is."""
        piece = self._pieces[0]
        first = nn.mono16(self._frames, piece, 0, 0)
        second = nn.mono16(self._frames, piece, 1, 0)
        if first or second:
            self.slot = 1 if second > first else 0

    def close(self):
        """Stop the peripheral and switch the microphone off where that is possible."""
        self._i2s.deinit()
        if self._enable is not None:
            self._enable.value(0)
