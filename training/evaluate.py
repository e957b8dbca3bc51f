"""Accuracy on examples: recall by class, overall, balanced, and who is taken for whom."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from cicada.tools.runtimes import Runtime
from cicada.training import progress
from cicada.training.evaluation.intervals import bootstrap, people


def tflm_outputs(model: Runtime, x: np.ndarray, what: str) -> np.ndarray:
    """Outputs ``int8[n, classes]`` of a model for ``int8[n, rows, columns]``, one after the other.

    Args:
        model: under TFLM, or a packed one; one without state.
        x: inputs.
        what: name of the progress bar.
    """
    outputs = []
    with progress.bar(what, len(x)) as advance:
        for window in x:
            outputs.append(model.invoke(window))
            advance()
    return np.stack(outputs)


def confusion(y: np.ndarray, guess: np.ndarray, classes: int) -> np.ndarray:
    """Counts ``int64[classes, classes]``: rows are what was said, columns what was answered."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (y, guess), 1)
    return matrix


def balanced(matrix: np.ndarray) -> float:
    """Mean recall over the classes that occur."""
    counts = matrix.sum(axis=1)
    return float((matrix.diagonal()[counts > 0] / counts[counts > 0]).mean())


def equal_share(y: np.ndarray, seed: int) -> np.ndarray:
    """Sorted indices of a test set with classes of about one size.

    All examples of the wanted words; of ``_silence_`` and ``_unknown_``, which can have many times more, as
    many as the largest wanted word has, drawn at random.
    """
    most = max(int((y == label).sum()) for label in range(2, int(y.max()) + 1))
    rng = np.random.default_rng([seed, zlib.crc32(b"equal share")])
    chosen = [np.flatnonzero(y >= 2)]
    for label in (0, 1):
        chosen.append(rng.permutation(np.flatnonzero(y == label))[:most])
    return np.sort(np.concatenate(chosen))


def report(
    y: np.ndarray,
    outputs: np.ndarray,
    labels: Sequence[str],
    seed: int,
    speakers: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Figures of one model on one set of examples, JSON-able.

    Args:
        y: ``int64[n]``, true classes.
        outputs: ``[n, classes]``, scores in any unit.
        labels: class names.
        seed: for the draw of :func:`equal_share`.
        speakers: who speaks in each example, empty where nobody does. None takes all examples as independent.

    Returns:
        ``accuracy`` (plain, on classes of about equal size) and its 95 % ``interval`` over speakers,
        ``balanced`` (mean recall over all examples), ``words`` (recall and n by label), ``confusion`` (over
        all examples).
    """
    guess = outputs.argmax(axis=1)
    matrix = confusion(y, guess, len(labels))
    share = equal_share(y, seed)
    hits = guess[share] == y[share]
    groups = np.array(people(speakers))[share] if speakers is not None else share
    return {
        "accuracy": float(hits.mean()),
        "interval": bootstrap(groups, lambda rows: float(hits[rows].mean()), seed).as_json(),
        "examples": len(share),
        "balanced": balanced(matrix),
        "words": {
            label: {"recall": float(row[number] / max(row.sum(), 1)), "n": int(row.sum())}
            for number, (label, row) in enumerate(zip(labels, matrix, strict=True))
        },
        "confusion": matrix.tolist(),
    }
