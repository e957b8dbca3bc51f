"""Figures of models that watch machines: by window, over several, by recording; and how soon they tell.

Decisions over time are the device's own, loaded from ``firmware/app/node/pipelines/decide.py``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cicada.tools.paths import FIRMWARE
from cicada.training import evaluate
from cicada.training.evaluation.intervals import bootstrap

DECIDE = FIRMWARE / "app" / "node" / "pipelines" / "decide.py"
#: Windows over which scores are averaged before they are judged; the device averages up to 16.
SPANS = (1, 4, 16)
#: Largest false alarm rate of the partial area under the curve, as the DCASE challenges have it.
MAX_FPR = 0.1
#: How the device decides unless its configuration or a manifest says otherwise: ``_SURE`` and ``_UNSURE`` of
#: its vibration pipeline, and ``hold`` of its schema.
THRESHOLD, CLEAR, HOLD = 0.8, 0.6, 2
#: Thresholds to choose from: with more than half of the score there is one class that can have it.
THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))


def averaged(
    scores: np.ndarray, recording: np.ndarray, span: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Means of ``span`` windows in a row of one recording, and the recording of each.

    What is left at its end is dropped; a recording with fewer windows gives one mean of all.
    """
    means, owner = [], []
    for number in np.unique(recording):
        rows = scores[recording == number].astype(np.float64)
        size = min(span, len(rows))
        whole = len(rows) // size
        means.append(rows[: whole * size].reshape(whole, size, -1).mean(axis=1))
        owner.append(np.full(whole, number))
    return np.concatenate(means), np.concatenate(owner)


def macro_f1(y: np.ndarray, guess: np.ndarray, classes: int) -> float:
    """Mean of :func:`f1` over the classes that occur, in truth."""
    return float(f1(y, guess, classes)[np.unique(y)].mean())


def f1(y: np.ndarray, guess: np.ndarray, classes: int) -> NDArray[np.float64]:
    """Harmonic mean of precision and recall of each class, 0 for one that does not occur."""
    matrix = evaluate.confusion(y, guess, classes)
    return 2 * matrix.diagonal() / np.maximum(matrix.sum(axis=0) + matrix.sum(axis=1), 1)


def classes(
    scores: np.ndarray, y: np.ndarray, recording: np.ndarray, bearings: Sequence[str], labels: Sequence[str]
) -> dict[str, Any]:
    """Figures of a model that tells which fault it is; the first label is none.

    Args:
        scores: ``[n, classes]`` of windows, in any unit.
        y: ``int64[n]``, true classes.
        recording: ``int64[n]``, the recording of each window.
        bearings: the bearing of each recording.
        labels: names of the classes.

    Returns:
        JSON-able: ``macro_f1`` and its 95 % interval over bearings (they err together), ``spans`` (macro F1
        of means over so many windows), ``f1`` by label, ``recordings`` (of one decision each), ``confusion``
        of windows, ``recall`` by bearing, and where the first label occurs ``auroc`` and ``pauc`` of "some
        fault" against it.
    """
    guess = scores.argmax(axis=1)
    owners = np.array(bearings)[recording]
    truth = {number: y[recording == number][0] for number in np.unique(recording)}

    def over(span: int) -> float:
        means, owner = averaged(scores, recording, span)
        return macro_f1(np.array([truth[n] for n in owner]), means.argmax(axis=1), len(labels))

    def drawn(rows: np.ndarray) -> float:
        return macro_f1(y[rows], guess[rows], len(labels))

    figures = {
        "macro_f1": drawn(np.arange(len(y))),
        "interval": bootstrap(owners, drawn, draws=200).as_json(),
        "spans": {str(span): over(span) for span in SPANS},
        "f1": dict(zip(labels, f1(y, guess, len(labels)).tolist(), strict=True)),
        "recordings": {"macro_f1": over(len(y)), "n": len(truth)},
        "windows": len(y),
        "confusion": evaluate.confusion(y, guess, len(labels)).tolist(),
        "recall": {name: float((guess == y)[owners == name].mean()) for name in sorted(set(owners))},
    }
    if (y == 0).any() and (y > 0).any():
        figures |= areas(1 - scores[:, 0] / np.maximum(scores.sum(axis=1), 1e-9), y > 0)
    return figures


def areas(score: np.ndarray, faulty: np.ndarray) -> dict[str, float]:
    """Areas under the curve of detections against false alarms: ``auroc`` whole, ``pauc`` up to MAX_FPR.

    Both are 0.5 for a coin and 1 for no error (D. K. McClish, Medical Decision Making 9, 1989).
    """
    from sklearn.metrics import roc_auc_score

    return {
        "auroc": float(roc_auc_score(faulty, score)),
        "pauc": float(roc_auc_score(faulty, score, max_fpr=MAX_FPR)),
    }


def anomalies(
    score: np.ndarray, recording: np.ndarray, kinds: Sequence[str], normal: Sequence[str], at: float
) -> dict[str, Any]:
    """Figures of a model that tells how far from normal a window is.

    Args:
        score: ``[n]`` of windows, 0..1.
        recording: ``int64[n]``, the recording of each window.
        kinds: the label of each recording.
        normal: labels of recordings without a fault.
        at: the threshold.

    Returns:
        JSON-able: ``auroc`` and ``pauc`` of windows, ``spans`` (AUROC of means over so many windows),
        ``recordings`` (AUROC of whole ones), ``kinds`` (AUROC of each kind of fault), and at the threshold
        ``false_alarms`` and ``detected``, shares of windows.
    """
    faulty = np.array([kind not in normal for kind in kinds])
    own = faulty[recording]

    def over(span: int) -> float:
        means, owner = averaged(score[:, None], recording, span)
        return areas(means[:, 0], faulty[owner])["auroc"]

    of_kind = {}
    for kind in sorted({kind for kind in kinds if kind not in normal}):
        rows = ~own | np.array([one == kind for one in kinds])[recording]
        of_kind[kind] = areas(score[rows], own[rows])["auroc"]
    return {
        **areas(score, own),
        "spans": {str(span): over(span) for span in SPANS},
        "recordings": {"auroc": over(len(score)), "n": len(kinds)},
        "kinds": of_kind,
        "windows": {"normal": int((~own).sum()), "faulty": int(own.sum())},
        "false_alarms": float((score[~own] >= at).mean()),
        "detected": float((score[own] >= at).mean()),
    }


def settle(scores: np.ndarray, y: np.ndarray, recording: np.ndarray, windows: int) -> dict[str, Any]:
    """The ``decision`` of a manifest: the threshold with the highest macro F1 of means over ``windows``.

    A mean below the threshold counts as the first class, as on the device before a class begins. Where
    validation does not tell, the threshold nearest to :data:`THRESHOLD` is taken.

    Args:
        scores: ``[n, classes]`` of validation windows, 0..1.
        y: ``int64[n]``, true classes.
        recording: ``int64[n]``, the recording of each window.
        windows: in a row that are averaged, 1 to 16.

    Returns:
        ``window``, ``threshold`` and ``clear``, in the same ratio to it as :data:`CLEAR` to the usual one.
    """
    means, owner = averaged(scores, recording, windows)
    truth = np.array([y[recording == number][0] for number in owner])
    best = means[:, 1:].argmax(axis=1) + 1
    score = means[:, 1:].max(axis=1)

    def worth(threshold: float) -> tuple[float, float]:
        guess = np.where(score >= threshold, best, 0)
        return round(macro_f1(truth, guess, means.shape[1]), 9), -abs(threshold - THRESHOLD)

    return decision(windows, max(THRESHOLDS, key=worth))


def decision(windows: int, threshold: float = THRESHOLD) -> dict[str, Any]:
    """The ``decision`` of a manifest with this threshold."""
    return {"window": windows, "threshold": threshold, "clear": round(threshold * CLEAR / THRESHOLD, 3)}


def delays(
    streams: Sequence[tuple[np.ndarray, float]],
    window_s: float,
    threshold: float = THRESHOLD,
    clear: float = CLEAR,
    hold: int = HOLD,
    window: int = 1,
) -> dict[str, Any]:
    """How long after its onset the device reports a fault.

    Args:
        streams: INT8 scores ``int8[n, classes]`` of windows in a row, and the second at which the fault
            began.
        window_s: seconds of a window.
        threshold, clear, hold: as in the node's configuration.
        window: outputs averaged, as in a manifest's ``decision``.

    Returns:
        JSON-able: ``streams``, ``found`` after the onset, ``early`` (reported before it, not counted as
        found), ``median_s`` and ``worst_s`` of those found (None if there are none), and the settings.
    """
    found, early = [], 0
    for scores, onset_s in streams:
        decide = _decide().Classes(scores.shape[1], -128, window, threshold, clear, hold, 0)
        for number, row in enumerate(scores, 1):
            if decide.update(row.astype(int).tolist(), int(number * window_s) + 1) and decide.current:
                if number * window_s <= onset_s:
                    early += 1
                else:
                    found.append(number * window_s - onset_s)
                break
    return {
        "streams": len(streams),
        "found": len(found),
        "early": early,
        "median_s": float(np.median(found)) if found else None,
        "worst_s": max(found) if found else None,
        "threshold": threshold,
        "clear": clear,
        "hold": hold,
        "window": window,
    }


@lru_cache(maxsize=1)
def _decide() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cicada_device_decide", DECIDE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
