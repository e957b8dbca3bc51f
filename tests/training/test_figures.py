"""Pictures are made, are the same for the same data, and cope with little or nothing to show."""

from __future__ import annotations

import numpy as np
import pytest

from cicada.training import figures

LABELS = ["_silence_", "_unknown_", "yes", "no"]
HISTORY = [
    {"loss": 1 / n, "accuracy": 1 - 0.5 / n, "val_loss": 0.8 / n, "val_accuracy": 1 - 0.4 / n}
    for n in range(1, 8)
]


def size(path) -> tuple[int, int]:
    """Width and height in pixels, from the PNG's header."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def draw(path, **changes):
    rng = np.random.default_rng(0)
    times = np.arange(10, 100) / 10
    scores = rng.dirichlet(np.ones(4), len(times))
    arguments = {
        "pcm": rng.integers(-9000, 9000, 160000).astype(np.int16),
        "scores": scores,
        "times": times,
        "detections": [(3.2, "yes", 0.93)],
        "labels": LABELS,
        "title": "Heard",
        "played": [(2.4, 3.0, "yes"), (5.0, 5.5, "cat")],
        "asleep": [(7.0, 8.5)],
        "threshold": 0.8,
    }
    figures.timeline(path, **{**arguments, **changes})


@pytest.mark.parametrize(
    "make",
    [
        lambda path: figures.curves(path, HISTORY),
        lambda path: figures.confusion(path, np.diag([9, 80, 7, 0]), LABELS, "Test"),
        draw,
    ],
    ids=["curves", "confusion", "timeline"],
)
def test_the_same_data_give_the_same_readable_picture(make, tmp_path):
    make(tmp_path / "a.png")
    make(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    width, height = size(tmp_path / "a.png")
    assert 500 <= width <= 4000 and 400 <= height <= 1500


@pytest.mark.parametrize(
    "changes",
    [
        {"detections": [], "played": [], "asleep": [], "threshold": None},
        {"scores": np.empty((0, 4)), "times": np.empty(0)},
        {"pcm": np.zeros(100, np.int16), "detections": [], "played": [], "asleep": []},
        {"detections": [(1.0, "never heard of", 0.5)]},
    ],
    ids=["bare", "no scores", "hardly any sound", "strange word"],
)
def test_a_timeline_of_little_is_drawn_too(changes, tmp_path):
    draw(tmp_path / "a.png", **changes)
    assert size(tmp_path / "a.png")[1] > 400


def test_what_is_shown_matters(tmp_path):
    draw(tmp_path / "a.png")
    for number, changes in enumerate(
        ({"detections": []}, {"played": []}, {"asleep": []}, {"threshold": 0.5}, {"title": "Other"})
    ):
        draw(tmp_path / f"{number}.png", **changes)
        assert (tmp_path / f"{number}.png").read_bytes() != (tmp_path / "a.png").read_bytes()


def test_words_keep_their_colours_apart_from_the_fixed_classes():
    assert len({figures.colour(label) for label in range(8)}) == 8
