"""Packed models (``.cpm``) on this machine: the device's runtime, called through ctypes."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cicada.tools import engine
from cicada.training.pack import format as cpm

#: Bytes of RAM of ``cpm_model`` (``firmware/engine/runtime/cpm.h``) on a 32-bit chip: three pointers and
#: the positions of the rings.
MODEL_BYTES = 3 * 4 + 4 * cpm.RINGS
#: Room for the same on this machine, more than it needs; nothing here looks into it.
_ROOM = 64 + 4 * cpm.RINGS


class PackedModel:
    """One packed model under the runtime; offers what :class:`cicada.tools.tflm.Interpreter` does.

    Any number may run side by side. One instance serves one thread at a time.

    Args:
        blob: a ``.cpm``, which the runtime checks: damaged or hostile bytes do no harm.
        arena: memory that it shares with other models, a multiple of 8 bytes; None for its own. Models that
            keep state may not share.

    Attributes:
        arena: bytes of RAM it takes on a 32-bit chip: the header's arena and the model's own structure.
        tensors: bytes of the header's arena alone.
        keeps: whether anything in its arena must last from one inference to the next.
        macs: multiply-accumulates of one inference, as the blob says.
        instructions: RV32IMC instructions of one inference, as the compiler predicted them.
        selftest_steps: inferences of its self-test, 0 if it carries none.
        input, output: dicts with ``shape``, ``scale``, ``zero_point`` and numpy ``dtype``.

    Raises:
        ValueError: the runtime refuses the blob; the text says why.
    """

    engine = "packed"

    def __init__(self, blob: bytes, arena: NDArray[np.uint64] | None = None) -> None:
        self._lib = engine.library()
        # Of 64-bit words, because bytes objects need not be aligned.
        self._blob = np.zeros(-(-len(blob) // 8), np.uint64)
        self._blob.view(np.uint8)[: len(blob)] = np.frombuffer(blob, np.uint8)
        wrong = self._lib.cpm_check(self._blob.ctypes.data, len(blob))
        if wrong is not None:
            raise ValueError(f"the packed model cannot run: {wrong.decode()}")
        header = cpm.HEADER.unpack(blob)
        self.tensors: int = header["arena"]
        self.keeps = bool(header["states"] or header["rings"])
        if arena is None:
            # Not of zeros, because a device's memory is not either.
            arena = np.full(-(-self.tensors // 8), 0xA5A5A5A5A5A5A5A5, np.uint64)
        elif self.keeps:
            raise ValueError("it keeps state in its arena, which must be its own")
        elif arena.nbytes < self.tensors:
            raise ValueError(f"an arena of {arena.nbytes} bytes is too small, it needs {self.tensors}")
        self._arena = arena
        self._model = np.zeros(_ROOM // 8, np.uint64)
        self._at = self._model.ctypes.data
        self._lib.cpm_open(self._at, self._blob.ctypes.data, self._arena.ctypes.data)
        self.arena: int = header["arena"] + MODEL_BYTES
        self.macs: int = header["macs"]
        self.instructions: int = header["instructions"]
        self.selftest_steps: int = header["selftest_steps"]
        self.input, self.output = _details(header["input"]), _details(header["output"])

    def invoke(self, values: NDArray[Any]) -> NDArray[Any]:
        """Run on ``values`` (of the input's dtype, any shape of the right size); returns a flat copy."""
        shaped = np.asarray(values, self.input["dtype"]).reshape(self.input["shape"])
        ctypes.memmove(self._lib.cpm_input(self._at), shaped.tobytes(), shaped.nbytes)
        self._lib.cpm_invoke(self._at)
        size = int(np.prod(self.output["shape"], dtype=np.int64))
        return np.frombuffer(
            bytearray(ctypes.string_at(self._lib.cpm_output(self._at), size)), self.output["dtype"]
        )

    def reset(self) -> None:
        """Put the state of a streaming model back to what it was at first."""
        self._lib.cpm_reset(self._at)

    def selftest(self) -> bool:
        """Whether outputs equal those of TensorFlow Lite Micro's reference kernels; resets the state.

        True if the blob carries no self-test.
        """
        return self._lib.cpm_selftest(self._at)


def _details(io: dict[str, Any]) -> dict[str, Any]:
    """As the interpreter gives them."""
    dtype = np.dtype(np.uint8 if io["dtype"] == cpm.DTYPES["uint8"] else np.int8)
    scale = struct.unpack("<f", struct.pack("<I", io["scale"]))[0]
    return {
        "shape": io["shape"][: io["rank"]],
        "scale": scale,
        "zero_point": io["zero_point"],
        "dtype": dtype,
    }
