"""What operators are said to take: a number for whatever the compiler makes, and more for more work."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from engine.programs import separable
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.training.pack import cost, lower, reader, simplify
from cicada.training.pack.errors import PackError
from support.zoo import graphs, singles


@pytest.mark.parametrize("plain", [False, True])
@settings(max_examples=60, deadline=None)
@given(rng=st.randoms(use_true_random=False))
def test_every_operator_of_any_model_has_a_cost(plain: bool, rng: random.Random) -> None:
    kind = rng.choice([None, *singles.SINGLES])
    model = graphs.network(rng) if kind is None else singles.SINGLES[kind](rng)
    try:
        program = lower.lower(simplify.simplify(reader.read(model)), plain)
    except PackError:
        return
    for op in program.ops:
        assert set(cost.terms(op)) <= set(cost.COSTS[type(op)])
        assert cost.instructions(op) >= 0.5 * op.macs


def test_twice_the_work_costs_about_twice() -> None:
    few, many = (separable(size=size, channels=32).ops for size in (10, 20))
    for one, four in zip(few[:3], many[:3], strict=True):
        assert 3 < cost.instructions(four) / cost.instructions(one) < 4.5


def test_an_output_that_can_be_negative_costs_more() -> None:
    op = separable().ops[0]
    from_zero = replace(op, requant=replace(op.requant, low=op.requant.out_zero))
    assert cost.instructions(from_zero) < cost.instructions(op)
