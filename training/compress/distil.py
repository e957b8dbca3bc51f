"""Distillation: a small model learns what a larger one thinks of the same examples.

G. Hinton, O. Vinyals and J. Dean, "Distilling the Knowledge in a Neural Network" (arXiv:1503.02531). The
teacher sees the very batch that the student sees, distorted and mixed as it is, as L. Beyer et al.
(arXiv:2106.05237) found it best.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cicada.training import backend

if TYPE_CHECKING:
    import keras

# Probabilities below it count as it: the logarithm stays finite, and so does its gradient, 1/p, in float32.
_LEAST = 1e-30


def taught(
    epoch: Callable[[int], Iterable[tuple[np.ndarray, ...]]], teacher: keras.Model
) -> Callable[[int], Iterator[tuple[np.ndarray, ...]]]:
    """Batches with the teacher's opinion as one more target, the last.

    Args:
        epoch: batches ``(inputs, *targets)`` by the number of the epoch, as
            :func:`cicada.training.fit.fit` takes them.
        teacher: to probabilities ``float32[batch, classes]``; of several outputs the first counts.
    """
    tf = backend.tensorflow()

    @tf.function(reduce_retracing=True)
    def opinion(inputs):
        outputs = teacher(inputs, training=False)
        return outputs[0] if isinstance(outputs, list | tuple) else outputs

    def batches(number: int) -> Iterator[tuple[np.ndarray, ...]]:
        for inputs, *targets in epoch(number):
            yield inputs, *targets, opinion(tf.constant(inputs)).numpy()

    return batches


def loss(
    scores: Any, labels: Any, teacher: Any, weight: float, temperature: float, smoothing: float = 0.0
) -> Any:
    """Mean loss of a batch by the labels and the teacher together.

    ``(1 - weight) * H(labels, scores) + weight * T^2 * KL(teacher at T, scores at T)``. Models end in a
    softmax, and its logarithm is the logits less a constant that the next softmax takes no notice of, so
    ``softmax(log(p) / T)`` is the softmax of the logits at temperature T. T^2 keeps the gradients of both
    parts alike in size (section 2 of the paper).

    Args:
        scores: probabilities of the student, ``float32[batch, classes]``.
        labels: one-hot or mixed classes, ``float32[batch, classes]``.
        teacher: probabilities of the teacher for the same inputs, ``float32[batch, classes]``.
        weight: of the teacher, 0 to 1.
        temperature: above 0; the larger, the more the small probabilities of the teacher count.
        smoothing: label smoothing; the teacher's opinion is left as it is.

    Returns:
        a scalar tensor.
    """
    tf = backend.tensorflow()
    classes = labels.shape[-1]
    ours = tf.math.log(tf.maximum(scores, _LEAST))
    smooth = labels * (1 - smoothing) + smoothing / classes
    by_labels = -tf.reduce_sum(smooth * ours, axis=-1)
    soft_ours = tf.nn.log_softmax(ours / temperature)
    soft_theirs = tf.nn.log_softmax(tf.math.log(tf.maximum(teacher, _LEAST)) / temperature)
    by_teacher = tf.reduce_sum(tf.exp(soft_theirs) * (soft_theirs - soft_ours), axis=-1)
    return tf.reduce_mean((1 - weight) * by_labels + weight * temperature**2 * by_teacher)
