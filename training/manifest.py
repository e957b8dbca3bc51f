"""The manifest of a keyword model: all a device must know to run it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cicada.tools.audio import RATE
from cicada.training.decision import Decision
from cicada.training.flatbuffer import Description
from cicada.training.windows import CHANNELS, WINDOW_MS, Window


def manifest(
    found: Description,
    *,
    name: str,
    window: Window,
    version: str,
    labels: Sequence[str],
    engine: str,
    arena: int,
    decision: Decision,
    data: str,
    inputs: str,
    recipe: str,
) -> dict[str, Any]:
    """Put the manifest together; :func:`cicada.training.container.pack` adds schema and hash.

    Args:
        found: the model's own description.
        name: of the model.
        window: its features. A streaming model's ``found.input`` has fewer frames, those of one call.
        version: version of the model.
        labels: class names in the order of the model's output.
        engine: what the model is for, "packed" or "TFLM".
        arena: bytes of arena it takes; for TFLM, what it used on this 64-bit host.
        decision: the smoother's settings.
        data: one phrase that says what the model was trained on.
        inputs: hash of everything the model was made from.
        recipe: hash of its recipe.
    """
    return {
        "type": "kws",
        "name": name,
        "version": version,
        "labels": list(labels),
        "frontend": {
            "rate": RATE,
            "window_ms": WINDOW_MS,
            "step_ms": window.step_ms,
            "channels": CHANNELS,
            "frames": found.input.shape[1],
        },
        "input": found.input.as_json(),
        "output": found.output.as_json(),
        "engine": engine,
        "arena": arena,
        "macs": found.macs,
        "decision": decision.as_json(),
        "data": data,
        "inputs": inputs,
        "recipe": recipe,
    }
