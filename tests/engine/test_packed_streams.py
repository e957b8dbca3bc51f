"""Packed streaming models of the zoo equal TensorFlow Lite Micro over long streams, and after a reset.

``CICADA_ZOO=1000`` looks at 1,000 models of each kind, other ones every time; one that fails is made smaller.
"""

from __future__ import annotations

import itertools
import os
import random

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from support.zoo import layers, moves, streams
from support.zoo.compare import GuardedModel, Pair, inputs, listing, walk
from support.zoo.model import Model, Quant

EXAMPLES = int(os.environ.get("CICADA_ZOO", "0"))


@pytest.mark.parametrize("name", streams.STREAMS)
@given(rng=st.randoms(use_true_random=False))
@settings(
    max_examples=EXAMPLES or 60,
    derandomize=not EXAMPLES,
    phases=list(Phase) if EXAMPLES else [Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_a_stream_equals_tflm(name: str, rng: random.Random):
    model = streams.STREAMS[name](rng)
    note(listing(model))
    pair = Pair(model)
    steps = itertools.chain(inputs(pair.packed.input, 1, 30), walk(pair.packed.input, 2, 30))
    for n, values in enumerate(steps):
        if n == 25:
            pair.reset()
        pair.step(values)


def test_two_models_side_by_side_do_not_disturb_each_other():
    model = streams.wake_word(random.Random(3))
    pair = Pair(model)
    other = GuardedModel(pair.blob, seed=9)
    for n, values in enumerate(inputs(pair.packed.input, 5, 40)):
        pair.step(values)
        for noise in inputs(other.input, n, n % 3):
            other.invoke(noise)


@pytest.mark.parametrize("step", [-1, -2, 2])
def test_rows_of_a_ring_are_read_backwards_and_with_gaps(step: int):
    rng = random.Random(8)
    stream = streams.Stream(rng, Model(tame=True), foreign=True)
    x = stream.model.input((1, 1, 1, 6), Quant(0.05, -3))
    window = stream.remember(x, 4)
    first, last = (4, -6) if step < 0 else (0, 5)
    seen = moves.strided_slice(stream.model, window, (0, first, 0, 0), (1, last, 1, 6), (1, step, 1, 1))
    pair = Pair(stream.finish(layers.dense(stream.model, rng, seen, 5)))
    for n, values in enumerate(walk(pair.packed.input, 3, 30)):
        if n == 17:
            pair.reset()
        pair.step(values)
