"""One model in several forms on the same examples: float, INT8 under TFLite and TFLM, packed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cicada.tools.packed import PackedModel
from cicada.tools.tflm import Interpreter
from cicada.training import backend, evaluate, quantise
from cicada.training.evaluation.intervals import bootstrap, people

if TYPE_CHECKING:
    import keras


def forms(
    x: np.ndarray, tflite: bytes, packed: bytes, model: keras.Model | None = None
) -> dict[str, np.ndarray]:
    """What every form of a model says.

    Args:
        x: ``int8[n, rows, columns]``, inputs as the device has them.
        tflite: the INT8 model, one without state.
        packed: the same, packed.
        model: the same before it was quantised, if it is at hand.

    Returns:
        by name (``float``, ``tflite``, ``tflm``, ``packed``) scores ``[n, classes]``: float32 probabilities
        for ``float``, else int8 of scale 1/256 and zero point -128.
    """
    outputs: dict[str, np.ndarray] = {}
    if model is not None:
        backend.tensorflow()
        shaped = (x.astype(np.float32) / 128).reshape(len(x), *model.input_shape[1:])
        outputs["float"] = np.asarray(model.predict(shaped, batch_size=512, verbose=0))
    outputs["tflite"] = quantise.tflite_outputs(tflite, x)
    outputs["tflm"] = evaluate.tflm_outputs(Interpreter(tflite), x, "TFLM")
    outputs["packed"] = evaluate.tflm_outputs(PackedModel(packed), x, "Packed")
    return outputs


def compare(
    outputs: Mapping[str, np.ndarray], y: np.ndarray, speakers: Sequence[object]
) -> list[dict[str, Any]]:
    """How far any two forms are apart.

    Args:
        outputs: by name, see :func:`forms`; they may come from elsewhere.
        y: ``int64[n]``, true classes.
        speakers: who speaks in each example, or which recording it is from, for the intervals; empty where
            nobody speaks.

    Returns:
        for each pair of names ``one`` and ``other``: ``agreement``, the share of examples to which both give
        the same answer; ``difference`` of their accuracies (``one`` less ``other``) with its 95 % interval,
        paired, so that it is narrower than those of the two accuracies; ``largest``, the largest difference
        of two scores (0..1); ``equal``, whether all scores are the same.
    """
    scores = {name: _as_share(values) for name, values in outputs.items()}
    clusters = people(speakers)
    pairs = []
    for one, other in itertools.combinations(scores, 2):
        answers = scores[one].argmax(axis=1), scores[other].argmax(axis=1)
        won = (answers[0] == y).astype(np.int64) - (answers[1] == y)
        pairs.append(
            {
                "one": one,
                "other": other,
                "agreement": float((answers[0] == answers[1]).mean()),
                "difference": bootstrap(clusters, lambda rows, won=won: float(won[rows].mean())).as_json(),
                "largest": float(np.abs(scores[one] - scores[other]).max()),
                "equal": bool(np.array_equal(scores[one], scores[other])),
            }
        )
    return pairs


def _as_share(values: np.ndarray) -> np.ndarray:
    """Scores as 0..1."""
    if values.dtype == np.int8:
        return (values.astype(np.float64) + 128) / 256
    return values.astype(np.float64)
