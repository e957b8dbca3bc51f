"""A voice in Piper's format that hums: enough of ONNX's protobuf to write one, without the package onnx.

Field numbers are those of onnx.proto (github.com/onnx/onnx).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

_INT64, _FLOAT = 7, 1
#: Hz of a voice, and samples that each symbol of a text lasts.
RATE, SAMPLES = 22050, 400


def write_voice(folder: Path, name: str, speakers: int = 1, hertz: float = 220.0) -> Path:
    """Write ``<name>.onnx`` and its description: each symbol is a stretch of tone, as loud as its number.

    With several speakers the model asks for one, as Piper's do, and does not care which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wave = np.sin(2 * np.pi * hertz * np.arange(SAMPLES) / RATE).astype(np.float32)
    nodes = [
        _node("Cast", ["input"], ["numbers"], _attribute("to", _FLOAT)),
        _node("Reshape", ["numbers", "column"], ["tall"]),
        _node("MatMul", ["tall", "wave"], ["stretches"]),
        _node("Reshape", ["stretches", "row"], ["output"]),
    ]
    constants = [
        _tensor("column", _INT64, [2], np.array([-1, 1], np.int64)),
        _tensor("row", _INT64, [4], np.array([1, 1, 1, -1], np.int64)),
        _tensor("wave", _FLOAT, [1, SAMPLES], wave),
    ]
    inputs = [("input", _INT64, 2), ("input_lengths", _INT64, 1), ("scales", _FLOAT, 1)]
    if speakers > 1:
        inputs.append(("sid", _INT64, 1))
    graph = b"".join(
        [
            *(_bytes(1, node) for node in nodes),
            _bytes(2, b"voice"),
            *(_bytes(5, constant) for constant in constants),
            *(_bytes(11, _value(*described)) for described in inputs),
            _bytes(12, _value("output", _FLOAT, 4)),
        ]
    )
    path = folder / f"{name}.onnx"
    path.write_bytes(_number(1, 8) + _bytes(7, graph) + _bytes(8, _bytes(1, b"") + _number(2, 13)))
    symbols = {
        symbol: [number] for number, symbol in enumerate("_^$ !'.?abdefhijklmnoprstuvwzæðŋɐɑɔəɛɡɪɹʃʊˈː")
    }
    about = {
        "audio": {"sample_rate": RATE},
        "espeak": {"voice": "en-us"},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "num_speakers": speakers,
        "phoneme_type": "espeak",
        "phoneme_id_map": symbols,
    }
    path.with_name(f"{name}.onnx.json").write_text(json.dumps(about), encoding="utf-8")
    return path


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _node(kind: str, inputs: list[str], outputs: list[str], attribute: bytes = b"") -> bytes:
    names = b"".join(_bytes(1, name.encode()) for name in inputs)
    names += b"".join(_bytes(2, name.encode()) for name in outputs)
    return names + _bytes(4, kind.encode()) + attribute


def _attribute(name: str, value: int) -> bytes:
    return _bytes(5, _bytes(1, name.encode()) + _number(3, value) + _number(20, 2))


def _tensor(name: str, kind: int, shape: list[int], values: np.ndarray) -> bytes:
    dims = b"".join(_number(1, size) for size in shape)
    return dims + _number(2, kind) + _bytes(8, name.encode()) + _bytes(9, values.tobytes())


def _value(name: str, kind: int, rank: int) -> bytes:
    shape = b"".join(_bytes(1, _bytes(2, f"{name}{axis}".encode())) for axis in range(rank))
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _number(1, kind) + _bytes(2, shape)))
