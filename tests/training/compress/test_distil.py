"""The distillation loss is the one of the paper, on models that end in a softmax."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from cicada.training import backend
from cicada.training.compress import distil


def logits(seed: int, spread: float = 4.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, spread, (6, 5)).astype(np.float32)


def by_formula(student, labels, teacher, weight, temperature, smoothing):
    """The paper's loss, from logits, in double precision."""
    student, teacher = student.astype(float), teacher.astype(float)
    smooth = labels * (1 - smoothing) + smoothing / labels.shape[1]
    hard = -(smooth * log_softmax(student, axis=1)).sum(1)
    theirs, ours = (log_softmax(x / temperature, axis=1) for x in (teacher, student))
    soft = (np.exp(theirs) * (theirs - ours)).sum(1)
    return ((1 - weight) * hard + weight * temperature**2 * soft).mean()


@given(
    seed=st.integers(0, 999),
    weight=st.floats(0, 1),
    temperature=st.floats(0.5, 8),
    smoothing=st.floats(0, 0.3),
)
def test_loss_from_probabilities_is_the_papers_loss_from_logits(seed, weight, temperature, smoothing):
    student, teacher = logits(seed), logits(seed + 1000)
    labels = np.eye(5, dtype=np.float32)[np.random.default_rng(seed).integers(0, 5, 6)]
    found = distil.loss(
        softmax(student, axis=1), labels, softmax(teacher, axis=1), weight, temperature, smoothing
    )
    expected = by_formula(student, labels, teacher, weight, temperature, smoothing)
    assert float(found) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_nothing_is_left_to_learn_from_a_teacher_of_the_same_opinion():
    tf = backend.tensorflow()
    own = tf.Variable(logits(1))
    with tf.GradientTape() as tape:
        value = distil.loss(tf.nn.softmax(own), tf.one_hot([0] * 6, 5), softmax(logits(1), axis=1), 1.0, 3.0)
    assert float(value) == pytest.approx(0, abs=1e-5)
    assert np.abs(tape.gradient(value, own)).max() < 1e-5


def test_a_class_that_the_student_excludes_still_pulls():
    tf = backend.tensorflow()
    own = tf.Variable(np.array([[60.0, 0, 0], [30, -30, -30]], np.float32))
    with tf.GradientTape() as tape:
        value = distil.loss(tf.nn.softmax(own), tf.one_hot([1, 2], 3), tf.one_hot([1, 2], 3), 0.5, 2.0)
    gradient = np.asarray(tape.gradient(value, own))
    assert np.isfinite(gradient).all() and np.isfinite(float(value))
    assert gradient[0, 1] < -0.1 and gradient[1, 2] < -0.1


def test_the_teacher_judges_the_batch_that_the_student_gets():
    tf = backend.tensorflow()
    inputs = tf.keras.Input((3,))
    both = [tf.keras.layers.Dense(4, activation="softmax")(inputs), tf.keras.layers.Dense(2)(inputs)]
    teacher = tf.keras.Model(inputs, both)
    made = [(np.full((2, 3), number, np.float32), np.eye(4)[:2], np.zeros(2)) for number in range(3)]
    batches = list(distil.taught(lambda number: made[number:], teacher)(1))
    assert [len(batch) for batch in batches] == [4, 4]
    for batch, (x, labels, other) in zip(batches, made[1:], strict=True):
        np.testing.assert_array_equal(batch[0], x)
        np.testing.assert_array_equal(batch[1], labels)
        np.testing.assert_array_equal(batch[2], other)
        np.testing.assert_allclose(batch[3], teacher(x)[0], rtol=1e-5)
