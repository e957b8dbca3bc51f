"""I2S microphone, as the board describes it.

from node.microphone import Microphone
mic = Microphone(board.MICROPHONE, chunk_ms=100)
n = mic.read()          # blocks until mic.buffer holds n bytes of 16-bit mono PCM
"""

from machine import I2S, Pin

RATE = 16000
_BYTES = 2  # a sample


class Microphone:
    """16 kHz mono microphone with one preallocated buffer.

    Args:
        description: dict of the board: ``id``, ``sck``, ``ws``, ``sd`` (pin numbers), ``ibuf_ms``; ``enable``
            where a pin switches the microphone on.
        chunk_ms: audio read at a time.
    """

    def __init__(self, description, chunk_ms):
        samples = RATE * chunk_ms // 1000
        self.buffer = bytearray(samples * _BYTES)
        enable = description.get("enable")
        self._enable = None if enable is None else Pin(enable, Pin.OUT, value=1)
        self._i2s = I2S(
            description["id"],
            sck=Pin(description["sck"]),
            ws=Pin(description["ws"]),
            sd=Pin(description["sd"]),
            mode=I2S.RX,
            bits=16,
            format=I2S.MONO,
            rate=RATE,
            ibuf=RATE * description["ibuf_ms"] // 1000 * _BYTES,
        )

    def read(self):
        """Fill ``buffer``; returns the bytes read."""
        return self._i2s.readinto(self.buffer)

    def close(self):
        """Stop the peripheral and switch the microphone off where that is possible."""
        self._i2s.deinit()
        if self._enable is not None:
            self._enable.value(0)
