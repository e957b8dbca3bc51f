"""``nn.VibrationFrontEnd``: the engine's own bytes, whatever the pieces they come in."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from cicada.tools.vibration import STATISTICS, VibrationFrontEnd

#: Prints, after each piece of the partition ``frames``, how many windows it completed and their checksum.
_STREAM = """
import nn, binascii
frames = nn.map_partition('frames')
f = nn.VibrationFrontEnd({samples}, {bands}, {axes}, {envelope})
if {envelope}:
    f.speed(1344.4, 1500)
at = 0
crc = binascii.crc32(f.features)
windows = 0
for n in {pieces}:
    windows += f.feed(frames[at:at + n * 2 * {axes}])
    at += n * 2 * {axes}
    crc = binascii.crc32(f.features, crc)
print(windows, crc)
"""


@pytest.mark.parametrize(
    ("samples", "bands", "axes", "envelope"),
    [(256, 8, 3, 0), (512, 16, 3, 0), (1024, 32, 1, 0), (256, 8, 1, 8), (1024, 32, 3, 32)],
)
def test_pieces_of_any_size_give_the_hosts_bytes(samples, bands, axes, envelope, interpreter):
    rng = np.random.default_rng(samples)
    pieces = [0, 1, samples - 1, samples, samples + 1, 3 * samples, *rng.integers(1, 700, 9).tolist()]
    swell = np.geomspace(1, 30000, sum(pieces))[:, None]
    frames = (rng.normal(0, 1, (sum(pieces), axes)) * swell).clip(-32768, 32767).astype(np.int16)
    script = _STREAM.format(samples=samples, bands=bands, axes=axes, envelope=envelope, pieces=pieces)
    text = interpreter.run(script, partitions={"frames": frames.astype("<i2").tobytes()})
    front, at, windows = VibrationFrontEnd(samples, bands, axes, envelope), 0, 0
    if envelope:
        front.speed(1344.4, 1500)
    crc = zlib.crc32(front.features.tobytes())
    for n in pieces:
        windows += front.feed(frames[at : at + n])
        at += n
        crc = zlib.crc32(front.features.tobytes(), crc)
    assert windows > 5
    assert text == f"{windows} {crc}\n"


def test_frames_at_an_odd_address_are_taken_too(interpreter):
    frames = np.random.default_rng(5).integers(-9000, 9000, (700, 3)).astype(np.int16)
    front = VibrationFrontEnd(256, 8, 3)
    front.feed(frames)
    script = """
        import nn
        f = nn.VibrationFrontEnd(256, 8, 3)
        b = memoryview(bytearray(b'x') + nn.map_partition('frames'))[1:]
        print(f.feed(b), list(f.features))
    """
    text = interpreter.run(script, partitions={"frames": frames.astype("<i2").tobytes()})
    assert text == f"2 {front.features.ravel().tolist()}\n"


def test_features_are_one_buffer_and_feeding_allocates_nothing(interpreter):
    script = """
        import nn, micropython, array, uctypes
        f = nn.VibrationFrontEnd(samples=512, bands=16, axes=3)
        w = f.features
        at = uctypes.addressof(w)
        print(len(w), set(w), w is f.features)
        frames = array.array('h', range(-768, 768))
        odd = memoryview(bytearray(3 * 2 * 512 + 1))[1:]
        n = k = 0
        micropython.heap_lock()
        while k < 30:
            n += f.feed(frames)
            k += 1
        n += f.feed(odd)
        micropython.heap_unlock()
        print(n, w is f.features, at == uctypes.addressof(w), len(set(w)))
        f.reset()
        print(set(w), f.feed(bytes(3066)), f.feed(bytes(6)))
    """
    text = f"{3 * (16 + STATISTICS)} {{-128}} True\n31 True True 1\n{{-128}} 0 1\n"
    assert interpreter.run(script) == text


def test_it_refuses_what_it_cannot_do(interpreter):
    script = """
        import nn
        f = nn.VibrationFrontEnd(256, 8, 3)
        def assign():
            f.features = 5
        for a in ((128, 8, 3), (512, 7, 3), (512, 33, 3), (512, 8, 2), (-512, 8, 1), (512, -8, 1),
                  (512, 8, 1, 7), (512, 8, 1, 33), (512, 8, 1, -8), (512, 8)):
            try:
                nn.VibrationFrontEnd(*a)
            except Exception as e:
                print(type(e).__name__)
        with_envelope = nn.VibrationFrontEnd(256, 8, 3, envelope=8)
        speed = with_envelope.speed
        for g in (lambda: f.feed(bytes(4)), lambda: f.feed(7), assign, lambda: f.speed(400, 0),
                  lambda: speed(0, 900), lambda: speed(400, -1), lambda: speed(400, 1e9)):
            try:
                g()
            except Exception as e:
                print(type(e).__name__)
    """
    kinds = (
        ["ValueError"] * 9 + ["TypeError", "ValueError", "TypeError", "AttributeError"] + ["ValueError"] * 4
    )
    assert interpreter.run(script).split() == kinds


def test_features_outlive_their_front_end(interpreter):
    script = """
        import nn, gc
        def f():
            f = nn.VibrationFrontEnd(256, 20, 1)
            f.feed(bytes(range(256)) * 2)
            return f.features
        w = f()
        before = bytes(w)
        for _ in range(300):
            bytearray(b'\\xee' * 900)
        gc.collect()
        for _ in range(20):
            bytearray(b'\\xee' * 900)
        print(bytes(w) == before, len(set(before)) > 3)
    """
    assert interpreter.run(script) == "True True\n"
