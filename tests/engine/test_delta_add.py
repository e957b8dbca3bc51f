"""Adding the bytes of a difference: sums modulo 256, whatever the alignment, and no byte beside them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from engine.test_engine_sanitized import sanitized_program, sanitizers  # noqa: F401 (a fixture)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cicada.tools import engine

#: Distance of the target and of the difference from a multiple of 16, and how many bytes there are.
places = st.tuples(st.integers(0, 15), st.integers(0, 15), st.integers(0, 100))


def random_bytes(seed: int, count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, count, np.uint8)


def placed(data: NDArray[np.uint8], distance: int) -> NDArray[np.uint8]:
    """A copy that lies ``distance`` bytes behind a multiple of 16, with 16 zeros on both sides."""
    room = np.zeros(len(data) + 64, np.uint8)
    start = 16 + -room.ctypes.data % 16 + distance
    room[start : start + len(data)] = data
    return room[start : start + len(data)]


def test_every_byte_added_to_every_byte() -> None:
    target, difference = (part.ravel() for part in np.divmod(np.arange(65536), 256))
    sums = target.astype(np.uint8)
    engine.add(sums, difference.astype(np.uint8))
    np.testing.assert_array_equal(sums, (target + difference) % 256)


@settings(max_examples=300, deadline=None)
@given(places, st.integers(0, 2**32 - 1))
def test_sums_are_numpys_at_any_alignment(place: tuple[int, int, int], seed: int) -> None:
    to, of, count = place
    a, b = random_bytes(seed, count), random_bytes(seed + 1, count)
    target, difference = placed(a, to), placed(b, of)
    engine.add(target, difference)
    np.testing.assert_array_equal(target, a + b)
    np.testing.assert_array_equal(difference, b)
    whole = target.base
    assert np.count_nonzero(whole) == np.count_nonzero(target)


@given(places, st.integers(0, 2**32 - 1))
def test_bytes_added_to_themselves_are_doubled(place: tuple[int, int, int], seed: int) -> None:
    target = placed(random_bytes(seed, place[2]), place[0])
    wanted = target * np.uint8(2)
    engine.add(target, target)
    np.testing.assert_array_equal(target, wanted)


@pytest.fixture(scope="module")
def driver(sanitizers: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811 (the fixture)
    folder = engine.ENGINE / "delta"
    return sanitized_program(
        tmp_path_factory.mktemp("delta"),
        Path(__file__).with_name("delta_driver.c"),
        f"-I{folder}",
        folder / "add.c",
    )


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(places, st.integers(0, 2**32 - 1))
def test_nothing_outside_is_touched(driver: Path, place: tuple[int, int, int], seed: int) -> None:
    a, b = random_bytes(seed, place[2]), random_bytes(seed + 1, place[2])
    command = [str(driver), *map(str, place)]
    done = subprocess.run(command, input=a.tobytes() + b.tobytes(), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert done.stdout == (a + b).tobytes()


def test_arrays_of_another_form_are_refused() -> None:
    good = np.zeros(4, np.uint8)
    fixed = np.zeros(4, np.uint8)
    fixed.flags.writeable = False
    for target, difference in (
        (good, np.zeros(5, np.uint8)),
        (good, np.zeros(4, np.int8)),
        (good, np.zeros(8, np.uint8)[::2]),
        (np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8)),
        (fixed, good),
    ):
        with pytest.raises(ValueError, match="must be"):
            engine.add(target, difference)
