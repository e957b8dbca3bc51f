"""``nn``: the engine and TensorFlow Lite Micro, run beside the chip (see firmware/modules/nn.pyi)."""

import json
import struct
from array import array

import _chip
import _ops

_CHANNELS = 40


def builtins():
    return tuple(json.loads(_chip.call(_ops.NN_NAMES)[1]))


def builtin(name):
    return _chip.call(_ops.NN_BUILTIN, 0, name.encode())[1]


_gain = bytearray(1)


def mono16(frames, out, slot, gain_bits):
    if len(frames) != 4 * len(out) or slot not in (0, 1) or not 0 <= gain_bits <= 16:
        raise ValueError("mono16: 8 bytes a frame for 2 a sample, slot 0 or 1, gain_bits 0 to 16")
    _gain[0] = gain_bits
    return _chip.call(_ops.MONO16, slot, _gain, out, frames)


class AudioFrontEnd:
    def __init__(self, step_ms, frames):
        self._handle = _chip.call(_ops.FRONT_OPEN, 0, struct.pack("<HH", step_ms, frames))[0]
        self.window = memoryview(bytearray(frames * _CHANNELS))
        self.reset()

    def feed(self, pcm):
        return _chip.call(_ops.FRONT_FEED, self._handle, pcm, self.window)

    def reset(self):
        _chip.call(_ops.FRONT_RESET, self._handle, b"", self.window)


class Model:
    def __init__(self, blob):
        self._handle, about = _chip.call(_ops.MODEL_OPEN, 0, blob)
        about = json.loads(about)
        self.engine = about["engine"]
        self.size = len(blob)
        self.arena_size = about["arena"]
        self.input_shape = tuple(about["input"]["shape"])
        self.input_scale = about["input"]["scale"]
        self.input_zero_point = about["input"]["zero_point"]
        self.output_shape = tuple(about["output"]["shape"])
        self.output_scale = about["output"]["scale"]
        self.output_zero_point = about["output"]["zero_point"]
        n = 1
        for d in self.output_shape:
            n *= d
        self._out = memoryview(array("b", bytes(n)))

    def invoke(self, features):
        _chip.call(_ops.MODEL_INVOKE, self._handle, features, self._out)
        return self._out

    def state_reset(self):
        _chip.call(_ops.MODEL_RESET, self._handle)
