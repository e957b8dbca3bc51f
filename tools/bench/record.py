"""The figures that tests hold the engine to: a small file that ``cicada bench --write`` writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cicada.tools.bench.suite import Suite
from cicada.tools.stages import write_atomic

#: Where the figures are kept.
RECORD = Path(__file__).with_name("recorded.json")
#: By how much a figure may exceed the recorded one: as a factor, and then as a number.
LIMITS: dict[str, tuple[float, int]] = {
    "instructions": (1.02, 0),
    "load": (1.02, 0),
    "arena_bytes": (1.0, 0),
    "model_bytes": (1.0, 0),
    "file_bytes": (1.0, 64),
    "flash_bytes": (1.02, 0),
    "stack_bytes": (1.0, 32),
}

Figures = dict[str, dict[str, float]]


def figures(suite: Suite) -> Figures:
    """The figures of :data:`LIMITS` by what has them: a model's name, "front end, 10 ms", or "runtime"."""
    found: Figures = {"runtime": {"flash_bytes": suite.flash_bytes}}
    for step, counts in suite.frontend.items():
        found[f"front end, {step} ms"] = {
            "instructions": round(counts.instructions_per_frame),
            "flash_bytes": counts.flash_bytes,
            "stack_bytes": counts.stack_bytes,
        }
    for model in suite.models:
        found[model.name] = {name: round(getattr(model.cost, name)) for name in LIMITS}
    return found


def read(path: Path = RECORD) -> Figures:
    """The recorded figures; none if there is no file yet."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write(measured: Figures, path: Path = RECORD) -> None:
    """Replace the recorded figures by measured ones; those of models that are not here stay.

    Raises:
        UserError: the file cannot be written.
    """
    text = json.dumps(read(path) | measured, indent=1, sort_keys=True) + "\n"
    write_atomic(path, text.encode())


def worse(measured: Figures, recorded: Figures) -> list[str]:
    """A sentence for each measured figure that exceeds the recorded one by more than :data:`LIMITS` say.

    What was not recorded is not compared.
    """
    found = []
    for owner, values in measured.items():
        for name, value in values.items():
            before: Any = recorded.get(owner, {}).get(name)
            factor, more = LIMITS[name]
            if before is not None and value > before * factor + more:
                found.append(
                    f"{owner}: {name} is {value:,}, recorded are {before:,}; if that is meant,"
                    " cicada bench --write records it"
                )
    return found
