"""Batches keep their promises about shares and about words inside and outside the window."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cicada.training import batches
from cicada.training.batches import epoch
from cicada.training.features import Strips
from cicada.training.recipe import Augment, Train
from cicada.training.windows import CHANNELS, FRAMES, SECOND

CLASSES = 4


def strips(count: int = 400, seed: int = 0) -> Strips:
    """Strips whose word frames hold 100 and whose other frames hold -50."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % CLASSES
    first = SECOND.side + rng.integers(0, 20, count)
    last = first + rng.integers(8, 30, count)
    span = np.stack([first, np.minimum(last, SECOND.side + FRAMES)], 1).astype(np.int16)
    span[y == 0] = -1
    at = np.arange(SECOND.strip)
    inside = (at >= span[:, :1]) & (at < span[:, 1:])
    x = np.where(inside[:, :, None], 100, -50).astype(np.int8).repeat(CHANNELS, 2)
    return Strips(x, y, span, np.where(y == 0, 0, y + 1))


def test_classes_have_their_shares():
    how = Augment(silence_share=0.2, unknown_share=0.4, partial=0.0), Train(examples=1000, batch=50)
    y = np.concatenate([y for _, y, _ in epoch(strips(), CLASSES, *how, 1, 0)])
    np.testing.assert_allclose(y.mean(axis=0), [0.2, 0.4, 0.2, 0.2], atol=1e-6)


def test_shapes_types_and_range():
    how = Augment(), Train(examples=256, batch=64)
    made = list(epoch(strips(), CLASSES, *how, 1, 0))
    assert len(made) == 4
    for x, y, word in made:
        assert x.shape == (64, FRAMES, CHANNELS, 1) and y.shape == (64, CLASSES) and word.shape == (64, 5)
        assert x.dtype == y.dtype == word.dtype == np.float32
        assert x.min() >= -1 and x.max() <= 127 / 128
        assert (y.sum(axis=1) == 1).all() and (word.sum(axis=1) == 1).all()


def test_epochs_repeat_by_seed_and_number_and_differ_otherwise():
    how = Augment(), Train(examples=128, batch=64)
    first, again, next_one, other = (
        np.concatenate([x for x, _, _ in epoch(strips(), CLASSES, *how, seed, number)])
        for seed, number in ((1, 0), (1, 0), (1, 1), (2, 0))
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, next_one) and not np.array_equal(first, other)


@given(seed=st.integers(0, 2**32 - 1), partial=st.sampled_from([0.0, 0.5]))
def test_words_are_inside_the_window_or_called_unknown(seed, partial):
    made = strips(120, seed % 7)
    how = Augment(partial=partial)
    offset, cut = batches._offsets(made.span, made.y, how, SECOND, np.random.default_rng(seed))
    assert ((offset >= 0) & (offset <= SECOND.strip - FRAMES)).all()
    assert not cut[made.y < 2].any() and (partial > 0 or not cut.any())
    first, last = made.span.T.astype(int)
    covered = np.clip(np.minimum(last, offset + FRAMES) - np.maximum(first, offset), 0, None)
    spoken = made.y > 0
    whole = spoken & ~cut
    np.testing.assert_array_equal(covered[whole], (last - first)[whole])
    assert (covered[cut] <= (last - first)[cut] / 2 + 1).all()


def test_cut_words_are_taught_as_unknown_and_as_no_word():
    how = Augment(silence_share=0.01, unknown_share=0.01, partial=0.5), Train(examples=2000, batch=100)
    columns = list(zip(*epoch(strips(), CLASSES, *how, 1, 0), strict=True))
    y, word = (np.concatenate(column) for column in columns[1:])
    assert 0.35 < y[:, 1].mean() < 0.6
    np.testing.assert_allclose(word[:, 0].mean(), y[:, :2].sum(axis=1).mean() - 0.01, atol=0.02)


def test_mixed_examples_and_their_classes_have_the_same_shares():
    how = Augment(partial=0.0), Train(examples=256, batch=64, mixup=0.4)
    plain = Augment(partial=0.0), Train(examples=256, batch=64)
    mixed, whole = (list(epoch(strips(), CLASSES, *h, 1, 0)) for h in (how, plain))
    for _, y, word in mixed:
        np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)
        np.testing.assert_allclose(word.sum(axis=1), 1, rtol=1e-6)
    # The first batch is drawn alike, so that it can be compared.
    (x, y, _), (x0, y0, _) = mixed[0], whole[0]
    share = (y * y0).sum(axis=1)  # of the example's own class, of which its partner may be too
    assert (share >= 0.5 - 1e-6).all() and (share < 0.9).any()
    distance = np.abs(x - share[:, None, None, None] * x0).max(axis=(1, 2, 3))
    assert (distance <= 1 - share + 1e-6)[share < 1 - 1e-6].all()
