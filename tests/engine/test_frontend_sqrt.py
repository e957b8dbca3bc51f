"""The square root of band energies, over its whole range."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools import engine


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], int]:
    library = tmp_path_factory.mktemp("sqrt") / "probe.so"
    frontend = engine.ENGINE / "frontend"
    probe = Path(__file__).with_name("sqrt_probe.c")
    engine.run_compiler(
        [*engine.FLAGS, "-shared", f"-I{frontend}", "-o", library, probe, frontend / "tables.c"]
    )
    function = ctypes.CDLL(str(library)).probe_sqrt
    function.argtypes, function.restype = [ctypes.c_uint64], ctypes.c_uint32
    return function


def expected(x: int) -> int:
    """Nearest integer to the root, and never 2^16 below 2^32 (Sqrt32 of MICRO/filterbank.c)."""
    floor = math.isqrt(x)
    rounded = floor + (x - floor * floor > floor)
    return min(rounded, 0xFFFF) if x < 1 << 32 else rounded


def test_root_of_small_and_of_round_numbers(root: Callable[[int], int]) -> None:
    numbers = [*range(70000), *((1 << bits) + d for bits in range(17, 50) for d in range(-40, 40)), 2**50 - 1]
    assert [root(x) for x in numbers] == [expected(x) for x in numbers]


@given(st.integers(0, 2**25 - 1), st.integers(-2, 2), st.booleans())
def test_root_beside_squares_and_halfway_points(
    root: Callable[[int], int], base: int, offset: int, halfway: bool
) -> None:
    x = max(0, base * base + (base if halfway else 0) + offset)
    assert root(x) == expected(x)


@given(st.integers(0, 50).flatmap(lambda bits: st.integers(0, (1 << bits) - 1)))
def test_root_of_any_size(root: Callable[[int], int], x: int) -> None:
    assert root(x) == expected(x)
