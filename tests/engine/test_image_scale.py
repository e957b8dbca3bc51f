"""Cropping and scaling of camera frames against exact arithmetic, Pillow and TensorFlow."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from engine.test_engine_sanitized import sanitized_program, sanitizers  # noqa: F401 (a fixture)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cicada.tools import engine

PATH = engine.build()
RNG = np.random.default_rng(11)


def noise(rows: int, columns: int, *pixel: int) -> np.ndarray:
    return RNG.integers(0, 256, (rows, columns, *pixel), np.uint8)


def cover(frame: int, out: int) -> np.ndarray:
    """int64[out, frame]: overlap of output and frame pixels; a frame pixel is ``out`` long."""
    edges = np.arange(frame + 1) * out
    begin = np.arange(out)[:, None] * frame
    return np.clip(np.minimum(edges[1:], begin + frame) - np.maximum(edges[:-1], begin), 0, None)


def exact(channel: np.ndarray, width: int, height: int) -> np.ndarray:
    """The area mean in 64-bit integers, rounded half up."""
    rows, columns = channel.shape
    total = cover(rows, height) @ channel.astype(np.int64) @ cover(columns, width).T
    return (2 * total + rows * columns) // (2 * rows * columns)


def channels(frame: np.ndarray) -> list[np.ndarray]:
    """Red, green and blue of RGB565 with the high byte first."""
    pixel = frame[..., 0].astype(np.uint16) << 8 | frame[..., 1]
    return [pixel >> 11, pixel >> 5 & 63, pixel & 31]


sides = st.integers(1, 40)


@st.composite
def jobs(draw):
    """A frame's size, a crop in it and a result's size."""
    columns, rows = draw(sides), draw(sides)
    x, y = draw(st.integers(0, columns - 1)), draw(st.integers(0, rows - 1))
    crop = (x, y, draw(st.integers(1, columns - x)), draw(st.integers(1, rows - y)))
    return columns, rows, crop, draw(sides), draw(sides)


@settings(max_examples=150, deadline=None)
@given(jobs(), st.integers(0, 2**32 - 1))
def test_gray_and_int8_are_the_exact_area_mean(job, seed: int) -> None:
    columns, rows, (x, y, w, h), width, height = job
    frame = np.random.default_rng(seed).integers(0, 256, (rows, columns), np.uint8)
    want = exact(frame[y : y + h, x : x + w], width, height)
    np.testing.assert_array_equal(engine.scale_frame(frame, width, height, (x, y, w, h)), want)
    signed = engine.scale_frame(frame, width, height, (x, y, w, h), "int8").view(np.int8)
    np.testing.assert_array_equal(signed, want - 128)


@settings(max_examples=100, deadline=None)
@given(jobs(), st.integers(0, 2**32 - 1))
def test_rgb565_is_the_exact_area_mean_of_each_channel(job, seed: int) -> None:
    columns, rows, (x, y, w, h), width, height = job
    frame = np.random.default_rng(seed).integers(0, 256, (rows, columns, 2), np.uint8)
    scaled = engine.scale_frame(frame, width, height, (x, y, w, h), "rgb565")
    for got, channel in zip(channels(scaled), channels(frame[y : y + h, x : x + w]), strict=True):
        np.testing.assert_array_equal(got, exact(channel, width, height))


@pytest.mark.parametrize(("size", "factor"), [((320, 240), 5), ((96, 96), 2), ((640, 480), 20)])
def test_whole_reductions_are_those_of_pillow(size: tuple[int, int], factor: int) -> None:
    columns, rows = size
    frame = noise(rows, columns)
    image = Image.fromarray(frame)
    width, height = columns // factor, rows // factor
    got = engine.scale_frame(frame, width, height).astype(int)
    # Pillow multiplies by a truncated reciprocal, exact for powers of two only; its resize rounds twice.
    off = np.abs(got - np.asarray(image.reduce(factor)))
    assert off.max() <= (factor & (factor - 1) != 0) and np.count_nonzero(off) < 0.05 * off.size
    assert np.abs(got - np.asarray(image.resize((width, height), Image.Resampling.BOX))).max() <= 1


@pytest.mark.parametrize("width", [96, 100, 31])
def test_broken_reductions_are_those_of_tensorflow(width: int) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    tf = pytest.importorskip("tensorflow", reason="its area resize is the reference for broken ratios")
    frame = noise(240, 320)
    area = tf.image.resize(frame[None, :, 40:280, None].astype(np.float32), (width, width), method="area")
    got = engine.scale_frame(frame, width, width)  # the centred square
    # Its sums are floats, so that it may miss a half.
    np.testing.assert_allclose(got, area.numpy()[0, :, :, 0], atol=0.5 + 1e-3)


def test_the_same_size_is_the_same_picture() -> None:
    frame = noise(12, 17, 2)
    np.testing.assert_array_equal(engine.scale_frame(frame, 17, 12, form="rgb565"), frame)


@pytest.mark.parametrize("level", [0, 255])
def test_the_largest_sizes_do_not_overflow(level: int) -> None:
    frame = np.full((4096, 4096), level, np.uint8)
    assert (engine.scale_frame(frame, 1, 1) == level).all()
    assert (engine.scale_frame(frame[:3, :3], 4096, 4096) == level).all()
    assert (engine.scale_frame(frame, 4095, 1, (0, 0, 4096, 4096)) == level).all()


@settings(max_examples=200, deadline=None)
@given(*[st.integers(1, 4096)] * 4)
def test_the_centred_crop_is_the_largest_of_its_aspect(columns, rows, width, height) -> None:
    crop = engine.load(PATH).img_centred(columns, rows, width, height)
    assert crop.width == columns or crop.height == rows
    assert crop.x == (columns - crop.width) // 2 and crop.y == (rows - crop.height) // 2
    # One pixel more would be too much: floor of the exact side, but at least one pixel.
    assert crop.width == min(columns, max(1, rows * width // height))
    assert crop.height == min(rows, max(1, columns * height // width))


@pytest.mark.parametrize(
    ("width", "height", "crop"),
    [
        (0, 8, None),
        (8, 4097, None),
        (8, 8, (0, 0, 0, 4)),
        (8, 8, (1, 0, 10, 4)),
        (8, 8, (0, 5, 10, 4)),
        (8, 8, (0, 0, 11, 4)),
        (8, 8, (-1, 0, 4, 4)),
        (8, 8, (4096, 0, 4096, 1)),
    ],
)
def test_sizes_and_crops_that_do_not_fit_are_refused(width, height, crop) -> None:
    with pytest.raises(ValueError, match="sizes must be|within the frame"):
        engine.scale_frame(noise(8, 10), width, height, crop)


def test_a_frame_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match=r"form rgb565 cannot have the shape \[8, 10\]"):
        engine.scale_frame(noise(8, 10), 4, 4, form="rgb565")


@pytest.fixture(scope="module")
def driver(sanitizers: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    library = engine.build(sanitize=True)
    return sanitized_program(
        tmp_path_factory.mktemp("driver"),
        Path(__file__).with_name("image_driver.c"),
        f"-I{engine.ENGINE / 'image'}",
        library,
        f"-Wl,-rpath,{library.parent}",
    )


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(jobs(), st.sampled_from(engine.FORMS), st.booleans())
def test_no_size_makes_a_fault(driver: Path, job, form: str, centred: bool) -> None:
    columns, rows, crop, width, height = job
    frame = noise(rows, columns, *((2,) if form == "rgb565" else ()))
    where = (0, 0, 0, 0) if centred else crop
    numbers = [columns, rows, *where, width, height, engine.FORMS.index(form)]
    command = [driver, *map(str, numbers)]
    result = subprocess.run(command, input=frame.tobytes(), capture_output=True, timeout=60)
    assert result.returncode == 0, result.stderr.decode(errors="replace")
    scaled = engine.scale_frame(frame, width, height, None if centred else crop, form)
    assert result.stdout == scaled.tobytes()
