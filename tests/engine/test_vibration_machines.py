"""The vibration front end under sanitizers and on RV32: no fault, the same bytes, the instructions told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from engine.test_engine_sanitized import sanitized_program, sanitizers  # noqa: F401
from engine.test_instruction_count import emulator  # noqa: F401
from engine.vibration_signals import signals
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cicada.tools import engine, vibration
from cicada.tools.bench import machine
from cicada.tools.bench import vibration as bench
from cicada.tools.errors import UserError
from cicada.tools.vibration import LIMIT


@pytest.fixture(scope="module")
def driver(sanitizers: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    library = engine.build(sanitize=True)
    return sanitized_program(
        tmp_path_factory.mktemp("driver"),
        Path(__file__).with_name("vibration_driver.c"),
        f"-I{engine.ENGINE / 'vibration'}",
        library,
        f"-Wl,-rpath,{library.parent}",
    )


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.data(),
    st.sampled_from(vibration.SAMPLES),
    st.integers(8, 32),
    st.sampled_from([1, 3]),
    st.integers(1, 256),
    st.just(0) | st.integers(8, 32),
    st.none() | st.tuples(st.integers(1, LIMIT - 1), st.integers(0, LIMIT - 1)),
)
def test_no_signal_makes_a_fault(driver: Path, data, samples, bands, axes, chunk, envelope, speed) -> None:
    rate, turns = speed if speed and envelope else (0, 0)
    window = st.one_of(
        signals(samples), st.sampled_from([-32768, 32767]).map(lambda v: np.full(samples, v, np.int16))
    )
    frames = np.stack([data.draw(window) for _ in range(axes)], 1)
    result = subprocess.run(
        [driver, *map(str, (samples, bands, axes, chunk, envelope, rate, turns))],
        input=frames.tobytes(),
        capture_output=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr.decode(errors="replace")
    told = (rate / 10, turns / 10) if rate else ()
    assert result.stdout == vibration.features(frames, samples, bands, envelope, *told).tobytes()


@pytest.mark.parametrize("samples", vibration.SAMPLES)
@pytest.mark.parametrize(("bands", "axes", "envelope"), [(8, 1, 0), (16, 3, 0), (32, 3, 32), (16, 1, 8)])
def test_instructions_are_those_told_and_bytes_the_same(samples, bands, axes, envelope, emulator) -> None:  # noqa: F811
    rng = np.random.default_rng(samples + bands)
    frames = np.concatenate([rng.normal(0, size, (samples, axes)) for size in (0.3, 20, 5000, 60000)])
    frames = frames.round().clip(-32768, 32767).astype(np.int16)
    measured = bench.measure(frames, samples, bands, envelope)
    np.testing.assert_array_equal(measured.features, vibration.features(frames, samples, bands, envelope))
    told = vibration.instructions(samples, bands, axes, envelope)
    assert measured.instructions[1:].astype(int) == pytest.approx(told, rel=0.01)
    assert measured.nops == machine.NOPS
    assert measured.state_bytes == vibration.state_size(samples, bands, axes, envelope)
    assert 64 < measured.stack_bytes < 512


def test_flash_is_small(emulator) -> None:  # noqa: F811
    assert 4000 < bench.flash_bytes() < 6500


def test_too_many_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="takes 16384 samples, not 18000"):
        bench.measure(np.zeros((6000, 3), np.int16), 512, 16)


def test_a_program_that_writes_nothing_is_said_in_one_sentence(emulator, monkeypatch) -> None:  # noqa: F811
    monkeypatch.setattr(machine, "EMULATOR", ("true",))
    with pytest.raises(UserError, match="wrote no whole result"):
        bench.measure(np.zeros((256, 1), np.int16), 256, 8)
