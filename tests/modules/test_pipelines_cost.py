"""What the interpreter itself takes to run pipelines: instructions of a bare RV32 machine.

QEMU counts instructions with ``-icount shift=0``: its clock then goes on by a nanosecond with each (QEMU's
documentation, "TCG Instruction Counting"), and the machine's ``mtime`` by one with a hundred. Clock, front
end and model are stand-ins in Python, so that what is counted is MicroPython at work on the runner, the
pipeline and the smoother; the stand-ins take a little more than functions in C would.
"""

from __future__ import annotations

import os

import pytest

from cicada.tools.board import load_board
from cicada.tools.paths import FIRMWARE
from cicada.tools.twin import romfs
from cicada.tools.twin.image import compile_python
from support import interpreters

FILES = ("log", "smoother", *(f"pipelines/{n}" for n in ("__init__", "audio", "decide", "keyword", "runner")))
MICROPHONE = """
class Microphone:
    def __init__(self, about):
        self.buffer = bytearray(1024)
        self.span = 500
    def read(self): pass
    def close(self): pass
"""
SCRIPT = """
import machine, sys
count = machine.mem32
class Time:
    ms = 0
    def ticks_ms(): return Time.ms
    def ticks_us(): return Time.ms
    def ticks_diff(a, b): return a - b
    def ticks_add(a, b): return a + b
    def sleep_ms(ms): pass
sys.modules['time'] = Time
class Pin:
    OUT = 1
    def __init__(self, *a, **k): pass
    def value(self, level): pass
class Stub:
    Pin = Pin
class Front:
    def __init__(self, step_ms, frames):
        self.window = memoryview(bytearray(frames * 40))
        self.n = 0
    def feed(self, buffer):
        self.n += 32
        gained = self.n // STEP
        self.n -= gained * STEP
        return gained
class nn:
    AudioFrontEnd = Front
class Model:
    output_zero_point = -128
    out = (127, -128, -128, -128)
    def invoke(self, window):
        return self.out
sys.modules['machine'] = Stub
sys.modules['nn'] = nn
from node.pipelines import make
from node.pipelines.runner import Runner
class board:
    LED = 2
    MICROPHONE = {'ibuf_ms': 192}
manifest = {'type': 'kws', 'labels': ['_silence_', '_unknown_', 'yes', 'no'],
    'frontend': {'step_ms': STEP, 'frames': 49},
    'decision': {'hop_frames': 5, 'window': 3, 'threshold': 0.8, 'refractory_ms': 1000}}
abouts = [{'name': 'k%d' % i, 'kind': 'keyword', 'model': 'kws', 'gate': None} for i in range(PIPELINES)]
pipelines = [make(about, lambda name: (manifest, Model()), None, board) for about in abouts]
runner = Runner(pipelines, None, print, lambda: None, lambda: None)
passes = marks = 0
def feed():
    global passes
    passes += 1
    Time.ms += 32
    if passes == 100 or passes == 500:
        marks_of.append(count[0x200bff8])
marks_of = []
runner._feed = feed
runner.run(lambda elapsed, quiet: passes >= 600)
del sys.modules['machine']  # the machine's own is needed to switch it off
print((marks_of[1] - marks_of[0]) * 100 // 400, pipelines[0].inferences)
"""


class Counting(interpreters.Rv32):
    """The RV32 machine with instructions for its clock, and the application's modules."""

    def _run(self, folder, source, modules, partitions, timeout):
        rom = {f"node/{name}.mpy": compile_python(FIRMWARE / "app" / "node" / f"{name}.py") for name in FILES}
        for name, text in (
            ("node/__init__", ""),
            ("node/drivers/__init__", ""),
            ("node/drivers/microphone", MICROPHONE),
        ):
            (folder / "one.py").write_text(text)
            rom[f"{name}.mpy"] = compile_python(folder / "one.py")
        data = romfs.pack(rom)
        image, at = interpreters.memory_image({"@rom": data, "@script": source.encode()})
        (folder / "memory").write_bytes(image)
        script = f"uctypes.bytearray_at({at['@script']}, {len(source.encode())})"
        start = (
            "import sys, uctypes, vfs\n"
            f"vfs.mount(vfs.VfsRom(uctypes.bytearray_at({at['@rom']}, {len(data)})), '/rom')\n"
            "sys.path.append('/rom')\n"
            f"exec({script}, {{'__name__': '__main__'}})\n"
        )
        command = (
            *("qemu-system-riscv32", "-machine", "virt", "-bios", "none", "-display", "none"),
            *("-icount", "shift=0", "-monitor", "none", "-serial", "stdio", "-kernel", self.path),
            *("-device", f"loader,file={folder / 'memory'},addr={interpreters._DATA:#x},force-raw=on"),
        )
        typed = f"\1{start}\4{interpreters._FINISH}\4".encode()
        _, out, err = interpreters._process(command, typed, timeout, dict(os.environ))
        parts = out.partition("raw REPL; CTRL-B to exit\n>OK")[2].split("\4")
        assert len(parts) >= 3 and not parts[1], f"{out}{err}"
        return parts[0]


@pytest.fixture(scope="module")
def machine():
    interpreters.get("rv32")  # skips where a program for it is missing
    return Counting("rv32", 32)


@pytest.mark.parametrize(("pipelines", "most"), [(1, 0.04), (3, 0.08)])
def test_interpreted_code_takes_little_of_the_time(machine, pipelines, most):
    text = machine.run(SCRIPT.replace("STEP", "20").replace("PIPELINES", str(pipelines)))
    instructions, inferences = map(int, text.split())
    board = load_board("twin")
    share = instructions * board.CYCLES["per_instruction"] / (board.CPU_HZ * 0.032)
    print(
        f"{pipelines} pipelines: {instructions} instructions a block of 32 ms, {share:.4f} of an ESP32's time"
    )
    assert inferences > 100 and 3000 < instructions
    assert share < most
