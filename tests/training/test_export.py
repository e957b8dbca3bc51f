"""The C array compiles without a warning and holds the model's bytes."""

from __future__ import annotations

import json
import subprocess

import pytest

from cicada.tools.engine import compiler
from cicada.training.export import c_sources

MODEL = bytes((i * 37 + 11) & 255 for i in range(1003))
ABOUT = {
    "labels": ["_silence_", "_unknown_", "yes", 'a"b\\c??/1é*/'],
    "frontend": {"rate": 16000, "window_ms": 30, "step_ms": 20, "channels": 40, "frames": 49},
    "input": {"shape": [1, 49, 40, 1], "scale": 1 / 128, "zero_point": 0},
    "output": {"shape": [1, 4], "scale": 1 / 256, "zero_point": -128},
    "engine": "packed",
    "arena": 23456,
    "decision": {"hop_frames": 5, "window": 4, "threshold": 0.85, "refractory_ms": 1000},
}
# Prints what a program that includes the header sees, and the array to the file named on its command line.
PROGRAM = r"""
#include <stdio.h>
#include "kws_model.h"
int main(int argc, char **argv) {
    static const int in[KWS_MODEL_INPUT_RANK] = KWS_MODEL_INPUT_SHAPE;
    static const int out[KWS_MODEL_OUTPUT_RANK] = KWS_MODEL_OUTPUT_SHAPE;
    FILE *f = argc > 1 ? fopen(argv[1], "wb") : NULL;
    if (!f || fwrite(kws_model_data, 1, sizeof kws_model_data, f) != KWS_MODEL_LEN || fclose(f)) return 1;
    for (int i = 0; i < KWS_MODEL_LABEL_COUNT; i++) {
        FILE *l = fopen(argv[2], i ? "ab" : "wb");
        if (!l || fprintf(l, "%s\n", kws_model_labels[i]) < 0 || fclose(l)) return 1;
    }
    printf("{\"in\": [%d, %d, %d, %d], \"out\": [%d, %d], \"aligned\": %d, \"len\": %d, ", in[0], in[1],
           in[2], in[3], out[0], out[1], (int)((uintptr_t)kws_model_data % 16), (int)sizeof kws_model_data);
    printf("\"scales\": [%.9g, %.9g], \"zeros\": [%d, %d], \"threshold\": %.9g, \"sha\": \"%s\"}",
           (double)KWS_MODEL_INPUT_SCALE, (double)KWS_MODEL_OUTPUT_SCALE, KWS_MODEL_INPUT_ZERO_POINT,
           KWS_MODEL_OUTPUT_ZERO_POINT, (double)KWS_MODEL_DECISION_THRESHOLD, KWS_MODEL_SHA256);
    return 0;
}
"""


def test_the_compiled_array_is_the_model(tmp_path):
    header, source = c_sources(MODEL, ABOUT)
    (tmp_path / "kws_model.h").write_text(header, encoding="ascii")
    (tmp_path / "kws_model.c").write_text(source, encoding="ascii")
    (tmp_path / "main.c").write_text(PROGRAM)
    flags = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wno-trigraphs", "-Wno-pedantic"]
    strict = ["-std=c99", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*compiler(), *strict, "-c", "kws_model.c", "-o", "m.o"], cwd=tmp_path, check=True)
    subprocess.run([*compiler(), *flags, "main.c", "m.o", "-o", "show"], cwd=tmp_path, check=True)
    seen = json.loads(
        subprocess.run(["./show", "data", "labels"], cwd=tmp_path, check=True, capture_output=True).stdout
    )
    import hashlib

    import numpy as np

    assert (tmp_path / "data").read_bytes() == MODEL
    assert (tmp_path / "labels").read_text(encoding="utf-8").splitlines() == ABOUT["labels"]
    assert seen["in"] == ABOUT["input"]["shape"] and seen["out"] == ABOUT["output"]["shape"]
    assert seen["aligned"] == 0 and seen["len"] == len(MODEL)
    assert seen["scales"] == [1 / 128, 1 / 256] and seen["zeros"] == [0, -128]
    assert np.float32(seen["threshold"]) == np.float32(0.85)
    assert seen["sha"] == hashlib.sha256(MODEL).hexdigest()


def test_the_same_input_gives_the_same_text():
    assert c_sources(MODEL, ABOUT) == c_sources(bytes(MODEL), json.loads(json.dumps(ABOUT)))


@pytest.mark.parametrize("value", [1 / 128, 0.1, 1.0, 3.4e-7, 0.5847029089927673])
def test_numbers_read_back_as_the_same_float32(value, tmp_path):
    import numpy as np

    about = {**ABOUT, "input": {**ABOUT["input"], "scale": value}}
    header, _ = c_sources(MODEL, about)
    (line,) = [line for line in header.splitlines() if "INPUT_SCALE" in line]
    literal = line.split()[-1]
    assert literal.endswith("f") and ("." in literal or "e" in literal)
    assert np.float32(literal[:-1]) == np.float32(value)


def test_a_model_for_pictures_says_how_large_they_are():
    about = {**ABOUT, "frontend": {"kind": "image", "width": 96, "height": 64}}
    del about["decision"]
    header, source = c_sources(MODEL, about, "door_model")
    assert "#define DOOR_MODEL_WIDTH 96\n#define DOOR_MODEL_HEIGHT 64\n" in header
    assert "SAMPLE_RATE" not in header and "door_model_data" in source
