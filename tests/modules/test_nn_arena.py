"""``nn.Arena``: models that use one piece of memory by turns, and those that may not."""

from __future__ import annotations

import random

import numpy as np
import pytest
from modules.nn_models import aligned, model

from cicada.tools.tflm import Interpreter
from cicada.training.pack import format, pack
from support.zoo import graphs, streams

#: Two models that keep nothing, and one that does.
LARGE, SMALL = graphs.network(random.Random(47)), graphs.network(random.Random(60))
STREAM = streams.wake_word(random.Random(13))


@pytest.fixture(scope="module")
def blobs():
    return [pack(tflite).blob for tflite in (LARGE, SMALL, STREAM)]


def arena_of(blob: bytes) -> int:
    return -(-format.unpack(blob).header["arena"] // 16) * 16


def inputs(tflite: bytes, count: int, seed: int) -> np.ndarray:
    size = int(np.prod(Interpreter(tflite).input["shape"]))
    return np.random.default_rng(seed).integers(-128, 128, (count, size)).astype(np.int8)


def said(tflite: bytes, rows: np.ndarray) -> list[list[int]]:
    oracle = Interpreter(tflite)
    return [oracle.invoke(row).tolist() for row in rows]


def refusal(interpreter, statement: str, setup: str) -> str:
    lines = ["import nn", setup, "try:", f" {statement}", "except Exception as e:",
             " print(type(e).__name__, e)"]  # fmt: skip
    return interpreter.run("\n".join(lines)).strip()


def test_two_models_in_one_arena_say_what_they_say_alone(interpreter, blobs):
    one, two = inputs(LARGE, 3, 1), inputs(SMALL, 3, 2)
    script = f"""
        import nn, micropython
        a, b = {aligned(blobs[0])}, {aligned(blobs[1])}
        arena = nn.Arena(max(nn.needs(a)[0], nn.needs(b)[0]))
        m, n = nn.Model(a, arena=arena), nn.Model(b, arena=arena)
        f, g = memoryview({one.tobytes()!r}), memoryview({two.tobytes()!r})
        first, second = [], []
        for i in range(3):
            out = m.invoke(f[{one.shape[1]} * i:{one.shape[1]} * (i + 1)])
            second.append(list(n.invoke(g[{two.shape[1]} * i:{two.shape[1]} * (i + 1)])))
            first.append(list(out))  # what the second model's run has left of it
        print(first)
        print(second)
        print(m.selftest(), n.selftest(), list(out) == first[-1])
        x = bytes({one.shape[1]})
        micropython.heap_lock()
        m.invoke(x)
        micropython.heap_unlock()
    """
    lines = interpreter.run(script).splitlines()
    assert lines == [str(said(LARGE, one)), str(said(SMALL, two)), "True True True"]


def test_a_shared_arena_takes_the_memory_of_one(interpreter, blobs):
    script = f"""
        import nn, gc
        a, b = {aligned(blobs[0])}, {aligned(blobs[1])}
        def used(make):
            gc.collect()
            before = gc.mem_alloc()
            kept = make()
            gc.collect()
            return gc.mem_alloc() - before
        def shared():
            arena = nn.Arena(max(nn.needs(a)[0], nn.needs(b)[0]))
            return nn.Model(a, arena=arena), nn.Model(b, arena=arena)
        apart = used(lambda: (nn.Model(a), nn.Model(b)))
        print(apart - used(shared))
    """
    saved = int(interpreter.run(script))
    smaller = min(arena_of(blobs[0]), arena_of(blobs[1]))
    assert smaller - 600 < saved <= smaller + 64


def test_needs_says_how_much_and_who_may_share(interpreter, blobs):
    script = "import nn\n" + "\n".join(f"print(nn.needs({aligned(blob)}))" for blob in (*blobs, model()))
    lines = interpreter.run(script).splitlines()
    assert lines[:3] == [
        f"({arena_of(blobs[0])}, True)",
        f"({arena_of(blobs[1])}, True)",
        f"({arena_of(blobs[2])}, False)",
    ]
    assert lines[3].endswith(", False)")


def test_models_with_state_are_refused_a_shared_arena(interpreter, blobs):
    wanted = "ValueError model: it keeps state in its arena, which must be its own"
    for blob in (blobs[2], model()):
        setup = f"b = {aligned(blob)}\na = nn.Arena(60000)"
        assert refusal(interpreter, "nn.Model(b, arena=a)", setup) == wanted


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("nn.Model(b, arena=bytearray(60000))", "TypeError model: arena must be an nn.Arena"),
        ("nn.Model(b, arena=nn.Model(b))", "TypeError model: arena must be an nn.Arena"),
        ("nn.Model(b, 60000, nn.Arena(60000))", "ValueError model: arena_size or arena, not both"),
        ("nn.Arena(0)", "ValueError an arena has 1 byte to 16 MiB"),
        ("nn.Arena(-5)", "ValueError an arena has 1 byte to 16 MiB"),
        ("nn.Arena(1 << 25)", "ValueError an arena has 1 byte to 16 MiB"),
        ("nn.needs(b'CPM1')", "ValueError model: "),
        ("nn.Arena(64).size = 3", "AttributeError "),
    ],
)
def test_misuse_is_an_error_that_says_so(statement, text, interpreter, blobs):
    assert refusal(interpreter, statement, f"b = {aligned(blobs[1])}").startswith(text)


def test_too_small_an_arena_says_how_much_it_takes(interpreter, blobs):
    least = arena_of(blobs[1])
    setup = f"b = {aligned(blobs[1])}\na = nn.Arena({format.unpack(blobs[1]).header['arena'] - 1})"
    text = refusal(interpreter, "nn.Model(b, arena=a)", setup)
    assert text.startswith("MemoryError model: an arena of ") and text.endswith(f"it needs {least} or more")


def test_arena_and_output_outlive_whom_they_belong_to(interpreter, blobs):
    rows = inputs(SMALL, 1, 4)
    script = f"""
        import nn, gc
        def churn():
            gc.collect()
            keep = []
            try:
                while True:
                    keep.append(bytearray(b'\\xee' * 400))
            except MemoryError:
                pass
            keep = None
            gc.collect()
        b = {aligned(blobs[1])}
        m = nn.Model(b, arena=nn.Arena(nn.needs(b)[0]))
        churn()
        out = m.invoke({rows[0].tobytes()!r})
        m.deinit()
        m = None
        churn()
        print(list(out))
    """
    assert interpreter.run(script).strip() == str(said(SMALL, rows)[0])
