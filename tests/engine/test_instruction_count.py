"""Instructions of the front end on RV32IMC: counted right, and by a build that gives the same features."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from engine.frontend_signals import mixtures, synthetic
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools import engine
from cicada.tools.bench import frontend, machine
from cicada.tools.board import load_board
from cicada.tools.errors import UserError


@pytest.fixture(scope="session")
def emulator() -> None:
    """Skip without the Debian packages; with ``CICADA_REQUIRE_SHARED=1`` (as in CI) fail instead."""
    problem = machine.available()
    if problem and os.environ.get("CICADA_REQUIRE_SHARED") == "1":
        pytest.fail(problem)
    if problem:
        pytest.skip(problem)


@pytest.fixture(scope="session")
def counts(emulator: None) -> dict[int, frontend.Counts]:
    return {step: frontend.count_frontend(step) for step in (10, 20)}


def check_features(pcm: np.ndarray, step_ms: int) -> None:
    emulated = frontend.measure(pcm, step_ms)
    expected = engine.FrontEnd(step_ms).feed(pcm)
    assert len(emulated.instructions) == len(expected)
    np.testing.assert_array_equal(emulated.features, expected)
    np.testing.assert_array_equal(emulated.rows, engine.quantise(expected))


@pytest.mark.parametrize("step_ms", [10, 20])
def test_features_on_32_bits_are_the_hosts(emulator: None, step_ms: int) -> None:
    sound = np.concatenate([*synthetic().values(), frontend.speech_like()])
    longest = frontend.LONGEST_S * engine.RATE
    for start in range(0, len(sound), longest):
        check_features(sound[start : start + longest], step_ms)


@settings(max_examples=20, deadline=None)
@given(mixtures(), st.sampled_from([10, 20]))
def test_no_mixture_has_other_features_on_32_bits(emulator: None, pcm: np.ndarray, step_ms: int) -> None:
    check_features(pcm, step_ms)


def test_counts_are_the_same_each_run(emulator: None) -> None:
    first, second = (frontend.measure(frontend.speech_like(2), 20) for _ in range(2))
    np.testing.assert_array_equal(first.instructions, second.instructions)
    assert len(set(first.instructions.tolist())) > 10


def test_counter_counts_a_known_number_of_instructions(emulator: None) -> None:
    assert frontend.measure(frontend.speech_like(1), 10).nops == machine.NOPS


def test_counts_are_those_of_an_instruction_trace(emulator: None, tmp_path: Path) -> None:
    """QEMU's log of every single instruction is the oracle: it knows nothing of the counter."""
    elf = frontend.build() / "harness.elf"
    shutil.copy(elf, tmp_path)
    frontend.write_input(tmp_path, frontend.speech_like(1)[4000 : 4000 + 480 + 320], 20)
    trace = tmp_path / "trace"
    one_by_one = ("-singlestep", "-d", "nochain,exec", "-D", trace)
    subprocess.run([*machine.EMULATOR, *one_by_one], cwd=tmp_path, check=True, capture_output=True)
    counted = frontend.read_output(tmp_path).instructions

    addresses = [int(at, 16) for at in re.findall(r"/([0-9a-f]{8})/[0-9a-f]+/", trace.read_text())]
    # An instruction that an event of the emulator kept from starting is logged twice.
    executed = [b for a, b in zip([0, *addresses], addresses, strict=False) if a != b]
    listing = subprocess.run(
        ["riscv64-unknown-elf-objdump", "-d", elf], capture_output=True, text=True, check=True
    ).stdout
    readings = {int(at, 16) for at in re.findall(r"^ *([0-9a-f]+):.*minstret", listing, re.M)}
    read_at = [n for n, address in enumerate(executed) if address in readings]
    # Each frame is measured by four readings: before, after, and two with nothing between them. What
    # lies between the first two includes the first itself, which the harness subtracts.
    between = [b - a - 1 for a, b in zip(read_at[::4], read_at[1::4], strict=True)]
    assert len(counted) == 2
    assert between[: len(counted)] == counted.tolist()


def test_the_twins_figure_is_the_measured_one(counts: dict[int, frontend.Counts]) -> None:
    figure = load_board("twin").CYCLES["per_frame"]
    assert figure == pytest.approx(counts[20].cycles_per_frame, rel=0.02)


def test_silence_takes_less_than_sound(counts: dict[int, frontend.Counts]) -> None:
    for count in counts.values():
        assert count.instructions_silence < count.instructions_per_frame < count.instructions_max


def test_memory_is_what_host_and_size_say(counts: dict[int, frontend.Counts]) -> None:
    objects = sorted(machine.objects("frontend").glob("*.o"))
    assert len(objects) == len(list((engine.ENGINE / "frontend").glob("*.c")))
    listing = subprocess.run(
        ["riscv64-unknown-elf-size", "--totals", *objects], capture_output=True, text=True, check=True
    ).stdout
    total, data, bss = map(int, listing.splitlines()[-1].split()[:3])
    for count in counts.values():
        assert count.state_bytes == engine.state_size()
        assert count.code_bytes + count.table_bytes == total
        assert count.table_bytes > count.code_bytes / 10
        # What nobody calls is left out; the linker makes calls shorter and adds gaps.
        assert total - 1024 < count.flash_bytes < total + 64
        assert 100 < count.stack_bytes < 2048
    assert data == bss == 0


def test_input_is_the_same_everywhere() -> None:
    sound = frontend.speech_like()
    assert (sound.dtype, len(sound)) == (np.int16, 8 * engine.RATE)
    assert np.abs(sound.astype(int)).max() > 20000
    digest = hashlib.sha256(sound.astype("<i2").tobytes()).hexdigest()
    assert digest[:16] == "0a5a493fd04b4418"


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    everything = "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf qemu-system-misc"
    assert machine.available().endswith(f"apt install {everything}")
    with pytest.raises(UserError, match="qemu-system-misc"):
        frontend.count_frontend(20)
    for name in ("qemu-system-riscv32", "riscv64-unknown-elf-size", "riscv64-unknown-elf-gcc"):
        (tmp_path / name).write_text("#!/bin/sh\necho picolibc.specs\n")
        (tmp_path / name).chmod(0o755)
    # A compiler that does not find a file repeats its bare name.
    assert machine.available().endswith("apt install picolibc-riscv64-unknown-elf")
    (tmp_path / "riscv64-unknown-elf-gcc").write_text("#!/bin/sh\necho /lib/picolibc.specs\n")
    assert machine.available() is None


def test_failing_programs_are_said_in_one_sentence(emulator: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "EMULATOR", ("ls", "no-such-file"))
    with pytest.raises(UserError, match=r"ls failed \(2\): .*no-such-file"):
        frontend.measure(frontend.speech_like(1), 20)
    monkeypatch.setattr(machine, "EMULATOR", ("true",))
    with pytest.raises(UserError, match="wrote no whole result"):
        frontend.measure(frontend.speech_like(1), 20)


def test_wrong_steps_and_long_sounds_are_refused() -> None:
    with pytest.raises(ValueError, match="10 or 20, not 15"):
        frontend.measure(frontend.speech_like(1), 15)
    with pytest.raises(ValueError, match=r"takes 16 s of sound, not 17\.0 s"):
        frontend.measure(frontend.speech_like(17), 20)
