"""The engine under AddressSanitizer and UndefinedBehaviorSanitizer: no fault, and the same results."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from engine.frontend_signals import mixtures, synthetic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cicada.tools import engine
from cicada.tools.errors import UserError

SYNTHETIC = synthetic()
#: Makes the fault its argument names; the sanitisers must report both.
FAULTS = """
#include <limits.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    int *volatile block = calloc(1, sizeof *block);
    volatile int at = argc - 1, large = INT_MAX;
    return argv[1][0] == 'm' ? block[at] : large + argc < 0;
}
"""


def sanitized_program(folder: Path, source: Path, *more: str | Path) -> Path:
    program = folder / source.stem
    engine.run_compiler([*engine.FLAGS, *engine.SANITIZE, "-o", program, source, *more])
    return program


@pytest.fixture(scope="module")
def sanitizers(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip (but never in CI) if the compiler has no sanitisers; check that those it has do report."""
    folder = tmp_path_factory.mktemp("sanitizers")
    for name, code in (("nothing.c", "int main(void) { return 0; }"), ("faults.c", FAULTS)):
        (folder / name).write_text(code)
    try:
        sanitized_program(folder, folder / "nothing.c")
    except UserError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"this compiler has no sanitisers: {error}")
    program = sanitized_program(folder, folder / "faults.c")
    for fault, report in (("memory", b"AddressSanitizer"), ("overflow", b"runtime error")):
        assert report in subprocess.run([program, fault], capture_output=True).stderr


@pytest.fixture(scope="module")
def driver(sanitizers: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = engine.build(sanitize=True)
    return sanitized_program(
        tmp_path_factory.mktemp("driver"),
        Path(__file__).with_name("frontend_driver.c"),
        f"-I{engine.ENGINE / 'frontend'}",
        library,
        f"-Wl,-rpath,{library.parent}",
    )


def check(driver: Path, pcm: np.ndarray, step_ms: int, chunk: int, rows: int) -> None:
    command = [driver, str(step_ms), str(chunk), str(rows)]
    result = subprocess.run(command, input=pcm.tobytes(), capture_output=True, timeout=60)
    assert result.returncode == 0, result.stderr.decode(errors="replace")
    raw = engine.FrontEnd(step_ms).feed(pcm)
    quantised = engine.quantise(raw)
    window = np.zeros((rows, engine.CHANNELS), np.int8)
    engine.FrontEnd(step_ms).push(pcm, window)
    assert result.stdout == raw.tobytes() * 2 + quantised.tobytes() + window.tobytes()


@pytest.mark.parametrize("step_ms", [10, 20])
def test_synthetic_sound_makes_no_fault(step_ms: int, driver: Path) -> None:
    for chunk, pcm in enumerate(SYNTHETIC.values(), start=150):
        check(driver, pcm, step_ms, chunk, 49)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(mixtures(), st.sampled_from([10, 20]), st.integers(1, 2000), st.integers(0, 60))
def test_no_mixture_makes_a_fault(driver: Path, pcm: np.ndarray, step_ms: int, chunk: int, rows: int) -> None:
    check(driver, pcm, step_ms, chunk, rows)
