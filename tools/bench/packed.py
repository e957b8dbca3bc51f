"""What an inference of a packed model costs a small CPU: instructions counted, RAM and flash measured.

The model is linked as constant data behind the engine's runtime, in memory that is made read-only, and run on
:mod:`cicada.tools.bench.machine`. Its outputs come back: they must be those of the engine on this machine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cicada.tools.bench import blob as blobs
from cicada.tools.bench import machine
from cicada.tools.errors import UserError
from cicada.training.pack.format import RECORDS
from cicada.training.pack.selftest import xorshift

#: What is counted: of a model that keeps no state the third inference, of a streaming one the mean of the
#: third to the last, while its rings go round.
FIRST, STREAMED = 2, 34

_HARNESS = "packed.c"
#: What a node calls.
_USED = ("cpm_check", "cpm_open", "cpm_reset", "cpm_input", "cpm_output", "cpm_invoke", "cpm_selftest")


@dataclass(frozen=True)
class Run:
    """What the harness reported of one model.

    Attributes:
        model_bytes: ``sizeof(cpm_model)`` on this machine.
        nops: counted for :data:`cicada.tools.bench.machine.NOPS` instructions that do nothing.
        load: counted for ``cpm_check`` and ``cpm_open``.
        stack_load, stack_invoke: bytes of stack of these, and of ``cpm_invoke``.
        inferences: ``uint32[n]``: each inference.
        operators: ``uint32[n, m]``: each of the model's operators; m is 0 if they were not counted.
        outputs: ``uint8[n, size]``.
    """

    model_bytes: int
    nops: int
    load: int
    stack_load: int
    stack_invoke: int
    inferences: NDArray[np.uint32]
    operators: NDArray[np.uint32]
    outputs: NDArray[np.uint8]


@dataclass(frozen=True)
class Kind:
    """What all operators of one kind take in one inference: how many they are, instructions, MACs."""

    count: int
    instructions: float
    macs: int


@dataclass(frozen=True)
class Cost:
    """Cost of one model on RV32IMC (GCC, -O2).

    Attributes:
        instructions: of one inference, mean over those counted.
        macs: multiply-accumulates of one inference.
        kinds: by kind of operator; the rest to ``instructions`` is the loop over the operators.
        operators: mean instructions of each operator.
        load: instructions of checking and opening.
        arena_bytes: what the blob asks for, state included.
        model_bytes: ``sizeof(cpm_model)``.
        stack_bytes: the most that loading or an inference used.
        flash_bytes: the runtime with only the kernels that the model needs.
        file_bytes: the blob.
        outputs: as :class:`Run`.
    """

    instructions: float
    macs: int
    kinds: dict[str, Kind]
    operators: tuple[float, ...]
    load: int
    arena_bytes: int
    model_bytes: int
    stack_bytes: int
    flash_bytes: int
    file_bytes: int
    outputs: NDArray[np.uint8]


def inputs(blob: bytes) -> NDArray[np.uint8]:
    """The inputs that are counted: bytes of a generator that is the same everywhere.

    Returns:
        ``uint8[n, size]``, n as :data:`FIRST` and :data:`STREAMED` say.
    """
    about = blobs.about(blob)
    count = STREAMED if about.rings else FIRST + 1
    values, _ = xorshift(1, count * about.input_bytes)
    return values.reshape(count, about.input_bytes)


def run(blob: bytes, values: NDArray[np.uint8], count_operators: bool = False) -> Run:
    """Run a packed model on the emulated machine, from a reset state.

    Args:
        blob: a right one with portable kernels.
        values: ``uint8[n, size]``: the inputs.
        count_operators: count each operator, too; then :attr:`Run.inferences` and what it says of stack are
            too large.

    Raises:
        UserError: a program is missing or failed, ``cpm_check`` refused the blob, or something wrote where
            it must not.
    """
    with tempfile.TemporaryDirectory(prefix="cicada-bench-") as name:
        folder = Path(name)
        (folder / "model.cpm").write_bytes(blob)
        (folder / "input").write_bytes(values.tobytes())
        machine.harness(_HARNESS, "runtime", folder, definitions(blob, folder / "model.cpm", count_operators))
        machine.execute(folder)
        return read_output(folder, blobs.about(blob).output_bytes)


def definitions(blob: bytes, path: Path, count_operators: bool) -> list[str]:
    """What a compiler needs to be told to build the harness for a model that lies at ``path``."""
    kernels = " ".join(f"K({kind.upper()}, {kind})" for kind in blobs.about(blob).kernels)
    counting = ["-DCOUNT_OPERATORS"] if count_operators else []
    return [f'-DMODEL="{path}"', f"-DKERNELS(K)={kernels}", *counting]


def read_output(folder: Path, size: int) -> Run:
    """Read the file ``output`` that the harness wrote; ``packed.c`` gives its layout.

    Args:
        folder: where it is.
        size: bytes of the model's output.

    Raises:
        UserError: it is missing or not whole, or the model wrote behind its arena.
    """
    path = folder / "output"
    data = path.read_bytes() if path.exists() else b""
    head = np.frombuffer(data[:32], "<u4") if len(data) >= 32 else np.zeros(8, np.uint32)
    model_bytes, nops, load, stack_load, stack_invoke, whole, operators, count = map(int, head)
    each = 4 + 4 * operators + size
    if count == 0 or len(data) != 32 + count * each:
        raise UserError(f"the emulated model wrote no whole result to {folder}: check free disk space")
    if not whole:
        raise UserError("the emulated model wrote behind its arena: a kernel or the compiler is wrong")
    rows = np.frombuffer(data[32:], np.uint8).reshape(count, each)
    counts = np.ascontiguousarray(rows[:, : 4 + 4 * operators]).view("<u4")
    return Run(
        *(model_bytes, nops, load, stack_load, stack_invoke),
        counts[:, 0],
        counts[:, 1:],
        rows[:, 4 + 4 * operators :],
    )


def count(blob: bytes, runner: Callable[..., Run] = run) -> Cost:
    """Count what one inference of a packed model costs.

    Raises:
        UserError: as :func:`run`, or counting the operators changed the outputs.
    """
    about, values = blobs.about(blob), inputs(blob)
    plain, counted = runner(blob, values), runner(blob, values, count_operators=True)
    if not np.array_equal(plain.outputs, counted.outputs):
        raise UserError(
            "two runs of the same model gave different outputs: the runtime keeps state it must not"
        )
    operators = counted.operators[FIRST:].mean(axis=0)
    kinds = {}
    for kind in about.kernels:
        mine = [n for n, other in enumerate(about.kinds) if other == kind]
        macs = sum(about.operator_macs[n] for n in mine)
        kinds[kind] = Kind(len(mine), float(operators[mine].sum()), macs)
    return Cost(
        instructions=float(plain.inferences[FIRST:].mean()),
        macs=about.macs,
        kinds=kinds,
        operators=tuple(map(float, operators)),
        load=plain.load,
        arena_bytes=about.arena,
        model_bytes=plain.model_bytes,
        stack_bytes=max(plain.stack_load, plain.stack_invoke),
        flash_bytes=flash(about.kernels),
        file_bytes=len(blob),
        outputs=plain.outputs,
    )


def flash(kinds: list[str] | None = None, library: bool = False) -> int:
    """Bytes of flash that the runtime takes with some kernels, or with all of them.

    Args:
        kinds: of operators.
        library: count what it uses of the C library, too.

    Raises:
        UserError: a program is missing or failed.
    """
    table = "".join(f"[{RECORDS[kind][0]}] = &cpm_kernel_{kind}, " for kind in kinds or blobs.KINDS)
    source = f'#include "kernel.h"\nconst cpm_kernel *const cpm_kernels[CPM_KINDS] = {{{table}}};\n'
    with tempfile.TemporaryDirectory(prefix="cicada-bench-") as name:
        path = Path(name) / "kernels.c"
        path.write_text(source, encoding="utf-8")
        return machine.flash("runtime", _USED, [path], library)
