"""The report of a model for pictures: `report.html`, `report.json` and the pictures of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cicada.training import figures
from cicada.training.corpora.pictures import Picture as Source
from cicada.training.images import Examples
from cicada.training.recipe import ImageRecipe
from cicada.training.report import budget, card, page, pictures
from cicada.training.report.page import Example, Page, Picture, Section, Table
from cicada.training.result import encoded

_WRONG = 24  # pictures to show
_PER_S = 1.0  # pictures a second that costs are for
_FORMS = {
    "float": "float, Keras",
    "tflite": "INT8, TensorFlow Lite",
    "tflm": "INT8, TensorFlow Lite Micro",
    "packed": "INT8, packed",
}


def write(
    recipe: ImageRecipe,
    folder: Path,
    metrics: dict[str, Any],
    history: Sequence[Mapping[str, float]],
    test: Examples,
    sources: Sequence[Source],
    outputs: np.ndarray,
) -> None:
    """Write the report beside the artefacts.

    Args:
        recipe: what was run.
        folder: of the artefacts.
        metrics: content of ``metrics.json``.
        history: of the training.
        test: the scaled test pictures.
        sources: where they are from.
        outputs: what the INT8 model answered to them, ``int8[n, labels]``.
    """
    labels, model = metrics["labels"], metrics["model"]
    figures.curves(folder / "curves.png", history)
    matrix = np.array(metrics["test"]["packed"]["confusion"])
    figures.confusion(folder / "confusion.png", matrix, labels, "INT8, test pictures", "there")
    pictures.roc(folder / "roc.png", -outputs[:, 0].astype(np.int64), test.y > 0)
    spent = budget.costs(model["instructions"], _PER_S, budget.instructed_cycles(0))
    note = (
        "At one picture a second. Not counted: taking the picture, scaling it, and the camera's current, of"
        " which the boards have no figure."
    )
    shown = [
        _picture(folder / "confusion.png", "What is taken for what"),
        _picture(folder / "roc.png", f"Anything but {labels[0]} against {labels[0]}"),
    ]
    wrong = _wrong(labels, test, sources, outputs)
    text = "The surest mistakes first, as the model sees them." if wrong else "No picture of the test."
    sections = [
        Section("Accuracy", tables=[_accuracy(metrics), _recall(metrics)], pictures=shown),
        Section("Cost", tables=[budget.size(model), budget.table(spent, note)]),
        Section("What it got wrong", text, examples=wrong),
        Section("Training", pictures=[_picture(folder / "curves.png", "Loss and accuracy")]),
        card.section(recipe, metrics),
    ]
    facts = {
        "data": metrics["data"],
        **metrics["summary"],
        "model": f"{model['bytes']:,} bytes, {model['macs']:,} MACs a picture",
        "recipe": f"{metrics['hash'][:16]}, seed {metrics['seed']}",
    }
    made = Page(recipe.name, recipe.about or "A model for pictures.", facts, sections)
    (folder / "report.html").write_bytes(page.render(made))
    (folder / "report.json").write_bytes(encoded({**metrics, "boards": budget.as_json(spent)}))


def _accuracy(metrics: Mapping[str, Any]) -> Table:
    rows = []
    for name, one in metrics["test"].items():
        low, high = one["interval"]["low"], one["interval"]["high"]
        ends = "none" if low is None or high is None else f"{low:.1%} to {high:.1%}"
        shown = [f"{one['accuracy']:.1%}", ends, f"{one['balanced']:.1%}", f"{one['auroc']:.3f}"]
        rows.append([_FORMS[name], *shown])
    return Table(
        ["form", "accuracy", "95 % interval", "mean recall", "AUROC"],
        rows,
        "The same pictures in every form",
        "The interval is over groups of pictures that belong together (bootstrap).",
    )


def _recall(metrics: Mapping[str, Any]) -> Table:
    recall, counts = metrics["test"]["packed"]["recall"], metrics["pictures"]
    rows = [
        [label, f"{recall[label]:.1%}", *(f"{counts[split][label]:,}" for split in ("test", "train"))]
        for label in metrics["labels"]
    ]
    return Table(["label", "recall", "test pictures", "trained on"], rows, "By label")


def _wrong(
    labels: Sequence[str], test: Examples, sources: Sequence[Source], outputs: np.ndarray
) -> list[Example]:
    """The surest mistakes."""
    guess, sure = outputs.argmax(axis=1), (outputs.max(axis=1).astype(int) + 128) / 256
    rows = np.flatnonzero(guess != test.y)
    rows = rows[np.argsort(-sure[rows], kind="stable")][:_WRONG]
    return [
        Example(
            f"{labels[test.y[row]]} taken for {labels[guess[row]]}",
            pictures.gray(test.x[row]),
            note=f"score {sure[row]:.2f}, {sources[row].path.name}",
        )
        for row in rows
    ]


def _picture(path: Path, title: str) -> Picture:
    return Picture(path.read_bytes(), title)
