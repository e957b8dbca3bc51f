"""``cicada pack`` and ``cicada inspect`` as a person meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cicada.tools.engine import ENGINE
from cicada.tools.packed import PackedModel
from cicada.tools.paths import FIRMWARE
from cicada.tools.tflm import Interpreter
from cicada.training import container
from cicada.training.pack import format, pack
from cicada.training.pack.carray import c_sources

TFLITE = FIRMWARE / "models" / "kws.tflite"


def cicada(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cicada.tools.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def refused(*arguments: str | Path) -> str:
    """Run what must be refused; returns its one line."""
    ran = cicada(*arguments)
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1 and ran.stderr.startswith("cicada: ")
    return ran.stderr


def test_a_model_is_packed_beside_itself(tmp_path):
    model = tmp_path / "kws.tflite"
    model.write_bytes(TFLITE.read_bytes())
    ran = cicada("pack", model)
    assert ran.returncode == 0, ran.stderr
    blob = (tmp_path / "kws.cpm").read_bytes()
    assert blob == pack(TFLITE.read_bytes()).blob
    assert f"{len(blob):,}" in ran.stdout and str(tmp_path / "kws.cpm") in ran.stdout


def test_a_container_keeps_its_manifest_and_gets_the_packed_model(tmp_path):
    tflite = TFLITE.read_bytes()
    about = {"type": "kws", "labels": ["a", "b"], "arena": 1, "engine": "TFLM"}
    path = tmp_path / "mine.cmod"
    path.write_bytes(container.pack(about, tflite))
    assert cicada("pack", path).returncode == 0
    found, model = container.unpack(path.read_bytes())
    made = pack(tflite)
    assert bytes(model) == made.blob
    assert found["labels"] == ["a", "b"] and found["engine"] == "packed" and found["arena"] == made.plan.arena


def test_a_container_gets_another_form_of_its_model(tmp_path):
    path = tmp_path / "mine.cmod"
    path.write_bytes(container.pack({"type": "kws", "labels": ["a"]}, b"whatever it was"))
    assert cicada("pack", TFLITE, "--into", path).returncode == 0
    found, model = container.unpack(path.read_bytes())
    assert bytes(model) == pack(TFLITE.read_bytes()).blob and found["labels"] == ["a"]
    assert "no container" in refused("pack", TFLITE, "--into", TFLITE)


def test_the_built_in_model_is_packed_as_it_would_be_now():
    _, model = container.unpack((FIRMWARE / "models" / "kws.cmod").read_bytes())
    assert bytes(model) == pack(TFLITE.read_bytes()).blob  # else: cicada pack kws.tflite --into kws.cmod


def test_inspect_says_the_same_of_a_model_before_and_after(tmp_path):
    cicada("pack", TFLITE, "-o", tmp_path / "kws.cpm")
    before, after = (
        json.loads(cicada("inspect", "--json", path).stdout) for path in (TFLITE, tmp_path / "kws.cpm")
    )
    for one in after["operators"]:
        assert one["name"] == "" and one["instructions"] is None
    for name in ("size", "arena", "macs", "instructions", "weights", "input", "output"):
        assert before[name] == after[name]
    assert sum(one["macs"] for one in before["operators"]) == before["macs"]
    assert sum(one["instructions"] for one in before["operators"]) == before["instructions"]
    assert before["bound"] <= before["arena"] == max(p["at"] + p["size"] for p in before["pieces"])


def test_inspect_is_readable(tmp_path):
    ran = cicada("inspect", TFLITE)
    assert ran.returncode == 0
    assert "depthwise" in ran.stdout and "softmax" in ran.stdout and "scratch of 1" in ran.stdout
    assert max(map(len, ran.stdout.splitlines()[:-1])) <= 80
    assert "int8[1, 49, 40, 1]" in ran.stdout


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "TFL3"),
        (b"\x1c\0\0\0TFL3" + bytes(100), "model"),
        (TFLITE.read_bytes()[:5000], "model"),
        (b"CMOD" + bytes(100), "container"),
        (b"CPM1" + bytes(100), "packed"),
    ],
    ids=["empty", "zeros", "cut", "container", "packed"],
)
def test_what_is_no_model_is_refused_and_nothing_written(tmp_path, data, reason):
    path = tmp_path / "x.tflite"
    path.write_bytes(data)
    text = refused("pack", path)
    assert str(path) in text and reason in text
    refused("inspect", path)
    assert [file.name for file in tmp_path.iterdir()] == ["x.tflite"]


def test_a_missing_file_is_named(tmp_path):
    assert "no such file" in refused("pack", tmp_path / "nowhere.tflite")
    assert "no such file" in refused("inspect", tmp_path / "nowhere.tflite")


_MAIN = r"""
#include <stdio.h>
#include <string.h>
#include "my_words.h"
#include "runtime/cpm.h"
static uint32_t arena[(MY_WORDS_ARENA + 3) / 4];
static cpm_model model;
int main(void) {
    const char *wrong = cpm_check(my_words_data, MY_WORDS_LEN);
    if (wrong) {
        puts(wrong);
        return 1;
    }
    cpm_open(&model, my_words_data, arena);
    if (!cpm_selftest(&model)) {
        return 2;
    }
    while (fread(cpm_input(&model), MY_WORDS_INPUT_LEN, 1, stdin) == 1) {
        cpm_invoke(&model);
        fwrite(cpm_output(&model), MY_WORDS_OUTPUT_LEN, 1, stdout);
    }
    return 0;
}
"""


def test_the_c_sources_are_a_program_with_only_the_kernels_it_needs(tmp_path):
    assert cicada("pack", TFLITE, "-o", tmp_path / "my-words.cpm", "--c-array", tmp_path).returncode == 0
    (tmp_path / "main.c").write_text(_MAIN)
    table = (tmp_path / "my_words_kernels.c").read_text()
    assert "cpm_kernel_softmax" in table and "cpm_kernel_max_pool" not in table
    sources = [source for source in sorted((ENGINE / "runtime").glob("*.c")) if source.name != "kernels.c"]
    made = [tmp_path / name for name in ("main.c", "my_words.c", "my_words_kernels.c")]
    flags = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-Wpedantic", f"-I{ENGINE}"]
    command = ["cc", *flags, "-o", tmp_path / "program", *made, *sources]
    subprocess.run(list(map(str, command)), check=True)
    features = np.random.default_rng(1).integers(-128, 128, (4, 1960)).astype(np.int8)
    ran = subprocess.run([tmp_path / "program"], input=features.tobytes(), capture_output=True, check=True)
    oracle = Interpreter(TFLITE.read_bytes())
    assert ran.stdout == b"".join(oracle.invoke(row).tobytes() for row in features)


def test_c_sources_are_plain_ascii_and_the_same_each_time():
    blob = pack(TFLITE.read_bytes()).blob
    texts = c_sources(blob, "kws")
    assert sorted(texts) == ["kws.c", "kws.h", "kws_kernels.c"] and texts == c_sources(blob, "kws")
    assert all(text.isascii() and max(map(len, text.splitlines())) <= 110 for text in texts.values())


def test_packing_is_deterministic_and_checked_by_its_own_self_test():
    one, two = pack(TFLITE.read_bytes()), pack(TFLITE.read_bytes())
    assert one.blob == two.blob and PackedModel(one.blob).selftest()
    assert format.unpack(one.blob).header["selftest_steps"] > 0
