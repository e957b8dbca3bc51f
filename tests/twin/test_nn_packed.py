"""Packed models on the twin: the engine's runtime behind ``nn.Model``, and the time it takes."""

from __future__ import annotations

import random

import numpy as np

from cicada.tools.board import load_board
from cicada.tools.tflm import Interpreter
from cicada.training import container
from cicada.training.pack import pack
from support.twins import run_script
from support.zoo import streams

#: A small streaming model of uint8 output.
TFLITE = streams.wake_word(random.Random(13))
COUNT = 80
SCRIPT = f"""
import machine, nn
from array import array
blob = nn.builtin("stream")
size = int.from_bytes(blob[20:24], "little")
m = nn.Model(bytes(blob[size:]))
print("about", m.engine, m.input_shape, m.output_shape, m.selftest())
x = bytearray({COUNT})
said = []
for step in range(20):
    for i in range({COUNT}):
        x[i] = (step * 7 + i * 13) & 255
    out = m.invoke(x)
    said.append(out[0])
print("said", said)
m.state_reset()
for i in range({COUNT}):
    x[i] = i * 13 & 255
print("again", m.invoke(x)[0])
try:
    nn.Model(b"CPM1" + bytes(100))
except ValueError as e:
    print("refused", e)
machine.deepsleep()
"""


def test_a_streaming_model_says_what_it_says_under_tflm(tmp_path):
    made = pack(TFLITE)
    twin = run_script(SCRIPT, tmp_path, models={"stream": container.pack({"type": "kws"}, made.blob)})
    said = dict(line.split(" ", 1) for _, line in twin.lines if line.split(" ")[0] in _WANTED)
    oracle = Interpreter(TFLITE)
    steps, values = np.arange(20)[:, None] * 7, np.arange(COUNT) * 13
    wanted = [int(oracle.invoke((step + values).astype(np.uint8).view(np.int8))[0]) for step in steps]
    assert max(wanted) > 127  # uint8 indeed
    assert said["about"] == "packed (1, 2, 40) (1, 1) True"
    assert said["said"] == str(wanted) and said["again"] == str(wanted[0])
    assert said["refused"].startswith("model: the packed model cannot run: ")
    cycles = load_board("twin").CYCLES["per_instruction"]
    taken = twin.chip.parts["neural"].inference_us
    assert abs(taken - made.instructions * cycles / 240) <= 1


_WANTED = ("about", "said", "again", "refused")
