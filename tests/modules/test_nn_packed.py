"""``nn.Model`` with packed models: the runtime in MicroPython, on 64 bits and on a bare RV32 machine."""

from __future__ import annotations

import random
import struct
import zlib

import numpy as np
import pytest
from modules.nn_models import aligned

from cicada.tools.tflm import Interpreter
from cicada.training.pack import format, pack
from support.zoo import streams

#: A small streaming model: four layers with state, 80 values in, one uint8 out.
TFLITE = streams.wake_word(random.Random(13))
COUNT = 80


@pytest.fixture(scope="module")
def blob() -> bytes:
    return pack(TFLITE).blob


def changed(blob: bytes, **header: int) -> bytes:
    """The blob with other numbers in its header, and the CRC put right."""
    data = bytearray(blob)
    for name, value in header.items():
        kind = next(field.type for field in format.HEADER.fields if field.name == name)
        struct.pack_into({"u32": "<I", "u16": "<H"}[kind], data, format.HEADER.offsets[name], value)
    struct.pack_into("<I", data, len(data) - 4, zlib.crc32(data[:-4]))
    return bytes(data)


def loading(interpreter, data: bytes) -> str:
    """What comes of loading ``data``: the engine, or the error."""
    script = f"""
        import nn
        try:
            print(nn.Model({aligned(data)}).engine)
        except Exception as e:
            print(type(e).__name__, e)
    """
    return interpreter.run(script).strip()


def test_it_computes_what_tflm_does(interpreter, blob):
    features = np.random.default_rng(3).integers(-128, 128, (30, COUNT)).astype(np.int8)
    oracle = Interpreter(TFLITE)
    wanted = [int(oracle.invoke(row)[0]) for row in features]
    script = f"""
        import nn
        m = nn.Model({aligned(blob)})
        f = memoryview({features.tobytes()!r})
        for again in range(2):
            print([m.invoke(f[{COUNT} * i:{COUNT} * i + {COUNT}])[0] for i in range(30)])
            m.state_reset()
    """
    assert len(set(wanted)) > 3 and max(wanted) > 127  # a model that says something, and of uint8
    assert interpreter.run(script).splitlines() == [str(wanted)] * 2


def test_it_describes_itself(interpreter, blob):
    about = format.unpack(blob).header
    oracle = Interpreter(TFLITE)
    script = f"""
        import nn
        m = nn.Model({aligned(blob)})
        print(m.engine, m.size, m.arena_size, m.input_shape, m.output_shape)
        print('%.5g %d %.5g %d' % (m.input_scale, m.input_zero_point, m.output_scale, m.output_zero_point))
    """
    sides = [(side["scale"], side["zero_point"]) for side in (oracle.input, oracle.output)]
    assert interpreter.run(script).splitlines() == [
        f"packed {len(blob)} {-(-about['arena'] // 16) * 16} (1, 2, 40) (1, 1)",
        " ".join(f"{scale:.5g} {zero}" for scale, zero in sides),
    ]


def test_it_runs_without_allocating(interpreter, blob):
    script = f"""
        import nn, micropython
        m = nn.Model({aligned(blob)})
        x, passed = bytes({COUNT}), None
        micropython.heap_lock()
        m.invoke(x)
        m.state_reset()
        passed = m.selftest()
        micropython.heap_unlock()
        print(passed)
    """
    assert interpreter.run(script) == "True\n"


def test_a_self_test_tells_a_wrong_kernel_or_weight(interpreter, blob):
    found = format.unpack(blob)
    at = next(members["weights"] for kind, members in reversed(found.ops) if kind in ("dense", "conv"))
    damaged = bytearray(blob)
    for place in range(at, at + 16):
        damaged[place] ^= 0x40
    script = f"import nn\nprint(nn.Model({aligned(changed(bytes(damaged)))}).selftest())\n"
    assert interpreter.run(script) == "False\n"
    script = f"import nn\nprint(nn.Model({aligned(changed(blob, selftest_steps=0))}).selftest())\n"
    assert interpreter.run(script) == "None\n"


def test_what_the_loader_refuses_is_a_value_error_with_its_reason(interpreter, blob):
    for data in (
        blob[:100],
        blob[:-4],
        b"CPM9" + blob[4:],
        blob[:1000] + bytes([blob[1000] ^ 1]) + blob[1001:],
        changed(blob, version=9),
        changed(blob, ops_at=len(blob)),
        changed(blob, arena=16),
    ):
        assert loading(interpreter, data).startswith("ValueError model: ")
    assert loading(interpreter, blob) == "packed"


def test_too_small_an_arena_is_a_memory_error_that_says_how_much(interpreter, blob):
    arena = -(-format.unpack(blob).header["arena"] // 16) * 16
    script = f"""
        import nn
        b = {aligned(blob)}
        try:
            nn.Model(b, 100)
        except MemoryError as e:
            print(e)
    """
    assert interpreter.run(script) == f"model: arena_size 100 is too small, it needs {arena} or more\n"


def test_two_models_run_side_by_side(interpreter, blob):
    features = np.random.default_rng(4).integers(-128, 128, (12, COUNT)).astype(np.int8)
    oracle = Interpreter(TFLITE)
    wanted = [int(oracle.invoke(row)[0]) for row in features]
    script = f"""
        import nn
        b = {aligned(blob)}
        f = memoryview({features.tobytes()!r})
        rows = [f[{COUNT} * i:{COUNT} * i + {COUNT}] for i in range(12)]
        one, two = nn.Model(b), nn.Model(b)
        said = [], []
        for i in range(12):
            said[0].append(one.invoke(rows[i])[0])
            if i > 3:
                said[1].append(two.invoke(rows[i - 4])[0])
        one.deinit()
        for i in range(8, 12):
            said[1].append(two.invoke(rows[i])[0])
        print(said[0] == said[1] == {wanted})
    """
    assert interpreter.run(script) == "True\n"
