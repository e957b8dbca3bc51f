"""``nn``: the front end and the engines of models, run beside the chip (see firmware/modules/nn.pyi)."""

import json
import struct
from array import array

import _chip
import _ops
import uctypes
import uos

_CHANNELS = 40


def builtins():
    return tuple(json.loads(_chip.call(_ops.NN_NAMES)[1]))


def builtin(name):
    try:
        # As on a chip it stays where it is: 40 KB of heap would be too much for one call.
        return memoryview(open("/rom/models/%s.cmod" % name, "rb"))
    except OSError:
        raise ValueError("no model '%s' is built into this image" % name)


def map_partition(label):
    import esp32

    found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label=label)
    if not found:
        raise ValueError("no data partition '%s'" % label)
    offset, size = found[0].info()[2:4]
    _chip.call(_ops.PARTITION_MAP, offset // 4096)
    # The flash lies in this process's memory, where it can only be read.
    return memoryview(uctypes.bytearray_at(int(uos.getenv("CICADA_FLASH")) + offset, size))


_gain = bytearray(1)


def mono16(frames, out, slot, gain_bits, level=None):
    if len(frames) != 4 * len(out) or slot not in (0, 1) or not 0 <= gain_bits <= 16:
        raise ValueError("mono16: 8 bytes a frame for 2 a sample, slot 0 or 1, gain_bits 0 to 16")
    _gain[0] = gain_bits
    if level is None:
        return _chip.call(_ops.MONO16, slot, _gain, out, frames)
    if len(level) != 1 or gain_bits > 8:
        raise ValueError("mono16: level must be array('i') of one, gain_bits 0 to 8")
    head = struct.pack("<Bi", gain_bits | 0x80, level[0])
    span, answer = _chip.call(_ops.MONO16, slot, head, None, frames)
    level[0] = struct.unpack_from("<i", answer, 0)[0]
    memoryview(out)[:] = memoryview(answer)[4:]
    return span


class AudioFrontEnd:
    def __init__(self, step_ms, frames):
        self._handle = _chip.call(_ops.FRONT_OPEN, 0, struct.pack("<HH", step_ms, frames))[0]
        self.window = memoryview(array("b", bytes(frames * _CHANNELS)))
        self.reset()

    def feed(self, pcm):
        return _chip.call(_ops.FRONT_FEED, self._handle, pcm, self.window)

    def reset(self):
        _chip.call(_ops.FRONT_RESET, self._handle, b"", self.window)


def needs(blob):
    return tuple(json.loads(_chip.call(_ops.MODEL_NEEDS, 0, blob)[1]))


class Arena:
    def __init__(self, size):
        if not 1 <= size <= 0x1000000:
            raise ValueError("an arena has 1 byte to 16 MiB")
        self._handle = _chip.call(_ops.ARENA_OPEN, 0, struct.pack("<I", size))[0]
        self.size = size


class VibrationFrontEnd:
    def __init__(self, samples, bands, axes, envelope=0):
        numbers = (samples, bands, axes, envelope)
        if min(numbers) < 0 or max(numbers) > 65535:
            numbers = (0, 0, 0, 0)
        self._handle = _chip.call(_ops.VIB_OPEN, 0, struct.pack("<HHHH", *numbers))[0]
        self.features = memoryview(array("b", bytes(axes * (bands + 3 + envelope))))
        self._fed = self._bytes = None
        self.reset()

    def feed(self, frames):
        if frames is not self._fed:
            # Of an array the length is that of its items, and the line wants bytes.
            self._bytes = uctypes.bytearray_at(uctypes.addressof(frames), len(bytes(frames)))
            self._fed = frames
        return _chip.call(_ops.VIB_FEED, self._handle, self._bytes, self.features)

    def reset(self):
        _chip.call(_ops.VIB_RESET, self._handle, b"", self.features)

    def speed(self, rate_hz, rpm):
        if not 0.1 <= rate_hz < 1e8 or not 0 <= rpm < 1e8:
            raise ValueError("rate_hz must be 0.1 to 1e8 and rpm 0 to 1e8")
        payload = struct.pack("<II", int(10 * rate_hz + 0.5), int(10 * rpm + 0.5))
        _chip.call(_ops.VIB_SPEED, self._handle, payload)


class Model:
    def __init__(self, blob, arena_size=0, arena=None):
        if arena_size < 0:
            raise ValueError("model: arena_size must not be negative")
        handle = 0
        if arena is not None:
            if not isinstance(arena, Arena):
                raise TypeError("model: arena must be an nn.Arena")
            if arena_size:
                raise ValueError("model: arena_size or arena, not both")
            least, shares = needs(blob)
            if shares and arena.size < least:
                raise MemoryError(
                    "model: an arena of %d bytes is too small, it needs %d or more" % (arena.size, least)
                )
            handle = arena._handle + 1
        self._handle, about = _chip.call(_ops.MODEL_OPEN, handle, blob)
        about = json.loads(about)
        if 0 < arena_size < about["arena"]:
            self.deinit()
            raise MemoryError("model: arena_size %d is too small, it needs %d" % (arena_size, about["arena"]))
        self.engine = about["engine"]
        self.size = len(blob)
        self.arena_size = arena_size or about["arena"]
        self.input_shape = tuple(about["input"]["shape"])
        self.input_scale = about["input"]["scale"]
        self.input_zero_point = about["input"]["zero_point"]
        self.output_shape = tuple(about["output"]["shape"])
        self.output_scale = about["output"]["scale"]
        self.output_zero_point = about["output"]["zero_point"]
        n = 1
        for d in self.output_shape:
            n *= d
        self._out = memoryview(array("B" if about["output"]["unsigned"] else "b", bytes(n)))

    def invoke(self, features):
        _chip.call(_ops.MODEL_INVOKE, self._opened(), features, self._out)
        return self._out

    def state_reset(self):
        _chip.call(_ops.MODEL_RESET, self._opened())

    def selftest(self):
        return (False, True, None)[_chip.call(_ops.MODEL_SELFTEST, self._opened())[0]]

    def deinit(self):
        if self._handle is not None:
            _chip.call(_ops.MODEL_CLOSE, self._handle)
            self._handle = None

    def _opened(self):
        if self._handle is None:
            raise ValueError("model: it was closed")
        return self._handle

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.deinit()
