"""Packed streaming models of the zoo equal TensorFlow Lite Micro over long streams, and after a reset.

``CICADA_ZOO=1000`` looks at 1,000 models of each kind, other ones every time.
"""

from __future__ import annotations

import itertools
import os
import random

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from support.zoo import streams
from support.zoo.compare import GuardedModel, Pair, inputs, listing, walk

EXAMPLES = int(os.environ.get("CICADA_ZOO", "0"))


@pytest.mark.parametrize("name", streams.STREAMS)
@given(rng=st.randoms(use_true_random=False))
@settings(
    max_examples=EXAMPLES or 60,
    derandomize=not EXAMPLES,
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
