"""Where the weights of the built-in model's ``.tflite`` lie, to damage them one by one."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from cicada.tools.paths import FIRMWARE
from cicada.training.pack import pack

#: The model that comes with the project, in its container.
BUILT_IN = (FIRMWARE / "models" / "kws.cmod").read_bytes()

_INT8 = 9  # TensorType of TensorFlow Lite's schema


@functools.cache
def built_in() -> bytes:
    """The ``.tflite`` that the packed model in :data:`BUILT_IN` was made of."""
    return (FIRMWARE / "models" / "kws.tflite").read_bytes()


def contained(about: Mapping[str, Any], model: bytes) -> bytes:
    """A container around the packed form of a ``.tflite``."""
    return pack(model).contained(about)


@functools.cache
def weights(model: bytes) -> list[range]:
    """Offsets of the int8 weights in the file, a range for each layer, the last layer first."""
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    found = []
    for tensor in tree.subgraphs[0].tensors:
        data = tree.buffers[tensor.buffer].data
        if tensor.type == _INT8 and data is not None and len(data):
            raw = np.asarray(data, np.uint8).tobytes()
            assert model.count(raw) == 1
            found.append(range(model.index(raw), model.index(raw) + len(raw)))
    assert found
    return found


def damaged(model: bytes, at: int, bit: int = 7) -> bytes:
    """The model with one bit of the weight at offset ``at`` flipped; the highest is its sign."""
    return model[:at] + bytes([model[at] ^ 1 << bit]) + model[at + 1 :]
