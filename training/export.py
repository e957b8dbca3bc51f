"""The model as C source: an aligned array plus everything the code around it must know.

The array's bytes are those of the container's model. Numbers are written one way only, so the same model and
manifest give the same text, byte for byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

_BYTES_A_LINE = 16
_ARENAS = {
    "packed": "needs as a packed model",
    "TFLM": "took under TensorFlow Lite Micro on a 64-bit host",
}


def c_sources(model: bytes, manifest: Mapping[str, Any], stem: str = "kws_model") -> tuple[str, str]:
    """Write the header and the source of a model.

    Args:
        model: the model, packed or a ``.tflite``.
        manifest: the keys of the container's manifest (see :mod:`cicada.training.manifest`).
        stem: prefix of every name, and the files' name without extension.

    Returns:
        text of ``<stem>.h`` and ``<stem>.c``: C99, clean under ``-Wall -Wextra -Werror``.
    """
    return _header(model, manifest, stem), _source(model, manifest, stem)


def _header(model: bytes, manifest: Mapping[str, Any], stem: str) -> str:
    upper = stem.upper()
    source, target = manifest["input"], manifest["output"]
    defines = [
        ("LEN", len(model)),
        ("ARENA", manifest["arena"]),
        ("LABEL_COUNT", len(manifest["labels"])),
        ("INPUT_SHAPE", _shape(source["shape"])),
        ("INPUT_RANK", len(source["shape"])),
        ("INPUT_LEN", int(np.prod(source["shape"]))),
        ("INPUT_SCALE", _float(source["scale"])),
        ("INPUT_ZERO_POINT", f"({source['zero_point']})"),
        ("OUTPUT_SHAPE", _shape(target["shape"])),
        ("OUTPUT_RANK", len(target["shape"])),
        ("OUTPUT_LEN", int(np.prod(target["shape"]))),
        ("OUTPUT_SCALE", _float(target["scale"])),
        ("OUTPUT_ZERO_POINT", f"({target['zero_point']})"),
        *_inputs(manifest),
    ]
    lines = [
        f"/* INT8 model: {_comment(', '.join(manifest['labels']))}.",
        "   Written by cicada.training.export; do not edit. */",
        f"#ifndef {upper}_H",
        f"#define {upper}_H",
        "",
        "#include <stdint.h>",
        "",
        "/* Lengths and the arena are in bytes; real = SCALE * (quantised - ZERO_POINT). ARENA is what the",
        f"   model {_ARENAS[manifest['engine']]}. The shapes are initialisers. */",
        *(f"#define {upper}_{name} {value}" for name, value in defines),
        f'#define {upper}_SHA256 "{hashlib.sha256(model).hexdigest()}"',
        "",
        f"extern const uint8_t {stem}_data[{upper}_LEN];",
        f"extern const char *const {stem}_labels[{upper}_LABEL_COUNT];",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def _inputs(manifest: Mapping[str, Any]) -> list[tuple[str, object]]:
    """What the model's input is made of, and for words what is made of its output."""
    frontend = manifest["frontend"]
    if "kind" in frontend:
        return [(name.upper(), value) for name, value in frontend.items() if type(value) is int]
    decision = manifest["decision"]
    return [
        ("SAMPLE_RATE", frontend["rate"]),
        ("WINDOW_MS", frontend["window_ms"]),
        ("STEP_MS", frontend["step_ms"]),
        ("CHANNELS", frontend["channels"]),
        ("FRAMES", frontend["frames"]),
        ("HOP_FRAMES", decision["hop_frames"]),
        ("DECISION_WINDOW", decision["window"]),
        ("DECISION_THRESHOLD", _float(decision["threshold"])),
        ("REFRACTORY_MS", decision["refractory_ms"]),
    ]


def _source(model: bytes, manifest: Mapping[str, Any], stem: str) -> str:
    upper = stem.upper()
    lines = [
        "/* Written by cicada.training.export; do not edit. */",
        f'#include "{stem}.h"',
        "",
        f"const char *const {stem}_labels[{upper}_LABEL_COUNT] = {{",
        *(f"    {_string(label)}," for label in manifest["labels"]),
        "};",
        "",
        "/* Engines read 32-bit words in place; nn.Model and some kernels of TFLM want 16 bytes. */",
        f"const uint8_t {stem}_data[{upper}_LEN] __attribute__((aligned(16))) = {{",
        *rows(model),
        "};",
        "",
    ]
    return "\n".join(lines)


def rows(data: bytes) -> Iterator[str]:
    """Lines of a C initialiser for bytes."""
    for at in range(0, len(data), _BYTES_A_LINE):
        yield "    " + ", ".join(f"0x{byte:02x}" for byte in data[at : at + _BYTES_A_LINE]) + ","


def _shape(shape: list[int]) -> str:
    return "{ " + ", ".join(str(n) for n in shape) + " }"


def _float(value: float) -> str:
    """Shortest decimal that reads back as the same float32, as a C literal."""
    return f"{np.float32(value)}f"


def _string(text: str) -> str:
    """A C string literal; everything but plain ASCII becomes an octal escape (its length is fixed)."""
    plain = (chr(b) if 32 <= b < 127 and b not in b'"\\?' else f"\\{b:03o}" for b in text.encode())
    return '"' + "".join(plain) + '"'


def _comment(text: str) -> str:
    return text.encode("ascii", "replace").decode().replace("*/", "* /")
