#!/usr/bin/env python3
"""Write model containers as C: ``builtin_models.c``, and for TFLite models TFLM's operators, ``tflm_ops.h``.

    python embed_models.py -o build/cicada kws=build/kws/kws.cmod

Run by CMake with ESP-IDF's Python, so it needs the standard library only, Python 3.8 or newer. Files are
written only when their content changes, so nothing is compiled again without need. A fault is one line on
standard error and exit code 1.

``builtin_models.c`` defines what ``modules/nn/builtin_models.h`` declares; data is aligned to 16 bytes, as
the engines and the application's check of a container want it. ``tflm_ops.h`` is written if a model is a
TFLite flatbuffer or further operators are asked for, else removed: an image without it has no TFLM. It
defines

- ``CICADA_TFLM_OP_COUNT``: how many operators the TFLite models in the containers use together;
- ``CICADA_TFLM_ADD_OPS(r)``: an expression that registers them with the resolver ``r``, true on success.

Container format: ``firmware/app/node/model.py``. Flatbuffer layout (tables, vtables, vectors):
https://flatbuffers.dev/internals; fields of ``Model`` and ``OperatorCode``:
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

import argparse
import hashlib
import os
import re
import struct
import sys

# Nothing of a build goes into the source folders; and the neighbour is found however Python was started.
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from tflm_operators import NAMES, method  # noqa: E402

_HEADER = 64
_CUSTOM = 32  # BuiltinOperator_CUSTOM
_BYTES_A_LINE = 16


class Refused(Exception):
    """A model cannot be built in; the text says which and why."""


def model_of(blob):
    """The model's bytes in a container, after its checks (lengths, alignment, SHA-256).

    Raises:
        Refused: with the reason.
    """
    if len(blob) < _HEADER or blob[:4] != b"CMOD":
        raise Refused("it is not a model container (*.cmod)")
    version, header, total, _, _, offset, length, flags = struct.unpack_from("<HHIIIIII", blob, 4)
    if version != 1 or header != _HEADER or flags:
        raise Refused(f"container format {version} is not known")
    if total != len(blob) or offset % 16 or offset < _HEADER or not length or offset + length > total:
        raise Refused("its lengths do not fit the file")
    if hashlib.sha256(blob[:32] + blob[_HEADER:]).digest() != blob[32:_HEADER]:
        raise Refused("its SHA-256 does not match, the file is damaged")
    return blob[offset : offset + length]


def operators(model):
    """Names of the operators a TFLite flatbuffer uses, sorted; none for a model of another format.

    Raises:
        Refused: for a custom operator, one that TFLM has not, or a damaged file.
    """
    if model[4:8] != b"TFL3":
        return []
    try:
        codes = set(_used_codes(model))
    except (struct.error, IndexError):
        raise Refused("its flatbuffer is damaged") from None
    for code, custom in codes:
        if code == _CUSTOM:
            raise Refused(f"it uses the custom operator '{custom}', which this firmware does not have")
        if code not in NAMES:
            raise Refused(f"it uses builtin operator {code}, which TensorFlow Lite Micro does not have")
    return sorted({NAMES[code] for code, _ in codes})


def _used_codes(model):
    """``(builtin code, name of a custom operator)`` of each operator in each subgraph.

    Converters may list codes that no operator uses. Fields: ``Model`` 1 operator_codes, 2 subgraphs;
    ``SubGraph`` 3 operators; ``Operator`` 0 opcode_index uint32.
    """
    root = _follow(model, 0)
    codes = [_code(model, table) for table in _vector(model, root, 1)]
    for graph in _vector(model, root, 2):
        for operator in _vector(model, graph, 3):
            index = _field(model, operator, 0)
            yield codes[_read("<I", model, index) if index else 0]


def _code(model, table):
    """An ``OperatorCode``: 0 deprecated_builtin_code int8, 1 custom_code string, 3 builtin_code int32.

    Old converters fill only field 0, new ones field 3; the larger one holds.
    """
    old, name, new = (_field(model, table, n) for n in (0, 1, 3))
    code = max(_read("<b", model, old) if old else 0, _read("<i", model, new) if new else 0)
    custom = ""
    if name:
        text = _follow(model, name)
        custom = model[text + 4 : text + 4 + _read("<I", model, text)].decode("ascii", "replace")
    return code, custom


def _vector(model, table, number):
    """Positions of the tables in a field that is a vector of them."""
    field = _field(model, table, number)
    if not field:
        return
    vector = _follow(model, field)
    for index in range(_read("<I", model, vector)):
        yield _follow(model, vector + 4 + 4 * index)


def _read(form, model, at):
    if at < 0:
        raise struct.error
    return struct.unpack_from(form, model, at)[0]


def _follow(model, at):
    """Position an offset at ``at`` points to."""
    return at + _read("<I", model, at)


def _field(model, table, number):
    """Position of a table's field, 0 if the table does not have it."""
    vtable = table - _read("<i", model, table)
    slot = 4 + 2 * number
    if slot >= _read("<H", model, vtable):
        return 0
    offset = _read("<H", model, vtable + slot)
    return table + offset if offset else 0


def models_source(models):
    """Text of ``builtin_models.c`` for ``[(name, container)]``."""
    lines = [
        "// Written by firmware/scripts/embed_models.py; do not edit.",
        '#include "builtin_models.h"',
        "",
    ]
    for number, (name, blob) in enumerate(models):
        digest = hashlib.sha256(blob).hexdigest()
        lines.append(f"// {name}: SHA-256 {digest}")
        lines.append(f"static const uint8_t model_{number}[{len(blob)}] __attribute__((aligned(16))) = {{")
        for at in range(0, len(blob), _BYTES_A_LINE):
            lines.append("    " + " ".join(f"0x{byte:02x}," for byte in blob[at : at + _BYTES_A_LINE]))
        lines += ["};", ""]
    lines.append("const cicada_model_t cicada_models[] = {")
    for number, (name, blob) in enumerate(models):
        lines.append(f'    {{"{name}", model_{number}, {len(blob)}}},')
    lines += ["};", f"const uint32_t cicada_models_count = {len(models)};", ""]
    return "\n".join(lines)


def operators_source(names):
    """Text of ``tflm_ops.h`` for operator names, at least one."""
    calls = " && ".join(f"(r).{method(name)}() == kTfLiteOk" for name in names)
    return "\n".join(
        [
            "// Written by firmware/scripts/embed_models.py; do not edit.",
            "// " + ", ".join(names),
            "#pragma once",
            f"#define CICADA_TFLM_OP_COUNT {len(names)}",
            f"#define CICADA_TFLM_ADD_OPS(r) ({calls})",
            "",
        ]
    )


def write(path, text):
    """Write ``text`` unless the file holds it already."""
    try:
        with open(path, encoding="utf-8") as file:
            if file.read() == text:
                return
    except OSError:
        pass
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)


def embed(models, extra, out):
    """Write the files into folder ``out``.

    Args:
        models: ``NAME=FILE`` each.
        extra: further operator names.

    Raises:
        Refused: with file and reason.
    """
    found, used = [], set()
    for argument in models:
        name, separator, path = argument.partition("=")
        if not separator or not re.match(r"^[A-Za-z0-9_]{1,31}$", name):
            raise Refused(f"'{argument}' is not NAME=FILE with a name of up to 31 letters, digits and _")
        if name in [other for other, _ in found]:
            raise Refused(f"two models are called '{name}'")
        try:
            with open(path, "rb") as file:
                blob = file.read()
            used.update(operators(model_of(blob)))
        except OSError as error:
            raise Refused(f"model container {path} cannot be read: {error.strerror}") from None
        except Refused as error:
            raise Refused(f"model container {path} cannot be built in: {error}") from None
        found.append((name, blob))
    for name in extra:
        if name not in NAMES.values():
            raise Refused(
                f"'{name}' in CICADA_TFLM_EXTRA_OPS is no operator of TensorFlow Lite Micro, e.g. ADD"
            )
        used.add(name)
    os.makedirs(out, exist_ok=True)
    write(os.path.join(out, "builtin_models.c"), models_source(found))
    listed = os.path.join(out, "tflm_ops.h")
    if used:
        write(listed, operators_source(sorted(used)))
    elif os.path.exists(listed):
        os.remove(listed)


def main():
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Write model containers as C.")
    parser.add_argument("models", nargs="+", metavar="NAME=FILE")
    parser.add_argument("-o", "--out", required=True, help="folder to write into")
    parser.add_argument("--extra-ops", default="", help="further operators, e.g. 'ADD;MEAN'")
    options = parser.parse_args()
    try:
        embed(options.models, re.findall(r"[^;, ]+", options.extra_ops), options.out)
    except (Refused, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
