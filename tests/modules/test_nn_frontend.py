"""``nn.AudioFrontEnd`` and ``nn.mono16``: the engine's own bytes, whatever the pieces they come in."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import soundfile
from engine.frontend_signals import synthetic

from cicada.tools.engine import CHANNELS, NO_LEVEL, FrontEnd, mono16

#: Prints, for each stretch of the partition ``pcm``, how many frames it gave and a checksum of every window.
_STREAM = """
import nn, binascii
pcm = nn.map_partition('pcm')
f = nn.AudioFrontEnd({step}, {frames})
w = f.window
for start, end in {stretches}:
    f.reset()
    crc = binascii.crc32(w)
    count = k = 0
    while start < end:
        stop = min(start + 2 * {pieces}[k % {length}], end)
        count += f.feed(pcm[start:stop])
        crc = binascii.crc32(w, crc)
        start = stop
        k += 1
    print(count, crc)
"""


def check(interpreter, sounds, step, frames, pieces):
    """Both implementations of the stream over ``sounds`` (a list of int16 arrays) must print the same."""
    ends = np.cumsum([2 * sound.size for sound in sounds]).tolist()
    stretches = list(zip([0, *ends[:-1]], ends, strict=True))
    script = _STREAM.format(step=step, frames=frames, stretches=stretches, pieces=pieces, length=len(pieces))
    text = interpreter.run(
        script, partitions={"pcm": b"".join(sound.astype("<i2").tobytes() for sound in sounds)}
    )
    wanted = ""
    for sound in sounds:
        front, window = FrontEnd(step), np.full((frames, CHANNELS), -128, np.int8)
        crc, count, at, k = zlib.crc32(window.tobytes()), 0, 0, 0
        while at < sound.size:
            count += front.push(sound[at : at + pieces[k % len(pieces)]], window)
            crc = zlib.crc32(window.tobytes(), crc)
            at += pieces[k % len(pieces)]
            k += 1
        wanted += f"{count} {crc}\n"
    assert text == wanted


@pytest.mark.parametrize(("step", "frames"), [(10, 98), (20, 49)])
def test_synthetic_sound_gives_the_hosts_bytes(step, frames, interpreter):
    check(interpreter, [sound[:16000] for sound in synthetic().values()], step, frames, [256])


@pytest.mark.parametrize(("step", "frames"), [(10, 98), (20, 49)])
def test_speech_gives_the_hosts_bytes(step, frames, interpreter, shared_data):
    paths = sorted((shared_data / "audio").glob("*.wav"))
    sounds = [soundfile.read(path, dtype="int16")[0] for path in paths]
    assert len(sounds) >= 4
    check(interpreter, sounds, step, frames, [1600])


@pytest.mark.parametrize("seed", range(3))
def test_pieces_of_any_size_give_the_hosts_bytes(seed, interpreter):
    rng = np.random.default_rng(seed)
    pieces = [0, 1, 479, 480, 481, 5000, *rng.integers(1, 700, 20).tolist()]
    sound = (rng.normal(0, 3000, 24000) * np.linspace(0, 3, 24000)).clip(-32768, 32767).astype(np.int16)
    check(interpreter, [sound], int(rng.choice([10, 20])), int(rng.integers(1, 256)), pieces)


def test_samples_at_an_odd_address_are_taken_too(interpreter):
    sound = np.random.default_rng(5).integers(-9000, 9000, 3000).astype(np.int16)
    front, window = FrontEnd(20), np.full((3, CHANNELS), -128, np.int8)
    front.push(sound, window)
    script = """
        import nn
        f = nn.AudioFrontEnd(20, 3)
        b = memoryview(bytearray(b'x') + nn.map_partition('pcm'))[1:]
        print(f.feed(b), list(f.window))
    """
    text = interpreter.run(script, partitions={"pcm": sound.astype("<i2").tobytes()})
    assert text == f"8 {window.ravel().tolist()}\n"


def test_window_is_one_buffer_and_feeding_allocates_nothing(interpreter):
    script = """
        import nn, micropython, array, uctypes
        f = nn.AudioFrontEnd(step_ms=20, frames=49)
        w = f.window
        at = uctypes.addressof(w)
        print(len(w), set(w), w is f.window)
        pcm = array.array('h', range(-800, 800))
        odd = memoryview(bytearray(641))[1:]
        n = k = 0
        micropython.heap_lock()
        while k < 60:
            n += f.feed(pcm)
            k += 1
        n += f.feed(odd)
        micropython.heap_unlock()
        print(n, w is f.window, at == uctypes.addressof(w), len(set(w)) > 3)
        f.reset()
        print(set(w), f.feed(bytes(958)), f.feed(bytes(2)))
    """
    text = "1960 {-128} True\n300 True True True\n{-128} 0 1\n"
    assert interpreter.run(script) == text


def test_front_end_refuses_what_it_cannot_do(interpreter):
    script = """
        import nn
        f = nn.AudioFrontEnd(20, 2)
        def assign():
            f.window = 5
        for arguments in ((15, 49), (20, 0), (20, 256), (-20, 1), (20,)):
            try:
                nn.AudioFrontEnd(*arguments)
            except Exception as e:
                print(type(e).__name__)
        for g in (lambda: f.feed(bytes(3)), lambda: f.feed(7), assign):
            try:
                g()
            except Exception as e:
                print(type(e).__name__)
    """
    kinds = ["ValueError"] * 4 + ["TypeError", "ValueError", "TypeError", "AttributeError"]
    assert interpreter.run(script).split() == kinds


def test_window_outlives_its_front_end(interpreter):
    script = """
        import nn, gc
        def f():
            f = nn.AudioFrontEnd(10, 60)
            f.feed(bytes(32000))
            return f.window
        w = f()
        before = bytes(w)
        for _ in range(300):
            bytearray(b'\\xee' * 900)
        gc.collect()
        for _ in range(20):
            bytearray(b'\\xee' * 900)
        print(bytes(w) == before)
    """
    assert interpreter.run(script) == "True\n"


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize("gain", [0, 3, 16])
def test_mono16_is_the_engines(slot, gain, interpreter):
    frames = np.random.default_rng(gain).integers(-(2**31), 2**31, (500, 2)).astype(np.int32)
    samples, span = mono16(frames, slot, gain)
    script = f"""
        import nn
        from binascii import crc32
        out = bytearray(1000)
        print(nn.mono16(nn.map_partition('i2s'), out, {slot}, {gain}), crc32(out))
    """
    text = interpreter.run(script, partitions={"i2s": frames.astype("<i4").tobytes()})
    assert text == f"{span} {zlib.crc32(samples.tobytes())}\n"


def test_mono16_without_what_is_constant_is_the_engines(interpreter):
    frames = np.random.default_rng(9).integers(-(2**31), 2**31, (500, 2)).astype(np.int32)
    level = np.array([NO_LEVEL], np.int32)
    samples, span = mono16(frames, 1, 3, level)
    script = f"""
        import nn, micropython
        from array import array
        from binascii import crc32
        out, level = bytearray(1000), array("i", [{NO_LEVEL}])
        frames, span = nn.map_partition('i2s'), 0
        micropython.heap_lock()
        span = nn.mono16(frames, out, 1, 3, level)
        micropython.heap_unlock()
        print(span, crc32(out), level[0])
    """
    text = interpreter.run(script, partitions={"i2s": frames.astype("<i4").tobytes()})
    assert text == f"{span} {zlib.crc32(samples.tobytes())} {level[0]}\n"


def test_mono16_refuses_what_does_not_fit(interpreter):
    script = """
        import nn
        from array import array
        a = bytearray(64)
        b = bytearray(16)
        wrong = (
            (a, b, 2, 0), (a, b, -1, 0), (a, b, 0, 17), (a, b, 0, -1), (a, bytearray(14), 0, 0),
            (bytearray(12), bytearray(3), 0, 0), (memoryview(bytearray(66))[2:], b, 0, 0),
            (a, memoryview(bytearray(17))[1:], 0, 0), (a, b, 0, 0, array("i", [0, 0])),
            (a, b, 0, 0, array("h", [0, 0])), (a, b, 0, 9, array("i", [0])), (a, bytes(16), 0, 0),
        )
        for arguments in wrong:
            try:
                nn.mono16(*arguments)
            except Exception as e:
                print(type(e).__name__)
    """
    assert interpreter.run(script).split() == ["ValueError"] * 11 + ["TypeError"]
