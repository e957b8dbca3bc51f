"""A quick look without a compiler for chips: the same harness on this machine, whose clock is the counter.

Times of a machine that does other things too say little; so the fastest inference counts, and only ratios are
shown: TensorFlow Lite Micro's interpreter (its reference kernels, called from Python) to the engine, and the
kernels' shares.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cicada.tools.bench import blob as blobs
from cicada.tools.bench import machine, packed, suite
from cicada.tools.bench.page import Sheet
from cicada.tools.engine import ENGINE, FLAGS, run_compiler
from cicada.tools.errors import UserError
from cicada.tools.tflm import Interpreter
from cicada.training.pack import pack

#: Each model is run for about as long: MACs of all its inferences together, but some of them at least.
_MACS, _LEAST = 20_000_000, 5


def run(blob: bytes, values: NDArray[np.uint8], count_operators: bool = False) -> packed.Run:
    """As :func:`cicada.tools.bench.packed.run` on this machine: counts are nanoseconds, stacks are 0.

    Raises:
        UserError: there is no compiler, or the program failed.
    """
    sources = [source for source in sorted((ENGINE / "runtime").glob("*.c")) if source.stem != "kernels"]
    with tempfile.TemporaryDirectory(prefix="cicada-bench-") as name:
        folder = Path(name)
        (folder / "model.cpm").write_bytes(blob)
        (folder / "input").write_bytes(values.tobytes())
        run_compiler(
            [
                *(*FLAGS, "-D_POSIX_C_SOURCE=200809L", f"-I{ENGINE / 'runtime'}"),
                *packed.definitions(blob, folder / "model.cpm", count_operators),
                *("-o", folder / "harness"),
                *(machine.HARNESSES / "packed.c", *sources),
            ]
        )
        done = subprocess.run([folder / "harness"], cwd=folder, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise UserError(f"the engine failed on this machine ({done.returncode}): {done.stderr.strip()}")
        return packed.read_output(folder, blobs.about(blob).output_bytes)


def parts(folder: Path | None = None) -> list[Sheet | str]:
    """Measure all models, also those in ``folder``, and return a table.

    Raises:
        UserError: as :func:`run`, or a model cannot be packed.
    """
    rows = []
    for name, _, model in suite.sources(folder):
        blob = pack(model).blob
        about, values = blobs.about(blob), packed.inputs(blob)
        times = max(_MACS // about.macs, _LEAST)
        many = np.tile(values, (-(-times // len(values)), 1))
        mine = run(blob, many).inferences.min()
        operators = run(blob, many, count_operators=True).operators.min(axis=0).astype(float)
        shares = sorted(
            ((operators[[other == kind for other in about.kinds]].sum(), kind) for kind in about.kernels),
            reverse=True,
        )
        shown = ", ".join(
            f"{kind} {share / operators.sum():.0%}"
            for share, kind in shares
            if share > 0.01 * operators.sum()
        )
        rows.append([name, f"{_interpreted(model, many) / max(mine, 1):.1f}", shown])
    return [
        Sheet(("on this machine", "TFLM's time to the engine's", "kernels that take most"), rows),
        "These are times of this machine, which differ from run to run; a chip's figures are cicada bench's.",
    ]


def _interpreted(model: bytes, values: NDArray[np.uint8]) -> float:
    """The fastest inference of TFLM, nanoseconds."""
    interpreter = Interpreter(model)
    best = float("inf")
    for one in values.view(interpreter.input["dtype"]):
        before = time.perf_counter_ns()
        interpreter.invoke(one)
        best = min(best, time.perf_counter_ns() - before)
    return best
