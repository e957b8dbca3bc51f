"""The fuzz target: the corpus runs, and some seconds of mutations find nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from engine.replaying import CORPUS, FAILED, FUZZ, RUNTIME, build, replay

from cicada.tools.bench.blob import about
from cicada.training.pack.format import RECORDS

_CLANG = ("clang", *(f"clang-{version}" for version in range(21, 10, -1)))
_FLAGS = ("-std=c99", "-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The target with libFuzzer; skips without a clang that has it, but fails where tools are required."""
    program = tmp_path_factory.mktemp("fuzzer") / "packed_fuzzer"
    sources = [FUZZ / "packed_fuzzer.c", *sorted(RUNTIME.glob("*.c"))]
    problem = "no clang"
    for name in filter(shutil.which, _CLANG):
        command = [name, *_FLAGS, f"-I{RUNTIME}", "-o", program, *sources]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if result.returncode == 0:
            return program
        problem = result.stderr[:2000]
    hint = f"apt install clang-14 libclang-rt-14-dev: {problem}"
    if os.environ.get("CICADA_REQUIRE_TOOLS") == "1":
        pytest.fail(hint)
    pytest.skip(hint)


def test_the_corpus_runs_under_sanitizers(tmp_path: Path) -> None:
    program = build(tmp_path)
    assert set(replay(program, CORPUS)) == {"ran"}
    assert len(replay(program, FAILED)) == len(FAILED)


def test_the_corpus_has_every_kind_of_operator() -> None:
    assert {kind for blob in CORPUS for kind in about(blob).kinds} == set(RECORDS)


def test_mutations_find_nothing(fuzzer: Path, tmp_path: Path) -> None:
    limits = ("-seed=1", "-runs=400000", "-max_total_time=15", "-timeout=10", "-max_len=4096")
    command = [fuzzer, *limits, tmp_path, FUZZ / "corpus"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr[-6000:]
    # More of the code is reached than by the corpus alone: mutations get past the CRC.
    covered = [int(part.split()[0]) for part in result.stderr.split("cov: ")[1:]]
    assert covered[-1] > covered[0]
