"""What the build makes of model containers: a C source and TFLM's operator list."""

from __future__ import annotations

import importlib.util
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from cicada.tools.paths import FIRMWARE
from cicada.training.container import pack, unpack
from cicada.training.flatbuffer import describe

SCRIPT = FIRMWARE / "scripts" / "embed_models.py"
PACKED = FIRMWARE / "models" / "kws.cmod"
TFLITE = FIRMWARE / "models" / "kws.tflite"


@pytest.fixture(scope="module")
def for_tflm(tmp_path_factory):
    """The built-in model in a container for TFLM."""
    path = tmp_path_factory.mktemp("tflm") / "kws.cmod"
    path.write_bytes(pack({"type": "kws"}, TFLITE.read_bytes()))
    return path


@pytest.fixture(scope="module")
def script():
    """The script as a module."""
    before, quiet = list(sys.path), sys.dont_write_bytecode
    try:
        spec = importlib.util.spec_from_file_location("embed_models", SCRIPT)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path[:], sys.dont_write_bytecode = before, quiet


def run(out, *arguments):
    """The script as CMake runs it."""
    command = [sys.executable, "-I", str(SCRIPT), "-o", str(out), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def flatbuffer(code, name="", field=3):
    """A minimal model: one operator, its code in ``builtin_code`` (field 3) or in the old field 0.

    Tables are written by hand, each after its vtable: positions are counted from the start of the file.
    """
    out = bytearray(b"\0\0\0\0TFL3")
    patches = []

    def table(*slots):
        """A table of 4-byte fields, None for one that is absent; returns the positions of its fields."""
        offsets, at = [], 4
        for slot in slots:
            offsets.append(0 if slot is None else at)
            at += 0 if slot is None else 4
        size = 4 + 2 * len(slots)
        size += -size % 4
        out.extend(struct.pack(f"<HH{len(slots)}H", 4 + 2 * len(slots), at, *offsets).ljust(size, b"\0"))
        start = len(out)
        out.extend(struct.pack("<i", size))
        for slot in slots:
            if slot is not None:
                out.extend(slot)
        return start, [start + offset if offset else None for offset in offsets]

    def vector():
        start = len(out)
        out.extend(struct.pack("<II", 1, 0))
        return start, start + 4

    hole = bytes(4)
    root, (_, codes, graphs) = table(None, hole, hole)
    struct.pack_into("<I", out, 0, root)
    number = struct.pack("<i", code)
    for where, make in ((codes, "code"), (graphs, "graph")):
        start, item = vector()
        patches.append((where, start))
        if make == "code":
            slots = [
                number if field == 0 else None,
                hole if name else None,
                None,
                number if field == 3 else None,
            ]
            at, fields = table(*slots)
            patches.append((item, at))
            if name:
                patches.append((fields[1], len(out)))
                out.extend(struct.pack("<I", len(name)) + name.encode() + b"\0")
                out.extend(bytes(-len(out) % 4))
        else:
            at, fields = table(None, None, None, hole)
            patches.append((item, at))
            operators, operator = vector()
            patches.append((fields[3], operators))
            patches.append((operator, table(None)[0]))
    for where, to in patches:
        struct.pack_into("<I", out, where, to - where)
    return bytes(out)


def test_the_operators_are_those_the_host_finds(script, for_tflm):
    assert script.operators(script.model_of(PACKED.read_bytes())) == []
    blob = for_tflm.read_bytes()
    expected = sorted(set(describe(bytes(unpack(blob)[1])).operators))
    assert script.operators(script.model_of(blob)) == expected
    assert "CONV_2D" in expected


@pytest.mark.parametrize(
    "name", ["kws_ref_model", "ad01_int8", "pretrainedResnet_quant", "micro_speech_quantized"]
)
def test_operators_of_other_peoples_models(script, shared_data, name):
    model = (shared_data / "models" / f"{name}.tflite").read_bytes()
    assert script.operators(model) == sorted(set(describe(model).operators))


def test_every_operator_has_a_method_of_tflms_resolver(script):
    # Checked against what a reader of micro_mutable_op_resolver.h expects, where the name is not regular.
    assert script.method("CONV_2D") == "AddConv2D" and script.method("SOFTMAX") == "AddSoftmax"
    assert script.method("RESIZE_NEAREST_NEIGHBOR") == "AddResizeNearestNeighbor"
    assert script.method("UNIDIRECTIONAL_SEQUENCE_LSTM") == "AddUnidirectionalSequenceLSTM"
    assert script.method("PADV2") == "AddPadV2" and script.method("CUMSUM") == "AddCumSum"


def test_the_codes_are_the_schemas(script):
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    assert {name: getattr(schema.BuiltinOperator, name) for name in script.NAMES.values()} == {
        name: code for code, name in script.NAMES.items()
    }


def test_a_handmade_model_is_read_as_the_host_reads_it():
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(flatbuffer(32, "Mine"), 0))
    assert [(code.builtinCode, code.customCode) for code in model.operatorCodes] == [(32, b"Mine")]
    assert [operator.opcodeIndex for operator in model.subgraphs[0].operators] == [0]


@pytest.mark.parametrize("field", [0, 3])
def test_old_and_new_converters_write_the_code_in_different_fields(script, field):
    assert script.operators(flatbuffer(25, field=field)) == ["SOFTMAX"]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (flatbuffer(32, "Mine"), "custom operator 'Mine'"),
        (flatbuffer(15), "builtin operator 15, which TensorFlow Lite Micro does not have"),
        (flatbuffer(25)[:60], "flatbuffer is damaged"),
        (b"\xff\xff\xff\x7fTFL3" + bytes(60), "flatbuffer is damaged"),
    ],
)
def test_what_cannot_run_is_refused_in_one_line(tmp_path, model, reason):
    (tmp_path / "m.cmod").write_bytes(pack({"type": "kws"}, model))
    ran = run(tmp_path / "out", f"kws={tmp_path / 'm.cmod'}")
    assert ran.returncode == 1 and ran.stderr.count("\n") == 1
    assert reason in ran.stderr and str(tmp_path / "m.cmod") in ran.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda b: b[:-1], "lengths do not fit"),
        (lambda b: b[:-1] + bytes([b[-1] ^ 1]), "SHA-256 does not match"),
        (lambda b: b"XMOD" + b[4:], "not a model container"),
        (lambda b: b[:4] + b"\2" + b[5:], "container format 2"),
        (lambda b: b[:30], "not a model container"),
    ],
)
def test_a_damaged_container_is_refused(script, damage, reason):
    with pytest.raises(script.Refused, match=reason):
        script.model_of(damage(PACKED.read_bytes()))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["kws"], "is not NAME=FILE"),
        (["k-w-s=x"], "is not NAME=FILE"),
        (["kws=missing.cmod"], "cannot be read: No such file"),
        ([f"kws={PACKED}", f"kws={PACKED}"], "two models are called 'kws'"),
        ([f"kws={PACKED}", "--extra-ops", "ADD;NOPE"], "'NOPE' in CICADA_TFLM_EXTRA_OPS"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, arguments, reason):
    ran = run(tmp_path, *arguments)
    assert ran.returncode == 1 and reason in ran.stderr and ran.stderr.count("\n") == 1


def test_operators_for_models_to_come_are_added(tmp_path, for_tflm):
    assert run(tmp_path, f"kws={for_tflm}", "--extra-ops", "MEAN;ADD").returncode == 0
    text = (tmp_path / "tflm_ops.h").read_text()
    assert "(r).AddMean() == kTfLiteOk" in text and "(r).AddAdd() == kTfLiteOk" in text
    assert "#define CICADA_TFLM_OP_COUNT 7\n" in text


def test_packed_models_alone_need_no_tflm(tmp_path, for_tflm):
    for models, files in (
        ([PACKED], ["builtin_models.c"]),
        ([PACKED, for_tflm], ["builtin_models.c", "tflm_ops.h"]),
        ([PACKED], ["builtin_models.c"]),
    ):
        named = [f"m{number}={path}" for number, path in enumerate(models)]
        assert run(tmp_path, *named).returncode == 0
        assert sorted(file.name for file in tmp_path.iterdir()) == files


def test_unchanged_output_is_not_written_again(tmp_path, for_tflm):
    run(tmp_path, f"kws={for_tflm}")
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["builtin_models.c", "tflm_ops.h"]
    for file in files:
        os.utime(file, (1, 1))
    run(tmp_path, f"kws={for_tflm}")
    assert [file.stat().st_mtime for file in files] == [1, 1]
    run(tmp_path, f"other={for_tflm}")
    assert [file.stat().st_mtime == 1 for file in files] == [False, True]


_HARNESS = """
#include <stdio.h>
#include <stdint.h>
#include "builtin_models.h"
int main(void) {
    for (uint32_t i = 0; i < cicada_models_count; i++) {
        printf("%s %u %u\\n", cicada_models[i].name, (unsigned)cicada_models[i].size,
               (unsigned)((uintptr_t)cicada_models[i].data % 16));
        fwrite(cicada_models[i].data, 1, cicada_models[i].size, stderr);
    }
    return 0;
}
"""


def test_the_source_compiles_cleanly_and_holds_the_containers(tmp_path):
    header = FIRMWARE / "modules" / "nn" / "builtin_models.h"
    assert run(tmp_path, f"kws={PACKED}", f"second_1={PACKED}").returncode == 0
    shutil.copy(header, tmp_path)
    (tmp_path / "main.c").write_text(_HARNESS)
    sources = [str(tmp_path / name) for name in ("main.c", "builtin_models.c")]
    flags = "-std=c99 -Wall -Wextra -Wpedantic -Werror -O1".split()
    subprocess.run(["cc", *flags, "-o", str(tmp_path / "p"), *sources], check=True)
    ran = subprocess.run([str(tmp_path / "p")], capture_output=True, check=True)
    size = len(PACKED.read_bytes())
    assert ran.stdout.decode().splitlines() == [f"kws {size} 0", f"second_1 {size} 0"]
    assert ran.stderr == PACKED.read_bytes() * 2


def test_the_operator_list_is_an_expression_for_a_resolver(tmp_path, for_tflm):
    run(tmp_path, f"kws={for_tflm}")
    methods = "Conv2D DepthwiseConv2D FullyConnected Softmax AveragePool2D".split()
    (tmp_path / "t.cc").write_text(
        '#include "tflm_ops.h"\nenum { kTfLiteOk };\nstruct R {\n    int n = 0;\n'
        + "".join(f"    int Add{m}() {{ n++; return 0; }}\n" for m in methods)
        + "};\nint main() {\n    R r;\n    if (!CICADA_TFLM_ADD_OPS(r)) return 1;\n"
        "    return r.n != CICADA_TFLM_OP_COUNT;\n}\n"
    )
    command = ["c++", "-std=c++17", "-Wall", "-Werror", "-o", str(tmp_path / "p"), str(tmp_path / "t.cc")]
    subprocess.run(command, check=True)
    assert subprocess.run([str(tmp_path / "p")], check=False).returncode == 0


def test_it_needs_nothing_but_the_standard_library(tmp_path):
    # -I -S: no site-packages, no environment, as little as any Python has.
    command = [sys.executable, "-I", "-S", str(SCRIPT), "-o", str(tmp_path), f"kws={PACKED}"]
    subprocess.run(command, check=True, capture_output=True)
    assert not (Path(SCRIPT).parent / "__pycache__").exists()
