"""Everything that ``cicada bench`` measures, as one value: the models, the runtime's flash, the front end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cicada.tools.bench import frontend, packed
from cicada.tools.bench.baseline import REFERENCES, Reference
from cicada.tools.errors import UserError, from_os_error
from cicada.tools.packed import PackedModel
from cicada.tools.paths import FIRMWARE
from cicada.training.pack import pack

#: Name of the project's own model in tables and records.
BUILT_IN = "built-in kws"
#: Milliseconds from frame to frame that are counted.
STEPS = (10, 20)


@dataclass(frozen=True)
class Model:
    """One model that was measured; ``reference`` is None for the project's own."""

    name: str
    reference: Reference | None
    tflite_bytes: int
    cost: packed.Cost


@dataclass(frozen=True)
class Suite:
    """All figures.

    Attributes:
        models: each that was found.
        flash_bytes: the runtime's with all kernels.
        library_bytes: what it uses of the C library.
        frontend: by milliseconds a step.
    """

    models: tuple[Model, ...]
    flash_bytes: int
    library_bytes: int
    frontend: dict[int, frontend.Counts]

    def json(self) -> dict[str, Any]:
        """Plain values, for programs."""
        models = {}
        for model in self.models:
            cost = {name: value for name, value in asdict(model.cost).items() if name != "outputs"}
            models[model.name] = cost | {"tflite_bytes": model.tflite_bytes}
        steps = {str(step): asdict(counts) for step, counts in self.frontend.items()}
        sizes = {"flash_bytes": self.flash_bytes, "library_bytes": self.library_bytes}
        return {"models": models, "frontend": steps} | sizes


def sources(folder: Path | None = None) -> Iterator[tuple[str, Reference | None, bytes]]:
    """Name, reference and ``.tflite`` of each model that is here: the project's own, then reference models.

    Args:
        folder: of reference models, by the names in :data:`cicada.tools.bench.baseline.REFERENCES`.

    Raises:
        UserError: a file cannot be read.
    """
    try:
        yield BUILT_IN, None, (FIRMWARE / "models" / "kws.tflite").read_bytes()
        for reference in REFERENCES if folder else ():
            path = folder / f"{reference.file}.tflite"
            if path.exists():
                yield reference.name, reference, path.read_bytes()
    except OSError as error:
        raise from_os_error(error, "reading a model to measure") from error


def measure_model(name: str, reference: Reference | None, model: bytes) -> Model:
    """Pack a model, count it on the emulated machine and compare its outputs with this machine's.

    Raises:
        UserError: it cannot be packed, a program is missing or failed, or the outputs differ.
    """
    blob = pack(model).blob
    cost = packed.count(blob)
    here = PackedModel(blob)
    for number, values in enumerate(packed.inputs(blob)):
        expected = here.invoke(values.view(here.input["dtype"])).view(np.uint8)
        if not np.array_equal(expected, cost.outputs[number]):
            raise UserError(f"{name}: inference {number} gives other outputs on RV32 than on this machine")
    return Model(name, reference, len(model), cost)


def measure(folder: Path | None = None) -> Suite:
    """Measure everything; takes about half a minute.

    Args:
        folder: of reference models to measure, too.

    Raises:
        UserError: as :func:`measure_model`.
    """
    counts = {step: frontend.count_frontend(step) for step in STEPS}
    flash = packed.flash()
    models = tuple(measure_model(*source) for source in sources(folder))
    return Suite(models, flash, packed.flash(library=True) - flash, counts)
