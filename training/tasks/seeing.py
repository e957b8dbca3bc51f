"""What a model for pictures sees: accuracy under every engine, and the artefacts."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cicada.tools.packed import PackedModel
from cicada.training import artefacts, evaluate
from cicada.training.artefacts import Forms
from cicada.training.evaluation.intervals import bootstrap
from cicada.training.recipe import digest
from cicada.training.report import seeing as page
from cicada.training.result import encoded

if TYPE_CHECKING:
    from cicada.training.tasks.image import Run


def measure(run: Run, folder: Path, digested: str) -> None:
    """Measure a quantised model under every engine, and write all artefacts.

    Args:
        run: the recipe's run.
        folder: to fill: the model's files, ``metrics.json`` and the report with its pictures.
        digested: hash of everything that the result depends on.
    """
    recipe, gallery = run.recipe, run.gallery
    forms = Forms((run.quantised / "model.tflite").read_bytes())
    test = run.pictures("test")
    groups = [picture.group for picture in gallery.of("test")]
    outputs = {
        "tflm": evaluate.tflm_outputs(forms.interpreter, test.x, "Test under TFLM"),
        "packed": evaluate.tflm_outputs(PackedModel(forms.packed.blob), test.x, "Test, packed"),
        "tflite": np.load(run.quantised / "int8.npy"),
        "float": np.load(run.quantised / "float.npy"),
    }
    reports = {
        name: report(test.y, values, gallery.labels, groups, recipe.seed) for name, values in outputs.items()
    }
    engine = artefacts.ENGINES[recipe.engine]
    cost = forms.figures(engine)
    metrics = {
        "recipe": recipe.name,
        "hash": digest(recipe),
        "task": "image",
        "seed": recipe.seed,
        "labels": list(gallery.labels),
        "data": gallery.source,
        "pictures": gallery.counts(),
        "model": cost,
        "test": reports,
        "summary": {"accuracy": f"{reports['tflm']['accuracy']:.1%} of {len(test.y)} test pictures"},
    }
    about = {
        "type": "image",
        "name": recipe.name,
        "version": f"{importlib.metadata.version('cicada')}+{digested[:8]}",
        "labels": list(gallery.labels),
        "frontend": {"kind": "image", "width": run.size[0], "height": run.size[1]},
        "input": forms.found.input.as_json(),
        "output": forms.found.output.as_json(),
        "engine": engine,
        "arena": cost["arena"],
        "macs": cost["macs"],
        "data": gallery.source,
        "inputs": digested,
        "recipe": digest(recipe),
    }
    artefacts.write(folder, recipe.name, forms, engine, about)
    (folder / "metrics.json").write_bytes(encoded(metrics))
    history = json.loads((run.trained / "history.json").read_text())
    page.write(recipe, folder, metrics, history, test, gallery.of("test"), outputs["packed"])


def report(
    y: np.ndarray, outputs: np.ndarray, labels: Sequence[str], groups: Sequence[str], seed: int
) -> dict[str, Any]:
    """Figures of one model on one set of pictures, JSON-able.

    Args:
        y: ``int64[n]``, labels.
        outputs: ``[n, labels]``, scores in any unit.
        labels: their names.
        groups: of each picture; pictures of one group are not independent.
        seed: of the interval.

    Returns:
        ``accuracy`` and its 95 % ``interval`` over groups, ``balanced`` (mean recall), ``auroc`` (of anything
        to report against ``labels[0]``), ``recall`` by label and ``confusion``.
    """
    from sklearn.metrics import roc_auc_score

    hits = outputs.argmax(axis=1) == y
    matrix = evaluate.confusion(y, outputs.argmax(axis=1), len(labels))
    return {
        "accuracy": float(hits.mean()),
        "interval": bootstrap(groups, lambda rows: float(hits[rows].mean()), seed).as_json(),
        "balanced": evaluate.balanced(matrix),
        "auroc": float(roc_auc_score(y > 0, -outputs[:, 0].astype(np.float64))),
        "recall": {
            name: float(row[n] / row.sum()) for n, (name, row) in enumerate(zip(labels, matrix, strict=True))
        },
        "confusion": matrix.tolist(),
    }
