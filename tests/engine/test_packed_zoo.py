"""Packed models of the zoo equal TensorFlow Lite Micro in every byte.

``CICADA_ZOO=1000`` looks at 1,000 models of each kind, other ones every time; one that fails is made smaller,
which takes minutes.
"""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from support.zoo import graphs, singles
from support.zoo.compare import Pair, inputs, listing

EXAMPLES = int(os.environ.get("CICADA_ZOO", "0"))
#: What hypothesis draws from, and how often.
RANDOMS = st.randoms(use_true_random=False)


def times(usual: int) -> settings:
    """So many examples, always the same; or as many as CICADA_ZOO says."""
    return settings(
        max_examples=EXAMPLES or usual,
        derandomize=not EXAMPLES,
        phases=list(Phase) if EXAMPLES else [Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.parametrize("name", singles.SINGLES)
@given(rng=RANDOMS)
@times(30)
def test_an_operator_alone_equals_tflm(name: str, rng: random.Random):
    check(singles.SINGLES[name](rng), 6)


@given(rng=RANDOMS)
@times(250)
def test_a_network_equals_tflm(rng: random.Random):
    check(graphs.network(rng), 5)


def check(model: bytes, count: int) -> None:
    """Compare ``count`` inferences."""
    note(listing(model))
    pair = Pair(model)
    for values in inputs(pair.packed.input, 1, count):
        pair.step(values)
