"""Runs a model on this machine by the engine its first bytes ask for, as ``nn.Model`` does on a device."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from cicada.tools.packed import PackedModel
from cicada.tools.tflm import Interpreter


class Runtime(Protocol):
    """What both engines offer; :class:`cicada.tools.tflm.Interpreter` says what each is."""

    engine: str
    arena: int
    macs: int
    input: dict[str, Any]
    output: dict[str, Any]

    def invoke(self, values: np.ndarray) -> np.ndarray:
        """Run once on ``values``; returns a flat copy of the output."""

    def reset(self) -> None:
        """Put the state of a streaming model back to what it was at first."""


def is_packed(model: bytes | memoryview) -> bool:
    """Whether a model is a packed one (``.cpm``)."""
    return bytes(model[:3]) == b"CPM"


def open_model(model: bytes) -> PackedModel | Interpreter:
    """Open a model: packed, or a TFLite flatbuffer, which TFLM runs.

    Raises:
        ValueError: if its engine cannot load it; the text says why.
    """
    return PackedModel(model) if is_packed(model) else Interpreter(model)
