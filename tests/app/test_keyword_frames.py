"""Which frames a keyword pipeline shows its model, under MicroPython with stand-ins for chip and engine."""

from __future__ import annotations

import json

import pytest

from support.twins import micropython

CODE = """
import json, sys
class Pin:
    OUT = 1
    def __init__(self, *a, **k): pass
    def value(self, v): pass
class machine: Pin = Pin
class nn: pass
class microphone: Microphone = None
class time:
    now = 0
    def ticks_ms(): return time.now
    def ticks_diff(a, b): return a - b
    def ticks_add(a, b): return a + b
for name, made in (("machine", machine), ("nn", nn), ("time", time), ("node.drivers.microphone", microphone)):
    sys.modules[name] = made
from node.pipelines.keyword import Keyword
class Model:
    output_zero_point = -128
    said = (-128,)
    def invoke(self, window):
        seen.append([window[i] for i in range(0, len(window), 40)])
        return self.said
    def state_reset(self): seen.append("reset")
seen = []
class board: LED = 2
front = {"step_ms": 10, "frames": 3}
decision = {"hop_frames": 3, "window": 2, "threshold": 0.9, "refractory_ms": 500}
manifest = {"type": "kws", "labels": ["okay"], "frontend": front, "decision": decision}
about = {"name": "k", "kind": "keyword", "model": "m", "gate": GATE}
p = Keyword(about, lambda name: (manifest, Model()), board)
window = memoryview(bytearray(p.kept * 40))
p.attach(window)
frame = 0
for gained, span, late in BLOCKS:
    for _ in range(gained):  # as the front end moves its window
        window[: -40] = bytes(window[40:])
        window[-40] = frame % 256
        frame += 1
    time.now += 32
    p.fed(gained, span, time.now)
    while p.due and not late:
        p.run(time.now)
print(json.dumps(seen))
"""


def frames_of(blocks, gate=None):
    code = CODE.replace("GATE", repr(gate)).replace("BLOCKS", repr(blocks))
    return json.loads(micropython(code))


@pytest.mark.parametrize("late", [0, 3, 6])
def test_a_streaming_model_sees_every_frame_once_in_order(late):
    """Though blocks of 32 ms bring 3 or 4 frames, and now and then the model has no time for some blocks."""
    blocks = [(4 if i % 5 == 4 else 3, 100, i % 20 > 19 - late) for i in range(100)]
    seen = [number for row in frames_of(blocks) for number in row]
    assert len(seen) > 200
    assert seen == [(seen[0] + i) % 256 for i in range(len(seen))]


def test_behind_a_gate_it_begins_anew_with_what_was_heard_just_before():
    gate = {"level_dbfs": -20, "hold_ms": 320, "first": None}
    blocks = [(4 if i % 5 == 4 else 3, 20000 if i == 60 else 10, False) for i in range(90)]
    seen = frames_of(blocks, gate)
    assert seen.count("reset") == 1 and seen[1] == "reset"  # the first inference is never gated
    after = [number for row in seen[2:] for number in row]
    heard = sum(gained for gained, _, _ in blocks[:61])
    assert after == list(range(after[0], after[0] + len(after)))
    assert heard - 30 <= after[0] <= heard - 24
    assert len(after) == pytest.approx(27 + 32, abs=6)
