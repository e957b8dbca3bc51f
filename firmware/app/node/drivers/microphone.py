"""I2S microphone, as the board describes it.

from node.drivers.microphone import Microphone
mic = Microphone(board.MICROPHONE)
mic.read()              # waits until mic.buffer holds the next 32 ms of 16-bit mono PCM

MEMS microphones send 24 bits, left-justified in one of a frame's two slots of 32. Which of them depends
on a pin of the microphone, and which one a driver calls left on its version: a board whose ``slot`` is
None has it found by listening.

What kind it is (``kind`` of the description) matters where it is not as the INMP441:

============  ===========================================================================================
"inmp441"     24 bits, changed at the falling clock edge as I2S has it. The default, and what the ESP-EYE's
              microphone is like.
"sph0645"     18 bits, zeros behind them; a few per cent of full scale are added to the sound, which the
              engine takes out. Its data change so close to the edge at which they are taken that the ESP32
              reads them a bit off unless it looks later, as others found (espressif/arduino-esp32, issue
              6115); the ESP32-S3 and C3 have no such register at that place, and nothing is set there.
              Not tried on hardware.
============  ===========================================================================================

The driver is read as a stream that is never waited for inside: so Ctrl-C works, and a bus without a clock
is an error instead of a program that hangs.
"""

import errno
import select
import time
from array import array

import nn
from machine import I2S, Pin
from micropython import const

from node.drivers import SensorError

RATE = const(16000)
_FRAME = const(8)  # bytes of two slots
# MicroPython's driver fills DMA buffers of 256 frames; taken whole, a read never ends within one.
_DMA = const(2048)
_DMA_MS = const(16)
_BUFFERS = const(2)  # at a time
_SILENT_MS = const(1000)  # without a single frame: the bus does not run
_NO_LEVEL = const(-0x80000000)  # the filter's memory before the first sample
# ESP-IDF v5.5, components/soc/esp32/register/soc/i2s_reg.h: I2S_TIMING_REG, from one I2S to the next, and
# I2S_RX_SD_IN_DELAY = 2.
_TIMING = const(0x3FF4F01C)
_NEXT = const(0x1E000)
_LATER = const(0x200)


class Microphone:
    """16 kHz mono microphone with one preallocated buffer.

    Args:
        description: dict of the board: ``id``, ``sck``, ``ws``, ``sd`` (pin numbers), ``slot`` (0, 1, None),
            ``gain_bits`` (each doubles the sound), ``ibuf_ms`` of sound kept while nobody reads; ``enable``
            where a pin switches the microphone on; ``kind`` unless it is like an INMP441.

    Attributes:
        buffer: the newest 512 samples, 16 bits, little endian.
        slot: the slot that carries sound, None while both have been silent.
        span: distance from the lowest to the highest sample in ``buffer``; 0 when all are the same.

    Raises:
        SensorError: there is no such kind.
    """

    def __init__(self, description):
        kind = description.get("kind", "inmp441")
        if kind not in ("inmp441", "sph0645"):
            raise SensorError("board.MICROPHONE has the kind '%s': there are inmp441 and sph0645" % kind)
        self._level = array("i", (_NO_LEVEL,)) if kind == "sph0645" else None
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
        if kind == "sph0645":
            _look_later(description["id"])
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
        if self._level is None:
            self.span = nn.mono16(self._frames, self.buffer, self.slot or 0, self._gain)
        else:
            self.span = nn.mono16(self._frames, self.buffer, self.slot or 0, self._gain, self._level)

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


def _look_later(number):
    """Have I2S ``number`` take each bit two clocks of the peripheral later, where the chip is an ESP32."""
    import board

    if board.CHIP == "esp32":
        from machine import mem32

        mem32[_TIMING + _NEXT * number] |= _LATER
