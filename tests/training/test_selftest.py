"""The self-test in a model's manifest: right under TFLM, the same each time, and worth having."""

from __future__ import annotations

import hashlib
import json
import random
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools.packed import PackedModel
from cicada.tools.tflm import Interpreter
from cicada.training import container, selftest
from support import twins
from support.weights import BUILT_IN, built_in, damaged, weights


def test_features_are_as_documented() -> None:
    seed = bytes.fromhex("0000000c")
    stream = b"".join(hashlib.sha256(seed + struct.pack("<I", n)).digest() for n in range(62))
    found = selftest.features(seed, 1960)
    assert found.dtype == np.int8 and found.tobytes() == stream[:1960]


@given(st.binary(min_size=4, max_size=4), st.integers(0, 100), st.integers(0, 100))
def test_a_longer_input_begins_with_the_shorter_one(seed: bytes, one: int, other: int) -> None:
    short, long = sorted((one, other))
    np.testing.assert_array_equal(selftest.features(seed, long)[:short], selftest.features(seed, short))
    assert len(selftest.features(seed, long)) == long


def test_the_output_is_that_of_tflm_and_its_seed_the_least_saturated() -> None:
    made = selftest.vector(Interpreter(built_in()))
    json.dumps(made)
    sums = {}
    for n in range(selftest.TRIES):
        output = Interpreter(built_in()).invoke(selftest.features(n.to_bytes(4, "big"), 1960)).astype(int)
        sums[f"{n:08x}"] = np.abs(output).sum()
        if made["seed"] == f"{n:08x}":
            assert made["output"] == output.tolist()
    assert sums[made["seed"]] == min(sums.values()) < max(sums.values())


def test_an_interpreter_that_ran_before_gives_the_same() -> None:
    interpreter = Interpreter(built_in())
    first = selftest.vector(interpreter)
    interpreter.invoke(np.full(1960, 99, np.int8))
    assert selftest.vector(interpreter) == first


def test_the_built_in_model_carries_its_own() -> None:
    about, model = container.unpack(BUILT_IN)
    assert about["selftest"] == selftest.vector(Interpreter(built_in()))
    assert about["selftest"] == selftest.vector(PackedModel(bytes(model)))


def test_adding_one_changes_nothing_else() -> None:
    blob = twins.raw_container(twins.manifest(twins.model(), labels=["ü", "b", "c", "d"]), twins.model())
    with pytest.raises(KeyError):
        container.unpack(blob)[0]["selftest"]
    new = selftest.with_selftest(blob)
    about, model = container.unpack(new)
    vector = about.pop("selftest")
    assert about == container.unpack(blob)[0] and bytes(model) == twins.model()
    assert vector == selftest.vector(Interpreter(twins.model()))
    assert selftest.with_selftest(new) == new


def test_most_flipped_signs_of_weights_show() -> None:
    """As the module says; a vector that any model passes would be worth nothing."""
    about, _ = container.unpack(BUILT_IN)
    x = selftest.features(bytes.fromhex(about["selftest"]["seed"]), 1960)
    choose = random.Random(1)
    seen = [
        Interpreter(damaged(built_in(), choose.choice(layer))).invoke(x).tolist()
        != about["selftest"]["output"]
        for layer in weights(built_in())
        for _ in range(10)
    ]
    assert sum(seen) > len(seen) / 2


def test_damaged_containers_and_models_of_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match="damaged"):
        selftest.with_selftest(BUILT_IN[:-1] + b"\0")
    floats = Interpreter(built_in())
    floats.output["dtype"] = np.dtype(np.float32)
    with pytest.raises(ValueError, match="models of int8, not float32"):
        selftest.vector(floats)
