"""The official TensorFlow Lite Micro interpreter on the host (PyPI's ``tflite-micro``)."""

from __future__ import annotations

import os
import re
import struct
import tempfile
from functools import lru_cache

import numpy as np

from cicada.tools.errors import UserError
from cicada.training import flatbuffer

#: Counted once a model, as a board that boots often opens the same one often.
_macs = lru_cache(8)(flatbuffer.macs)
_ARENA = re.compile(rb"Arena allocation total (\d+) bytes")


class Interpreter:
    """One INT8 model under TFLM.

    Args:
        model: a ``.tflite`` flatbuffer. TFLM does not check it: pass only bytes you trust.

    Attributes:
        arena: bytes of the arena TFLM used after allocation (64-bit host; a 32-bit chip needs less).
        macs: multiply-accumulates of one inference, counted from the model's shapes.
        input, output: dicts with ``shape``, ``scale``, ``zero_point`` and numpy ``dtype``.

    Raises:
        ValueError: if TFLM cannot load the model.
    """

    engine = "TFLM"

    def __init__(self, model: bytes) -> None:
        try:
            from tflite_micro import runtime
        except ImportError as error:
            raise UserError(
                "the package tflite-micro is missing: install the twin with pip install -e '.[twin]'"
            ) from error
        if len(model) < 8 or model[4:8] != b"TFL3":
            raise ValueError("not a TensorFlow Lite model (no TFL3 identifier)")
        try:
            # First, because it fails softly on a broken file, where TFLM reads out of bounds.
            self.macs = _macs(bytes(model))
            self._interpreter = runtime.Interpreter.from_bytes(bytes(model))
            self.input = _details(self._interpreter.get_input_details(0))
            self.output = _details(self._interpreter.get_output_details(0))
            self.arena = _arena(self._interpreter)
        except (RuntimeError, ValueError, struct.error) as error:
            raise ValueError(f"TFLM cannot load the model: {error}") from error

    def invoke(self, values: np.ndarray) -> np.ndarray:
        """Run on ``values`` (of the input's dtype, any shape of the right size); returns a flat copy."""
        shaped = np.asarray(values, self.input["dtype"]).reshape(self.input["shape"])
        self._interpreter.set_input(shaped, 0)
        self._interpreter.invoke()
        return np.array(self._interpreter.get_output(0)).reshape(-1)

    def reset(self) -> None:
        """Zero the resource variables of a streaming model."""
        self._interpreter.reset()


def _details(details: dict) -> dict:
    quantisation = details["quantization_parameters"]
    scales, zeros = quantisation["scales"], quantisation["zero_points"]
    return {
        "shape": [int(d) for d in details["shape"]],
        "scale": float(scales[0]) if len(scales) else 0.0,
        "zero_point": int(zeros[0]) if len(zeros) else 0,
        "dtype": np.dtype(details["dtype"]),
    }


def _arena(interpreter: object) -> int:
    """Arena bytes; the interpreter only prints them, on file descriptor 2, so that is where they are read."""
    with tempfile.TemporaryFile() as captured:
        saved = os.dup(2)
        os.dup2(captured.fileno(), 2)
        try:
            interpreter.print_allocations()
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        captured.seek(0)
        found = _ARENA.search(captured.read())
    if not found:
        raise ValueError("this tflite-micro does not print its arena size any more")
    return int(found.group(1))
