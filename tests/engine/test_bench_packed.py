"""Packed models on the emulated machine: counted right, and what they write is seen."""

from __future__ import annotations

import os
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from engine.programs import blob, separable

from cicada.tools.bench import blob as blobs
from cicada.tools.bench import host, machine, packed
from cicada.tools.errors import UserError
from cicada.tools.packed import MODEL_BYTES, PackedModel


@pytest.fixture(scope="module")
def emulator() -> None:
    """Skip without the Debian packages; with ``CICADA_REQUIRE_SHARED=1`` (as in CI) fail instead."""
    problem = machine.available()
    if problem and os.environ.get("CICADA_REQUIRE_SHARED") == "1":
        pytest.fail(problem)
    if problem:
        pytest.skip(problem)


@pytest.fixture(scope="module")
def model() -> bytes:
    return blob(separable())


@pytest.fixture(scope="module")
def cost(emulator: None, model: bytes) -> packed.Cost:
    return packed.count(model)


def test_outputs_are_those_of_this_machine(cost: packed.Cost, model: bytes) -> None:
    here = PackedModel(model)
    values = packed.inputs(model)
    expected = [here.invoke(one.view(np.int8)).view(np.uint8) for one in values]
    np.testing.assert_array_equal(cost.outputs, expected)
    assert len({one.tobytes() for one in cost.outputs}) == len(values)


def test_operators_make_up_the_inference(cost: packed.Cost) -> None:
    assert len(cost.operators) == 4
    assert sum(cost.operators) < cost.instructions < 1.02 * sum(cost.operators) + 100
    assert sum(kind.instructions for kind in cost.kinds.values()) == pytest.approx(sum(cost.operators))
    assert {name: kind.count for name, kind in cost.kinds.items()} == {"conv": 2, "dense": 1, "depthwise": 1}


def test_macs_are_those_of_the_shapes(cost: packed.Cost) -> None:
    program = separable()
    assert cost.macs == sum(op.macs for op in program.ops) == sum(kind.macs for kind in cost.kinds.values())
    assert cost.kinds["depthwise"].macs == 5 * 5 * 16 * 9


def test_counts_are_the_same_each_run(cost: packed.Cost, model: bytes) -> None:
    again = packed.run(model, packed.inputs(model))
    assert again.nops == machine.NOPS
    assert again.inferences[packed.FIRST] == cost.instructions
    assert again.load == cost.load


def test_twice_the_pixels_are_twice_the_instructions(cost: packed.Cost, emulator: None) -> None:
    larger = packed.count(blob(separable(size=20)))
    for kind in ("conv", "depthwise"):
        ratio = larger.kinds[kind].instructions / cost.kinds[kind].instructions
        assert 3 < ratio < 4.6


def test_sizes_are_those_of_header_and_linker(cost: packed.Cost, model: bytes) -> None:
    assert cost.file_bytes == len(model)
    assert cost.arena_bytes == struct.unpack_from("<I", model, 12)[0]
    assert cost.model_bytes == MODEL_BYTES
    assert 64 < cost.stack_bytes < 2048
    whole = packed.flash()
    assert 1024 < cost.flash_bytes < whole < 64 * 1024
    assert 256 < packed.flash(library=True) - whole < 4096


def test_a_blob_that_is_written_to_ends_the_run(emulator: None, tmp_path: Path) -> None:
    source = tmp_path / "writes.c"
    source.write_text(
        f'#include "{machine.HARNESSES / "bare.h"}"\n'
        "static const uint32_t constant = 1;\n"
        "int main(int argc, char **argv) {\n"
        "    volatile uint32_t *at = (volatile uint32_t *)(uintptr_t)&constant;\n"
        "    protect_flash();\n"
        "    *at = (uint32_t)argc + (uint32_t)(argv != 0);\n"
        "    return 0;\n"
        "}\n"
    )
    machine.harness(source, "runtime", tmp_path)
    with pytest.raises(UserError, match="RISCV fault"):
        machine.execute(tmp_path)
    source.write_text(source.read_text().replace("    protect_flash();\n", ""))
    machine.harness(source, "runtime", tmp_path)
    machine.execute(tmp_path)


def test_the_stack_that_is_used_is_seen(emulator: None, tmp_path: Path) -> None:
    for size in (64, 1024, 8192):
        source = tmp_path / "stack.c"
        source.write_text(
            f'#include "{machine.HARNESSES / "bare.h"}"\n'
            "#include <stdio.h>\n"
            "static void use(void) {\n"
            f"    uint8_t bytes[{size}];\n"
            '    __asm__ volatile("" : : "r"(bytes) : "memory");\n'
            f"    for (uint32_t i = 0; i < {size}; i++) {{ ((volatile uint8_t *)bytes)[i] = 1; }}\n"
            "}\n"
            'int main(void) { printf("%u", (unsigned)stack_used(use)); return 0; }\n'
        )
        machine.harness(source, "runtime", tmp_path)
        # What the program prints by semihosting comes out on QEMU's standard error.
        done = subprocess.run(machine.EMULATOR, cwd=tmp_path, capture_output=True, text=True)
        assert size <= int(done.stderr) <= size + 32


def test_a_blob_that_is_refused_is_named(emulator: None, model: bytes) -> None:
    with pytest.raises(UserError, match="error: "):
        packed.run(_with_weights_outside(model), packed.inputs(model))


def _with_weights_outside(model: bytes) -> bytes:
    """The blob with its first operator's weights behind its end, and a right CRC."""
    ops_at = struct.unpack_from("<I", model, 16)[0]
    length = struct.unpack_from("<H", model, ops_at + 2)[0]
    body = bytearray(model[:-4])
    struct.pack_into("<I", body, ops_at + length - 8, len(model))
    return bytes(body) + struct.pack("<I", zlib.crc32(body))


def test_what_lies_behind_the_arena_is_watched(tmp_path: Path) -> None:
    head = np.array([136, 1000, 5, 6, 7, 0, 0, 1], "<u4")
    (tmp_path / "output").write_bytes(head.tobytes() + bytes(4 + 6))
    with pytest.raises(UserError, match="behind its arena"):
        packed.read_output(tmp_path, 6)
    (tmp_path / "output").write_bytes(head.tobytes())
    with pytest.raises(UserError, match="no whole result"):
        packed.read_output(tmp_path, 6)


def test_the_host_runs_the_same_harness(model: bytes) -> None:
    values = packed.inputs(model)
    here = PackedModel(model)
    run = host.run(model, values, count_operators=True)
    np.testing.assert_array_equal(run.outputs, [here.invoke(v.view(np.int8)).view(np.uint8) for v in values])
    assert run.operators.shape == (len(values), 4)


def test_inputs_are_the_same_everywhere(model: bytes) -> None:
    values = packed.inputs(model)
    assert values.shape == (packed.FIRST + 1, blobs.about(model).input_bytes)
    # xorshift32 from 1, by hand: 270369, 67634689, 2647435461.
    assert values[0, :3].tolist() == [270369 & 255, 67634689 & 255, 2647435461 & 255]
