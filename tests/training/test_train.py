"""Training goes on where it was interrupted, and says so when it cannot go on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cicada.tools.errors import UserError
from cicada.training import train
from cicada.training.batches import Sampling
from cicada.training.features import Strips, Windows
from cicada.training.train import Settings, fit
from cicada.training.windows import CHANNELS, FRAMES, SIDE, STRIP

SETTINGS = Settings(epochs=3, sampling=Sampling(examples=96, batch=32), warmup=2)
CLASSES = 3


def data() -> tuple[Strips, Windows]:
    rng = np.random.default_rng(0)
    y = np.arange(60) % CLASSES
    x = rng.integers(-128, 0, (60, STRIP, CHANNELS)).astype(np.int8)
    x[y == 2, SIDE + 15 : SIDE + 35, 5:15] += 120
    span = np.where(y[:, None] > 0, [SIDE + 15, SIDE + 35], -1).astype(np.int16)
    windows = Windows(x[:12, SIDE : SIDE + FRAMES], y[:12], np.array(["x"] * 12))
    return Strips(x, y, span, y), windows


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Weights and history of a training that nobody interrupted."""
    checkpoint = tmp_path_factory.mktemp("checkpoint") / "c.npz"
    weights, history = fit(*data(), CLASSES, SETTINGS, 1, checkpoint)
    assert checkpoint.is_file()
    return weights, history


def test_history_has_every_epoch(whole):
    _, history = whole
    assert len(history) == 3
    for entry in history:
        assert set(entry) == {"loss", "accuracy", "val_loss", "val_accuracy"}
        assert all(np.isfinite(value) for value in entry.values())
        assert 0 <= entry["val_accuracy"] <= 1


def test_an_interrupted_training_ends_as_if_it_had_not_been(whole, tmp_path, monkeypatch):
    saved = train._save

    def interrupt(path, variables, history):
        saved(path, variables, history)
        if len(history) == 2:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "c.npz"
    monkeypatch.setattr(train, "_save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(*data(), CLASSES, SETTINGS, 1, checkpoint)
    monkeypatch.setattr(train, "_save", saved)
    epochs: list[int] = []
    epoch = train.batches.epoch
    monkeypatch.setattr(train.batches, "epoch", lambda *a: epochs.append(a[-1]) or epoch(*a))
    weights, history = fit(*data(), CLASSES, SETTINGS, 1, checkpoint)
    assert epochs == [2]
    assert history == whole[1]
    for one, other in zip(weights, whole[0], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("content", [b"", b"no zip file", b"PK\x03\x04" + bytes(40)])
def test_a_damaged_checkpoint_is_started_over(content, tmp_path):
    checkpoint = tmp_path / "c.npz"
    checkpoint.write_bytes(content)
    _, history = fit(*data(), CLASSES, replace(SETTINGS, epochs=1), 1, checkpoint)
    assert len(history) == 1


def test_a_loss_that_is_no_number_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="loss of epoch 1 is not a number"):
        fit(*data(), CLASSES, replace(SETTINGS, rate=float("inf")), 1, tmp_path / "c.npz")
    assert not (tmp_path / "c.npz").exists()
