"""Damaged and hostile ``.tflite`` files end in a :class:`PackError`, soon, or in a graph."""

from __future__ import annotations

import random
import struct
import time

import numpy as np
import pytest

from cicada.training.pack import flat, reader
from cicada.training.pack.errors import PackError
from cicada.training.pack.reader import read
from cicada.training.pack.simplify import simplify
from support.rebuilding import edited
from support.zoo import graphs
from support.zoo.model import Model, Quant
from support.zoo.pointwise import unary
from support.zoo.streams import STREAMS

#: Seconds that any file may take; a usual one takes some milliseconds.
_LIMIT = 3.0
_HOSTILE = (-(2**31), -1, 0, 1, 2, 3, 5, 127, 128, 255, 256, 65535, 65536, 2**31 - 1)
_FLOATS = (0.0, -1.0, float("nan"), float("inf"), 1e-40, 1e30)


def _without_padding(model: bytes) -> bytes:
    """Without the zeros that TFLM needs, so that damage hits something."""

    def cut(tree):
        tree.buffers[tree.metadata[0].buffer].data = None

    return edited(model, cut)


def _bases() -> list[bytes]:
    made = [maker(random.Random(5)) for maker in STREAMS.values()]
    made += [graphs.network(random.Random(seed)) for seed in range(4)]
    return [_without_padding(model) for model in made]


def _attempt(model: bytes) -> bool:
    """Read a file; returns whether it was refused."""
    begin = time.monotonic()
    try:
        simplify(read(model))
        refused = False
    except PackError as error:
        assert len(str(error)) < 1500 and "\n" not in str(error)
        refused = True
    assert time.monotonic() - begin < _LIMIT
    return refused


def test_a_truncated_model_is_refused():
    for model in _bases():
        assert not _attempt(model)
        for length in range(0, len(model), 64):
            assert _attempt(model[:length])


def test_a_truncated_reference_model_is_refused(shared_data):
    model = (shared_data / "models" / "micro_speech_quantized.tflite").read_bytes()
    # The end of this file is not needed, so only what is cut by more must be refused.
    outcomes = [_attempt(model[:length]) for length in range(0, len(model), 64)]
    assert all(outcomes[: len(outcomes) // 2])


def test_flipped_bytes_are_refused_or_read():
    rng = random.Random(11)
    bases, refused = _bases(), 0
    for _ in range(500):
        model = bytearray(rng.choice(bases))
        for _ in range(rng.choice((1, 1, 2, 8))):
            model[rng.randrange(len(model))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        refused += _attempt(bytes(model))
    assert 0 < refused < 500


def test_changed_fields_are_refused_or_read():
    rng = random.Random(12)
    bases, tried, refused = _bases(), 0, 0
    for _ in range(300):
        try:
            model = edited(rng.choice(bases), lambda tree: _spoil(tree, rng))
        except (TypeError, ValueError, AttributeError, struct.error):
            continue  # what the writer itself cannot write
        tried += 1
        refused += _attempt(model)
    assert tried > 150 and 0 < refused < tried


def _spoil(tree, rng) -> None:
    """Change one to three fields of subgraphs, tensors, operators, options or operator codes."""
    fields: list[tuple[object, str]] = []
    _collect(tree.subgraphs, fields)
    _collect(tree.operatorCodes, fields)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        owner, name = rng.choice(fields)
        setattr(owner, name, _spoilt(getattr(owner, name), rng))


def _collect(node, fields) -> None:
    if isinstance(node, list):
        for one in node:
            _collect(one, fields)
    elif hasattr(node, "__dict__"):
        for name, value in vars(node).items():
            fields.append((node, name))
            _collect(value, fields)


def _spoilt(value, rng):
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return rng.choice(_FLOATS)
    if isinstance(value, (int, np.integer)):
        return rng.choice(_HOSTILE)
    if isinstance(value, np.ndarray) and value.size:
        if rng.random() < 0.2:
            return value[: rng.randrange(value.size)]
        changed = value.copy()
        if changed.dtype.kind == "f":
            changed[rng.randrange(value.size)] = rng.choice(_FLOATS)
        else:
            limits = np.iinfo(changed.dtype)
            changed[rng.randrange(value.size)] = min(max(rng.choice(_HOSTILE), limits.min), limits.max)
        return changed
    if isinstance(value, list) and value:
        changed = list(value)
        if rng.random() < 0.5:
            changed.pop(rng.randrange(len(changed)))
        else:
            changed.append(rng.choice(changed))
        return changed
    return None


@pytest.mark.parametrize("model", [b"", b"TFL3", bytes(64), b"\x1c\0\0\0TFL3" + b"\xff" * 60])
def test_what_is_no_model_is_refused(model):
    assert _attempt(model)


def test_words_that_become_huge_are_refused_or_read():
    """Every other 32-bit word in turn becomes a length or an offset beyond the file."""
    model = min(_bases(), key=len)
    for at in range(8, len(model) - 4, 8):
        value = 0x7FFFFFFF if at % 16 else 0x10000000
        _attempt(model[:at] + struct.pack("<I", value) + model[at + 4 :])


def test_more_operators_than_any_model_has_are_refused():
    def repeat(tree):
        tree.subgraphs[0].operators *= flat.MAX_OPERATORS + 1

    model = Model()
    whole = model.finish(unary(model, "TANH", model.input((1, 4), Quant(0.1, 0))))
    with pytest.raises(PackError, match=r"has 1025 operators, more than 1024"):
        read(edited(whole, repeat))


def test_many_operators_on_one_large_constant_are_refused(monkeypatch):
    monkeypatch.setattr(reader, "MAX_CONSTANTS", 1 << 16)
    model, quant = Model(), Quant(0.1, 0)
    x = model.input((1, 4096), quant)
    constant = model.constant(np.zeros((1, 4096), np.int8), quant)
    for _ in range(17):
        y = model.tensor((1, 4096), quant)
        model.operator("MUL", [x, constant], [y])
        x = y
    with pytest.raises(PackError, match="the constants have more than 65536 elements together"):
        read(model.finish(x))


def test_states_larger_than_any_memory_are_refused():
    def grow(tree):
        for tensor in tree.subgraphs[0].tensors:
            if len(tensor.shape):
                tensor.shape = [1, 2048, 2048]

    model, quant = Model(), Quant(0.1, 0)
    x = model.input((1, 2, 3), quant)
    for number in range(3):
        handle = model.variable(f"state {number}", (1, 2, 3), quant, None)
        held = model.tensor((1, 2, 3), quant)
        model.operator("READ_VARIABLE", [handle], [held])
        model.operator("ASSIGN_VARIABLE", [handle, x], [])
    with pytest.raises(PackError, match="the variables have more than 8388608 elements"):
        read(edited(model.finish(held), grow))
