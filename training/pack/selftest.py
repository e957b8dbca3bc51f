"""The self-test in a packed model: what TensorFlow Lite Micro makes of inputs that anybody can generate.

``cpm_selftest`` (``firmware/engine/runtime/cpm.h``) says what the generator is and how outputs are summed up.
"""

from __future__ import annotations

import faulthandler
import json
import os
import zlib
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from cicada.tools.packed import PackedModel
from cicada.tools.tflm import Interpreter
from cicada.training.pack.errors import PackError
from cicada.training.pack.program import Program

SEED = 0x0C1CADA5
_STEPS = 2  # of a model without state
_MOST = 48  # of one with state


def xorshift(seed: int, count: int) -> tuple[NDArray[np.uint8], int]:
    """``count`` bytes of xorshift32 (Marsaglia 2003, "Xorshift RNGs"), and the state to go on from."""
    out = np.empty(count, np.uint8)
    for n in range(count):
        seed ^= seed << 13 & 0xFFFFFFFF
        seed ^= seed >> 17
        seed ^= seed << 5 & 0xFFFFFFFF
        out[n] = seed & 0xFF
    return out, seed


def steps(program: Program) -> int:
    """Inferences of the self-test: enough that every ring comes round once, as far as that is few."""
    rounds = [
        -(-ring.rows // max(op.advance_rows, 1))
        for ring in program.rings
        for op in program.ops
        if op.advance is ring
    ]
    return min(max([_STEPS, *(n + 1 for n in rounds)]), _MOST)


def vector(model: bytes, program: Program) -> tuple[int, int, int]:
    """Number of inferences, seed, and CRC-32 of all outputs under TensorFlow Lite Micro.

    TFLM checks little of a model and may crash on a damaged one, so it runs in a process of its own.

    Raises:
        PackError: TFLM cannot run the model.
    """
    if not hasattr(os, "fork"):
        return _vector(model, program)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(writing, model, program)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    if not answer:
        raise PackError("TensorFlow Lite Micro crashes on the model: it is damaged; convert it again")
    found = json.loads(answer)
    if isinstance(found, str):
        raise PackError(found)
    return found[0], found[1], found[2]


def _answer(pipe: int, model: bytes, program: Program) -> NoReturn:
    """Write :func:`_vector`'s result, or what it says is wrong, into a pipe, and end this process."""
    faulthandler.disable()  # a crash here is an answer, too
    try:
        try:
            found: object = _vector(model, program)
        except PackError as error:
            found = str(error)
        os.write(pipe, json.dumps(found).encode())
    finally:
        os._exit(0)


def _vector(model: bytes, program: Program) -> tuple[int, int, int]:
    count, state, crc = steps(program), SEED, 0
    try:
        oracle = Interpreter(model)
        for _ in range(count):
            values, state = xorshift(state, int(np.prod(program.input_shape)))
            crc = zlib.crc32(_outputs(oracle, values, program).tobytes(), crc)
    except (ValueError, RuntimeError) as error:
        raise PackError(
            f"TensorFlow Lite Micro cannot run the model, so there is nothing to equal: {error}"
        ) from error
    return count, SEED, crc


def _outputs(oracle: Interpreter, values: NDArray[np.uint8], program: Program) -> NDArray[Any]:
    """What TFLM makes of the packed model's input bytes, as the packed model's output bytes.

    Where the edges are float32, the packed model has not the QUANTIZE and DEQUANTIZE there: floats that
    QUANTIZE turns into just these bytes go in, and what DEQUANTIZE made of bytes is undone.
    """
    typed = values.view(program.input_dtype)
    if oracle.input["dtype"] == np.float32:
        typed = ((typed.astype(np.float64) - program.input_zero) * program.input_scale).astype(np.float32)
    out = oracle.invoke(typed)
    if out.dtype == np.float32:
        steps = np.rint(out.astype(np.float64) / program.output_scale) + program.output_zero
        out = steps.astype(program.output_dtype)
    return out


def check(blob: bytes) -> None:
    """Run the self-test on this machine.

    Raises:
        PackError: an output differs: a defect of the compiler or the runtime.
    """
    if not PackedModel(blob).selftest():
        raise PackError(
            "the packed model does not compute what TensorFlow Lite Micro does; nothing was written: please"
            " report this model as a defect of cicada pack, and use the .tflite with ENGINE=tflm meanwhile"
        )
