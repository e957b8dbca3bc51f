"""``nn.VibrationFrontEnd`` on the twin: the engine's bytes, in the time that its instructions take."""

from __future__ import annotations

import numpy as np
import pytest

from cicada.tools.board import load_board
from cicada.tools.vibration import VibrationFrontEnd, instructions
from support.twins import run_script

SCRIPT = """
import machine, nn, struct, time
f = nn.VibrationFrontEnd(512, 16, 3)
w = f.features
print(len(w), set(w), w is f.features)
frames = b''.join(struct.pack('<hhh', 7 * n % 1000, 300, (n * n) % 77 - 40) for n in range(700))
start = time.ticks_us()
print('windows', f.feed(frames), 'us', time.ticks_diff(time.ticks_us(), start))
print('features', bytes(b & 255 for b in w).hex())
f.reset()
print(set(w), f.feed(frames[:3066]), f.feed(frames[:6]))
g = nn.VibrationFrontEnd(512, 16, 3, envelope=24)
start = time.ticks_us()
print('more', g.feed(frames), 'us', time.ticks_diff(time.ticks_us(), start), len(g.features))
print('fixed', bytes(b & 255 for b in g.features).hex())
g.reset()
g.speed(400.04, 1234.5)
g.feed(frames)
print('orders', bytes(b & 255 for b in g.features).hex())
for make in (
    lambda: nn.VibrationFrontEnd(500, 16, 3),
    lambda: nn.VibrationFrontEnd(512, 16, -1),
    lambda: nn.VibrationFrontEnd(512, 70000, 3),
    lambda: f.feed(bytes(8)),
    lambda: nn.VibrationFrontEnd(512, 16, 3, 7),
    lambda: f.speed(400, 100),
    lambda: g.speed(0, 100),
    lambda: g.speed(400, -1),
):
    try:
        make()
    except ValueError as e:
        print('refused:', e)
machine.deepsleep()
"""


def test_features_are_the_engines_and_windows_take_their_time(tmp_path) -> None:
    twin = run_script(SCRIPT, tmp_path)
    at = np.arange(700)
    frames = np.stack([7 * at % 1000, np.full(700, 300), at * at % 77 - 40], 1).astype(np.int16)
    front = VibrationFrontEnd(512, 16, 3)
    front.feed(frames)
    text = twin.text.replace("\r\n", "\n")
    assert "57 {-128} True\n" in text
    assert f"features {front.features.tobytes().hex()}\n" in text
    assert "{-128} 0 1\n" in text
    assert text.count("refused: samples must be 256, 512 or 1024") == 3
    assert "refused: frames have 2 bytes for each axis" in text

    cycles = instructions(512, 16, 3) * load_board("twin").CYCLES["per_instruction"]
    us = int(text.partition("windows 1 us ")[2].split()[0])
    assert us == pytest.approx(cycles / 240, rel=0.05)
    assert twin.chip.parts["vibrating"].windows == 4
    assert text.count("refused: envelope must be 0 or 8 to 32") == 1
    assert text.count("refused: only the bands of an envelope follow the speed") == 1
    assert text.count("refused: rate_hz must be 0.1 to 1e8") == 2

    more = VibrationFrontEnd(512, 16, 3, 24)
    more.feed(frames)
    assert f"fixed {more.features.tobytes().hex()}\n" in text
    more.reset()
    more.speed(400, 1234.5)
    more.feed(frames)
    assert f"orders {more.features.tobytes().hex()}\n" in text
    _, us, width = text.partition("more ")[2].splitlines()[0].replace("us ", "").split()
    cycles = instructions(512, 16, 3, 24) * load_board("twin").CYCLES["per_instruction"]
    assert int(us) == pytest.approx(cycles / 240, rel=0.05) and int(width) == 3 * (19 + 24)
