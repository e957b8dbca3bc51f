"""What the tasks about machines have in common: stages, manifest, artefacts."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cicada.tools import vibration
from cicada.tools.errors import UserError
from cicada.tools.paths import BUILD, FIRMWARE, ROOT
from cicada.tools.stages import hash_files, key, publish, stage
from cicada.training import artefacts, quantise
from cicada.training.artefacts import Forms
from cicada.training.corpora.machines import Machines
from cicada.training.corpora.signals import COUNTS_PER_G
from cicada.training.evaluation import faults
from cicada.training.recipe import AnomalyRecipe, VibrationFrontEnd, VibrationRecipe, digest, task
from cicada.training.result import encoded
from cicada.training.vibrations import Examples

CHECKPOINTS = BUILD / "checkpoints"
_PACKAGE = Path(__file__).parents[1]
# Windows of a stream before a fault begins, and after it.
_BEFORE, _AFTER = 20, 60

MachineRecipe = VibrationRecipe | AnomalyRecipe


def refuse(recipe: MachineRecipe) -> None:
    """Refuse what these tasks do not do, instead of ignoring it.

    Raises:
        UserError: the recipe asks for it.
    """
    asked = {
        "prune": recipe.prune is not None,
        "teacher": recipe.teacher is not None,
        "quantise.aware_epochs": recipe.quantise.aware_epochs > 0,
        "train.mixup": recipe.train.mixup > 0,
    }
    for name, there in asked.items():
        if there:
            raise UserError(
                f"recipe '{recipe.name}' has `{name}`, which recipes of task '{task(recipe)}' cannot have:"
                " delete it there"
            )


def shape(front: VibrationFrontEnd) -> tuple[int, int]:
    """Axes and features of an axis."""
    return front.axes, front.bands + vibration.STATISTICS + front.envelope


def share(outputs: np.ndarray) -> np.ndarray:
    """INT8 scores as ``float64`` 0..1."""
    return (outputs.astype(np.float64) - quantise.OUTPUT_ZERO) * quantise.OUTPUT_SCALE


def checkpoint(digested: str, number: int) -> Path:
    """File of an unfinished training."""
    return CHECKPOINTS / f"{digested}-{number}.npz"


def made(
    recipe: MachineRecipe,
    corpus: Machines,
    make: Callable[[Path, str], None],
    out: Path,
    cache: Path | None,
) -> dict[str, Any]:
    """Make a run's artefacts unless they are in the cache, and put them into ``out``.

    Args:
        recipe: what to do.
        corpus: the recordings.
        make: fills a folder; its second argument is the hash of everything the result depends on.
        out: folder for the artefacts.
        cache: where stages are kept.

    Returns:
        the content of ``metrics.json``.

    Raises:
        UserError: no space, or a model above the budget.
    """
    folder = stage_of(task(recipe), recipe, corpus, make, cache)
    for path in sorted(folder.iterdir()):
        if path.name != "inputs.json":
            publish(path, out / path.name)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    artefacts.check_budget(recipe.budget, metrics["model"], f"recipe '{recipe.name}'")
    return metrics


def stage_of(
    name: str,
    recipe: MachineRecipe,
    corpus: Machines,
    make: Callable[[Path, str], None],
    cache: Path | None,
) -> Path:
    """Folder of a stage that depends on all of a recipe and its recordings; ``make`` as in :func:`made`."""
    inputs = {
        "recipe": digest(recipe),
        "corpus": corpus.fingerprint,
        "code": hash_files(sorted(_PACKAGE.glob("*.py")))
        + hash_files(
            [
                _PACKAGE / name
                for name in ("architectures", "corpora", "evaluation", "pack", "report", "tasks")
            ]
        )
        + hash_files([FIRMWARE / "engine" / "vibration", FIRMWARE / "engine" / "runtime", faults.DECIDE])
        + hash_files([ROOT / "tools" / "vibration.py"]),
        "packages": {
            name: importlib.metadata.version(name)
            for name in ("cicada", "numpy", "scipy", "scikit-learn", "tensorflow", "keras", "tflite-micro")
        },
    }
    return stage(name, inputs, lambda work: make(work, key(inputs)), cache)


def onsets(
    examples: Examples,
    normal: Sequence[bool],
    front: VibrationFrontEnd,
    forms: Forms,
) -> list[tuple[np.ndarray, float]]:
    """Streams that are put together: scores of normal windows, then those of a recorded fault.

    Args:
        examples: of the test.
        normal: for each recording, whether it has no fault.
        front: for the length of a window.
        forms: the model; its first class is normal.

    Returns:
        as :func:`cicada.training.evaluation.faults.delays` takes them; none if one of the two is missing.
    """
    before = [number for number, there in enumerate(normal) if there]
    after = [number for number, there in enumerate(normal) if not there]
    if not before or not after:
        return []
    window_s = front.samples / front.rate_hz
    quiet = [quantise.tflite_outputs(forms.tflite, examples.of(number)[:_BEFORE]) for number in before]
    streams = []
    for turn, number in enumerate(after):
        first = quiet[turn % len(quiet)]
        then = quantise.tflite_outputs(forms.tflite, examples.of(number)[:_AFTER])
        streams.append((np.concatenate([first, then]), len(first) * window_s))
    return streams


def write(
    recipe: MachineRecipe,
    folder: Path,
    digested: str,
    forms: Forms,
    *,
    labels: list[str],
    decision: Mapping[str, Any],
    source: str,
    results: Mapping[str, Any],
    summary: Mapping[str, str],
) -> dict[str, Any]:
    """Write the model's files and ``metrics.json``; returns the content of the latter."""
    front, engine = recipe.frontend, artefacts.ENGINES[recipe.engine]
    cost = forms.figures(engine, front.rate_hz / front.samples)
    about = {
        "type": "vibration",
        "name": recipe.name,
        "version": f"{importlib.metadata.version('cicada')}+{digested[:8]}",
        "labels": labels,
        "frontend": {
            "kind": "vibration",
            "samples": front.samples,
            "bands": front.bands,
            "axes": front.axes,
            "rate_hz": front.rate_hz,
            "counts_per_g": COUNTS_PER_G,
            **({"envelope": front.envelope} if front.envelope else {}),
            **({"orders": True} if front.orders else {}),
        },
        "decision": dict(decision),
        "input": forms.found.input.as_json(),
        "output": forms.found.output.as_json(),
        "engine": engine,
        "arena": cost["arena"],
        "macs": cost["macs"],
        "data": source,
        "inputs": digested,
        "recipe": digest(recipe),
    }
    metrics = {
        "recipe": recipe.name,
        "hash": digest(recipe),
        "task": task(recipe),
        "seed": recipe.seed,
        "labels": labels,
        "data": source,
        "decision": dict(decision),
        "model": cost,
        **results,
        "summary": dict(summary),
    }
    artefacts.write(folder, recipe.name, forms, engine, about)
    (folder / "metrics.json").write_bytes(encoded(metrics))
    return metrics
