"""What a finished run leaves for other commands: ``result.json`` beside the artefacts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cicada.tools.errors import UserError
from cicada.tools.stages import write_atomic


@dataclass(frozen=True)
class Result:
    """What a run made.

    Attributes:
        out: folder of the artefacts: ``<name>.tflite``, ``<name>.cpm``, ``<name>.cmod`` (one of them in
            its container), ``<name>_model.c``, ``<name>_model.h``, ``metrics.json`` and the pictures.
        name: of the recipe.
        labels: class names in the model's order.
        accuracy: INT8, test speakers, classes of about equal size.
        accuracy_by_word: recall of each label on all test examples, the same way.
        engine: what the container's model is for, "packed" or "tflm".
        model_bytes, arena_bytes, macs: its size, its arena, multiply-accumulates an inference.
        source: what the model was trained on, in a phrase.
        pictures: their paths.
        metrics: all figures, see ``metrics.json``.
    """

    out: Path
    name: str
    labels: list[str]
    accuracy: float
    accuracy_by_word: dict[str, float]
    engine: str
    model_bytes: int
    arena_bytes: int
    macs: int
    source: str
    pictures: list[Path]
    metrics: dict[str, Any] = field(repr=False)

    @property
    def container(self) -> Path:
        """The model in its container, as nodes take it."""
        return self.out / f"{self.name}.cmod"

    @classmethod
    def load(cls, out: Path) -> Result:
        """Read ``result.json`` from ``out``.

        Raises:
            UserError: there is no such file, or it is damaged.
        """
        path = out / "result.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            content["pictures"] = [out / name for name in content["pictures"]]
            return cls(out=out, **content)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"no finished training in {out} ({error}): run 'make train' first") from error

    def save(self) -> None:
        """Write ``result.json`` to ``out``."""
        content = {name: value for name, value in vars(self).items() if name != "out"}
        content["pictures"] = [path.name for path in self.pictures]
        write_atomic(self.out / "result.json", encoded(content))


def encoded(content: object) -> bytes:
    """JSON as artefacts have it: sorted, indented, and without NaN."""
    return (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
