"""Classes from a few examples: the nearest direction, or none."""

from __future__ import annotations

import ast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools.board import load_module
from cicada.tools.paths import FIRMWARE
from support.twins import micropython

prototypes = load_module(FIRMWARE / "app" / "node" / "adapt" / "prototypes.py", "node_adapt_prototypes")
Prototypes = prototypes.Prototypes


def taught(classes: dict[str, np.ndarray], **options: float) -> Prototypes:
    known = Prototypes(next(iter(classes.values())).shape[1], len(classes), **options)
    for name, rows in classes.items():
        for n, row in enumerate(rows, 1):
            assert known.add(name, row.tolist()) == n
    return known


@given(
    st.integers(0, 2**32), st.integers(2, 40), st.integers(1, 5), st.integers(3, 10), st.integers(-128, 127)
)
def test_the_nearest_direction_is_that_of_numpy(seed, dims, count, examples, zero) -> None:
    rng = np.random.default_rng(seed)
    classes = {f"c{n}": rng.integers(-128, 128, (examples, dims)) for n in range(count)}
    vector = rng.integers(-128, 128, dims)
    unit = lambda v: v / np.linalg.norm(v)  # noqa: E731
    if any((row == zero).all() for rows in [[vector], *classes.values()] for row in rows):
        return
    known = taught(classes, zero=zero, reject=0)
    cosines = {
        name: unit(np.sum([unit(row - zero) for row in rows], 0)) @ unit(vector - zero)
        for name, rows in classes.items()
    }
    name, similarity = known.classify(vector.tolist())
    best = max(cosines.values())
    assert similarity == pytest.approx(best, abs=1e-5)
    assert (name is None) == (similarity < 0)
    assert name is None or cosines[name] == pytest.approx(best, abs=1e-5)


def test_what_is_like_nothing_belongs_to_no_class() -> None:
    known = taught({"a": np.array([[9, 0, 1]] * 3), "b": np.array([[0, 9, 1]] * 3)}, reject=0.9)
    assert known.classify([50, 1, 5])[0] == "a" and known.classify([1, 50, 5])[0] == "b"
    name, similarity = known.classify([50, 50, 0])
    assert name is None and 0.6 < similarity < 0.8
    assert known.classify([0, 0, 0]) == (None, 0.0)


def test_loudness_does_not_matter() -> None:
    known = taught({"a": np.array([[100, 0], [1, 1], [0, 3]])})
    assert known.classify([1, 1]) == known.classify([90, 90])
    assert known.classify([1, 1])[1] == pytest.approx(1)


def test_a_class_counts_from_its_third_example_and_takes_ten() -> None:
    known, answers = Prototypes(2, 1), []
    for _ in range(10):
        answers.append(known.classify([3, 4])[0])
        known.add("a", [3, 4])
    assert answers == [None] * 3 + ["a"] * 7
    with pytest.raises(ValueError, match="'a' has 10 examples"):
        known.add("a", [3, 4])


def test_no_more_classes_than_there_is_room_for() -> None:
    known = Prototypes(2, 2)
    known.add("a", [1, 0])
    known.add("b", [1, 0])
    with pytest.raises(ValueError, match="room for 2 classes: forget one"):
        known.add("c", [1, 0])
    assert known.forget("a") and not known.forget("a")
    known.add("c", [1, 0])
    assert known.examples() == {"b": 1, "c": 1}
    known.reset()
    assert known.examples() == {}


def test_state_comes_back_and_nothing_else_does() -> None:
    rng = np.random.default_rng(1)
    known = taught({"öffnen": rng.integers(-9, 9, (3, 5)), "b": rng.integers(-9, 9, (4, 5))})
    state, again = known.state(), Prototypes(5, 2)
    assert again.restore(state) and again.state() == state
    assert again.classify([1, 2, 3, 4, 5]) == known.classify([1, 2, 3, 4, 5])
    assert again.examples() == {"öffnen": 3, "b": 4}
    damaged = state[:6] + b"\xff" + state[7:]
    for data in (b"", b"abc", state[:-1], state + b"\0", b"\2" + state[1:], damaged):
        assert not again.restore(data)
    assert again.state() == state
    assert not Prototypes(4, 2).restore(state) and not Prototypes(5, 1).restore(state)


@given(st.binary(max_size=60))
def test_garbage_is_no_state(data: bytes) -> None:
    known = Prototypes(2, 2)
    before = known.state()
    if not known.restore(data):
        assert known.state() == before


@pytest.mark.parametrize("numbers", [(0, 1), (257, 1), (4, 0), (4, 33)])
def test_other_numbers_are_refused(numbers: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="dims must be 1 to 256"):
        Prototypes(*numbers)


def test_examples_that_teach_nothing_are_refused() -> None:
    known = Prototypes(2, 2, zero=-128)
    for name, vector, reason in (
        ("a", [-128, -128], "the example is empty"),
        ("a", [1], "a vector has 2 values, not 1"),
        ("", [1, 2], "a name has 1 to 24 bytes"),
        ("x" * 25, [1, 2], "a name has 1 to 24 bytes"),
    ):
        with pytest.raises(ValueError, match=reason):
            known.add(name, vector)
    assert known.examples() == {}


def test_micropython_says_the_same() -> None:
    vectors = [[-100, 127, 5], [90, -100, 9], [-128, -128, 1], [-128, -128, -128]]
    code = (
        "from array import array\nfrom node.adapt import Prototypes\np = Prototypes(3, 2, zero=-128)\n"
        "for k in range(3):\n"
        "    p.add('a', array('b', (-128, 100, k)))\n    p.add('b', memoryview(array('b', (90, -128, k))))\n"
        "q = Prototypes(3, 2, zero=-128)\nprint(q.restore(p.state()))\n"
        f"for v in {vectors}:\n    print(q.classify(array('b', v)))\n"
    )
    classes = {"a": [[-128, 100, k] for k in range(3)], "b": [[90, -128, k] for k in range(3)]}
    known = taught({name: np.array(rows) for name, rows in classes.items()}, zero=-128)
    restored, *answers = map(ast.literal_eval, micropython(code).splitlines())
    assert restored and [name for name, _ in answers] == ["a", "b", None, None]
    for (name, similarity), vector in zip(answers, vectors, strict=True):
        expected = known.classify(vector)
        assert name == expected[0] and similarity == pytest.approx(expected[1], abs=1e-5)
